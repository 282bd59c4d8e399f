// Random numbers from a counter: number i of stream (seed, counter) is a pure function of the three, so that it is the
// same for every number of threads and in every run. Philox 4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random
// numbers: as easy as 1, 2, 3", 2011.
#pragma once

#include <cstdint>

namespace unrolled {

/// One block is four 32-bit numbers; `width` neighbouring blocks are computed side by side.
class RandomStream {
 public:
  static constexpr int width = 16;
  static constexpr int numbers = 4 * width;  // of one call of `fill`

  RandomStream(std::uint64_t seed, std::uint64_t counter) : seed_(seed), counter_(counter) {}

  /// Numbers `numbers * chunk` to `numbers * (chunk + 1)` of the stream.
  void fill(std::uint64_t chunk, std::uint32_t (&to)[numbers]) const {
    std::uint32_t c0[width], c1[width], c2[width], c3[width];
    for (int lane = 0; lane < width; ++lane) {
      const std::uint64_t block = chunk * width + static_cast<std::uint64_t>(lane);
      c0[lane] = static_cast<std::uint32_t>(block);
      c1[lane] = static_cast<std::uint32_t>(block >> 32);
      c2[lane] = static_cast<std::uint32_t>(counter_);
      c3[lane] = static_cast<std::uint32_t>(counter_ >> 32);
    }
    std::uint32_t k0 = static_cast<std::uint32_t>(seed_), k1 = static_cast<std::uint32_t>(seed_ >> 32);
    for (int round = 0; round < 10; ++round) {
      for (int lane = 0; lane < width; ++lane) {
        const std::uint64_t p0 = std::uint64_t{0xD2511F53} * c0[lane], p1 = std::uint64_t{0xCD9E8D57} * c2[lane];
        c0[lane] = static_cast<std::uint32_t>(p1 >> 32) ^ c1[lane] ^ k0;
        c1[lane] = static_cast<std::uint32_t>(p1);
        c2[lane] = static_cast<std::uint32_t>(p0 >> 32) ^ c3[lane] ^ k1;
        c3[lane] = static_cast<std::uint32_t>(p0);
      }
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    for (int lane = 0; lane < width; ++lane) {
      to[4 * lane] = c0[lane];
      to[4 * lane + 1] = c1[lane];
      to[4 * lane + 2] = c2[lane];
      to[4 * lane + 3] = c3[lane];
    }
  }

 private:
  std::uint64_t seed_, counter_;
};

}  // namespace unrolled
