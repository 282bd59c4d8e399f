// Simple recurrent unit (Lei et al. 2018), the form with a projection of x in the highway connection. No operand; the
// output is no state.
//
//   n = W_n x + b_n                                  candidate
//   f = sigmoid(W_f x + b_f + v_f * c[t-1])          forget gate
//   r = sigmoid(W_r x + b_r + v_r * c[t-1])          highway gate
//   s = W_s x + b_s                                  the way around
//   c[t] = f * c[t-1] + (1 - f) * n
//   h[t] = r * c[t] + (1 - r) * s
//
// backward, given dh[t] and dc[t]:
//   dr = dh * (c[t] - s)            da_r = dr * r (1 - r),   ds = dh * (1 - r)
//   dc = dc + dh * r
//   df = dc * (c[t-1] - n)          da_f = df * f (1 - f),   dn = dc * (1 - f)
//   dc[t-1] = dc * f + da_f * v_f + da_r * v_r,   dv = sum of da * c[t-1]
#include "engine/point.h"
#include "engine/registry.h"

namespace unrolled {
namespace {

struct Sru {
  enum Slot { n, f, r, s };
  enum Stream { c };
  enum Vector { v_f, v_r };
  static constexpr int phases = 1;

  template <int, class Point>
  static void forward(Point& at) {
    using V = typename Point::V;
    const V before = at.state_prev(c), candidate = at.a(n), around = at.a(s);
    const V forget = sigmoid(fma(at.vector(v_f), before, at.a(f)));
    const V highway = sigmoid(fma(at.vector(v_r), before, at.a(r)));
    const V cell = fma(forget, before - candidate, candidate);
    at.set_stream(c, cell);
    at.set_output(fma(highway, cell - around, around));
    at.save(f, forget);
    at.save(r, highway);
    at.save(n, candidate);
    at.save(s, around);
  }

  template <int, class Point>
  static void backward(Point& at) {
    using V = typename Point::V;
    const V one(1);
    const V candidate = at.saved(n), forget = at.saved(f), highway = at.saved(r);
    const V before = at.state_prev(c), cell = fma(forget, before - candidate, candidate), dh = at.dh();
    const V da_r = at.set_delta(r, dh * (cell - at.saved(s)) * highway * (one - highway));
    const V dc = fma(dh, highway, at.dstream(c));
    const V da_f = at.set_delta(f, dc * (before - candidate) * forget * (one - forget));
    at.set_delta(n, dc * (one - forget));
    at.set_delta(s, dh * (one - highway));
    at.add_dvector(v_f, da_f * before);
    at.add_dvector(v_r, da_r * before);
    at.set_dstate_prev(c, fma(da_f, at.vector(v_f), fma(da_r, at.vector(v_r), dc * forget)));
    at.set_dh_prev(V::zero());
  }
};

constexpr CellInfo info() {
  CellInfo cell("sru");
  cell.slots = 4;
  cell.output_is_state = false;
  cell.states = cell.streams = 1;
  cell.feed(Sru::n, 0, 1, 2, 3);
  cell.elementwise();
  cell.add_vectors(1);  // v_f
  cell.add_vectors(1);  // v_r
  return cell;
}

}  // namespace

void register_sru(Registry& registry) { registry.add_gated<Sru>(info()); }

}  // namespace unrolled
