// sLSTM of xLSTM (Beck et al. 2024): exponential gates, a normaliser n and a stabiliser m; one head.
//
//   z = tanh(a_z), o = sigmoid(a_o);   a = W x + U h[t-1] + b for i, f, z, o
//   m[t] = max(a_f + m[t-1], a_i), a_i where n[t-1] = 0: there is nothing yet that f could dwarf i for
//   i = exp(a_i - m[t]),   f = exp(a_f + m[t-1] - m[t])          the larger of them is 1
//   c[t] = f * c[t-1] + i * z
//   n[t] = f * n[t-1] + i
//   h[t] = o * c[t] / n[t]
//
// Zoneout keeps a share k of c e^m and n e^m, which alone have a meaning: c and n count in units of e^m. With the two
// sides brought to one scale M, the larger m in which there is anything,
//
//   past = k exp(m[t-1] - M),   present = (1 - k) exp(m[t] - M)
//   c[t] = past * c[t-1] + present * (c of the cell),   n[t] likewise,   m[t] = M
//
// backward, given dh[t], dc[t], dn[t], dm[t]:
//   do = dh * c / n                 da_o = do * o (1 - o)
//   dc = dc + dh * o / n            dn = dn - dh * o * c / n^2
//   dz = dc * i                     da_z = dz * (1 - z^2)
//   di = (dc * z + dn) * i,   df = (dc * c[t-1] + dn * n[t-1]) * f      gradients of the exponents
//   dm = dm - di - df, which goes to the exponent that is m[t]:  df += dm if f > i and n[t-1] > 0, else di += dm
//   da_i = di,   da_f = dm[t-1] = df,   dc[t-1] = dc * f,   dn[t-1] = dn * f,   dh[t-1] = da W_hh
// and before all of it with zoneout, E_past = past (dc c[t-1] + dn n[t-1]), E_present = present (dc c + dn n):
//   dm of the cell = dm - E_past, dm[t-1] += E_past where M is the m of the cell, else E_present and dm - E_present
//   dc[t-1] += dc * past, dc of the cell = dc * present; dn likewise
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

  /// The two shares that zoneout joins, and the scale that they then have.
  template <class V>
  struct Mixture {
    V of_past;  // a mask: the scale is that of the step before
    V scale, past, present;
  };

  template <class V>
  static V everywhere() {
    return less(V::zero(), V(1));
  }

  /// Where M is m[t-1]: at all of k = 1, nowhere at k = 0, else where `larger` says so.
  template <class V>
  static V scale_is_of_past(V keep, V larger) {
    return select(less(keep, V(1)), select(less(V::zero(), keep), larger, V::zero()), everywhere<V>());
  }

  template <class Point>
  static Mixture<typename Point::V> mixture(const Point& at, typename Point::V stabiliser) {
    using V = typename Point::V;
    const V keep = at.kept_share(), before = at.state_prev(m), most(80);  // most: no side becomes 0 * infinity
    const V of_past = scale_is_of_past(keep, select(holds(at), less(stabiliser, before), V::zero()));
    const V scale = select(of_past, before, stabiliser);
    return {of_past, scale, keep * exp_saturated(min(before - scale, most)),
            (V(1) - keep) * exp_saturated(min(stabiliser - scale, most))};
  }

  /// The same in backward, which no longer has the m of the cell: its share follows from what became of n.
  template <class Point>
  static Mixture<typename Point::V> mixture_again(const Point& at, typename Point::V normaliser) {
    using V = typename Point::V;
    const V keep = at.kept_share(), before = at.state_prev(m), scale = at.stream(m), n_before = at.state_prev(n);
    const V larger = select(less(before, scale), V::zero(), everywhere<V>());
    const V of_past = scale_is_of_past(keep, select(holds(at), larger, V::zero()));
    const V past = keep * exp_saturated(min(before - scale, V(80)));
    const V rest = (at.stream(n) - past * n_before) / normaliser;
    return {of_past, scale, past, select(of_past, rest, V(1) - keep)};
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
    if constexpr (Point::regularised) {
      const Mixture<V> mix = mixture(at, stabiliser);
      at.set_stream(c, fma(mix.past, at.state_prev(c), mix.present * cell));
      at.set_stream(n, fma(mix.past, at.state_prev(n), mix.present * normaliser));
      at.set_stream(m, mix.scale);
    } else {
      at.set_stream(c, cell);
      at.set_stream(n, normaliser);
      at.set_stream(m, stabiliser);
    }
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
    const V c_before = at.state_prev(c), n_before = at.state_prev(n);
    const V cell = fma(forget, c_before, in * candidate), normaliser = fma(forget, n_before, in);
    const V dh = at.dh(), ratio = cell / normaliser, through = dh * out / normaliser;
    V dc = at.dstream(c), dn = at.dstream(n), dm = at.dstream(m);
    V dc_past = V::zero(), dn_past = V::zero(), dm_past = V::zero();
    if constexpr (Point::regularised) {
      const Mixture<V> mix = mixture_again(at, normaliser);
      const V e_past = mix.past * fma(dc, c_before, dn * n_before),
              e_present = mix.present * fma(dc, cell, dn * normaliser);
      dm_past = select(mix.of_past, dm - e_present, e_past);
      dm = select(mix.of_past, e_present, dm - e_past);
      dc_past = dc * mix.past;
      dn_past = dn * mix.past;
      dc = dc * mix.present;
      dn = dn * mix.present;
    }
    dc = dc + through;
    dn = dn - through * ratio;
    at.set_delta(o, dh * ratio * out * (one - out));
    at.set_delta(z, dc * in * (one - candidate * candidate));
    const V di = fma(dc, candidate, dn) * in;
    const V df = fma(dc, c_before, dn * n_before) * forget;
    dm = dm - di - df;
    const V past = select(holds(at), select(less(in, forget), dm, V::zero()), V::zero());  // m[t] = a_f + m[t-1]
    at.set_delta(i, di + dm - past);
    const V da_f = at.set_delta(f, df + past);
    at.set_dstate_prev(c, fma(dc, forget, dc_past));
    at.set_dstate_prev(n, fma(dn, forget, dn_past));
    at.set_dstate_prev(m, da_f + dm_past);
    at.set_dh_prev(V::zero());
  }
};

constexpr CellInfo info() {
  CellInfo cell("slstm");
  cell.slots = 4;
  cell.states = cell.streams = 3;
  cell.mixes_states = true;
  cell.feed(Slstm::i, 0, 1, 2, 3);
  cell.multiply(Operand::PreviousOutput, cell.add_matrix(4), Slstm::i, 0, 1, 2, 3);
  return cell;
}

}  // namespace

void register_slstm(Registry& registry) { registry.add_gated<Slstm>(info()); }

}  // namespace unrolled
