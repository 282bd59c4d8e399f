#include "gemm/packed_matrix.h"

#include <algorithm>

#include "core/threads.h"
#include "gemm/columns.h"

namespace unrolled {
namespace {

// Multiply-adds of a product from which threads on standby share it.
constexpr double least_awake_work = 1.5e5;

Team team_for(double work) {
  if (work >= least_team_work) return get_num_threads();
  return work >= least_awake_work ? awake_team(get_num_threads()) : 1;
}

}  // namespace

template <class S>
PackedMatrix<S>::PackedMatrix(Index N, Index K, ConstMatrix<S> B, const S* bias)
    : shape_{N, K, max_vectors}, panels_(shape_.size()) {
  const Columns<S> columns(B, N, K);
  const Index groups = shape_.groups();
  parallel(double(N) * double(K) >= least_team_work ? get_num_threads() : 1, [&](int id, int count) {
    for (Index g = share_begin(groups, id, count); g < share_begin(groups, id + 1, count); ++g)
      columns.pack(g, 0, K, panels_.data() + shape_.offset(g));
  });
  if (bias == nullptr) return;
  bias_.resize(shape_.packets() * lanes<S>);
  bias_.fill_zero(bias_.size());
  std::copy_n(bias, N, bias_.data());
}

template <class S>
void PackedMatrix<S>::multiply(Index M, const S* A, S* C) const {
  const S* a[most_rows];
  S* c[most_rows];
  for (Index m = 0; m < M; ++m) {
    a[m] = A + m * shape_.depth;
    c[m] = C + m * shape_.columns;
  }
  const Start start = bias_.size() > 0 ? Start::Bias : Start::Zero;
  const Index groups = shape_.groups();
  parallel(team_for(double(M) * double(shape_.columns) * double(shape_.depth)), [&](int id, int count) {
    multiply_groups(shape_, panels_.data(), share_begin(groups, id, count), share_begin(groups, id + 1, count),
                    Depth::contiguous(shape_.depth), M, a, c, start, false, bias_.data());
  });
}

template class PackedMatrix<float>;
template class PackedMatrix<double>;

}  // namespace unrolled
