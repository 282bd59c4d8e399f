#include "gemm/packed_matrix.h"

#include <algorithm>

#include "core/threads.h"
#include "gemm/columns.h"

namespace unrolled {

template <class S>
PackedMatrix<S>::PackedMatrix(Index N, Index K, ConstMatrix<S> B, const S* bias)
    : shape_{N, K, max_vectors}, panels_(shape_.size()) {
  const Columns<S> columns(B, N, K);
  const Index groups = shape_.groups();
  parallel(double(N) * double(K) >= least_team_work ? get_num_threads() : 1, [&](int id, int count) {
    for (Index g = share_begin(groups, id, count); g < share_begin(groups, id + 1, count); ++g)
      columns.pack(g, 0, K, panels_.data() + shape_.offset(g));
  });
  pad_bias(bias, N, bias_);
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
  const Index groups = shape_.groups(), tiles = M / tile_rows<S>(max_vectors);
  const int threads = get_num_threads();
  const bool by_rows = groups < threads && tiles > groups;  // else threads share the panels
  const double work = double(M) * double(shape_.columns) * double(shape_.depth);
  parallel(team_for(work, static_cast<int>(std::min<Index>(threads, by_rows ? tiles : groups))),
           [&](int id, int count) {
             const auto multiply = [&](Index g0, Index g1, Index m0, Index m1) {
               multiply_groups(shape_, panels_.data(), g0, g1, Depth::contiguous(shape_.depth), m1 - m0, a + m0, c + m0,
                               start, false, bias_.data());
             };
             if (by_rows)
               multiply(0, groups, share_begin(M, id, count), share_begin(M, id + 1, count));
             else
               multiply(share_begin(groups, id, count), share_begin(groups, id + 1, count), 0, M);
           });
}

template class PackedMatrix<float>;
template class PackedMatrix<double>;

}  // namespace unrolled
