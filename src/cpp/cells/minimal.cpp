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
//   df = dz * i / (f + i)^2 and so  da_f = dz * z (1 - z) (1 - f),   da_i = -dz * z (1 - z) (1 - i)
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
    at.save(n, candidate);
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
    // Where both sums are below -40, sigmoid is exp to the last digit, and z the same if both are moved up: f + i is
    // never 0.
    const V up = max(V(-40) - max(at.a(f), at.a(i)), V::zero());
    const V forget = sigmoid(at.a(f) + up), in = sigmoid(at.a(i) + up), candidate = at.a(n);
    at.set_output(fma(forget / (forget + in), at.h_prev() - candidate, candidate));
    at.save(f, forget);
    at.save(i, in);
    at.save(n, candidate);
  }

  template <int, class Point>
  static void backward(Point& at) {
    using V = typename Point::V;
    const V one(1);
    const V forget = at.saved(f), in = at.saved(i), keep = forget / (forget + in);
    const V dh = at.dh();
    const V da_z = dh * (at.h_prev() - at.saved(n)) * keep * (one - keep);
    at.set_delta(f, da_z * (one - forget));
    at.set_delta(i, -(da_z * (one - in)));
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
