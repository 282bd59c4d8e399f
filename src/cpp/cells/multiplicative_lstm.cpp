// Multiplicative long short-term memory (Krause et al. 2017): another transition for every input. Two phases.
//
//   m = (W_m x + b_m) * (U_m h[t-1])                intermediate state
//   i, f, o = sigmoid, g = tanh of W x + V m + b
//   c[t] = f * c[t-1] + i * g
//   h[t] = o * tanh(c[t])
//
// backward, given dh[t] and dc[t], gates phase: as in lstm.cpp, dm = da V
// intermediate phase, a = W_m x + b_m, u = U_m h[t-1]:   da = dm * u,   du = dm * a,   dh[t-1] = du U_m
#include "engine/point.h"
#include "engine/registry.h"

namespace unrolled {
namespace {

struct MultiplicativeLstm {
  enum Slot { m, i, f, g, o, hm };  // hm: the recurrent factor of m
  enum Stream { c, q };
  enum PhaseIndex { intermediate, gates };
  static constexpr int phases = 2;

  template <int phase, class Point>
  static void forward(Point& at) {
    using V = typename Point::V;
    if constexpr (phase == intermediate) {
      at.set_stream(q, at.a(m) * at.u(hm));
      at.save(m, at.a(m));
      at.save(hm, at.u(hm));
    } else {
      const V in = sigmoid(at.a(i) + at.u(i));
      const V forget = sigmoid(at.a(f) + at.u(f));
      const V candidate = tanh(at.a(g) + at.u(g));
      const V out = sigmoid(at.a(o) + at.u(o));
      const V cell = fma(forget, at.state_prev(c), in * candidate);
      at.set_stream(c, cell);
      at.set_output(out * tanh(cell));
      at.save(i, in);
      at.save(f, forget);
      at.save(g, candidate);
      at.save(o, out);
    }
  }

  template <int phase, class Point>
  static void backward(Point& at) {
    using V = typename Point::V;
    if constexpr (phase == gates) {
      const V one(1);
      const V in = at.saved(i), forget = at.saved(f), candidate = at.saved(g), out = at.saved(o);
      const V before = at.state_prev(c), squashed = tanh(fma(forget, before, in * candidate));
      const V dh = at.dh();
      at.set_delta(o, dh * squashed * out * (one - out));
      const V dc = fma(dh * out, one - squashed * squashed, at.dstream(c));
      at.set_delta(g, dc * in * (one - candidate * candidate));
      at.set_delta(f, dc * before * forget * (one - forget));
      at.set_delta(i, dc * candidate * in * (one - in));
      at.set_dstate_prev(c, dc * forget);
      at.set_dh_prev(V::zero());
    } else {
      const V a = at.saved(m), u = at.saved(hm), dm = at.take_dstream(q);
      at.set_delta(m, dm * u);
      at.set_delta(hm, dm * a);
    }
  }
};

constexpr CellInfo info() {
  using Cell = MultiplicativeLstm;
  CellInfo cell("multiplicative_lstm");
  cell.slots = 6;
  cell.states = 1;
  cell.streams = 2;
  cell.feed(Cell::m, 0, 1, 2, 3, 4);
  const int W_hm = cell.add_matrix(1), W_mh = cell.add_matrix(4);
  cell.multiply(Operand::PreviousOutput, W_hm, Cell::hm, 0);
  cell.multiply(Operand::Stream, W_mh, Cell::i, 0, 1, 2, 3).stream = Cell::q;
  return cell;
}

}  // namespace

void register_multiplicative_lstm(Registry& registry) { registry.add_gated<MultiplicativeLstm>(info()); }

}  // namespace unrolled
