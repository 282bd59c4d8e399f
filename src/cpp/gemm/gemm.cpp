#include "gemm/gemm.h"

#include <algorithm>
#include <vector>

#include "core/deal.h"
#include "core/threads.h"
#include "gemm/columns.h"
#include "gemm/outer.h"

namespace unrolled {
namespace {

/// Sums from so deep on are made in runs: a panel's part and those of the rows then stay in a core's own cache.
constexpr Index deepest = 4096, run_of_deep = 512;
/// Rows of up to so many bytes stay in a core's own cache while many panels pass.
constexpr Index most_bytes_of_rows = Index(1) << 19;
/// Pieces of each thread's work that others may take over.
constexpr Index pieces = 8;

/// Tiles of a panel over so many rows.
template <class S>
Index tiles_over(Index rows) {
  return (rows + tile_rows<S>(max_vectors) - 1) / tile_rows<S>(max_vectors);
}

/// A product of which A is stored as wanted: its rows are read where they are.
template <class S>
class RowProduct {
 public:
  /// C = A B + bias; null: none.
  RowProduct(Index M, Index N, Index K, ConstMatrix<S> A, ConstMatrix<S> B, S* C, Index ldc, const S* bias)
      : rows_(M),
        depth_(K),
        A_(A),
        columns_(B, N, K),
        c_(static_cast<std::size_t>(M)),
        start_(bias ? Start::Bias : Start::Zero) {
    for (Index m = 0; m < M; ++m) c_[std::size_t(m)] = C + m * ldc;
    pad_bias(bias, N, bias_);
  }

  void run() {
    const int threads =
        double(rows_) * double(shape().columns) * double(depth_) < least_team_work ? 1 : get_num_threads();
    const bool many_panels = shape().groups() >= 8 * threads && rows_ * depth_ * Index(sizeof(S)) <= most_bytes_of_rows;
    if (rows_ < 16 * threads || many_panels)
      by_panels(static_cast<int>(std::min<Index>(threads, shape().groups())));
    else
      by_rows(threads);
  }

 private:
  const PanelShape<S>& shape() const { return columns_.shape; }

  /// Threads take panels, and each packs one after the other.
  void by_panels(int threads) {
    const Index size = max_vectors * lanes<S> * depth_;
    Buffer<S> panels(threads * size);
    a_.resize(static_cast<std::size_t>(rows_));
    aim(a_.data(), 0, rows_, 0);
    Deal groups(threads);
    Barrier dealt;
    parallel(threads, [&](int id, int count) {
      S* const panel = panels.data() + id * size;
      groups.start(shape().groups(), id, count);
      dealt.wait(count);
      for (Deal::Range one; groups.take(1, 1, id, count, &one);) {
        columns_.pack(one.first, 0, depth_, panel);
        LinesAhead<S> next = columns_.ahead(one.last, one.last + one.next, 0, depth_, tiles_over<S>(rows_));
        multiply(one.first, panel, depth_, a_.data(), 0, rows_, start_, next);
      }
    });
  }

  /// Threads pack all panels together, a run of the sum at a time, and take them with a part of the rows.
  void by_rows(int threads) {
    const Index run = depth_ > deepest ? run_of_deep : std::max<Index>(1, depth_), G = shape().groups();
    const Index size = shape().packets() * lanes<S> * run;
    // Of two runs: one is made ready while others may still multiply by the other.
    const Index copies = run < depth_ ? 2 : 1;
    Buffer<S> panels(copies * size);
    a_.resize(static_cast<std::size_t>(copies * rows_));
    Deal deals[2]{Deal(threads), Deal(threads)};
    Barrier packed;
    parallel(threads, [&](int id, int count) {
      const Index g0 = share_begin(G, id, count), g1 = share_begin(G, id + 1, count);
      const Index parts =
          count * std::clamp<Index>(pieces / G, 1, std::max<Index>(1, rows_ / count / rows_worth_panels));
      for (Index k = 0, odd = 0; k == 0 || k < depth_; k += run, odd ^= 1) {
        const Index steps = std::min(run, depth_ - k);
        const PanelShape<S> of_run{shape().columns, steps, max_vectors};
        S* const now = panels.data() + odd * size;
        const S** const a = a_.data() + odd * rows_;
        for (Index g = g0; g < g1; ++g) columns_.pack(g, k, steps, now + of_run.offset(g));
        aim(a, share_begin(rows_, id, count), share_begin(rows_, id + 1, count), k);
        deals[odd].start(parts * G, id, count);
        packed.wait(count);
        LinesAhead<S> next =
            columns_.ahead(g0, g1, k + steps, std::min(run, depth_ - k - steps), tiles_over<S>(rows_ / count) * G);
        for (Deal::Range one; deals[odd].take(1, 1, id, count, &one);) {
          const Index part = one.first / G, g = one.first % G;
          multiply(g, now + of_run.offset(g), steps, a, rows_ * part / parts, rows_ * (part + 1) / parts,
                   k == 0 ? start_ : Start::Continue, next);
        }
      }
    });
  }

  /// Points `a` to what rows [m0, m1) have from step k of the sum on.
  void aim(const S** a, Index m0, Index m1, Index k) const {
    for (Index m = m0; m < m1; ++m) a[m] = A_.data + m * A_.ld + k;
  }
  void multiply(Index g, const S* panel, Index depth, const S* const* a, Index m0, Index m1, Start start,
                LinesAhead<S>& next) const {
    const S* const bias = start == Start::Bias ? bias_.data() + shape().first_column(g) : nullptr;
    multiply_group(shape(), panel, g, Depth::contiguous(depth), m1 - m0, a + m0, c_.data() + m0, start, bias, &next);
  }

  Index rows_, depth_;
  ConstMatrix<S> A_;
  Columns<S> columns_;
  std::vector<const S*> a_;
  std::vector<S*> c_;
  Buffer<S> bias_;
  Start start_;
};

/// A is stored transposed: C is a sum of outer products of stored rows. of_a: null, or for the sums of their columns.
template <class S>
void gemm_outer(Index M, Index N, Index K, ConstMatrix<S> A, ConstMatrix<S> B, S* C, Index ldc, const S* bias,
                S* of_a) {
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
    for (Index n = 0; n < N && bias; ++n) C[m * ldc + n] = bias[n];
  }
  const OuterProduct<S> product{b.data(), N, c.data()};
  const OuterSum<S> sum{K, a.data(), M, &product, 1, of_a};
  accumulate_outer(&sum, 1, bias != nullptr);
}

}  // namespace

template <class S>
void gemm(Index M, Index N, Index K, ConstMatrix<S> A, ConstMatrix<S> B, S* C, Index ldc, const S* bias) {
  if (M == 0 || N == 0) return;
  if (A.trans == Trans::No)
    RowProduct<S>(M, N, K, A, B, C, ldc, bias).run();
  else
    gemm_outer<S>(M, N, K, A, B, C, ldc, bias, nullptr);
}

template <class S>
void linear_gradients(Index rows, Index outputs, Index inputs, const S* dy, const S* x, S* dW, S* db) {
  if (outputs == 0) return;
  gemm_outer<S>(outputs, inputs, rows, {dy, outputs, Trans::Yes}, {x, inputs}, dW, inputs, nullptr, db);
}

template void gemm<float>(Index, Index, Index, ConstMatrix<float>, ConstMatrix<float>, float*, Index, const float*);
template void gemm<double>(Index, Index, Index, ConstMatrix<double>, ConstMatrix<double>, double*, Index,
                           const double*);

template void linear_gradients<float>(Index, Index, Index, const float*, const float*, float*, float*);
template void linear_gradients<double>(Index, Index, Index, const double*, const double*, double*, double*);

}  // namespace unrolled
