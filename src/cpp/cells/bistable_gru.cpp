// Bistable recurrent cell (Vecoven, Ernst & Drion 2021), and with neuromodulation, where matrices take the place of
// the diagonal weights.
//
//   a = 1 + tanh(W_a x + b_a + u_a * h[t-1])         feedback, 0 to 2: bistable above 1    (U_a h[t-1])
//   c = sigmoid(W_c x + b_c + u_c * h[t-1])          update: keeps the past               (U_c h[t-1])
//   n = tanh(W_n x + b_n + a * h[t-1])               candidate
//   h[t] = c * h[t-1] + (1 - c) * n
//
// backward, given dh[t]; the gate a keeps 1 + q:
//   dn = dh * (1 - c)               da_n = dn * (1 - n^2)
//   da = da_n * h[t-1]              da_a = da * (1 - q^2)
//   dc = dh * (h[t-1] - n)          da_c = dc * c (1 - c)
//   dh[t-1] = dh * c + da_n * a + da_a * u_a + da_c * u_c,   du = sum of da * h[t-1]
#include "engine/point.h"
#include "engine/registry.h"

namespace unrolled {
namespace {

template <bool full>
struct BistableGru {
  enum Slot { a, c, n };
  enum Vector { u_a, u_c };
  static constexpr int phases = 1;

  template <class Point>
  static typename Point::V sum(const Point& at, int slot, int vector, typename Point::V before) {
    if constexpr (full) return at.a(slot) + at.u(slot);
    return fma(at.vector(vector), before, at.a(slot));
  }

  template <int, class Point>
  static void forward(Point& at) {
    using V = typename Point::V;
    const V before = at.h_prev();
    const V q = tanh(sum(at, a, u_a, before));
    const V update = sigmoid(sum(at, c, u_c, before));
    const V candidate = tanh(fma(V(1) + q, before, at.a(n)));
    at.set_output(fma(update, before - candidate, candidate));
    at.save(a, q);
    at.save(c, update);
    at.save(n, candidate);
  }

  template <int, class Point>
  static void backward(Point& at) {
    using V = typename Point::V;
    const V one(1);
    const V q = at.saved(a), update = at.saved(c), candidate = at.saved(n), before = at.h_prev();
    const V dh = at.dh();
    const V da_n = at.set_delta(n, dh * (one - update) * (one - candidate * candidate));
    const V da_a = at.set_delta(a, da_n * before * (one - q * q));
    const V da_c = at.set_delta(c, dh * (before - candidate) * update * (one - update));
    V dh_prev = fma(da_n, one + q, dh * update);
    if constexpr (!full) {
      dh_prev = fma(da_a, at.vector(u_a), fma(da_c, at.vector(u_c), dh_prev));
      at.add_dvector(u_a, da_a * before);
      at.add_dvector(u_c, da_c * before);
    }
    at.set_dh_prev(dh_prev);
  }
};

template <bool full>
constexpr CellInfo info(const char* name) {
  using Cell = BistableGru<full>;
  CellInfo cell(name);
  cell.slots = 3;
  cell.feed(Cell::a, 0, 1, 2);
  if (full) {
    cell.multiply(Operand::PreviousOutput, cell.add_matrix(2), Cell::a, 0, 1);
  } else {
    cell.elementwise();
    cell.add_vectors(1);  // u_a
    cell.add_vectors(1);  // u_c
  }
  return cell;
}

}  // namespace

void register_bistable_gru(Registry& registry) {
  registry.add_gated<BistableGru<false>>(info<false>("bistable_gru"));
  registry.add_gated<BistableGru<true>>(info<true>("bistable_gru_full"));
}

}  // namespace unrolled
