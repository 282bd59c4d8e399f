// softmax and log_softmax over the last axis.
//
//   softmax      y[c] = e^(x[c] - m) / sum_k e^(x[k] - m), m = max x     dx = y (dy - sum(dy y))
//   log_softmax  y[c] = (x[c] - m) - log sum_k e^(x[k] - m)              dx = dy - e^y sum(dy)
#include <cmath>

#include "ops/op.h"
#include "ops/rows.h"

namespace unrolled::ops {
namespace {

constexpr Index cost = 8;  // of one element, in elementary operations

std::vector<Spec> shapes(const Arrays& inputs, const Attributes&) {
  require_float(inputs[0], "softmax needs a float32 or float64 array");
  require(inputs[0].ndim() >= 1 && inputs[0].last() >= 1, "softmax needs a last axis of at least one element");
  return {inputs[0].spec};
}

template <class S>
void softmax_row(Index size, const S* x, S* y) {
  const RowExp<S> row = row_exp(x, size);
  const Vec<S> shift(row.largest), sum(row.sum);
  for (Index i = 0; i < size; i += lanes<S>)
    (exp_of_negative(Vec<S>::load_partial(x + i, size - i) - shift) / sum).store_partial(y + i, size - i);
}

template <class S>
void softmax_row_vjp(Index size, const S* y, const S* dy, S* dx) {
  const Vec<S> mean(sum_packets<S>(size, [&](Index i, Index count) {
    return Vec<S>::load_partial(y + i, count) * Vec<S>::load_partial(dy + i, count);
  }));
  for (Index i = 0; i < size; i += lanes<S>)
    (Vec<S>::load_partial(y + i, size - i) * (Vec<S>::load_partial(dy + i, size - i) - mean))
        .store_partial(dx + i, size - i);
}

template <class S>
void log_softmax_row(Index size, const S* x, S* y) {
  const RowExp<S> row = row_exp(x, size);
  const Vec<S> shift(row.largest), log_sum(std::log(row.sum));
  for (Index i = 0; i < size; i += lanes<S>)
    ((Vec<S>::load_partial(x + i, size - i) - shift) - log_sum).store_partial(y + i, size - i);
}

template <class S>
void log_softmax_row_vjp(Index size, const S* y, const S* dy, S* dx) {
  const Vec<S> sum(sum_packets<S>(size, [&](Index i, Index count) { return Vec<S>::load_partial(dy + i, count); }));
  for (Index i = 0; i < size; i += lanes<S>)
    (Vec<S>::load_partial(dy + i, size - i) - exp_of_negative(Vec<S>::load_partial(y + i, size - i)) * sum)
        .store_partial(dx + i, size - i);
}

template <bool log>
void forward(const Arrays& inputs, const Attributes&, const Arrays& outputs) {
  dispatch(inputs[0].spec.type, [&](auto scalar) {
    using S = decltype(scalar);
    const Index size = inputs[0].last();
    share(inputs[0].rows(), size * cost, [&](Index begin, Index end) {
      for (Index row = begin; row < end; ++row)
        (log ? log_softmax_row<S> : softmax_row<S>)(size, inputs[0].as<S>() + row * size,
                                                    outputs[0].as<S>() + row * size);
    });
  });
}

template <bool log>
void vjp(const Arrays& inputs, const Attributes&, const Arrays& outputs, const Arrays& dy, const Arrays& dx) {
  dispatch(inputs[0].spec.type, [&](auto scalar) {
    using S = decltype(scalar);
    const Index size = inputs[0].last();
    share(inputs[0].rows(), size * cost, [&](Index begin, Index end) {
      for (Index row = begin; row < end; ++row) {
        const Index at = row * size;
        (log ? log_softmax_row_vjp<S> : softmax_row_vjp<S>)(size, outputs[0].as<S>() + at, dy[0].as<S>() + at,
                                                            dx[0].as<S>() + at);
      }
    });
  });
}

const Registration softmax_op({"softmax", 1, 1, 1, shapes, forward<false>, vjp<false>});
const Registration log_softmax_op({"log_softmax", 1, 1, 1, shapes, forward<true>, vjp<true>});

}  // namespace
}  // namespace unrolled::ops
