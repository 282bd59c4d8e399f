// Minimal gated unit (Zhou et al. 2016): one gate forgets and resets. Two phases.
//
//   f = sigmoid(W_f x + U_f h[t-1] + b_f)          gate: takes the new
//   q = f * h[t-1]
//   n = tanh(W_n x + U_n q + b_n)                  candidate
//   h[t] = (1 - f) * h[t-1] + f * n
//
// backward, given dh[t], candidate phase:
//   dn = dh * f                    da_n = dn * (1 - n^2),   dq = da_n U_n
//   df = dh * (n - h[t-1])         dh[t-1] = dh * (1 - f)
// gate phase:
//   df += dq * h[t-1]              da_f = df * f (1 - f)
//   dh[t-1] += dq * f + da_f U_f
#include "engine/point.h"
#include "engine/registry.h"

namespace unrolled {
namespace {

struct Mgu {
  enum Slot { f, n, df };
  enum Stream { q };
  enum PhaseIndex { gate, candidate };
  static constexpr int phases = 2;

  template <int phase, class Point>
  static void forward(Point& at) {
    using V = typename Point::V;
    if constexpr (phase == gate) {
      const V forget = sigmoid(at.a(f) + at.u(f));
      at.set_stream(q, forget * at.h_prev());
      at.set(f, forget);
    } else {
      const V next = tanh(at.a(n) + at.u(n)), before = at.h_prev();
      at.set_output(fma(at.a(f), next - before, before));
      at.save(n, next);
    }
  }

  template <int phase, class Point>
  static void backward(Point& at) {
    using V = typename Point::V;
    const V one(1);
    const V forget = at.saved(f);
    if constexpr (phase == candidate) {
      const V next = at.saved(n), dh = at.dh();
      at.set_delta(n, dh * forget * (one - next * next));
      at.set(df, dh * (next - at.h_prev()));
      at.set_dh_prev(dh * (one - forget));
    } else {
      const V dq = at.take_dstream(q);
      at.set_delta(f, fma(dq, at.h_prev(), at.saved(df)) * forget * (one - forget));
      at.set_dh_prev(fma(dq, forget, at.dh_prev()));
    }
  }
};

constexpr CellInfo info() {
  CellInfo cell("mgu");
  cell.slots = 3;
  cell.streams = 1;
  cell.feed(Mgu::f, 0, 1);
  const int W_hh = cell.add_matrix(2);
  cell.multiply(Operand::PreviousOutput, W_hh, Mgu::f, 0);
  cell.multiply(Operand::Stream, W_hh, Mgu::n, 1).stream = Mgu::q;
  return cell;
}

}  // namespace

void register_mgu(Registry& registry) { registry.add_gated<Mgu>(info()); }

}  // namespace unrolled
