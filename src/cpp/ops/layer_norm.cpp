// Layer normalisation over the last axis (Ba, Kiros and Hinton, 2016):
//
//   n = (x - mean) r,   r = 1 / sqrt(var + eps),   y = n gain + bias
//   dn = dy gain,   dx = r (dn - mean(dn) - n mean(dn n)),   dgain = sum of dy n,   dbias = sum of dy over the rows
//
// var is the mean of squares around the mean (divided by the size of the row).
#include <cmath>

#include "ops/op.h"
#include "ops/rows.h"

namespace unrolled::ops {
namespace {

constexpr Index cost = 4;  // of one element, in elementary operations

// inputs:  x (..., F), gain (F) or absent, bias (F) or absent;   attribute eps
// outputs: y (..., F); kept: mean and r, one of each per row
std::vector<Spec> shapes(const Arrays& inputs, const Attributes&) {
  const Array& x = inputs[0];
  require_float(x, "layer_norm needs a float32 or float64 array");
  require(x.ndim() >= 1 && x.last() >= 1, "layer_norm needs a last axis of at least one element");
  for (std::size_t i = 1; i < 3; ++i)
    require(!inputs[i] || (inputs[i].spec.type == x.spec.type && inputs[i].shape() == Shape{x.last()}),
            "layer_norm needs gain and bias as long as the last axis");
  const Spec per_row{x.spec.type, {x.rows()}};
  return {x.spec, per_row, per_row};
}

template <class S>
struct Moments {
  S mean, r;
};

template <class S>
Moments<S> moments(const S* x, Index size, double eps) {
  const S mean = sum_packets<S>(size, [&](Index i, Index n) { return Vec<S>::load_partial(x + i, n); }) / S(size);
  const S squares = sum_packets<S>(size, [&](Index i, Index n) {
    const Vec<S> centred = load_filled(x + i, n, mean) - Vec<S>(mean);
    return centred * centred;
  });
  return {mean, static_cast<S>(1 / std::sqrt(static_cast<double>(squares / S(size)) + eps))};
}

template <class S>
void forward_rows(const Arrays& inputs, double eps, const Arrays& outputs) {
  const Index F = inputs[0].last();
  const S *gain = inputs[1].as<S>(), *bias = inputs[2].as<S>();
  share(inputs[0].rows(), F * cost, [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      const S* x = inputs[0].as<S>() + row * F;
      const Moments<S> m = moments(x, F, eps);
      outputs[1].as<S>()[row] = m.mean;
      outputs[2].as<S>()[row] = m.r;
      for (Index i = 0; i < F; i += lanes<S>) {
        Vec<S> y = (Vec<S>::load_partial(x + i, F - i) - Vec<S>(m.mean)) * Vec<S>(m.r);
        if (gain) y *= Vec<S>::load_partial(gain + i, F - i);
        if (bias) y += Vec<S>::load_partial(bias + i, F - i);
        y.store_partial(outputs[0].as<S>() + row * F + i, F - i);
      }
    }
  });
}

template <class S>
void input_vjp(const Arrays& inputs, const Arrays& outputs, const S* dys, S* dxs) {
  using V = Vec<S>;
  const Index F = inputs[0].last();
  const S* gain = inputs[1].as<S>();
  share(inputs[0].rows(), F * cost, [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      const S *x = inputs[0].as<S>() + row * F, *dy = dys + row * F;
      const V mean(outputs[1].as<S>()[row]), r(outputs[2].as<S>()[row]);
      const auto dn_at = [&](Index i, Index n) {
        const V d = V::load_partial(dy + i, n);
        return gain ? d * V::load_partial(gain + i, n) : d;
      };
      const auto n_at = [&](Index i, Index n) { return (V::load_partial(x + i, n) - mean) * r; };
      const V mean_dn(sum_packets<S>(F, dn_at) / S(F));
      const V mean_dn_n(sum_packets<S>(F, [&](Index i, Index n) { return dn_at(i, n) * n_at(i, n); }) / S(F));
      for (Index i = 0; i < F; i += lanes<S>)
        (r * ((dn_at(i, F - i) - mean_dn) - n_at(i, F - i) * mean_dn_n)).store_partial(dxs + row * F + i, F - i);
    }
  });
}

void forward(const Arrays& inputs, const Attributes& attributes, const Arrays& outputs) {
  const double eps = attributes.real("eps");
  dispatch(inputs[0].spec.type, [&](auto scalar) { forward_rows<decltype(scalar)>(inputs, eps, outputs); });
}

void vjp(const Arrays& inputs, const Attributes&, const Arrays& outputs, const Arrays& dys, const Arrays& dx) {
  dispatch(inputs[0].spec.type, [&](auto scalar) {
    using S = decltype(scalar);
    const Index rows = inputs[0].rows(), F = inputs[0].last();
    const S *x = inputs[0].as<S>(), *dy = dys[0].as<S>(), *mean = outputs[1].as<S>(), *r = outputs[2].as<S>();
    if (dx[0]) input_vjp<S>(inputs, outputs, dy, dx[0].as<S>());
    if (dx[1])
      sum_rows(rows, F, dx[1].as<S>(), [&](Index row, S* partial) {
        for (Index c = 0; c < F; ++c) partial[c] += dy[row * F + c] * ((x[row * F + c] - mean[row]) * r[row]);
      });
    if (dx[2])
      sum_rows(rows, F, dx[2].as<S>(), [&](Index row, S* partial) {
        for (Index c = 0; c < F; ++c) partial[c] += dy[row * F + c];
      });
  });
}

const Registration layer_norm_op({"layer_norm", 1, 3, 1, shapes, forward, vjp});

}  // namespace
}  // namespace unrolled::ops
