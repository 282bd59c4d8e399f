// Long short-term memory with coupled input and forget gates (Greff et al. 2017: CIFG).
//
//   i = sigmoid(W_i x + U_i h[t-1] + b_i)        input gate; 1 - i forgets
//   g = tanh   (W_g x + U_g h[t-1] + b_g)        candidate
//   o = sigmoid(W_o x + U_o h[t-1] + b_o)        output gate
//   c[t] = (1 - i) * c[t-1] + i * g
//   h[t] = o * tanh(c[t])
//
// backward, given dh[t] and dc[t]; da is the gradient of a gate's sum:
//   do = dh * tanh(c[t])                    da_o = do * o (1 - o)
//   dc = dc + dh * o * (1 - tanh(c[t])^2)
//   dg = dc * i                             da_g = dg * (1 - g^2)
//   di = dc * (g - c[t-1])                  da_i = di * i (1 - i)
//   dc[t-1] = dc * (1 - i),   dh[t-1] = da W_hh
#include "engine/point.h"
#include "engine/registry.h"

namespace unrolled {
namespace {

struct CoupledLstm {
  enum Slot { i, g, o };
  enum Stream { c };
  static constexpr int phases = 1;

  template <class V>
  static V cell(V in, V candidate, V before) {
    return fma(in, candidate - before, before);
  }

  template <int, class Point>
  static void forward(Point& at) {
    using V = typename Point::V;
    const V in = sigmoid(at.a(i) + at.u(i));
    const V candidate = tanh(at.a(g) + at.u(g));
    const V out = sigmoid(at.a(o) + at.u(o));
    const V next = cell(in, candidate, at.state_prev(c));
    at.set_stream(c, next);
    at.set_output(out * tanh(next));
    at.save(i, in);
    at.save(g, candidate);
    at.save(o, out);
  }

  template <int, class Point>
  static void backward(Point& at) {
    using V = typename Point::V;
    const V one(1);
    const V in = at.saved(i), candidate = at.saved(g), out = at.saved(o), before = at.state_prev(c);
    const V squashed = tanh(cell(in, candidate, before));
    const V dh = at.dh();
    at.set_delta(o, dh * squashed * out * (one - out));
    const V dc = fma(dh * out, one - squashed * squashed, at.dstream(c));
    at.set_delta(g, dc * in * (one - candidate * candidate));
    at.set_delta(i, dc * (candidate - before) * in * (one - in));
    at.set_dstate_prev(c, dc * (one - in));
    at.set_dh_prev(V::zero());
  }
};

constexpr CellInfo info() {
  CellInfo cell("coupled_lstm");
  cell.slots = 3;
  cell.states = cell.streams = 1;
  cell.feed(CoupledLstm::i, 0, 1, 2);
  cell.multiply(Operand::PreviousOutput, cell.add_matrix(3), CoupledLstm::i, 0, 1, 2);
  return cell;
}

}  // namespace

void register_coupled_lstm(Registry& registry) { registry.add_gated<CoupledLstm>(info()); }

}  // namespace unrolled
