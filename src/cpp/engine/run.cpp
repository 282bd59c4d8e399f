// What forward and backward share: who does what, and where a row's values lie.
#include <algorithm>

#include "engine/engine.h"

namespace unrolled {

template <class S>
void ThreadRows<S>::resize(const CellInfo& cell, Index rows, Index chunk_rows) {
  const std::size_t n = static_cast<std::size_t>(rows), m = static_cast<std::size_t>(chunk_rows);
  for (auto* v : {&operand, &h_prev, &dy, &du})
    if (v->size() < n) v->resize(n);
  for (auto* v : {&slots, &y, &dh})
    if (v->size() < n) v->resize(n);
  for (int k = 0; k < cell.streams; ++k) {
    if (state_prev[k].size() < n) state_prev[k].resize(n);
    if (stream[k].size() < n) stream[k].resize(n);
    if (dstream[k].size() < n) dstream[k].resize(n);
  }
  if (a.size() < m) a.resize(m);
  if (sums.size() < m) sums.resize(m);
  u.resize(max_tile_rows * max_vectors * lanes<S>);
  for (int p = 0; p < cell.phase_count; ++p)
    if (cell.phases[p].row_statistics) {
      mean.resize(rows);
      inverse_deviation.resize(rows);
    }
}

template <class S>
typename Run<S>::Shares Run<S>::shares(int id, int count) const {
  // The runtime may have granted another number of threads than was planned: then the first one does it all.
  const bool as_planned = count == partition_.threads();
  const Partition part = as_planned ? partition_ : Partition{};
  // Shares of units are made of whole panels, forward's and backward's.
  const Index blocks = units_ / lanes<S>, panels = (blocks + blocks_per_share - 1) / blocks_per_share;
  const auto border = [&](int share) {
    return std::min(blocks, blocks_per_share * share_begin(panels, share, part.unit_shares));
  };
  if (!as_planned && id > 0) return {0, 0, 1, 0, 0, nullptr, 1};
  const int row_share = id / part.unit_shares, unit_share = id % part.unit_shares;
  // Rows of unequal length are dealt out in turns; else neighbours stay together, and so do their cache lines.
  const bool equal = schedule_.equal();
  const Index batch = schedule_.batch();
  return {equal ? share_begin(batch, row_share, part.row_shares) : row_share,
          equal ? share_begin(batch, row_share + 1, part.row_shares) : batch,
          equal ? 1 : part.row_shares,
          border(unit_share),
          border(unit_share + 1),
          &barriers_[static_cast<std::size_t>(row_share)],
          part.unit_shares};
}

template <class S>
void Run<S>::plan_threads(Index batch) {
  const std::size_t count = static_cast<std::size_t>(partition_.threads());
  const Index share = (batch + partition_.row_shares - 1) / partition_.row_shares;
  if (threads_.size() < count) threads_.resize(count);
  // The first thread may find itself alone, see `shares`: it has room for all rows.
  for (std::size_t id = 0; id < count; ++id) {
    const Index rows = id == 0 ? batch : share;
    threads_[id].resize(kernel_->info, rows, rows * chunk_steps_);
  }
  if (barrier_count_ < partition_.row_shares) {
    barriers_ = std::make_unique<Barrier[]>(static_cast<std::size_t>(partition_.row_shares));
    barrier_count_ = partition_.row_shares;
  }
}

/// Initial states in the order of the schedule, each row in whole packets.
template <class S>
void Run<S>::load_initial(const Inputs<S>& in) {
  const Index B = in.B, H = sizes_.hidden;
  const auto load = [&](Buffer<S>& to, const S* from) {
    to.resize(B * units_);
    for (Index i = 0; i < B; ++i) {
      S* const row = to.data() + i * units_;
      if (from) std::copy_n(from + schedule_.row(i) * H, H, row);
      std::fill(row + (from ? H : 0), row + units_, S(0));
    }
  };
  load(initial_, in.h0);
  for (int k = 0; k < kernel_->info.states; ++k) load(initial_state_[k], in.state0[k]);
  zeros_.resize(units_);
  zeros_.fill_zero(units_);
}

template <class S>
const S* Run<S>::output_before(const S* y, Index s, Index i) const {
  if (schedule_.cut(s, i)) return zeros_.data();
  return s == 0 ? initial_.data() + i * units_ : y + schedule_.at(s - 1, i) * sizes_.hidden;
}

template <class S>
const S* Run<S>::state_before(int k, Index s, Index i) const {
  if (schedule_.cut(s, i)) return zeros_.data();
  if (s == 0) return initial_state_[k].data() + i * units_;
  return streams_[k].data() + (keep_ ? schedule_.place(s - 1, i) : i) * units_;
}

template <class S>
S* Run<S>::stream_at(int k, Index s, Index i) {
  return streams_[k].data() + (keep_ ? schedule_.place(s, i) : i) * units_;
}

template struct ThreadRows<float>;
template struct ThreadRows<double>;
#define UNROLLED_RUN(S)                                                  \
  template Run<S>::Shares Run<S>::shares(int, int) const;                \
  template void Run<S>::plan_threads(Index);                             \
  template void Run<S>::load_initial(const Inputs<S>&);                  \
  template const S* Run<S>::output_before(const S*, Index, Index) const; \
  template const S* Run<S>::state_before(int, Index, Index) const;       \
  template S* Run<S>::stream_at(int, Index, Index);
UNROLLED_RUN(float)
UNROLLED_RUN(double)

}  // namespace unrolled
