// Backward cuts the steps into chunks: the gradients of a chunk's gate sums are read again for those of the weights
// while they lie in a cache. Of a long sequence they would come from memory, three times.
#pragma once

#include <algorithm>
#include <vector>

#include "engine/schedule.h"

namespace unrolled {

struct Chunk {
  Index begin, end;   // steps
  Index first, last;  // their places
  Index places() const { return last - first; }
};

class Chunks {
 public:
  /// About equal ones, by the schedule alone: their order is that in which weight gradients are summed.
  void plan(const Schedule& schedule) {
    constexpr Index most = 512;
    const Index places = schedule.places(), count = std::max<Index>(1, (places + most - 1) / most);
    chunks_.clear();
    Index step = 0, place = 0;
    for (Index k = 1; k <= count; ++k) {
      Chunk chunk{step, step, place, place};
      for (; step < schedule.steps() && (k == count || place < places * k / count); ++step)
        place += schedule.rows(step);
      chunk.end = step;
      chunk.last = place;
      if (chunk.places() > 0 || k == 1) chunks_.push_back(chunk);
    }
  }
  Index count() const { return static_cast<Index>(chunks_.size()); }
  const Chunk& operator[](Index k) const { return chunks_[static_cast<std::size_t>(k)]; }
  Index most_places() const {
    Index most = 0;
    for (const Chunk& chunk : chunks_) most = std::max(most, chunk.places());
    return most;
  }

 private:
  std::vector<Chunk> chunks_;
};

}  // namespace unrolled
