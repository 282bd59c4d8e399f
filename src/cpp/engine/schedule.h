// Which rows of the batch run at which step. Sequences are taken in order of falling length, so that the rows still
// running are always the first ones; what the engine stores is dense over valid steps only, and finished rows cost
// nothing.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/packet.h"

namespace unrolled {

/// Place `first(s) + i` of the dense order is step s of the i-th longest sequence. Steps count from where the
/// recurrence starts: in the reverse direction step 0 is a sequence's last valid time.
class Schedule {
 public:
  /// lengths (B, each 0 .. T) or null; reset (T x B, row-major) or null. Copies both; reuses its memory.
  void plan(Index T, Index B, const std::int64_t* lengths, const std::uint8_t* reset, bool reverse);

  Index steps() const { return steps_; }
  Index batch() const { return batch_; }
  /// All sequences are of the same length.
  bool equal() const { return places() == steps_ * batch_; }
  /// Valid (step, row) pairs.
  Index places() const { return first_[static_cast<std::size_t>(steps_)]; }
  /// Rows running at step s; they are the first ones.
  Index rows(Index s) const { return first_[static_cast<std::size_t>(s + 1)] - first_[static_cast<std::size_t>(s)]; }
  /// Place of the first row of step s; of the step behind the last one, all places.
  Index first(Index s) const { return first_[static_cast<std::size_t>(s)]; }
  /// The step of a place; of the one behind the last, the number of steps.
  Index step_of(Index place) const {
    return static_cast<Index>(std::upper_bound(first_.begin(), first_.end(), place) - first_.begin()) - 1;
  }
  Index place(Index s, Index i) const { return first(s) + i; }
  /// Batch row of the i-th longest sequence, and its length.
  Index row(Index i) const { return plain_ ? i : order_[static_cast<std::size_t>(i)]; }
  Index length(Index i) const { return plain_ ? time_ : lengths_[static_cast<std::size_t>(i)]; }
  /// Where (step s, i) lies in a (T, B) array: t * B + b.
  Index at(Index s, Index i) const { return (reverse_ ? length(i) - 1 - s : s) * batch_ + row(i); }
  /// A reset parts (s, i) from step s - 1 or the initial state: what is before it is where a reset puts the state.
  bool cut(Index s, Index i) const {
    if (reset_.empty()) return false;
    if (!reverse_) return reset_[static_cast<std::size_t>(at(s, i))] != 0;
    // A reset at time t parts t - 1 from t in either direction.
    return s > 0 && reset_[static_cast<std::size_t>(at(s - 1, i))] != 0;
  }

  /// Zeros in those rows of a (T, B, width) array, `step` scalars from row to row, that lie past the ends of sequences:
  /// the share of thread `id` of `count`.
  template <class S>
  void clear_past_ends(S* array, Index width, Index step, int id, int count) const {
    for (Index t = id; t < time_; t += count)
      for (Index i = t < steps_ ? rows(t) : 0; i < batch_; ++i)
        std::fill_n(array + (t * batch_ + row(i)) * step, width, S(0));
  }

 private:
  Index time_ = 0, batch_ = 0, steps_ = 0;
  bool reverse_ = false, plain_ = true;
  std::vector<std::uint8_t> reset_;  // (T, B), empty if there is none
  std::vector<Index> first_, order_, lengths_;
};

}  // namespace unrolled
