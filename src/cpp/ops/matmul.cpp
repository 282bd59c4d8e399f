// matmul: C = A B, and linear: y = x W' + b over every leading axis of x.
//
//   matmul  A (M, K), B (K, N), or both with one more leading axis of the same size     dA = dC B'   dB = A' dC
//   linear  x (..., I), W (O, I), b (O) or absent     dx = dy W   dW = dy' x   db = sum of dy over the rows
#include <atomic>

#include "gemm/gemm.h"
#include "ops/op.h"
#include "ops/rows.h"

namespace unrolled::ops {
namespace {

struct Sizes {
  Index batch, M, K, N;
};

Sizes matmul_sizes(const Arrays& inputs) {
  const Shape &a = inputs[0].shape(), &b = inputs[1].shape();
  const std::size_t lead = a.size() - 2;
  return {lead ? a[0] : 1, a[lead], a[lead + 1], b[lead + 1]};
}

std::vector<Spec> matmul_shapes(const Arrays& inputs, const Attributes&) {
  const Array &a = inputs[0], &b = inputs[1];
  require_float(a, "matmul needs float32 or float64 arrays");
  require(b && b.spec.type == a.spec.type, "matmul needs two arrays of one type");
  require(a.ndim() == b.ndim() && (a.ndim() == 2 || a.ndim() == 3),
          "matmul needs two matrices or two batches of matrices");
  const std::size_t lead = a.shape().size() - 2;
  require(a.shape()[lead + 1] == b.shape()[lead], "matmul needs as many columns of A as rows of B");
  require(lead == 0 || a.shape()[0] == b.shape()[0], "matmul needs batches of the same size");
  Shape shape = a.shape();
  shape.back() = b.last();
  return {{a.spec.type, shape}};
}

/// product(i) for every i < batch: many small products share the threads among them, large ones each use all threads.
template <class F>
void for_batch(Index batch, Index work, F&& product) {
  if (batch == 1 || work > 1 << 20) {
    for (Index i = 0; i < batch; ++i) product(i);
    return;
  }
  std::atomic<bool> memory_short{false};
  share(batch, work / 8 + 1, [&](Index begin, Index end) {
    try {
      for (Index i = begin; i < end; ++i) product(i);
    } catch (const std::bad_alloc&) {
      memory_short = true;
    }
  });
  if (memory_short) throw std::bad_alloc();
}

void matmul_forward(const Arrays& inputs, const Attributes&, const Arrays& outputs) {
  const Sizes s = matmul_sizes(inputs);
  dispatch(inputs[0].spec.type, [&](auto scalar) {
    using S = decltype(scalar);
    const S *A = inputs[0].as<S>(), *B = inputs[1].as<S>();
    S* C = outputs[0].as<S>();
    for_batch(s.batch, s.M * s.K * s.N, [&](Index i) {
      gemm<S>(s.M, s.N, s.K, {A + i * s.M * s.K, s.K}, {B + i * s.K * s.N, s.N}, C + i * s.M * s.N, s.N);
    });
  });
}

void matmul_vjp(const Arrays& inputs, const Attributes&, const Arrays&, const Arrays& dy, const Arrays& dx) {
  const Sizes s = matmul_sizes(inputs);
  dispatch(inputs[0].spec.type, [&](auto scalar) {
    using S = decltype(scalar);
    const S *A = inputs[0].as<S>(), *B = inputs[1].as<S>(), *dC = dy[0].as<S>();
    const Index work = s.M * s.K * s.N;
    if (dx[0])
      for_batch(s.batch, work, [&](Index i) {
        gemm<S>(s.M, s.K, s.N, {dC + i * s.M * s.N, s.N}, {B + i * s.K * s.N, s.N, Trans::Yes},
                dx[0].as<S>() + i * s.M * s.K, s.K);
      });
    if (dx[1])
      for_batch(s.batch, work, [&](Index i) {
        gemm<S>(s.K, s.N, s.M, {A + i * s.M * s.K, s.K, Trans::Yes}, {dC + i * s.M * s.N, s.N},
                dx[1].as<S>() + i * s.K * s.N, s.N);
      });
  });
}

std::vector<Spec> linear_shapes(const Arrays& inputs, const Attributes&) {
  const Array &x = inputs[0], &W = inputs[1], &b = inputs[2];
  require_float(x, "linear needs float32 or float64 arrays");
  require(W && W.spec.type == x.spec.type && (!b || b.spec.type == x.spec.type), "linear needs arrays of one type");
  require(x.ndim() >= 1 && W.ndim() == 2 && x.last() == W.last(), "linear needs x (..., I) and W (O, I)");
  require(!b || b.shape() == Shape{W.shape()[0]}, "linear needs b (O)");
  Shape shape = x.shape();
  shape.back() = W.shape()[0];
  return {{x.spec.type, shape}};
}

void linear_forward(const Arrays& inputs, const Attributes&, const Arrays& outputs) {
  const Index rows = inputs[0].rows(), I = inputs[0].last(), O = inputs[1].shape()[0];
  dispatch(inputs[0].spec.type, [&](auto scalar) {
    using S = decltype(scalar);
    gemm<S>(rows, O, I, {inputs[0].as<S>(), I}, {inputs[1].as<S>(), I, Trans::Yes}, outputs[0].as<S>(), O,
            inputs[2].as<S>());
  });
}

void linear_vjp(const Arrays& inputs, const Attributes&, const Arrays&, const Arrays& dys, const Arrays& dx) {
  const Index rows = inputs[0].rows(), I = inputs[0].last(), O = inputs[1].shape()[0];
  dispatch(inputs[0].spec.type, [&](auto scalar) {
    using S = decltype(scalar);
    const S* dy = dys[0].as<S>();
    if (dx[0]) gemm<S>(rows, I, O, {dy, O}, {inputs[1].as<S>(), I}, dx[0].as<S>(), I);
    const bool together = dx[1] && dx[2] && I > 0;
    if (together)
      linear_gradients<S>(rows, O, I, dy, inputs[0].as<S>(), dx[1].as<S>(), dx[2].as<S>());
    else if (dx[1])
      gemm<S>(O, I, rows, {dy, O, Trans::Yes}, {inputs[0].as<S>(), I}, dx[1].as<S>(), I);
    if (dx[2] && !together)
      sum_rows(rows, O, dx[2].as<S>(), [&](Index row, S* partial) {
        for (Index c = 0; c < O; ++c) partial[c] += dy[row * O + c];
      });
  });
}

const Registration matmul_op({"matmul", 2, 2, 1, matmul_shapes, matmul_forward, matmul_vjp});
const Registration linear_op({"linear", 2, 3, 1, linear_shapes, linear_forward, linear_vjp});

}  // namespace
}  // namespace unrolled::ops
