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

/// One panel of op(B), whose stored rows are `rows`. Runs inside a team: allocates nothing.
template <class S>
void pack_panel(const PanelShape<S>& shape, const std::vector<const S*>& rows, Trans trans, Index group, S* panel) {
  const Index first = shape.first_column(group);
  const int vectors = shape.vectors(group);
  if (trans == Trans::No) return pack_rows(rows.data(), shape.depth, first, shape.columns - first, vectors, panel);
  const S* of_panel[max_vectors * lanes<S>];
  for (Index n = 0; n < vectors * lanes<S>; ++n)
    of_panel[n] = first + n < shape.columns ? rows[std::size_t(first + n)] : nullptr;
  pack_transposed(of_panel, vectors, shape.depth, panel);
}

/// A is stored as wanted: its rows are read where they are.
template <class S>
void gemm_rows(Index M, Index N, Index K, ConstMatrix<S> A, ConstMatrix<S> B, S* C, Index ldc, const S* bias,
               bool accumulate) {
  const PanelShape<S> shape{N, K, max_vectors};
  Buffer<S> start(shape.packets() * lanes<S>);
  if (bias) {
    start.fill_zero(shape.packets() * lanes<S>);
    std::copy_n(bias, N, start.data());
  }
  std::vector<const S*> a(static_cast<std::size_t>(M)), b(static_cast<std::size_t>(B.trans == Trans::No ? K : N));
  std::vector<S*> c(static_cast<std::size_t>(M));
  for (Index m = 0; m < M; ++m) {
    a[std::size_t(m)] = A.data + m * A.ld;
    c[std::size_t(m)] = C + m * ldc;
  }
  for (std::size_t row = 0; row < b.size(); ++row) b[row] = B.data + Index(row) * B.ld;
  const int wanted = double(M) * double(N) * double(K) < least_team_work ? 1 : get_num_threads();
  // With a bias and accumulation both asked for, the bias is added to C first.
  if (accumulate && bias)
    for (Index m = 0; m < M; ++m)
      for (Index n = 0; n < N; ++n) C[m * ldc + n] += bias[n];
  const Start begin = accumulate ? Start::Continue : bias ? Start::Bias : Start::Zero;
  const auto multiply = [&](Index g, const S* panel, Depth depth, Index m0, Index m1, Start from) {
    multiply_group(shape, panel, g, depth, m1 - m0, a.data() + m0, c.data() + m0, from,
                   start.data() + shape.first_column(g));
  };
  const bool many_panels = shape.groups() >= 8 * wanted && M * K * Index(sizeof(S)) <= most_bytes_of_rows;
  if (M < 16 * wanted || many_panels) {  // threads take panels, and each packs one after the other
    const Index size = max_vectors * lanes<S> * K;
    const int team = static_cast<int>(std::min<Index>(wanted, shape.groups()));
    Buffer<S> panels(team * size);
    return parallel(team, [&](int id, int count) {
      S* const panel = panels.data() + id * size;
      for (Index g = share_begin(shape.groups(), id, count); g < share_begin(shape.groups(), id + 1, count); ++g) {
        pack_panel(shape, b, B.trans, g, panel);
        multiply(g, panel, Depth::contiguous(K), 0, M, begin);
      }
    });
  }
  Buffer<S> panels(shape.size());
  Barrier packed;
  parallel(wanted, [&](int id, int count) {
    for (Index g = share_begin(shape.groups(), id, count); g < share_begin(shape.groups(), id + 1, count); ++g)
      pack_panel(shape, b, B.trans, g, panels.data() + shape.offset(g));
    packed.wait(count);
    const Index m0 = share_begin(M, id, count), m1 = share_begin(M, id + 1, count);
    const Index run = K > deepest ? run_of_deep : std::max<Index>(1, K);
    for (Index k = 0; k == 0 || k < K; k += run) {
      const Depth depth = Depth::contiguous(std::min(run, K - k));
      for (Index g = 0; g < shape.groups(); ++g)
        multiply(g, panels.data() + shape.offset(g) + k * shape.vectors(g) * lanes<S>, depth, m0, m1,
                 k == 0 ? begin : Start::Continue);
      for (Index m = m0; run < K && m < m1; ++m) a[std::size_t(m)] += run;  // this thread's own rows
    }
  });
}

/// A is stored transposed: C is a sum of outer products of stored rows.
template <class S>
void gemm_outer(Index M, Index N, Index K, ConstMatrix<S> A, ConstMatrix<S> B, S* C, Index ldc, const S* bias,
                bool accumulate) {
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
  const OuterSum<S> sum{K, a.data(), M, &product, 1};
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
    gemm_outer(M, N, K, A, B, C, ldc, bias, accumulate);
}

template void gemm<float>(Index, Index, Index, ConstMatrix<float>, ConstMatrix<float>, float*, Index, const float*,
                          bool);
template void gemm<double>(Index, Index, Index, ConstMatrix<double>, ConstMatrix<double>, double*, Index, const double*,
                           bool);

}  // namespace unrolled
