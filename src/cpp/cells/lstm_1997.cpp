// Long short-term memory as it was first (Hochreiter & Schmidhuber 1997): no forget gate, squashing by scaled sigmoids.
//
//   i = sigmoid(W_i x + U_i h[t-1] + b_i)                input gate
//   g = A (2 sigmoid(a_g) - 1) = A tanh(a_g / 2),   a_g = W_g x + U_g h[t-1] + b_g      candidate, in [-A, A]
//   o = sigmoid(W_o x + U_o h[t-1] + b_o)                output gate
//   c[t] = c[t-1] + i * g
//   h[t] = o * C tanh(c[t] / 2)                          in [-C, C]
//
// Options: A (2 in the paper), C (1 in the paper).
//
// backward, given dh[t] and dc[t]; da is the gradient of a gate's sum, q = tanh(a_g / 2), s = tanh(c[t] / 2):
//   do = dh * C s                           da_o = do * o (1 - o)
//   dc = dc + dh * o * C/2 (1 - s^2)
//   dg = dc * i                             da_g = dg * A/2 (1 - q^2)
//   di = dc * A q                           da_i = di * i (1 - i)
//   dc[t-1] = dc,   dh[t-1] = da W_hh
#include "engine/point.h"
#include "engine/registry.h"

namespace unrolled {
namespace {

struct Lstm1997 {
  enum Slot { i, g, o };  // slot g keeps q
  enum Stream { c };
  enum Number { candidate_range, output_range };
  static constexpr int phases = 1;

  template <int, class Point>
  static void forward(Point& at) {
    using V = typename Point::V;
    const V half(typename V::Scalar(0.5));
    const V in = sigmoid(at.a(i) + at.u(i));
    const V q = tanh((at.a(g) + at.u(g)) * half);
    const V out = sigmoid(at.a(o) + at.u(o));
    const V cell = fma(in, at.number(candidate_range) * q, at.state_prev(c));
    at.set_stream(c, cell);
    at.set_output(out * (at.number(output_range) * tanh(cell * half)));
    at.save(i, in);
    at.save(g, q);
    at.save(o, out);
  }

  template <int, class Point>
  static void backward(Point& at) {
    using V = typename Point::V;
    const V one(1), half(typename V::Scalar(0.5));
    const V in = at.saved(i), q = at.saved(g), out = at.saved(o);
    const V A = at.number(candidate_range), C = at.number(output_range);
    const V s = tanh(fma(in, A * q, at.state_prev(c)) * half);
    const V dh = at.dh();
    at.set_delta(o, dh * C * s * out * (one - out));
    const V dc = fma(dh * out, C * half * (one - s * s), at.dstream(c));
    at.set_delta(g, dc * in * A * half * (one - q * q));
    at.set_delta(i, dc * A * q * in * (one - in));
    at.set_dstate_prev(c, dc);
    at.set_dh_prev(V::zero());
  }
};

constexpr CellInfo info() {
  CellInfo cell("lstm_1997");
  cell.slots = 3;
  cell.states = cell.streams = 1;
  cell.feed(Lstm1997::i, 0, 1, 2);
  cell.multiply(Operand::PreviousOutput, cell.add_matrix(3), Lstm1997::i, 0, 1, 2);
  return cell;
}

}  // namespace

void register_lstm_1997(Registry& registry) { registry.add_gated<Lstm1997>(info()); }

}  // namespace unrolled
