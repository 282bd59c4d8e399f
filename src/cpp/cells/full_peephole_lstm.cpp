// Long short-term memory whose gates see the cell through full matrices: sums over x, h and c joined (Graves 2013 has
// the diagonals of them). Three phases.
//
//   i = sigmoid(W_i x + V_i c[t-1] + U_i h[t-1] + b_i)        input gate
//   f = sigmoid(W_f x + V_f c[t-1] + U_f h[t-1] + b_f)        forget gate
//   g = tanh   (W_g x              + U_g h[t-1] + b_g)        candidate
//   c[t] = f * c[t-1] + i * g
//   o = sigmoid(W_o x + V_o c[t]   + U_o h[t-1] + b_o)        output gate
//   h[t] = o * tanh(c[t])
//
// backward, given dh[t] and dc[t], output phase:
//   da_o = dh * tanh(c[t]) * o (1 - o)     dc = dc + dh * o * (1 - tanh(c[t])^2) + da_o V_o
// cell phase: as in lstm.cpp,              dc[t-1] = dc * f + [da_i da_f] [V_i; V_f],   dh[t-1] = da W_hh
#include "engine/point.h"
#include "engine/registry.h"

namespace unrolled {
namespace {

struct FullPeepholeLstm {
  enum Slot { i, f, g, o };
  enum Stream { c };
  enum PhaseIndex { peepholes, cell, output };
  static constexpr int phases = 3;

  template <int phase, class Point>
  static void forward(Point& at) {
    using V = typename Point::V;
    if constexpr (phase == peepholes) {
      at.set(i, at.a(i) + at.u(i));
      at.set(f, at.a(f) + at.u(f));
    } else if constexpr (phase == cell) {
      const V in = sigmoid(at.a(i) + at.u(i));
      const V forget = sigmoid(at.a(f) + at.u(f));
      const V candidate = tanh(at.a(g) + at.u(g));
      at.set_stream(c, fma(forget, at.state_prev(c), in * candidate));
      at.set(o, at.a(o) + at.u(o));
      at.save(i, in);
      at.save(f, forget);
      at.save(g, candidate);
    } else {
      const V out = sigmoid(at.a(o) + at.u(o));
      at.set_output(out * tanh(at.stream(c)));
      at.save(o, out);
    }
  }

  template <int phase, class Point>
  static void backward(Point& at) {
    using V = typename Point::V;
    const V one(1);
    if constexpr (phase == output) {
      const V out = at.saved(o), squashed = tanh(at.stream(c));
      const V dh = at.dh();
      at.set_delta(o, dh * squashed * out * (one - out));
      at.add_dstream(c, dh * out * (one - squashed * squashed));
      at.set_dh_prev(V::zero());
    } else if constexpr (phase == cell) {
      const V in = at.saved(i), forget = at.saved(f), candidate = at.saved(g);
      const V dc = at.dstream(c);
      at.set_delta(g, dc * in * (one - candidate * candidate));
      at.set_delta(f, dc * at.state_prev(c) * forget * (one - forget));
      at.set_delta(i, dc * candidate * in * (one - in));
      at.set_dstate_prev(c, dc * forget);
    }
  }
};

constexpr CellInfo info() {
  CellInfo cell("full_peephole_lstm");
  cell.slots = 4;
  cell.states = cell.streams = 1;
  cell.feed(FullPeepholeLstm::i, 0, 1, 2, 3);
  const int W_hh = cell.add_matrix(4), W_ch = cell.add_matrix(3);
  cell.multiply(Operand::PreviousState, W_ch, FullPeepholeLstm::i, 0, 1).stream = FullPeepholeLstm::c;
  cell.multiply(Operand::PreviousOutput, W_hh, FullPeepholeLstm::i, 0, 1, 2, 3);
  cell.multiply(Operand::Stream, W_ch, FullPeepholeLstm::o, 2).stream = FullPeepholeLstm::c;
  return cell;
}

}  // namespace

void register_full_peephole_lstm(Registry& registry) { registry.add_gated<FullPeepholeLstm>(info()); }

}  // namespace unrolled
