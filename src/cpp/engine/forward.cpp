// The forward loop. For a few steps at a time: the input parts of all gates as one product, then step by step the
// recurrent products, tile by tile, each tile's accumulators handed to the cell's point function while they are in the
// first-level cache.
#include <algorithm>
#include <cmath>

#include "engine/engine.h"
#include "engine/statistics.h"

namespace unrolled {
namespace {

// Input parts are made for so many rows at once that their weights are read rarely, but the sums still lie in the
// second-level cache when the steps read them.
constexpr Index chunk_rows_at_least = 48;
constexpr Index chunk_bytes = Index(1) << 18;

}  // namespace

template <class S>
void Run<S>::plan(const Inputs<S>& in, bool keep) {
  const CellInfo& cell = kernel_->info;
  keep_ = keep;
  units_ = padded<S>(sizes_.hidden);
  slot_row_ = cell.slots * units_;
  schedule_.plan(in.T, in.B, in.lengths, in.reset, in.reverse);
  const int gates = std::max(cell.input_gates, cell.weight_gates);
  partition_ =
      choose_partition(schedule_.places(), in.B, sizes_.input, sizes_.hidden, gates, lanes<S>, get_num_threads());

  const Index rows = (in.B + partition_.row_shares - 1) / partition_.row_shares;
  const Index by_cache = chunk_bytes / std::max<Index>(1, rows * slot_row_ * Index(sizeof(S)));
  const Index by_rows = chunk_rows_at_least / std::max<Index>(1, rows);
  chunk_steps_ = std::clamp<Index>(std::max(by_cache, by_rows), 1, std::max<Index>(1, schedule_.steps()));
  plan_threads(in.B);

  const Index kept = keep ? schedule_.places() : in.B * chunk_steps_;
  slots_.resize(kept * slot_row_);
  for (int k = 0; k < cell.streams; ++k) streams_[k].resize((keep ? schedule_.places() : in.B) * units_);
  for (int p = 0; p < cell.phase_count; ++p)
    if (cell.phases[p].row_statistics) {
      mean_[p].resize(schedule_.places());
      inverse_deviation_[p].resize(schedule_.places());
      raw_u_[p].resize(schedule_.places() * cell.phases[p].gates * units_);
    }
}

template <class S>
void Run<S>::forward(const CellKernel<S>& cell, Sizes sizes, ForwardWeights<S>& weights, const Parameters<S>* pack_from,
                     const Inputs<S>& in, const Outputs<S>& out, bool keep) {
  kernel_ = &cell;
  sizes_ = sizes;
  plan(in, keep);
  load_initial(in);
  if (pack_from) weights.prepare(cell.info, sizes);
  if (in.lengths) std::fill_n(out.y, in.T * in.B * sizes.hidden, S(0));
  Barrier packed;
  const Index steps = schedule_.steps();
  parallel(partition_.threads(), [&](int id, int count) {
    if (pack_from) {
      weights.pack_share(cell.info, sizes, *pack_from, id, count);
      packed.wait(count);
    }
    const Shares mine = shares(id, count);
    ThreadRows<S>& at = threads_[static_cast<std::size_t>(id)];
    for (Index s0 = 0; s0 < steps && mine.first_block < mine.last_block; s0 += chunk_steps_) {
      const Index s1 = std::min(steps, s0 + chunk_steps_);
      project(weights, in, s0, s1, mine, at);
      for (Index s = s0; s < s1; ++s) forward_step(weights, out.y, s, s0, mine, at);
    }
  });
  if (keep)
    for (int k = 0; k < cell.info.vectors; ++k) {
      vectors_[k].resize(units_);
      std::copy_n(weights.vectors[k].data(), units_, vectors_[k].data());
    }
  write_last(out.y, out);
}

/// a = W_ih x + b for this thread's rows and units of steps [s0, s1).
template <class S>
void Run<S>::project(const ForwardWeights<S>& weights, const Inputs<S>& in, Index s0, Index s1, const Shares& mine,
                     ThreadRows<S>& at) {
  constexpr int P = lanes<S>;
  const CellInfo& cell = kernel_->info;
  Index rows = 0;
  for (Index s = s0; s < s1; ++s)
    for (Index n = 0, end = mine.rows(schedule_.rows(s)); n < end; ++n, ++rows) {
      const Index i = mine.row(n);
      at.a[static_cast<std::size_t>(rows)] = in.x + schedule_.at(s, i) * sizes_.input;
      at.sums[static_cast<std::size_t>(rows)] = slots_at(s, i, s0);
    }
  const GatePanels<S>& panels = weights.input;
  // A tile's packets go straight to their slots where those are evenly spaced, else by way of scratch.
  const bool even = panels.together == 1 || panels.gates == 1 || panels.gates == cell.slots;
  const Index slot_step = panels.gates == 1 ? cell.slots * P : P;
  for (Index group = panels.group_of(mine.first_block); group < panels.group_of(mine.last_block); ++group) {
    const int blocks = static_cast<int>(panels.blocks_of(group)), width = blocks * panels.gates;
    const Index first = (panels.first_block(group) * cell.slots + cell.input_first) * P;
    const S* const bias = weights.bias.data() + panels.first_block(group) * panels.gates * P;
    for_row_tiles(rows, tile_rows<S>(width), [&](Index r0, int count) {
      S* const* const sums = at.sums.data() + r0;
      S* out[max_tile_rows];
      for (int r = 0; r < count; ++r) out[r] = even ? sums[r] + first : at.u.data() + r * width * P;
      const Depth depth = Depth::contiguous(sizes_.input);
      run_tile(count, width,
               Tile<S>{depth, at.a.data() + r0, panels.panel(group), out, even ? slot_step : P, Start::Bias, bias});
      for (int r = 0; !even && r < count; ++r)
        for (int b = 0; b < blocks; ++b)
          std::copy_n(out[r] + b * panels.gates * P, panels.gates * P, sums[r] + first + b * cell.slots * P);
    });
  }
}

template <class S>
void Run<S>::forward_step(const ForwardWeights<S>& weights, S* y, Index s, Index chunk, const Shares& mine,
                          ThreadRows<S>& at) {
  const CellInfo& cell = kernel_->info;
  const Index rows = mine.rows(schedule_.rows(s));
  for (Index n = 0; n < rows; ++n) {
    const Index i = mine.row(n);
    const std::size_t r = static_cast<std::size_t>(n);
    at.slots[r] = slots_at(s, i, chunk);
    at.h_prev[r] = output_before(y, s, i);
    at.y[r] = y + schedule_.at(s, i) * sizes_.hidden;
    for (int k = 0; k < cell.states; ++k) at.state_prev[k][r] = state_before(k, s, i);
    for (int k = 0; k < cell.streams; ++k) at.stream[k][r] = stream_at(k, s, i);
  }
  ForwardTile<S> tile{};
  tile.units = sizes_.hidden;
  tile.keep = keep_;
  tile.slot_count = cell.slots;
  for (int k = 0; k < cell.vectors; ++k) tile.vectors[k] = weights.vectors[k].data();
  for (int p = 0; p < cell.phase_count; ++p) {
    const Phase& phase = cell.phases[p];
    if (phase.operand == Operand::PreviousOutput) std::copy_n(at.h_prev.begin(), rows, at.operand.begin());
    if (phase.operand == Operand::Stream) std::copy_n(at.stream[phase.stream].begin(), rows, at.operand.begin());
    tile.first_slot = phase.first_slot;
    if (phase.row_statistics)
      statistics_phase(p, weights.recurrent[p], s, rows, mine, at, tile);
    else
      fused_phase(weights.recurrent[p], phase, kernel_->forward[p], rows, mine, at, tile);
    mine.meet->wait(mine.meeting);
  }
}

/// Rows [r0, r0 + count) of the step as a point function sees them.
template <class S>
static void aim(ForwardTile<S>& tile, const CellInfo& cell, const ThreadRows<S>& at, Index r0, Index count) {
  tile.rows = count;
  tile.slots = at.slots.data() + r0;
  tile.h_prev = at.h_prev.data() + r0;
  tile.y = at.y.data() + r0;
  for (int k = 0; k < cell.states; ++k) tile.state_prev[k] = at.state_prev[k].data() + r0;
  for (int k = 0; k < cell.streams; ++k) tile.stream[k] = at.stream[k].data() + r0;
}

/// Product and point function, tile by tile.
template <class S>
void Run<S>::fused_phase(const GatePanels<S>& panels, const Phase& phase, ForwardFunction<S> point, Index rows,
                         const Shares& mine, ThreadRows<S>& at, ForwardTile<S> tile) {
  constexpr int P = lanes<S>;
  const CellInfo& cell = kernel_->info;
  if (phase.operand == Operand::None) {
    aim(tile, cell, at, 0, rows);
    tile.first_block = mine.first_block;
    tile.blocks = mine.last_block - mine.first_block;
    tile.u = at.u.data();
    tile.u_row = tile.u_block = 0;
    point(tile);
    return;
  }
  for (Index group = panels.group_of(mine.first_block); group < panels.group_of(mine.last_block); ++group) {
    const int width = static_cast<int>(panels.blocks_of(group)) * panels.gates;
    tile.first_block = panels.first_block(group);
    tile.blocks = panels.blocks_of(group);
    tile.u = at.u.data();
    tile.u_row = width * P;
    tile.u_block = panels.gates * P;
    for_row_tiles(rows, tile_rows<S>(width), [&](Index r0, int count) {
      S* out[max_tile_rows];
      for (int r = 0; r < count; ++r) out[r] = at.u.data() + r * width * P;
      run_tile(count, width,
               Tile<S>{Depth::contiguous(panels.depth), at.operand.data() + r0, panels.panel(group), out, P,
                       Start::Zero, nullptr});
      aim(tile, cell, at, r0, count);
      point(tile);
    });
  }
}

/// The same where the point function needs the mean and deviation of each row's whole u: the products first, for all
/// units.
template <class S>
void Run<S>::statistics_phase(int p, const GatePanels<S>& panels, Index s, Index rows, const Shares& mine,
                              ThreadRows<S>& at, ForwardTile<S> tile) {
  constexpr int P = lanes<S>;
  const CellInfo& cell = kernel_->info;
  const Index u_row = panels.gates * units_;
  const auto u_of = [&](Index n) { return raw_u_[p].data() + schedule_.place(s, mine.row(n)) * u_row; };
  for (Index group = panels.group_of(mine.first_block); group < panels.group_of(mine.last_block); ++group) {
    const int width = static_cast<int>(panels.blocks_of(group)) * panels.gates;
    for_row_tiles(rows, tile_rows<S>(width), [&](Index r0, int count) {
      S* out[max_tile_rows];
      for (int r = 0; r < count; ++r) out[r] = u_of(r0 + r) + panels.first_block(group) * panels.gates * P;
      run_tile(count, width,
               Tile<S>{Depth::contiguous(panels.depth), at.operand.data() + r0, panels.panel(group), out, P,
                       Start::Zero, nullptr});
    });
  }
  mine.meet->wait(mine.meeting);  // the statistics are of all units
  for (Index n = 0; n < rows; ++n) {
    const RowMoments<S> of(u_of(n), panels.gates, units_, sizes_.hidden);
    const Index place = schedule_.place(s, mine.row(n));
    at.mean[n] = of.mean;
    at.inverse_deviation[n] = of.inverse_deviation;
    if (mine.first_block == 0) {
      mean_[p][place] = of.mean;
      inverse_deviation_[p][place] = of.inverse_deviation;
    }
    aim(tile, cell, at, n, 1);
    tile.first_block = mine.first_block;
    tile.blocks = mine.last_block - mine.first_block;
    tile.u = u_of(n) + mine.first_block * panels.gates * P;
    tile.u_row = u_row;
    tile.u_block = panels.gates * P;
    tile.mean = &at.mean[n];
    tile.inverse_deviation = &at.inverse_deviation[n];
    kernel_->forward[p](tile);
  }
}

/// The states at each sequence's last valid step; the initial ones where there is none.
template <class S>
void Run<S>::write_last(const S* y, const Outputs<S>& out) {
  const Index H = sizes_.hidden;
  for (Index i = 0; i < schedule_.batch(); ++i) {
    const Index row = schedule_.row(i), last = schedule_.length(i) - 1;
    const auto copy = [&](S* to, const S* from) {
      if (to) std::copy_n(from, H, to + row * H);
    };
    copy(out.h_last, last < 0 ? initial_.data() + i * units_ : y + schedule_.at(last, i) * H);
    for (int k = 0; k < kernel_->info.states; ++k)
      copy(out.state_last[k], last < 0 ? initial_state_[k].data() + i * units_ : stream_at(k, last, i));
  }
}

template void Run<float>::forward(const CellKernel<float>&, Sizes, ForwardWeights<float>&, const Parameters<float>*,
                                  const Inputs<float>&, const Outputs<float>&, bool);
template void Run<double>::forward(const CellKernel<double>&, Sizes, ForwardWeights<double>&, const Parameters<double>*,
                                   const Inputs<double>&, const Outputs<double>&, bool);

}  // namespace unrolled
