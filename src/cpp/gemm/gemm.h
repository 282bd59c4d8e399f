// Matrix products with a fixed order of summation: every element of C is one sum over k = 0 .. K-1 in that order,
// whatever the number of threads, the row block it falls into, or the other rows of the call.
#pragma once

#include "core/packet.h"

namespace unrolled {

enum class Trans { No, Yes };

/// A matrix as stored: row-major, `ld` scalars from row to row.
template <class S>
struct ConstMatrix {
  const S* data;
  Index ld;
  Trans trans = Trans::No;  // op(A) = A or A'
};

/// C (M x N) = op(A) (M x K) op(B) (K x N) + 1 bias'. bias (N) may be null.
/// C must not overlap A or B. Throws std::bad_alloc when memory is short. float and double.
template <class S>
void gemm(Index M, Index N, Index K, ConstMatrix<S> A, ConstMatrix<S> B, S* C, Index ldc, const S* bias = nullptr);

/// Gradients of y = x W' + 1 b' from one reading of dy (rows x outputs): dW (outputs x inputs) = dy' x, and db
/// (outputs), the sums of the columns of dy. inputs > 0.
template <class S>
void linear_gradients(Index rows, Index outputs, Index inputs, const S* dy, const S* x, S* dW, S* db);

}  // namespace unrolled
