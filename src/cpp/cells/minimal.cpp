// minGRU and minLSTM (Feng et al. 2024): gates that do not see the past. No operand.
//
// minimal_gru:                                  minimal_lstm:
//   z = sigmoid(W_z x + b_z)   keeps the past     f = sigmoid(W_f x + b_f),   i = sigmoid(W_i x + b_i)
//   n = W_n x + b_n            candidate          n = W_n x + b_n            candidate
//   h[t] = z * h[t-1] + (1 - z) * n               h[t] = (f * h[t-1] + i * n) / (f + i)
//
// The second is the first with z = f / (f + i). backward, given dh[t]:
//   dz = dh * (h[t-1] - n)          da_z = dz * z (1 - z)
//   dn = dh * (1 - z)               da_n = dn
//   dh[t-1] = dh * z
//   df = dz * i / (f + i)^2 = dz * (1 - z) / (f + i),   di = -dz * z / (f + i)
#include "engine/point.h"
#include "engine/registry.h"

namespace unrolled {
namespace {

struct MinimalGru {
  enum Slot { z, n };
  static constexpr int phases = 1;

  template <int, class Point>
  static void forward(Point& at) {
    using V = typename Point::V;
    const V keep = sigmoid(at.a(z)), candidate = at.a(n);
    at.set_output(fma(keep, at.h_prev() - candidate, candidate));
    at.save(z, keep);
  }

  template <int, class Point>
  static void backward(Point& at) {
    using V = typename Point::V;
    const V one(1);
    const V keep = at.saved(z), dh = at.dh();
    at.set_delta(z, dh * (at.h_prev() - at.saved(n)) * keep * (one - keep));
    at.set_delta(n, dh * (one - keep));
    at.set_dh_prev(dh * keep);
  }
};

struct MinimalLstm {
  enum Slot { f, i, n };
  static constexpr int phases = 1;

  template <int, class Point>
  static void forward(Point& at) {
    using V = typename Point::V;
    const V forget = sigmoid(at.a(f)), in = sigmoid(at.a(i)), candidate = at.a(n);
    at.set_output(fma(forget / (forget + in), at.h_prev() - candidate, candidate));
    at.save(f, forget);
    at.save(i, in);
  }

  template <int, class Point>
  static void backward(Point& at) {
    using V = typename Point::V;
    const V one(1);
    const V forget = at.saved(f), in = at.saved(i), all = forget + in, keep = forget / all;
    const V dh = at.dh();
    const V dz = dh * (at.h_prev() - at.saved(n)) / all;
    at.set_delta(f, dz * (one - keep) * forget * (one - forget));
    at.set_delta(i, -(dz * keep * in * (one - in)));
    at.set_delta(n, dh * (one - keep));
    at.set_dh_prev(dh * keep);
  }
};

constexpr CellInfo gru_info() {
  CellInfo cell("minimal_gru");
  cell.slots = 2;
  cell.feed(MinimalGru::z, 0, 1);
  cell.elementwise();
  return cell;
}

constexpr CellInfo lstm_info() {
  CellInfo cell("minimal_lstm");
  cell.slots = 3;
  cell.feed(MinimalLstm::f, 0, 1, 2);
  cell.elementwise();
  return cell;
}

}  // namespace

void register_minimal(Registry& registry) {
  registry.add_gated<MinimalGru>(gru_info());
  registry.add_gated<MinimalLstm>(lstm_info());
}

}  // namespace unrolled
