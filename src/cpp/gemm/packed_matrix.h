// The second factor of a product and its bias, packed once for many products of few rows each.
#pragma once

#include "core/buffer.h"
#include "gemm/gemm.h"
#include "gemm/panels.h"

namespace unrolled {

template <class S>
class PackedMatrix {
 public:
  /// More rows are worth packing anew, as `gemm` does, which shares them better.
  static constexpr Index most_rows = rows_worth_panels;

  /// Of op(B) (K x N) and bias (N), which may be null. Throws std::bad_alloc when memory is short.
  PackedMatrix(Index N, Index K, ConstMatrix<S> B, const S* bias);
  /// C (M x N) = A (M x K) op(B) + 1 bias', all rows dense, for up to `most_rows`: the same bits as from `gemm`.
  void multiply(Index M, const S* A, S* C) const;

 private:
  PanelShape<S> shape_;
  Buffer<S> panels_, bias_;
};

}  // namespace unrolled
