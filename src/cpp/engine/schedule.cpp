#include "engine/schedule.h"

#include <algorithm>
#include <numeric>

namespace unrolled {

void Schedule::plan(Index T, Index B, const std::int64_t* lengths, const std::uint8_t* reset, bool reverse) {
  time_ = T;
  batch_ = B;
  reverse_ = reverse;
  reset_.assign(reset, reset ? reset + T * B : nullptr);
  plain_ = lengths == nullptr;
  steps_ = B == 0 ? 0 : T;
  if (!plain_) {
    order_.resize(static_cast<std::size_t>(B));
    std::iota(order_.begin(), order_.end(), Index(0));
    std::stable_sort(order_.begin(), order_.end(), [lengths](Index a, Index b) { return lengths[a] > lengths[b]; });
    lengths_.resize(static_cast<std::size_t>(B));
    std::transform(order_.begin(), order_.end(), lengths_.begin(), [lengths](Index b) { return Index(lengths[b]); });
    steps_ = B == 0 ? 0 : lengths_.front();
  }
  first_.resize(static_cast<std::size_t>(steps_ + 1));
  first_[0] = 0;
  Index running = B;
  for (Index s = 0; s < steps_; ++s) {
    while (!plain_ && running > 0 && lengths_[static_cast<std::size_t>(running - 1)] <= s) --running;
    first_[static_cast<std::size_t>(s + 1)] = first_[static_cast<std::size_t>(s)] + running;
  }
}

}  // namespace unrolled
