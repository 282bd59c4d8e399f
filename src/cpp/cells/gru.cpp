// Gated recurrent unit, reset applied after the product (Cho et al. 2014 as in cuDNN, PyTorch and Keras).
//
//   r = sigmoid(W_r x + b_r + U_r h[t-1])                  reset gate
//   z = sigmoid(W_z x + b_z + U_z h[t-1])                  update gate: keeps the past
//   n = tanh(W_n x + b_n + r * (U_n h[t-1] + b_hn))        candidate
//   h[t] = (1 - z) * n + z * h[t-1]
//
// backward, given dh[t]; da: gradient of the input part, du: of the recurrent part (equal but for n):
//   dn = dh * (1 - z)                 da_n = dn * (1 - n^2),   du_n = da_n * r
//   dz = dh * (h[t-1] - n)            da_z = dz * z (1 - z)
//   dr = da_n * (U_n h[t-1] + b_hn)   da_r = dr * r (1 - r)
//   dh[t-1] = dh * z + [da_r da_z du_n] W_hh,   db_hn = sum of du_n
//
// In the other convention the gate z takes the new, h[t] = z * n + (1 - z) * h[t-1]: kernels <name>_takes_new, which
// have sigmoid(-a) where these have sigmoid(a). They, too, save what z keeps: 1 - z again in backward would have lost
// its digits where it is small.
#include "engine/point.h"
#include "engine/registry.h"

namespace unrolled {
namespace {

template <bool takes_new>
struct Gru {
  // Neighbours in this order: W_ih feeds n r z, W_hh feeds r z and the recurrent part of n.
  enum Slot { n, r, z, hn };
  enum Vector { b_hn };
  static constexpr int phases = 1;

  template <int, class Point>
  static void forward(Point& at) {
    using V = typename Point::V;
    const V reset = sigmoid(at.a(r) + at.u(r));
    const V sum_z = at.a(z) + at.u(z), update = sigmoid(takes_new ? -sum_z : sum_z);
    const V recurrent = at.u(hn) + at.vector(b_hn);
    const V candidate = tanh(fma(reset, recurrent, at.a(n)));
    at.set_output(fma(update, at.h_prev() - candidate, candidate));
    at.save(r, reset);
    at.save(z, update);
    at.save(n, candidate);
    at.save(hn, recurrent);
  }

  template <int, class Point>
  static void backward(Point& at) {
    using V = typename Point::V;
    const V one(1);
    const V reset = at.saved(r), update = at.saved(z), candidate = at.saved(n), recurrent = at.saved(hn);
    const V dh = at.dh();
    const V da_n = at.set_delta(n, dh * (one - update) * (one - candidate * candidate));
    at.add_dvector(b_hn, at.set_delta(hn, da_n * reset));
    const V da_z = dh * (at.h_prev() - candidate) * update * (one - update);
    at.set_delta(z, takes_new ? -da_z : da_z);
    at.set_delta(r, da_n * recurrent * reset * (one - reset));
    at.set_dh_prev(dh * update);
  }
};

constexpr CellInfo info(const char* name) {
  using Cell = Gru<false>;
  CellInfo cell(name);
  cell.slots = 4;
  cell.feed(Cell::n, 2, 0, 1);
  cell.multiply(Operand::PreviousOutput, cell.add_matrix(3), Cell::r, 0, 1, 2);
  cell.add_vectors(1);  // b_hn
  return cell;
}

}  // namespace

void register_gru(Registry& registry) {
  registry.add_gated<Gru<false>>(info("gru"));
  registry.add_gated<Gru<true>>(info("gru_takes_new"));
}

}  // namespace unrolled
