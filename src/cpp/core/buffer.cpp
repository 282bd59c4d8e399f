#include "core/buffer.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "core/slab.h"
#include "core/threads.h"

namespace unrolled {
namespace {

using detail::Block;

using slab::huge_page;

class MemoryIsShort final : public std::bad_alloc {
 public:
  explicit MemoryIsShort(std::size_t bytes) {
    std::snprintf(text_, sizeof text_, "memory is short: the system does not give %.1f MB to a call",
                  double(bytes) / 1e6);
  }
  const char* what() const noexcept override { return text_; }

 private:
  char text_[96];
};

bool of_slab(std::size_t bytes) { return bytes >= slab::granule && bytes <= slab::most; }

/// Large blocks lie on huge pages: touching fresh small ones would cost more than the arithmetic done on them once.
std::size_t alignment_of(std::size_t bytes) {
  if (bytes >= 2 * huge_page) return huge_page;
  return of_slab(bytes) ? slab::granule : 64;
}

/// Bytes of the block that is made for `bytes`.
std::size_t whole(std::size_t bytes) {
  const std::size_t alignment = alignment_of(bytes);
  return (bytes + alignment - 1) / alignment * alignment;
}

/// Memory from the system, of a whole size; none where it has none.
Block from_system(std::size_t bytes) {
  const std::size_t alignment = alignment_of(bytes);
  void* const data = alignment == huge_page ? slab::huge_pages(bytes) : std::aligned_alloc(alignment, bytes);
  if (data == nullptr) return {};
  return {data, bytes};
}

/// Large blocks between two calls. A training loop asks for the same ones at every step; memory fresh from the system
/// costs a page fault per page, and on a virtual machine sometimes milliseconds each.
class Reserve {
 public:
  /// A block of `bytes` or up to a quarter more, if there is one.
  Block take(std::size_t bytes) {
    if (!lock()) return {};
    Entry* best = nullptr;
    for (Entry& entry : entries_) {
      const bool fits = entry.block.data && entry.block.bytes >= bytes && entry.block.bytes <= bytes + bytes / 4;
      if (fits && (best == nullptr || entry.block.bytes < best->block.bytes)) best = &entry;
    }
    Block found;
    if (best) {
      found = best->block;
      held_ -= found.bytes;
      best->block = {};
    }
    unlock();
    return found;
  }

  /// False if the caller has to free the block.
  bool give(Block block) {
    if (block.bytes > most_held || !lock()) return false;
    Block dropped[places];
    int drop = 0;
    // The oldest leave until there is room.
    for (Entry* oldest = oldest_entry(); held_ + block.bytes > most_held || free_entry() == nullptr;
         oldest = oldest_entry()) {
      held_ -= oldest->block.bytes;
      dropped[drop++] = oldest->block;
      oldest->block = {};
    }
    *free_entry() = {block, ++clock_};
    held_ += block.bytes;
    unlock();
    for (int i = 0; i < drop; ++i) std::free(dropped[i].data);
    return true;
  }

  /// Gives all of it to the system; false if there was nothing.
  bool empty() {
    if (!lock()) return false;
    const bool some = held_ > 0;
    for (Entry& entry : entries_) {
      std::free(entry.block.data);
      entry.block = {};
    }
    held_ = 0;
    unlock();
    return some;
  }

  static constexpr std::size_t least = slab::granule;  // of those the slab has no room for, too

 private:
  static constexpr std::size_t most_held = std::size_t(256) << 20;
  static constexpr int places = 128;
  struct Entry {
    Block block;
    std::uint64_t since = 0;
  };

  Entry* free_entry() {
    const auto entry = std::find_if(entries_.begin(), entries_.end(), [](const Entry& e) { return !e.block.data; });
    return entry == entries_.end() ? nullptr : &*entry;
  }
  Entry* oldest_entry() {
    Entry* oldest = nullptr;
    for (Entry& entry : entries_)
      if (entry.block.data && (oldest == nullptr || entry.since < oldest->since)) oldest = &entry;
    return oldest;
  }
  // Waited for as long as another thread may need: a child whose parent held it at the fork does without.
  bool lock() {
    constexpr int longer_than_a_search = 1000;
    Patience patience;
    for (int tries = 0; tries < longer_than_a_search; ++tries) {
      if (!taken_.load(std::memory_order_relaxed) && !taken_.exchange(true, std::memory_order_acquire)) return true;
      patience.pause();
    }
    return false;
  }
  void unlock() { taken_.store(false, std::memory_order_release); }

  std::atomic<bool> taken_{false};
  std::array<Entry, places> entries_{};
  std::size_t held_ = 0;
  std::uint64_t clock_ = 0;
};

Reserve reserve;  // its blocks go with the process

}  // namespace

Block detail::acquire(std::size_t bytes) {
  bytes = whole(bytes);
  if (of_slab(bytes))
    if (void* const data = slab::take(bytes)) return {data, bytes};
  if (bytes >= Reserve::least)
    if (const Block block = reserve.take(bytes); block.data) return block;
  Block block = from_system(bytes);
  // What lies in reserve may be just what is missing.
  if (block.data == nullptr && reserve.empty()) block = from_system(bytes);
  if (block.data == nullptr) throw MemoryIsShort(bytes);
  return block;
}

void detail::release(Block block) noexcept {
  if (of_slab(block.bytes) && slab::give(block.data, block.bytes)) return;
  if (block.bytes < Reserve::least || !reserve.give(block)) std::free(block.data);
}

}  // namespace unrolled
