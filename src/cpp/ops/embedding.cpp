// Rows of a table by number: y[n] = W[ids[n]]. The gradient adds the rows of dy in the order of the positions, as the
// product with the one-hot matrix would.
#include "ops/op.h"
#include "ops/rows.h"

namespace unrolled::ops {
namespace {

// inputs: W (V, D), ids int64 of any shape; output (..., D)
std::vector<Spec> shapes(const Arrays& inputs, const Attributes&) {
  const Array &W = inputs[0], &ids = inputs[1];
  require_float(W, "embedding needs a float32 or float64 table");
  require(W.ndim() == 2, "embedding needs a table (V, D)");
  require(ids && ids.spec.type == Type::i64, "embedding needs int64 ids");
  const Index count = ids.size(), V = W.shape()[0];
  for (Index n = 0; n < count; ++n) {
    const std::int64_t id = ids.as<std::int64_t>()[n];
    require(id >= 0 && id < V, "embedding: an id is no row of the table");
  }
  Shape shape = ids.shape();
  shape.push_back(W.last());
  return {{W.spec.type, shape}};
}

void forward(const Arrays& inputs, const Attributes&, const Arrays& outputs) {
  const Index D = inputs[0].last();
  const std::int64_t* ids = inputs[1].as<std::int64_t>();
  dispatch(inputs[0].spec.type, [&](auto scalar) {
    using S = decltype(scalar);
    share(inputs[1].size(), D, [&](Index begin, Index end) {
      for (Index n = begin; n < end; ++n) std::copy_n(inputs[0].as<S>() + ids[n] * D, D, outputs[0].as<S>() + n * D);
    });
  });
}

void vjp(const Arrays& inputs, const Attributes&, const Arrays&, const Arrays& dy, const Arrays& dx) {
  require(!dx[1], "embedding has no gradient for ids");
  const Index D = inputs[0].last(), V = inputs[0].shape()[0], count = inputs[1].size();
  const std::int64_t* ids = inputs[1].as<std::int64_t>();
  dispatch(inputs[0].spec.type, [&](auto scalar) {
    using S = decltype(scalar);
    const S* from = dy[0].as<S>();
    S* dW = dx[0].as<S>();
    // Each thread owns columns, so that no two write the same number and frequent rows are shared fairly.
    constexpr Index width = 16;
    share((D + width - 1) / width, (count + V) * width, [&](Index begin, Index end) {
      const Index first = begin * width, last = std::min(D, end * width);
      for (Index row = 0; row < V; ++row) std::fill(dW + row * D + first, dW + row * D + last, S(0));
      for (Index n = 0; n < count; ++n)
        for (Index c = first; c < last; ++c) dW[ids[n] * D + c] += from[n * D + c];
    });
  });
}

const Registration embedding_op({"embedding", 2, 2, 1, shapes, forward, vjp});

}  // namespace
}  // namespace unrolled::ops
