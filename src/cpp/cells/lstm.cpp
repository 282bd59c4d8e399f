// Long short-term memory with forget gate (Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000).
//
//   i = sigmoid(W_i x + U_i h[t-1] + b_i)        input gate
//   f = sigmoid(W_f x + U_f h[t-1] + b_f)        forget gate
//   g = tanh   (W_g x + U_g h[t-1] + b_g)        candidate
//   o = sigmoid(W_o x + U_o h[t-1] + b_o)        output gate
//   c[t] = f * c[t-1] + i * g
//   h[t] = o * tanh(c[t])
//
// lstm_options has a chosen nonlinearity for every sigmoid and tanh, and c[t] cut to -bound .. bound. Options: those of
// i, f, g, o and of the output, then the bound (infinity: none).
//
// backward, given dh[t] and dc[t]; da is the gradient of a gate's sum, s(v) the derivative of a nonlinearity whose
// value is v: v (1 - v) or 1 - v^2:
//   do = dh * tanh(c[t])                    da_o = do * s(o)
//   dc = dc + dh * o * s(tanh(c[t]))        0 where the bound holds c
//   dg = dc * i                             da_g = dg * s(g)
//   df = dc * c[t-1]                        da_f = df * s(f)
//   di = dc * g                             da_i = di * s(i)
//   dc[t-1] = dc * f,   dh[t-1] = da W_hh
#include "cells/activations.h"
#include "engine/point.h"
#include "engine/registry.h"

namespace unrolled {
namespace {

enum Slot { i, f, g, o, output };  // the last one is no slot, but has a nonlinearity

/// The nonlinearities of the equations.
struct Usual {
  static constexpr bool bounded = false;
  template <int which, class V, class Point>
  static V value(const Point&, V sum) {
    return which == g || which == output ? tanh(sum) : sigmoid(sum);
  }
  /// d times the derivative.
  template <int which, class V, class Point>
  static V through(const Point&, V d, V value) {
    return which == g || which == output ? d * (V(1) - value * value) : d * value * (V(1) - value);
  }
};

/// Those that the caller has chosen.
struct Chosen {
  enum Number { bound = output + 1 };  // before it a nonlinearity for each of Slot
  static constexpr bool bounded = true;
  template <int which, class V, class Point>
  static V value(const Point& at, V sum) {
    return activate<V>(at.choice(which), sum);
  }
  template <int which, class V, class Point>
  static V through(const Point& at, V d, V value) {
    return d * slope<V>(at.choice(which), value);
  }
};

template <class Phi>
struct Lstm {
  enum Stream { c };
  static constexpr int phases = 1;

  template <class V, class Point>
  static V cut(const Point& at, V cell) {
    if constexpr (Phi::bounded) cell = min(max(cell, -at.number(Phi::bound)), at.number(Phi::bound));
    return cell;
  }

  template <int, class Point>
  static void forward(Point& at) {
    using V = typename Point::V;
    const V in = Phi::template value<i>(at, at.a(i) + at.u(i));
    const V forget = Phi::template value<f>(at, at.a(f) + at.u(f));
    const V candidate = Phi::template value<g>(at, at.a(g) + at.u(g));
    const V out = Phi::template value<o>(at, at.a(o) + at.u(o));
    const V cell = cut(at, fma(forget, at.state_prev(c), in * candidate));
    at.set_stream(c, cell);
    at.set_output(out * Phi::template value<output>(at, cell));
    at.save(i, in);
    at.save(f, forget);
    at.save(g, candidate);
    at.save(o, out);
  }

  template <int, class Point>
  static void backward(Point& at) {
    using V = typename Point::V;
    const V in = at.saved(i), forget = at.saved(f), candidate = at.saved(g), out = at.saved(o);
    const V before = at.state_prev(c), free = fma(forget, before, in * candidate);
    const V squashed = Phi::template value<output>(at, cut(at, free));
    const V dh = at.dh();
    at.set_delta(o, Phi::template through<o>(at, dh * squashed, out));
    V dc = at.dstream(c) + Phi::template through<output>(at, dh * out, squashed);
    if constexpr (Phi::bounded) dc = select(less(abs(free), at.number(Phi::bound)), dc, V::zero());
    at.set_delta(g, Phi::template through<g>(at, dc * in, candidate));
    at.set_delta(f, Phi::template through<f>(at, dc * before, forget));
    at.set_delta(i, Phi::template through<i>(at, dc * candidate, in));
    at.set_dstate_prev(c, dc * forget);
    at.set_dh_prev(V::zero());
  }
};

constexpr CellInfo info(const char* name) {
  CellInfo cell(name);
  cell.slots = 4;
  cell.states = cell.streams = 1;
  cell.feed(i, 0, 1, 2, 3);
  cell.multiply(Operand::PreviousOutput, cell.add_matrix(4), i, 0, 1, 2, 3);
  return cell;
}

}  // namespace

void register_lstm(Registry& registry) {
  registry.add_gated<Lstm<Usual>>(info("lstm"));
  registry.add_gated<Lstm<Chosen>>(info("lstm_options"));
}

}  // namespace unrolled
