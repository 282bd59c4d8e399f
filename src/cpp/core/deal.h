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
    std::int64_t next = 0;  // numbers from `last` on that this thread will take next, if nobody else takes of them
  };
  /// For teams of at most so many threads.
  explicit Deal(int threads) : others_(static_cast<std::size_t>(threads - 1)) {}

  /// By every thread, before all of them meet and the first one takes. At most 2^32 - 1 numbers.
  void start(std::int64_t size, int id, int team) {
    const std::uint64_t all = packed(share_begin(size, id, team), share_begin(size, id + 1, team));
    left_of(id).store(all, std::memory_order_relaxed);
  }

  /// Half of what is left of a share, neither taking nor leaving fewer than `least` where there are as many; a thread
  /// alone takes all; in any case no more than `most`. False: all are taken. Threads meet before one of them reads what
  /// others have made of theirs.
  bool take(std::int64_t least, std::int64_t most, int id, int team, Range* range) {
    const auto part = [&](std::int64_t left) {
      return std::min(most, team > 1 && left >= 2 * least ? (left + 1) / 2 : left);
    };
    for (int k = 0; k < team; ++k) {
      const bool own = k == 0;
      std::atomic<std::uint64_t>& share = left_of((id + k) % team);
      std::uint64_t now = share.load(std::memory_order_relaxed);
      while (first_of(now) < last_of(now)) {
        const std::int64_t first = first_of(now), last = last_of(now), count = part(last - first);
        const std::int64_t cut = own ? first + count : last - count;
        const std::uint64_t rest = own ? packed(cut, last) : packed(first, cut);
        if (!share.compare_exchange_weak(now, rest, std::memory_order_relaxed)) continue;
        *range = own ? Range{first, cut, part(last - cut)} : Range{cut, last, 0};
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
  std::atomic<std::uint64_t>& left_of(int id) {
    return (id == 0 ? first_share_ : others_[static_cast<std::size_t>(id - 1)]).left;
  }

  Share first_share_;  // so that a team of one asks for no memory
  std::vector<Share> others_;
};

}  // namespace unrolled
