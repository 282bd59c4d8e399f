// Long short-term memory with forget gate (Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000).
//
//   i = sigmoid(W_i x + U_i h[t-1] + b_i)        input gate
//   f = sigmoid(W_f x + U_f h[t-1] + b_f)        forget gate
//   g = tanh   (W_g x + U_g h[t-1] + b_g)        candidate
//   o = sigmoid(W_o x + U_o h[t-1] + b_o)        output gate
//   c[t] = f * c[t-1] + i * g
//   h[t] = o * tanh(c[t])
//
// backward, given dh[t] and dc[t]; da is the gradient of a gate's sum:
//   do = dh * tanh(c[t])                    da_o = do * o (1 - o)
//   dc = dc + dh * o * (1 - tanh(c[t])^2)
//   dg = dc * i                             da_g = dg * (1 - g^2)
//   df = dc * c[t-1]                        da_f = df * f (1 - f)
//   di = dc * g                             da_i = di * i (1 - i)
//   dc[t-1] = dc * f,   dh[t-1] = da W_hh
#include "engine/point.h"
#include "engine/registry.h"

namespace unrolled {
namespace {

struct Lstm {
  enum Slot { i, f, g, o };
  enum Stream { c };
  static constexpr int phases = 1;

  template <int, class Point>
  static void forward(Point& at) {
    using V = typename Point::V;
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

  template <int, class Point>
  static void backward(Point& at) {
    using V = typename Point::V;
    const V one(1);
    const V in = at.saved(i), forget = at.saved(f), candidate = at.saved(g), out = at.saved(o);
    const V squashed = tanh(fma(forget, at.state_prev(c), in * candidate));
    const V dh = at.dh();
    at.set_delta(o, dh * squashed * out * (one - out));
    const V dc = fma(dh * out, one - squashed * squashed, at.dstream(c));
    at.set_delta(g, dc * in * (one - candidate * candidate));
    at.set_delta(f, dc * at.state_prev(c) * forget * (one - forget));
    at.set_delta(i, dc * candidate * in * (one - in));
    at.set_dstate_prev(c, dc * forget);
    at.set_dh_prev(V::zero());
  }
};

constexpr CellInfo info() {
  CellInfo cell("lstm");
  cell.slots = 4;
  cell.states = cell.streams = 1;
  cell.feed(Lstm::i, 0, 1, 2, 3);
  cell.multiply(Operand::PreviousOutput, cell.add_matrix(4), Lstm::i, 0, 1, 2, 3);
  return cell;
}

}  // namespace

void register_lstm(Registry& registry) { registry.add_gated<Lstm>(info()); }

}  // namespace unrolled
