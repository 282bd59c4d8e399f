// The second factor of a product, as stored, and how it is packed.
#pragma once

#include <algorithm>
#include <vector>

#include "gemm/gemm.h"
#include "gemm/panels.h"

namespace unrolled {

/// A bias in whole packets, as tiles start from it; left empty where there is none.
template <class S>
void pad_bias(const S* bias, Index columns, Buffer<S>& to) {
  if (bias == nullptr) return;
  to.resize(padded<S>(columns));
  to.fill_zero(to.size());
  std::copy_n(bias, columns, to.data());
}

/// B of C = op(A) op(B) in panels.
template <class S>
struct Columns {
  std::vector<const S*> rows;  // as stored
  Trans trans;
  PanelShape<S> shape;

  Columns(ConstMatrix<S> B, Index columns, Index depth)
      : rows(std::size_t(B.trans == Trans::No ? depth : columns)), trans(B.trans), shape{columns, depth, max_vectors} {
    for (std::size_t row = 0; row < rows.size(); ++row) rows[row] = B.data + Index(row) * B.ld;
  }

  /// Packs steps [k, k + depth) of the sum. Runs inside a team: allocates nothing.
  void pack(Index group, Index k, Index depth, S* panel) const {
    const Index first = shape.first_column(group);
    const int vectors = shape.vectors(group);
    if (trans == Trans::No) return pack_rows(rows.data() + k, depth, first, shape.columns - first, vectors, panel);
    const S* of_panel[max_vectors * lanes<S>];
    for (Index n = 0; n < vectors * lanes<S>; ++n)
      of_panel[n] = first + n < shape.columns ? rows[std::size_t(first + n)] + k : nullptr;
    pack_transposed(of_panel, vectors, depth, panel);
  }

  /// What packing those steps of groups [g0, g1) will read.
  LinesAhead<S> ahead(Index g0, Index g1, Index k, Index depth, Index tiles) const {
    const Index first = shape.first_column(g0), last = std::min(shape.columns, shape.first_column(g1));
    if (trans == Trans::No) return {rows.data() + k, depth, first, last, tiles};
    return {rows.data() + std::min(first, last), std::max<Index>(0, last - first), k, k + depth, tiles};
  }
};

}  // namespace unrolled
