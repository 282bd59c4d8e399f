// Mean and deviation of a row, for layer normalisation (Ba, Kiros & Hinton 2016). Sums run over blocks in order, then
// over gates and lanes: the same at every partition.
#pragma once

#include <algorithm>
#include <cmath>

#include "core/packet.h"

namespace unrolled {

/// Some neighbouring gates of a row [block][stride gates][lane], from `data` on.
template <class S>
struct GateRow {
  S* data;
  int stride;
  S* packet(Index block, int gate) const { return data + (block * stride + gate) * lanes<S>; }
};

/// In one pass, over the distances from one of the row's scalars: the loop over time waits for one sum over the lanes,
/// not for two. What that rounds is (mean - it)^2 / variance times what a second pass would: so it is the middle one of
/// three, and no scalar that alone lies far from the others. Sums beyond the range of S give NaN.
template <class S>
struct RowMoments {
  S mean, inverse_deviation;

  /// `gates` running sums stay in registers, and hide the latency of their additions.
  template <int gates>
  static RowMoments of(const GateRow<const S>& row, Index units) {
    constexpr int P = lanes<S>;
    constexpr S epsilon = S(1e-5);
    const S share = S(1) / static_cast<S>(gates * units);  // made early: the sums below are waited for
    const S a = *row.data, b = row.packet(units / 2 / P, gates / 2)[units / 2 % P],
            c = row.packet((units - 1) / P, gates - 1)[(units - 1) % P];
    const S near = std::max(std::min(a, b), std::min(std::max(a, b), c));
    const Vec<S> origin(near);
    Vec<S> sum[gates], squares[gates];
    for (int gate = 0; gate < gates; ++gate) sum[gate] = squares[gate] = Vec<S>::zero();
    // In both its places, or the sums would go to memory in between.
    const auto add = [&](Index block, Index valid) __attribute__((always_inline)) {
      for (int gate = 0; gate < gates; ++gate) {
        const Vec<S> d = first_lanes(Vec<S>::load(row.packet(block, gate)) - origin, valid);
        sum[gate] += d;
        squares[gate] = fma(d, d, squares[gate]);
      }
    };
    const Index whole = units / P;
    for (Index block = 0; block < whole; ++block) add(block, P);
    if (units % P != 0) add(whole, units % P);
    for (int gate = 1; gate < gates; ++gate) {
      sum[0] += sum[gate];
      squares[0] += squares[gate];
    }
    const S distance = sum_lanes(sum[0]) * share;
    const S variance = sum_lanes(squares[0]) * share - distance * distance;
    return {near + distance, S(1) / std::sqrt((variance < 0 ? S(0) : variance) + epsilon)};
  }
};

/// Sums over a row on its way back: of the gradients of what was normalised, and of their products with it.
template <class S>
struct RowSums {
  S dv, dv_v;
};

}  // namespace unrolled
