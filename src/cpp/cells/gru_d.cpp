// Gated recurrent unit for inputs with missing values (Che et al. 2018, GRU-D). The input fades as fading_input.h says,
// which makes xhat, m and gap; the hidden state fades with the same time.
//
//   d     = exp(-max(0, W_gh gap + b_gh))                of each hidden unit
//   q     = d * h[t-1]
//   r = sigmoid(W_r [xhat; m] + U_r q + b_r)             m: 1 where seen, else 0
//   z = sigmoid(W_z [xhat; m] + U_z q + b_z)             keeps the past
//   n = tanh(W_n [xhat; m] + U_n (r * q) + b_n)
//   h[t] = (1 - z) * n + z * q
//
// With recurrent dropout r and z see the mask times q.
//
// The row scalar is dt.
//
// backward, given dh[t], candidate phase:
//   da_n = dh * (1 - z) (1 - n^2),   ds = da_n U_n,   da_z = dh * (q - n) z (1 - z),   dq = dh * z
// gates phase (s = r * q):
//   da_r = ds * q r (1 - r),         dq += ds * r + mask * ([da_r da_z] [U_r; U_z])
// decay phase, where d < 1:
//   da_d = -dq * h[t-1] * d,         dh[t-1] = dq * d,          dgap = da_d W_gh
#include "cells/fading_input.h"
#include "engine/point.h"
#include "engine/registry.h"

namespace unrolled {
namespace {

struct GruD : FadingInput<true> {
  enum Slot { r, z, n, d };
  enum Stream { q = kept_streams, seen_q, s };
  enum Vector { b_gh = feature_vectors };
  enum PhaseIndex { decay, gates, candidate };
  static constexpr int phases = 3;

  template <int phase, class Point>
  static void forward(Point& at) {
    using V = typename Point::V;
    if constexpr (phase == decay) {
      const V keep = exp_saturated(-max(at.u(d) + at.vector(b_gh), V::zero()));
      const V faded = keep * at.h_prev();
      at.set_stream(q, faded);
      at.set_stream(seen_q, faded * at.recurrent_mask());
      at.save(d, keep);
    } else if constexpr (phase == gates) {
      const V reset = sigmoid(at.a(r) + at.u(r));
      at.set_stream(s, reset * at.stream(q));
      at.set(z, sigmoid(at.a(z) + at.u(z)));
      at.save(r, reset);
    } else {
      const V next = tanh(at.a(n) + at.u(n));
      at.set_output(fma(at.a(z), at.stream(q) - next, next));
      at.save(n, next);
    }
  }

  template <int phase, class Point>
  static void backward(Point& at) {
    using V = typename Point::V;
    const V one(1);
    if constexpr (phase == candidate) {
      const V update = at.saved(z), next = at.saved(n), dh = at.dh();
      at.set_delta(n, dh * (one - update) * (one - next * next));
      at.set_delta(z, dh * (at.stream(q) - next) * update * (one - update));
      at.add_dstream(q, dh * update);
      at.set_dh_prev(V::zero());
    } else if constexpr (phase == gates) {
      const V reset = at.saved(r), ds = at.take_dstream(s);
      at.set_delta(r, ds * at.stream(q) * reset * (one - reset));
      at.add_dstream(q, ds * reset);
    } else {
      const V keep = at.saved(d), dq = fma(at.take_dstream(seen_q), at.recurrent_mask(), at.take_dstream(q));
      at.add_dvector(b_gh, at.set_delta(d, select(less(keep, one), -(dq * at.h_prev() * keep), V::zero())));
      at.set_dh_prev(fma(dq, keep, at.dh_prev()));
    }
  }
};

constexpr CellInfo info() {
  using Cell = GruD;
  CellInfo cell("gru_d");
  cell.slots = 4;
  Cell::add_to(cell);
  cell.streams += 3;
  cell.feed(Cell::r, 0, 1, 2);
  const int W_hh = cell.add_matrix(3), W_gh = cell.add_matrix(1, Space::Hidden, Space::Kept);
  cell.multiply(Operand::Stream, W_gh, Cell::d, 0).stream = Cell::gap;
  cell.multiply(Operand::Stream, W_hh, Cell::r, 0, 1).stream = Cell::seen_q;
  cell.multiply(Operand::Stream, W_hh, Cell::n, 2).stream = Cell::s;
  cell.add_vectors(1);  // b_gh
  return cell;
}

}  // namespace

void register_gru_d(Registry& registry) { registry.add_gated<GruD>(info()); }

}  // namespace unrolled
