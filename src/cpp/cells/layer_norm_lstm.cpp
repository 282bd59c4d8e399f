// Long short-term memory with layer normalisation (Ba, Kiros & Hinton 2016); the engine normalises. Two phases.
//
//   [i f g o] = LN(W_ih x; g_ih) + b + LN(W_hh h[t-1]; g_hh)      each LN over all four gates
//   i, f, o: sigmoid, g: tanh of these
//   c[t] = f * c[t-1] + i * g
//   h[t] = o * tanh(LN(c[t]; g_c) + b_c)
//
// backward, given dh[t] and dc[t]; s = tanh(LN(c[t]; g_c) + b_c), output phase:
//   do = dh * s                     da_o = do * o (1 - o)
//   dn = dh * o * (1 - s^2), the gradient of LN(c[t]): the engine adds that of c[t] to dc
// gates phase: as in lstm.cpp; the da are the gradients of both normalised sums
#include "engine/point.h"
#include "engine/registry.h"

namespace unrolled {
namespace {

struct LayerNormLstm {
  enum Slot { i, f, g, o, normal };
  enum Stream { c };
  enum PhaseIndex { gates, output };
  enum Vector { g_ih = 0, g_hh = 4, g_c = 8, b_c };
  static constexpr int phases = 2;

  template <int phase, class Point>
  static void forward(Point& at) {
    using V = typename Point::V;
    if constexpr (phase == gates) {
      const V in = sigmoid(at.a(i) + at.u(i));
      const V forget = sigmoid(at.a(f) + at.u(f));
      const V candidate = tanh(at.a(g) + at.u(g));
      at.set(o, sigmoid(at.a(o) + at.u(o)));
      at.set_stream(c, fma(forget, at.state_prev(c), in * candidate));
      at.save(i, in);
      at.save(f, forget);
      at.save(g, candidate);
    } else {
      const V squashed = tanh(at.u(normal) + at.vector(b_c));
      at.set_output(at.a(o) * squashed);
      at.save(normal, squashed);
    }
  }

  template <int phase, class Point>
  static void backward(Point& at) {
    using V = typename Point::V;
    const V one(1);
    if constexpr (phase == output) {
      const V out = at.saved(o), squashed = at.saved(normal), dh = at.dh();
      at.set_delta(o, dh * squashed * out * (one - out));
      at.add_dvector(b_c, at.set_delta(normal, dh * out * (one - squashed * squashed)));
      at.set_dh_prev(V::zero());
    } else {
      const V in = at.saved(i), forget = at.saved(f), candidate = at.saved(g), dc = at.dstream(c);
      at.set_delta(g, dc * in * (one - candidate * candidate));
      at.set_delta(f, dc * at.state_prev(c) * forget * (one - forget));
      at.set_delta(i, dc * candidate * in * (one - in));
      at.set_dstate_prev(c, dc * forget);
    }
  }
};

constexpr CellInfo info() {
  using Cell = LayerNormLstm;
  CellInfo cell("layer_norm_lstm");
  cell.slots = 5;
  cell.states = cell.streams = 1;
  cell.feed(Cell::i, 0, 1, 2, 3);
  Phase& gates = cell.multiply(Operand::PreviousOutput, cell.add_matrix(4), Cell::i, 0, 1, 2, 3);
  Phase& output = cell.multiply(Operand::Stream, identity, Cell::normal, 0);
  output.stream = Cell::c;
  cell.add_vectors(4);  // g_ih
  cell.add_vectors(4);  // g_hh
  cell.add_vectors(1);  // g_c
  cell.add_vectors(1);  // b_c
  cell.normalise_input(Cell::i, 4, Cell::g_ih);
  gates.normalised = output.normalised = true;
  gates.gain = Cell::g_hh;
  output.gain = Cell::g_c;
  return cell;
}

}  // namespace

void register_layer_norm_lstm(Registry& registry) { registry.add_gated<LayerNormLstm>(info()); }

}  // namespace unrolled
