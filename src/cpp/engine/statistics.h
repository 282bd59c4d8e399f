// Mean and deviation of a row, for layer normalisation (Ba, Kiros & Hinton 2016). Sums run over blocks in order, then
// over the lanes: the same at every partition.
#pragma once

#include <cmath>

#include "core/packet.h"

namespace unrolled {

/// Some neighbouring gates of a row [block][stride gates][lane]: `gates` of them from `data` on.
template <class S>
struct GateRow {
  S* data;
  int stride, gates;
  S* packet(Index block, int gate) const { return data + (block * stride + gate) * lanes<S>; }
};

/// Calls use(packet, valid lanes) for each packet of a row, with the lanes behind the last unit as zeros.
template <class S, class F>
void for_valid_packets(const GateRow<const S>& row, Index units, F&& use) {
  constexpr int P = lanes<S>;
  for (Index block = 0; block * P < units; ++block)
    for (int gate = 0; gate < row.gates; ++gate)
      use(Vec<S>::load_partial(row.packet(block, gate), units - block * P), units - block * P);
}

template <class S>
struct RowMoments {
  S mean, inverse_deviation;

  RowMoments(const GateRow<const S>& row, Index units) {
    constexpr S epsilon = S(1e-5);
    const S count = static_cast<S>(row.gates * units);
    Vec<S> sum = Vec<S>::zero(), squares = Vec<S>::zero();
    for_valid_packets(row, units, [&](Vec<S> packet, Index) { sum += packet; });
    mean = sum_lanes(sum) / count;
    for_valid_packets(row, units, [&](Vec<S> packet, Index valid) {
      const Vec<S> d = first_lanes(packet - Vec<S>(mean), valid);
      squares = fma(d, d, squares);
    });
    inverse_deviation = S(1) / std::sqrt(sum_lanes(squares) / count + epsilon);
  }
};

}  // namespace unrolled
