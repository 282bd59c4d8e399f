// Blocks of middle size, cut from one run of huge pages.
#pragma once

#include <cstddef>

namespace unrolled::slab {

inline constexpr std::size_t huge_page = std::size_t(2) << 20;

/// Memory from the system, on huge pages where it has them; null where it is short. `bytes`: whole huge pages.
void* huge_pages(std::size_t bytes) noexcept;

/// Sizes of blocks that are cut from it: from a granule to a quarter of the run.
inline constexpr std::size_t granule = std::size_t(64) << 10, most = std::size_t(1) << 20;

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool in_use = false;  // the sanitizer watches blocks that it has made itself
#else
inline constexpr bool in_use = true;
#endif

/// A block of `bytes`, a multiple of `granule`; null where none is free.
void* take(std::size_t bytes) noexcept;
/// Gives a block back; false if it is not from here.
bool give(void* data, std::size_t bytes) noexcept;
/// Takes the memory now: otherwise the first block waits for it.
void make() noexcept;

}  // namespace unrolled::slab
