#include "core/slab.h"

#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace unrolled::slab {
namespace {

constexpr std::size_t bytes_in_all = 64 * granule;  // a bit of a word for each granule

// The memory is taken once and never given back. All of it is done with atomic words, so that a thread never waits here
// for another one, nor a child for a thread that its parent had at the fork.
std::atomic<char*> base{nullptr};
std::atomic<std::uint64_t> free_granules{~std::uint64_t(0)};

std::uint64_t mask_of(std::size_t bytes) { return (std::uint64_t(1) << (bytes / granule)) - 1; }

char* memory() noexcept {
  if (char* const made = base.load(std::memory_order_acquire)) return made;
  auto* const fresh = static_cast<char*>(huge_pages(bytes_in_all));
  if (fresh == nullptr) return nullptr;
  std::memset(fresh, 0, bytes_in_all);  // the system gives pages as they are touched
  char* other = nullptr;
  if (base.compare_exchange_strong(other, fresh, std::memory_order_acq_rel)) return fresh;
  std::free(fresh);
  return other;
}

}  // namespace

void* huge_pages(std::size_t bytes) noexcept {
  void* const data = std::aligned_alloc(huge_page, bytes);
#if defined(MADV_HUGEPAGE)
  if (data != nullptr) madvise(data, bytes, MADV_HUGEPAGE);
#endif
  return data;
}

void* take(std::size_t bytes) noexcept {
  char* const from = in_use ? memory() : nullptr;
  if (from == nullptr) return nullptr;
  std::uint64_t free = free_granules.load(std::memory_order_acquire);
  for (;;) {
    // Bit i of `starts` stays set where a run of as many free granules begins at i.
    std::uint64_t starts = free;
    for (std::size_t further = 1; further < bytes / granule; ++further) starts &= free >> further;
    if (starts == 0) return nullptr;
    const int first = __builtin_ctzll(starts);
    if (free_granules.compare_exchange_weak(free, free & ~(mask_of(bytes) << first), std::memory_order_acq_rel))
      return from + std::size_t(first) * granule;
  }
}

bool give(void* data, std::size_t bytes) noexcept {
  const auto offset =
      reinterpret_cast<std::uintptr_t>(data) - reinterpret_cast<std::uintptr_t>(base.load(std::memory_order_acquire));
  if (!in_use || offset >= bytes_in_all) return false;
  free_granules.fetch_or(mask_of(bytes) << (offset / granule), std::memory_order_acq_rel);
  return true;
}

void make() noexcept {
  if (in_use) memory();
}

}  // namespace unrolled::slab
