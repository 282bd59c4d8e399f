// Small numbers made known to the compiler, so that sums as many stay in registers.
#pragma once

#include <cassert>
#include <type_traits>

#include "core/packet.h"

namespace unrolled {

inline constexpr int most_count = 4;

/// use(constant) for a number of 1 to most_count.
template <class F>
void with_count(Index count, F&& use) {
  static_assert(most_count == 4);
  assert(1 <= count && count <= most_count);
  switch (count) {
    case 1:
      return use(std::integral_constant<int, 1>());
    case 2:
      return use(std::integral_constant<int, 2>());
    case 3:
      return use(std::integral_constant<int, 3>());
    default:
      return use(std::integral_constant<int, 4>());
  }
}

}  // namespace unrolled
