// Mean and deviation of a row, for layer normalisation (Ba, Kiros & Hinton 2016). Sums run over blocks in order, then
// over gates and lanes: the same at every partition.
#pragma once

#include <cmath>
#include <type_traits>

#include "core/packet.h"

namespace unrolled {

/// Some neighbouring gates of a row [block][stride gates][lane]: `gates` of them from `data` on.
template <class S>
struct GateRow {
  S* data;
  int stride, gates;
  S* packet(Index block, int gate) const { return data + (block * stride + gate) * lanes<S>; }
};

/// use(gates), the number known to the compiler: so many running sums stay in registers, and hide the latency of their
/// additions.
template <class F>
void with_gates(int gates, F&& use) {
  if (gates == 1) return use(std::integral_constant<int, 1>());
  if (gates == 2) return use(std::integral_constant<int, 2>());
  if (gates == 3) return use(std::integral_constant<int, 3>());
  use(std::integral_constant<int, 4>());
}

template <class S>
struct RowMoments {
  S mean, inverse_deviation;

  RowMoments(const GateRow<const S>& row, Index units) {
    with_gates(row.gates, [&](auto gates) { take<gates>(row, units); });
  }

 private:
  template <int gates>
  void take(const GateRow<const S>& row, Index units) {
    constexpr S epsilon = S(1e-5);
    const S share = S(1) / static_cast<S>(gates * units);  // made early: the sums below are waited for
    mean = total<gates>(row, units, [](Vec<S> packet, Vec<S> sum, Index) { return sum + packet; }) * share;
    const Vec<S> middle(mean);
    const S squares = total<gates>(row, units, [middle](Vec<S> packet, Vec<S> sum, Index valid) {
      const Vec<S> d = first_lanes(packet - middle, valid);
      return fma(d, d, sum);
    });
    inverse_deviation = S(1) / std::sqrt(squares * share + epsilon);
  }
  template <int gates, class F>
  static S total(const GateRow<const S>& row, Index units, F&& add) {
    constexpr int P = lanes<S>;
    Vec<S> sum[gates];
    for (int gate = 0; gate < gates; ++gate) sum[gate] = Vec<S>::zero();
    const Index whole = units / P;
    for (Index block = 0; block < whole; ++block)
      for (int gate = 0; gate < gates; ++gate)
        sum[gate] = add(Vec<S>::load(row.packet(block, gate)), sum[gate], Index(P));
    for (int gate = 0; units % P != 0 && gate < gates; ++gate)
      sum[gate] = add(Vec<S>::load_partial(row.packet(whole, gate), units % P), sum[gate], units % P);
    for (int gate = 1; gate < gates; ++gate) sum[0] += sum[gate];
    return sum_lanes(sum[0]);
  }
};

}  // namespace unrolled
