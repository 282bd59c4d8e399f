// Memory asked for while something else is summed.
#pragma once

#include <algorithm>
#include <utility>

#include "gemm/tile.h"

namespace unrolled {

/// Columns [first, last) of rows that lie anywhere, dealt out evenly among the tiles that are summed meanwhile.
template <class S>
class LinesAhead {
 public:
  LinesAhead(const S* const* rows, Index count, Index first, Index last, Index tiles)
      : rows_(rows), left_(first < last ? count : 0), first_(first), last_(last), column_(first) {
    const Index lines = left_ * ((last - first + per_line - 1) / per_line);
    at_once_ = tiles > 0 ? std::min(most_at_once, (lines + tiles - 1) / tiles) : 0;
  }

  /// One more line for the next tile, wherever it lies; no more of them than a tile writes.
  void also(const S* line) {
    if (count_ < most_others) lines_[count_++] = line;
  }

  Ahead next() {
    int count = std::exchange(count_, 0);
    for (const int end = count + static_cast<int>(at_once_); count < end && left_ > 0; ++count) {
      lines_[count] = *rows_ + column_;
      if ((column_ += per_line) >= last_) {
        column_ = first_;
        ++rows_;
        --left_;
      }
    }
    return {lines_, lines_ + count};
  }

 private:
  static constexpr Index per_line = 64 / sizeof(S), most_at_once = 48;
  static constexpr int most_others = max_tile_rows * max_vectors;
  const S* const* rows_;
  Index left_, first_, last_, column_, at_once_;
  int count_ = 0;
  const void* lines_[most_at_once + most_others];
};

}  // namespace unrolled
