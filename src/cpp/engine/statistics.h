// Mean and deviation of a row, for phases with layer normalisation (Ba, Kiros & Hinton 2016). Sums run over blocks in
// order, then over the lanes: the same at every partition.
#pragma once

#include <cmath>

#include "core/packet.h"

namespace unrolled {

/// Calls use(packet, block, gate) for each packet of a row [block][gate][lane], with the lanes behind the last unit as
/// zeros.
template <class S, class F>
void for_valid_packets(const S* row, int gates, Index units_padded, Index units, F&& use) {
  constexpr int P = lanes<S>;
  for (Index block = 0; block < units_padded / P; ++block)
    for (int gate = 0; gate < gates; ++gate)
      use(Vec<S>::load_partial(row + (block * gates + gate) * P, units - block * P), units - block * P);
}

template <class S>
struct RowMoments {
  S mean, inverse_deviation;

  RowMoments(const S* row, int gates, Index units_padded, Index units) {
    constexpr S epsilon = S(1e-5);
    const S count = static_cast<S>(gates * units);
    Vec<S> sum = Vec<S>::zero(), squares = Vec<S>::zero();
    for_valid_packets(row, gates, units_padded, units, [&](Vec<S> packet, Index) { sum += packet; });
    mean = sum_lanes(sum) / count;
    for_valid_packets(row, gates, units_padded, units, [&](Vec<S> packet, Index valid) {
      const Vec<S> d = first_lanes(packet - Vec<S>(mean), valid);
      squares = fma(d, d, squares);
    });
    inverse_deviation = S(1) / std::sqrt(sum_lanes(squares) / count + epsilon);
  }
};

}  // namespace unrolled
