// Long short-term memory with diagonal peepholes (Gers, Schraudolph & Schmidhuber 2002).
//
//   i = sigmoid(W_i x + U_i h[t-1] + p_i * c[t-1] + b_i)        input gate
//   f = sigmoid(W_f x + U_f h[t-1] + p_f * c[t-1] + b_f)        forget gate
//   g = tanh   (W_g x + U_g h[t-1]                + b_g)        candidate
//   c[t] = f * c[t-1] + i * g
//   o = sigmoid(W_o x + U_o h[t-1] + p_o * c[t]   + b_o)        output gate
//   h[t] = o * tanh(c[t])
//
// In the other form, "previous", all four sums see c[t-1]: p_g * c[t-1] in g, p_o * c[t-1] in o.
//
// backward, given dh[t] and dc[t]; da is the gradient of a gate's sum:
//   do = dh * tanh(c[t])                    da_o = do * o (1 - o)
//   dc = dc + dh * o * (1 - tanh(c[t])^2) (+ da_o * p_o, where o sees c[t])
//   dg = dc * i                             da_g = dg * (1 - g^2)
//   df = dc * c[t-1]                        da_f = df * f (1 - f)
//   di = dc * g                             da_i = di * i (1 - i)
//   dc[t-1] = dc * f + sum of da * p over the gates that see c[t-1],   dp = sum of da * c,   dh[t-1] = da W_hh
#include "engine/point.h"
#include "engine/registry.h"

namespace unrolled {
namespace {

template <bool previous>
struct PeepholeLstm {
  enum Slot { i, f, g, o };
  enum Stream { c };
  enum Vector { p_i, p_f, p_o, p_g };
  static constexpr int phases = 1;

  template <int, class Point>
  static void forward(Point& at) {
    using V = typename Point::V;
    const V before = at.state_prev(c);
    const V in = sigmoid(fma(at.vector(p_i), before, at.a(i) + at.u(i)));
    const V forget = sigmoid(fma(at.vector(p_f), before, at.a(f) + at.u(f)));
    V sum_g = at.a(g) + at.u(g);
    if constexpr (previous) sum_g = fma(at.vector(p_g), before, sum_g);
    const V candidate = tanh(sum_g);
    const V cell = fma(forget, before, in * candidate);
    const V out = sigmoid(fma(at.vector(p_o), previous ? before : cell, at.a(o) + at.u(o)));
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
    const V before = at.state_prev(c), cell = fma(forget, before, in * candidate), squashed = tanh(cell);
    const V dh = at.dh();
    const V da_o = at.set_delta(o, dh * squashed * out * (one - out));
    V dc = fma(dh * out, one - squashed * squashed, at.dstream(c));
    if constexpr (!previous) dc = fma(da_o, at.vector(p_o), dc);
    const V da_g = at.set_delta(g, dc * in * (one - candidate * candidate));
    const V da_f = at.set_delta(f, dc * before * forget * (one - forget));
    const V da_i = at.set_delta(i, dc * candidate * in * (one - in));
    V dc_prev = fma(da_i, at.vector(p_i), fma(da_f, at.vector(p_f), dc * forget));
    if constexpr (previous) dc_prev = fma(da_g, at.vector(p_g), fma(da_o, at.vector(p_o), dc_prev));
    at.add_dvector(p_i, da_i * before);
    at.add_dvector(p_f, da_f * before);
    at.add_dvector(p_o, da_o * (previous ? before : cell));
    if constexpr (previous) at.add_dvector(p_g, da_g * before);
    at.set_dstate_prev(c, dc_prev);
    at.set_dh_prev(V::zero());
  }
};

constexpr CellInfo info(const char* name, bool previous) {
  using Cell = PeepholeLstm<true>;
  CellInfo cell(name);
  cell.slots = 4;
  cell.states = cell.streams = 1;
  cell.feed(Cell::i, 0, 1, 2, 3);
  cell.multiply(Operand::PreviousOutput, cell.add_matrix(4), Cell::i, 0, 1, 2, 3);
  for (int k = 0; k < (previous ? 4 : 3); ++k) cell.add_vectors(1);  // p_i, p_f, p_o, p_g
  return cell;
}

}  // namespace

void register_peephole_lstm(Registry& registry) {
  registry.add_gated<PeepholeLstm<false>>(info("peephole_lstm", false));
  registry.add_gated<PeepholeLstm<true>>(info("peephole_lstm_previous", true));
}

}  // namespace unrolled
