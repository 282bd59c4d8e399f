// Cross-entropy of every position from its logits, softmax fused:
//
//   loss[n] = weight[n] (log sum_c e^logits[n, c] - logits[n, target[n]])
//   dlogits[n, c] = dloss[n] weight[n] (softmax(logits[n])[c] - [c = target[n]])
//
// A position of weight 0 is not read: whatever its logits hold, its loss and gradient are 0.
#include <cmath>

#include "ops/op.h"
#include "ops/rows.h"

namespace unrolled::ops {
namespace {

constexpr Index cost = 8;  // of one logit, in elementary operations

// inputs:  logits (..., C), targets int64 (...), weights (...) or absent
// outputs: loss (...); kept: m (...), the largest logit, and the sum over c of e^(logits[n, c] - m[n]) (...)
std::vector<Spec> shapes(const Arrays& inputs, const Attributes&) {
  const Array &logits = inputs[0], &targets = inputs[1], &weights = inputs[2];
  require_float(logits, "cross_entropy needs float32 or float64 logits");
  require(logits.ndim() >= 1 && logits.last() >= 1, "cross_entropy needs logits (..., classes)");
  const Shape positions(logits.shape().begin(), logits.shape().end() - 1);
  const Index classes = logits.last(), count = element_count(positions);
  require(targets && targets.spec.type == Type::i64 && targets.shape() == positions,
          "cross_entropy needs one int64 target per position");
  require(!weights || (weights.spec.type == logits.spec.type && weights.shape() == positions),
          "cross_entropy needs one weight per position");
  for (Index n = 0; n < count; ++n) {
    const std::int64_t target = targets.as<std::int64_t>()[n];
    require(target >= 0 && target < classes, "cross_entropy: a target is no class");
  }
  const Spec per_position{logits.spec.type, positions};
  return {per_position, per_position, per_position};
}

template <class S>
void forward_rows(const Arrays& inputs, const Arrays& outputs) {
  const Index classes = inputs[0].last();
  const S* weights = inputs[2].as<S>();
  share(inputs[0].rows(), classes * cost, [&](Index begin, Index end) {
    for (Index n = begin; n < end; ++n) {
      S &loss = outputs[0].as<S>()[n], &largest = outputs[1].as<S>()[n], &sum = outputs[2].as<S>()[n];
      loss = largest = sum = 0;
      const S weight = weights ? weights[n] : S(1);
      if (weight == S(0)) continue;
      const S* logits = inputs[0].as<S>() + n * classes;
      const RowExp<S> row = row_exp(logits, classes);
      largest = row.largest;
      sum = row.sum;
      // The largest logit is taken away before the logarithm is added: logits of any size keep the digits of the loss.
      const S log_sum = std::log(sum);
      loss = weight * (log_sum + (largest - logits[inputs[1].as<std::int64_t>()[n]]));
    }
  });
}

template <class S>
void vjp_rows(const Arrays& inputs, const Arrays& outputs, const Array& dloss, const Array& dlogits) {
  const Index classes = inputs[0].last();
  const S* weights = inputs[2].as<S>();
  share(inputs[0].rows(), classes * cost, [&](Index begin, Index end) {
    for (Index n = begin; n < end; ++n) {
      S* dx = dlogits.as<S>() + n * classes;
      const S weight = weights ? weights[n] : S(1);
      if (weight == S(0)) {
        std::fill(dx, dx + classes, S(0));
        continue;
      }
      const S* logits = inputs[0].as<S>() + n * classes;
      const S factor = weight * dloss.as<S>()[n];
      const Vec<S> largest(outputs[1].as<S>()[n]), scale(factor / outputs[2].as<S>()[n]);
      for (Index i = 0; i < classes; i += lanes<S>)
        (scale * exp_of_negative(Vec<S>::load_partial(logits + i, classes - i) - largest))
            .store_partial(dx + i, classes - i);
      dx[inputs[1].as<std::int64_t>()[n]] -= factor;
    }
  });
}

void forward(const Arrays& inputs, const Attributes&, const Arrays& outputs) {
  dispatch(inputs[0].spec.type, [&](auto scalar) { forward_rows<decltype(scalar)>(inputs, outputs); });
}

void vjp(const Arrays& inputs, const Attributes&, const Arrays& outputs, const Arrays& dy, const Arrays& dx) {
  if (dx[1] || dx[2]) throw std::invalid_argument("cross_entropy has no gradient for targets and weights");
  dispatch(inputs[0].spec.type, [&](auto scalar) { vjp_rows<decltype(scalar)>(inputs, outputs, dy[0], dx[0]); });
}

const Registration cross_entropy_op({"cross_entropy", 2, 3, 1, shapes, forward, vjp});

}  // namespace
}  // namespace unrolled::ops
