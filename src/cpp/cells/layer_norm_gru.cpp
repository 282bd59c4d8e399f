// Gated recurrent unit with layer normalisation (Ba, Kiros & Hinton 2016); the engine normalises. Two phases.
//
//   [r z] = sigmoid(LN(W_rz x; g_ih) + b_rz + LN(U_rz h[t-1]; g_hh))      each LN over both gates
//   n = tanh(LN(W_n x; g_ih) + b_n + r * (LN(U_n h[t-1]; g_hh) + b_hn))   candidate
//   h[t] = (1 - z) * n + z * h[t-1]
//
// backward: as in gru.cpp; da and du are the gradients of the normalised sums
#include "engine/point.h"
#include "engine/registry.h"

namespace unrolled {
namespace {

struct LayerNormGru {
  // Neighbours in this order: W_ih feeds n r z, W_hh feeds r z and the recurrent part of n.
  enum Slot { n, r, z, hn };
  enum Vector { g_ih = 0, g_hh = 3, b_hn = 6 };
  enum PhaseIndex { gates, candidate };
  static constexpr int phases = 2;

  template <int phase, class Point>
  static void forward(Point& at) {
    using V = typename Point::V;
    if constexpr (phase == gates) {
      at.set(r, sigmoid(at.a(r) + at.u(r)));
      at.set(z, sigmoid(at.a(z) + at.u(z)));
    } else {
      const V recurrent = at.u(hn) + at.vector(b_hn);
      const V next = tanh(fma(at.a(r), recurrent, at.a(n)));
      at.set_output(fma(at.a(z), at.h_prev() - next, next));
      at.save(n, next);
      at.save(hn, recurrent);
    }
  }

  template <int phase, class Point>
  static void backward(Point& at) {
    using V = typename Point::V;
    if constexpr (phase == candidate) {
      const V one(1);
      const V reset = at.saved(r), update = at.saved(z), next = at.saved(n), recurrent = at.saved(hn);
      const V dh = at.dh();
      const V da_n = at.set_delta(n, dh * (one - update) * (one - next * next));
      at.add_dvector(b_hn, at.set_delta(hn, da_n * reset));
      at.set_delta(z, dh * (at.h_prev() - next) * update * (one - update));
      at.set_delta(r, da_n * recurrent * reset * (one - reset));
      at.set_dh_prev(dh * update);
    }
  }
};

constexpr CellInfo info() {
  using Cell = LayerNormGru;
  CellInfo cell("layer_norm_gru");
  cell.slots = 4;
  cell.feed(Cell::n, 2, 0, 1);
  const int W_hh = cell.add_matrix(3);
  Phase& gates = cell.multiply(Operand::PreviousOutput, W_hh, Cell::r, 0, 1);
  Phase& candidate = cell.multiply(Operand::PreviousOutput, W_hh, Cell::hn, 2);
  cell.add_vectors(3);  // g_ih: r z n
  cell.add_vectors(3);  // g_hh: r z n
  cell.add_vectors(1);  // b_hn
  cell.normalise_input(Cell::n, 1, Cell::g_ih + 2);
  cell.normalise_input(Cell::r, 2, Cell::g_ih);
  gates.normalised = candidate.normalised = true;
  gates.gain = Cell::g_hh;
  candidate.gain = Cell::g_hh + 2;
  return cell;
}

}  // namespace

void register_layer_norm_gru(Registry& registry) { registry.add_gated<LayerNormGru>(info()); }

}  // namespace unrolled
