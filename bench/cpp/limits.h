// What the processor can do at most, at the ISA level of the kernels: measured, not read from a data sheet.
#pragma once

#include <cstddef>

namespace unrolled::bench {

/// Floating-point operations per second of fused multiply-adds that never leave the registers, on this many threads.
template <class S>
double peak_rate(int threads);

/// Seconds in which `bytes` are read once through fused multiply-adds, when they were read just before: from the cache
/// that holds them. Each of the threads reads its share.
template <class S>
double read_time(std::ptrdiff_t bytes, int threads);

}  // namespace unrolled::bench
