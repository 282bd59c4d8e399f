#include "gemm/gemm.h"

#include <algorithm>
#include <vector>

#include "core/threads.h"
#include "gemm/outer.h"

namespace unrolled {
namespace {

/// Sums from so deep on are made in runs: a panel's part and those of the rows then stay in a core's own cache.
constexpr Index deepest = 4096, run_of_deep = 512;
/// Rows of up to so many bytes stay in a core's own cache while many panels pass.
constexpr Index most_bytes_of_rows = Index(1) << 19;

/// Tiles of a panel over so many rows.
template <class S>
Index tiles_over(Index rows) {
  return (rows + tile_rows<S>(max_vectors) - 1) / tile_rows<S>(max_vectors);
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

/// A is stored as wanted: its rows are read where they are.
template <class S>
void gemm_rows(Index M, Index N, Index K, ConstMatrix<S> A, ConstMatrix<S> B, S* C, Index ldc, const S* bias,
               bool accumulate) {
  const Columns<S> columns(B, N, K);
  const PanelShape<S>& shape = columns.shape;
  Buffer<S> start(shape.packets() * lanes<S>);
  if (bias) {
    start.fill_zero(shape.packets() * lanes<S>);
    std::copy_n(bias, N, start.data());
  }
  std::vector<const S*> a(static_cast<std::size_t>(M));
  std::vector<S*> c(static_cast<std::size_t>(M));
  for (Index m = 0; m < M; ++m) {
    a[std::size_t(m)] = A.data + m * A.ld;
    c[std::size_t(m)] = C + m * ldc;
  }
  const int wanted = double(M) * double(N) * double(K) < least_team_work ? 1 : get_num_threads();
  // With a bias and accumulation both asked for, the bias is added to C first.
  if (accumulate && bias)
    for (Index m = 0; m < M; ++m)
      for (Index n = 0; n < N; ++n) C[m * ldc + n] += bias[n];
  const Start begin = accumulate ? Start::Continue : bias ? Start::Bias : Start::Zero;
  const auto multiply = [&](Index g, const S* panel, Depth depth, Index m0, Index m1, Start from, LinesAhead<S>& next) {
    multiply_group(shape, panel, g, depth, m1 - m0, a.data() + m0, c.data() + m0, from,
                   start.data() + shape.first_column(g), &next);
  };
  const bool many_panels = shape.groups() >= 8 * wanted && M * K * Index(sizeof(S)) <= most_bytes_of_rows;
  if (M < 16 * wanted || many_panels) {  // threads take panels, and each packs one after the other
    const Index size = max_vectors * lanes<S> * K;
    const int team = static_cast<int>(std::min<Index>(wanted, shape.groups()));
    Buffer<S> panels(team * size);
    return parallel(team, [&](int id, int count) {
      S* const panel = panels.data() + id * size;
      const Index end = share_begin(shape.groups(), id + 1, count);
      for (Index g = share_begin(shape.groups(), id, count); g < end; ++g) {
        columns.pack(g, 0, K, panel);
        LinesAhead<S> next = columns.ahead(g + 1, std::min(g + 2, end), 0, K, tiles_over<S>(M));
        multiply(g, panel, Depth::contiguous(K), 0, M, begin, next);
      }
    });
  }
  const Index run = K > deepest ? run_of_deep : std::max<Index>(1, K);
  const Index size = shape.packets() * lanes<S> * run;
  Buffer<S> panels(run < K ? 2 * size : size);  // one is packed while others may still multiply by the other
  Barrier packed;
  parallel(wanted, [&](int id, int count) {
    const Index g0 = share_begin(shape.groups(), id, count), g1 = share_begin(shape.groups(), id + 1, count);
    const Index m0 = share_begin(M, id, count), m1 = share_begin(M, id + 1, count);
    S* now = panels.data();
    for (Index k = 0; k == 0 || k < K; k += run) {
      const Index steps = std::min(run, K - k);
      const PanelShape<S> of_run{N, steps, max_vectors};
      for (Index g = g0; g < g1; ++g) columns.pack(g, k, steps, now + of_run.offset(g));
      packed.wait(count);
      LinesAhead<S> next =
          columns.ahead(g0, g1, k + steps, std::min(run, K - k - steps), tiles_over<S>(m1 - m0) * shape.groups());
      for (Index g = 0; g < shape.groups(); ++g)
        multiply(g, now + of_run.offset(g), Depth::contiguous(steps), m0, m1, k == 0 ? begin : Start::Continue, next);
      for (Index m = m0; run < K && m < m1; ++m) a[std::size_t(m)] += steps;  // this thread's own rows
      now = panels.data() + (now == panels.data() ? size : 0);
    }
  });
}

/// A is stored transposed: C is a sum of outer products of stored rows. of_a: null, or for the sums of their columns.
template <class S>
void gemm_outer(Index M, Index N, Index K, ConstMatrix<S> A, ConstMatrix<S> B, S* C, Index ldc, const S* bias,
                bool accumulate, S* of_a) {
  Buffer<S> b_rows;
  if (B.trans == Trans::Yes) {
    b_rows.resize(K * N);
    for (Index n = 0; n < N; ++n)
      for (Index k = 0; k < K; ++k) b_rows[k * N + n] = B.data[n * B.ld + k];
    B = {b_rows.data(), N, Trans::No};
  }
  std::vector<const S*> a(static_cast<std::size_t>(K)), b(static_cast<std::size_t>(K));
  std::vector<S*> c(static_cast<std::size_t>(M));
  for (Index k = 0; k < K; ++k) {
    a[std::size_t(k)] = A.data + k * A.ld;
    b[std::size_t(k)] = B.data + k * B.ld;
  }
  for (Index m = 0; m < M; ++m) {
    c[std::size_t(m)] = C + m * ldc;
    for (Index n = 0; n < N && bias; ++n) C[m * ldc + n] = accumulate ? C[m * ldc + n] + bias[n] : bias[n];
  }
  const OuterProduct<S> product{b.data(), N, c.data()};
  const OuterSum<S> sum{K, a.data(), M, &product, 1, of_a};
  accumulate_outer(&sum, 1, accumulate || bias != nullptr);
}

}  // namespace

template <class S>
void gemm(Index M, Index N, Index K, ConstMatrix<S> A, ConstMatrix<S> B, S* C, Index ldc, const S* bias,
          bool accumulate) {
  if (M == 0 || N == 0) return;
  if (A.trans == Trans::No)
    gemm_rows(M, N, K, A, B, C, ldc, bias, accumulate);
  else
    gemm_outer<S>(M, N, K, A, B, C, ldc, bias, accumulate, nullptr);
}

template <class S>
void linear_gradients(Index rows, Index outputs, Index inputs, const S* dy, const S* x, S* dW, S* db) {
  if (outputs == 0) return;
  gemm_outer<S>(outputs, inputs, rows, {dy, outputs, Trans::Yes}, {x, inputs}, dW, inputs, nullptr, false, db);
}

template void gemm<float>(Index, Index, Index, ConstMatrix<float>, ConstMatrix<float>, float*, Index, const float*,
                          bool);
template void gemm<double>(Index, Index, Index, ConstMatrix<double>, ConstMatrix<double>, double*, Index, const double*,
                           bool);

template void linear_gradients<float>(Index, Index, Index, const float*, const float*, float*, float*);
template void linear_gradients<double>(Index, Index, Index, const double*, const double*, double*, double*);

}  // namespace unrolled
