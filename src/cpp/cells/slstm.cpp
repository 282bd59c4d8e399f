// sLSTM of xLSTM (Beck et al. 2024): exponential gates, a normaliser n and a stabiliser m; one head.
//
//   z = tanh(a_z), o = sigmoid(a_o);   a = W x + U h[t-1] + b for i, f, z, o
//   m[t] = max(a_f + m[t-1], a_i), a_i where n[t-1] = 0: there is nothing yet that f could dwarf i for
//   i = exp(a_i - m[t]),   f = exp(a_f + m[t-1] - m[t])          the larger of them is 1
//   c[t] = f * c[t-1] + i * z
//   n[t] = f * n[t-1] + i
//   h[t] = o * c[t] / n[t]
//
// backward, given dh[t], dc[t], dn[t], dm[t]:
//   do = dh * c / n                 da_o = do * o (1 - o)
//   dc = dc + dh * o / n            dn = dn - dh * o * c / n^2
//   dz = dc * i                     da_z = dz * (1 - z^2)
//   di = (dc * z + dn) * i,   df = (dc * c[t-1] + dn * n[t-1]) * f      gradients of the exponents
//   dm = dm - di - df, which goes to the exponent that is m[t]:  df += dm if f = 1, else di += dm
//   da_i = di,   da_f = dm[t-1] = df,   dc[t-1] = dc * f,   dn[t-1] = dn * f,   dh[t-1] = da W_hh
#include <limits>

#include "engine/point.h"
#include "engine/registry.h"

namespace unrolled {
namespace {

struct Slstm {
  enum Slot { i, f, z, o };
  enum Stream { c, n, m };
  static constexpr int phases = 1;

  /// Where the cell has held anything since it was empty: n is 1 or more after any step.
  template <class Point>
  static typename Point::V holds(const Point& at) {
    using V = typename Point::V;
    return less(V(static_cast<typename V::Scalar>(std::numeric_limits<float>::min())), at.state_prev(n));
  }

  template <int, class Point>
  static void forward(Point& at) {
    using V = typename Point::V;
    const V sum_i = at.a(i) + at.u(i), sum_f = at.a(f) + at.u(f) + at.state_prev(m);
    const V stabiliser = select(holds(at), max(sum_f, sum_i), sum_i);
    // The bound acts where the cell is empty only: what is forgotten is 0, and must not become 0 * infinity.
    const V in = exp_saturated(sum_i - stabiliser), forget = exp_saturated(min(sum_f - stabiliser, V(80)));
    const V candidate = tanh(at.a(z) + at.u(z)), out = sigmoid(at.a(o) + at.u(o));
    const V cell = fma(forget, at.state_prev(c), in * candidate);
    const V normaliser = fma(forget, at.state_prev(n), in);
    at.set_stream(c, cell);
    at.set_stream(n, normaliser);
    at.set_stream(m, stabiliser);
    at.set_output(out * (cell / normaliser));
    at.save(i, in);
    at.save(f, forget);
    at.save(z, candidate);
    at.save(o, out);
  }

  template <int, class Point>
  static void backward(Point& at) {
    using V = typename Point::V;
    const V one(1);
    const V in = at.saved(i), forget = at.saved(f), candidate = at.saved(z), out = at.saved(o);
    const V normaliser = fma(forget, at.state_prev(n), in);  // its own, whatever zoneout has made of the states
    const V ratio = fma(forget, at.state_prev(c), in * candidate) / normaliser;
    const V dh = at.dh();
    at.set_delta(o, dh * ratio * out * (one - out));
    const V through = dh * out / normaliser;
    const V dc = at.dstream(c) + through, dn = at.dstream(n) - through * ratio;
    at.set_delta(z, dc * in * (one - candidate * candidate));
    const V di = fma(dc, candidate, dn) * in;
    const V df = fma(dc, at.state_prev(c), dn * at.state_prev(n)) * forget;
    const V dm = at.dstream(m) - di - df;
    const V past = select(holds(at), select(less(in, forget), dm, V::zero()), V::zero());  // m[t] = a_f + m[t-1]
    at.set_delta(i, di + dm - past);
    const V da_f = at.set_delta(f, df + past);
    at.set_dstate_prev(c, dc * forget);
    at.set_dstate_prev(n, dn * forget);
    at.set_dstate_prev(m, da_f);
    at.set_dh_prev(V::zero());
  }
};

constexpr CellInfo info() {
  CellInfo cell("slstm");
  cell.slots = 4;
  cell.states = cell.streams = 3;
  cell.feed(Slstm::i, 0, 1, 2, 3);
  cell.multiply(Operand::PreviousOutput, cell.add_matrix(4), Slstm::i, 0, 1, 2, 3);
  return cell;
}

}  // namespace

void register_slstm(Registry& registry) { registry.add_gated<Slstm>(info()); }

}  // namespace unrolled
