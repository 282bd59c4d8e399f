// The LSTM of lstm.cpp with options: the nonlinearity of each gate, of the candidate and of the cell's output, and a
// bound of the cell.
//
//   i, f, o = phi_i, phi_f, phi_o of W x + U h[t-1] + b;   g = phi_g(W_g x + U_g h[t-1] + b_g)
//   c[t] = clip(f * c[t-1] + i * g, -bound, bound)
//   h[t] = o * phi_h(c[t])
//
// Options: the nonlinearities of i, f, g, o, h, then the bound (infinity: none).
//
// backward as there, with phi' for each derivative and dc = 0 where the bound holds c.
#include "cells/activations.h"
#include "engine/point.h"
#include "engine/registry.h"

namespace unrolled {
namespace {

struct LstmOptions {
  enum Slot { i, f, g, o };
  enum Number { phi_h = 4, bound };  // phi of a gate has the number of its slot
  enum Stream { c };
  static constexpr int phases = 1;

  template <int, class Point>
  static void forward(Point& at) {
    using V = typename Point::V;
    const auto gate = [&](int slot) { return activate<V>(at.choice(slot), at.a(slot) + at.u(slot)); };
    const V in = gate(i), forget = gate(f), candidate = gate(g), out = gate(o);
    const V limit = at.number(bound);
    const V cell = min(max(fma(forget, at.state_prev(c), in * candidate), -limit), limit);
    at.set_stream(c, cell);
    at.set_output(out * activate<V>(at.choice(phi_h), cell));
    at.save(i, in);
    at.save(f, forget);
    at.save(g, candidate);
    at.save(o, out);
  }

  template <int, class Point>
  static void backward(Point& at) {
    using V = typename Point::V;
    const V in = at.saved(i), forget = at.saved(f), candidate = at.saved(g), out = at.saved(o);
    const V before = at.state_prev(c), limit = at.number(bound);
    const V free = fma(forget, before, in * candidate);
    const V squashed = activate<V>(at.choice(phi_h), min(max(free, -limit), limit));
    const auto set = [&](int slot, V d, V value) { at.set_delta(slot, d * slope<V>(at.choice(slot), value)); };
    const V dh = at.dh();
    set(o, dh * squashed, out);
    const V dc_all = fma(dh * out, slope<V>(at.choice(phi_h), squashed), at.dstream(c));
    const V dc = select(less(abs(free), limit), dc_all, V::zero());
    set(g, dc * in, candidate);
    set(f, dc * before, forget);
    set(i, dc * candidate, in);
    at.set_dstate_prev(c, dc * forget);
    at.set_dh_prev(V::zero());
  }
};

constexpr CellInfo info() {
  CellInfo cell("lstm_options");
  cell.slots = 4;
  cell.states = cell.streams = 1;
  cell.feed(LstmOptions::i, 0, 1, 2, 3);
  cell.multiply(Operand::PreviousOutput, cell.add_matrix(4), LstmOptions::i, 0, 1, 2, 3);
  return cell;
}

}  // namespace

void register_lstm_options(Registry& registry) { registry.add_gated<LstmOptions>(info()); }

}  // namespace unrolled
