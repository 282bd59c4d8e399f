// Gated recurrent unit, reset applied before the product (Cho et al. 2014, the paper's own form). Two phases.
//
//   r = sigmoid(W_r x + b_r + U_r h[t-1])          reset gate
//   z = sigmoid(W_z x + b_z + U_z h[t-1])          update gate: keeps the past
//   q = r * h[t-1]
//   n = tanh(W_n x + b_n + U_n q)                  candidate
//   h[t] = (1 - z) * n + z * h[t-1]
//
// backward, given dh[t], candidate phase:
//   dn = dh * (1 - z)              da_n = dn * (1 - n^2),   dq = da_n U_n
//   dz = dh * (h[t-1] - n)         da_z = dz * z (1 - z)
//   dh[t-1] = dh * z
// gates phase:
//   dr = dq * h[t-1]               da_r = dr * r (1 - r)
//   dh[t-1] += dq * r + [da_r da_z] [U_r; U_z]
//
// In the other convention the gate z takes the new, h[t] = z * n + (1 - z) * h[t-1]: kernels <name>_takes_new, which
// have sigmoid(-a) where these have sigmoid(a), and save what z keeps.
#include "engine/point.h"
#include "engine/registry.h"

namespace unrolled {
namespace {

template <bool takes_new>
struct GruResetBefore {
  enum Slot { r, z, n };
  enum Stream { q };
  enum PhaseIndex { gates, candidate };
  static constexpr int phases = 2;

  template <int phase, class Point>
  static void forward(Point& at) {
    using V = typename Point::V;
    if constexpr (phase == gates) {
      const V reset = sigmoid(at.a(r) + at.u(r));
      at.set_stream(q, reset * at.h_prev());
      const V sum_z = at.a(z) + at.u(z);
      at.set(z, sigmoid(takes_new ? -sum_z : sum_z));
      at.save(r, reset);
    } else {
      const V next = tanh(at.a(n) + at.u(n));
      at.set_output(fma(at.a(z), at.h_prev() - next, next));
      at.save(n, next);
    }
  }

  template <int phase, class Point>
  static void backward(Point& at) {
    using V = typename Point::V;
    const V one(1);
    if constexpr (phase == candidate) {
      const V update = at.saved(z), next = at.saved(n);
      const V dh = at.dh();
      at.set_delta(n, dh * (one - update) * (one - next * next));
      const V da_z = dh * (at.h_prev() - next) * update * (one - update);
      at.set_delta(z, takes_new ? -da_z : da_z);
      at.set_dh_prev(dh * update);
    } else {
      const V reset = at.saved(r);
      const V dq = at.take_dstream(q);
      at.set_delta(r, dq * at.h_prev() * reset * (one - reset));
      at.set_dh_prev(fma(dq, reset, at.dh_prev()));
    }
  }
};

constexpr CellInfo info(const char* name) {
  using Cell = GruResetBefore<false>;
  CellInfo cell(name);
  cell.slots = 3;
  cell.streams = 1;
  cell.feed(Cell::r, 0, 1, 2);
  const int W_hh = cell.add_matrix(3);
  cell.multiply(Operand::PreviousOutput, W_hh, Cell::r, 0, 1);
  cell.multiply(Operand::Stream, W_hh, Cell::n, 2).stream = Cell::q;
  return cell;
}

}  // namespace

void register_gru_reset_before(Registry& registry) {
  registry.add_gated<GruResetBefore<false>>(info("gru_reset_before"));
  registry.add_gated<GruResetBefore<true>>(info("gru_reset_before_takes_new"));
}

}  // namespace unrolled
