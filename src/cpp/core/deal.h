// Pieces of work that come out the same whoever does them, dealt among threads that are not equally fast.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include "core/threads.h"

namespace unrolled {

/// The numbers [0, size), neighbouring ones for each thread of a team. Who is done with its own takes from the end of
/// those that another one still has.
class Deal {
 public:
  struct Range {
    std::int64_t first = 0, last = 0;
    std::int64_t next = 0;  // numbers from `last` on that this thread will take next, if nobody else does
  };
  /// For teams of at most so many threads.
  explicit Deal(int threads) : others_(static_cast<std::size_t>(threads - 1)) {}

  /// By every thread, before all of them meet and the first one takes. At most 2^32 - 1 numbers.
  void start(std::int64_t size, int id, int team) {
    left(id).store(packed(share_begin(size, id, team), share_begin(size, id + 1, team)), std::memory_order_relaxed);
  }

  /// Half of what is left of a share, no more than `most`, and neither takes nor leaves fewer than `least` where it
  /// can. False: all are taken. Threads meet before one of them reads what others have made of theirs.
  bool take(std::int64_t least, std::int64_t most, int id, int team, Range* range) {
    for (int k = 0; k < team; ++k) {
      const bool own = k == 0;
      std::atomic<std::uint64_t>& share = left((id + k) % team);
      std::uint64_t now = share.load(std::memory_order_relaxed);
      while (first_of(now) < last_of(now)) {
        const std::int64_t first = first_of(now), last = last_of(now), all = last - first;
        const std::int64_t part = team > 1 && all >= 2 * least ? (all + 1) / 2 : all, count = std::min(part, most);
        const std::int64_t cut = own ? first + count : last - count;
        const std::uint64_t rest = own ? packed(cut, last) : packed(first, cut);
        if (!share.compare_exchange_weak(now, rest, std::memory_order_relaxed)) continue;
        *range = own ? Range{first, cut, std::min(count, last - cut)} : Range{cut, last, 0};
        return true;
      }
    }
    return false;
  }

 private:
  struct alignas(64) Share {
    std::atomic<std::uint64_t> left{0};  // its first and its last number, which change together
  };
  static std::uint64_t packed(std::int64_t first, std::int64_t last) {
    return static_cast<std::uint64_t>(first) << 32 | static_cast<std::uint64_t>(last);
  }
  static std::int64_t first_of(std::uint64_t left) { return static_cast<std::int64_t>(left >> 32); }
  static std::int64_t last_of(std::uint64_t left) { return static_cast<std::int64_t>(left & 0xffffffffu); }
  std::atomic<std::uint64_t>& left(int id) {
    return (id == 0 ? mine_ : others_[static_cast<std::size_t>(id - 1)]).left;
  }

  Share mine_;  // of the first thread: a team of one asks for no memory
  std::vector<Share> others_;
};

}  // namespace unrolled
