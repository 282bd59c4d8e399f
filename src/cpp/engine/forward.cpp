// The forward loop. For a few steps at a time: the input parts of all gates as one product, then step by step the
// phases of the cell (phases.cpp).
#include <algorithm>

#include "engine/engine.h"

namespace unrolled {
namespace {

// Input parts are made for so many rows at once that their weights are read rarely, but the sums still lie in the
// second-level cache when the steps read them.
constexpr Index chunk_rows_at_least = 48;
constexpr Index chunk_bytes = Index(1) << 18;
// What is kept of so many gates does not stay in a cache until backward. A line that goes past the caches is not read
// from memory before it is written.
constexpr Index least_bytes_apart = Index(1) << 22;
// Chunks whose input parts are made in the same place, else they stay in no cache either.
constexpr Index least_chunks_apart = 8;

}  // namespace

template <class S>
void Run<S>::plan(const Inputs<S>& in, bool keep, bool alone) {
  const CellInfo& cell = kernel_->info;
  keep_ = keep;
  for (const Space space : {Space::Hidden, Space::Output}) {
    units_[static_cast<int>(space)] = padded<S>(sizes_.width(space));
    slot_row_[static_cast<int>(space)] = cell.slots_of(space) * units(space);
  }
  units_[static_cast<int>(Space::Kept)] = padded<S>(sizes_.kept);
  schedule_.plan(in.T, in.B, in.lengths, in.reset, in.reverse);
  const Index fresh = in.h0 == nullptr && cell.output_is_state ? in.B : 0;  // see starts_at_zero
  plan_partition(keep ? Pass::Forward : Pass::Inference, fresh, alone);

  const Index rows = (in.B + partition_.row_shares - 1) / partition_.row_shares;
  const Index by_cache = chunk_bytes / std::max<Index>(1, rows * slot_row_[0] * Index(sizeof(S)));
  const Index by_rows = chunk_rows_at_least / std::max<Index>(1, rows);
  chunk_steps_ = std::clamp<Index>(std::max(by_cache, by_rows), 1, std::max<Index>(1, schedule_.steps()));
  plan_threads();
  plan_memory(in.B);
  if (in.ids) table_.resize(in.symbols * table_row());
  plan_regular(in);
  by_share_ = in.B == 1 && takes_shares();
}

template <class S>
void Run<S>::plan_memory(Index batch) {
  const CellInfo& cell = kernel_->info;
  const Index places = schedule_.places(), chunk = keep_ ? places : batch * chunk_steps_;
  saves_apart_ = keep_ && places * slot_row_[0] * Index(sizeof(S)) >= least_bytes_apart &&
                 places >= least_chunks_apart * batch * chunk_steps_;
  if (saves_apart_) work_.resize(batch * chunk_steps_ * slot_row_[0]);
  slots_[0].resize(chunk * slot_row_[0]);
  slots_[1].resize((keep_ ? places : batch) * slot_row_[1]);
  for (int k = 0; k < cell.streams; ++k) {
    twice_[k] = false;
    for (int p = 0; p < cell.phases; ++p)
      if (cell.phase[p].operand == Operand::PreviousState && cell.phase[p].stream == k) twice_[k] = true;
    streams_[k].resize((keep_ || cell.is_kept(k) ? places : twice_[k] ? 2 * batch : batch) * units(stream_space(k)));
  }
  raw_u_step_ = 0;
  const auto moments = [&](int site) { moments_[site].resize(keep_ ? 2 * places : 0); };
  for (int p = 0; p < cell.phases; ++p) {
    if (!cell.phase[p].normalised) continue;
    if (cell.phase[p].matrix != identity) {
      const Index row = cell.phase[p].gates * units(cell.phase[p].space);
      raw_u_[p].resize((keep_ ? places : batch) * row);
      raw_u_step_ = std::max(raw_u_step_, row);
    }
    moments(p);
  }
  if (saves_apart_) work_raw_u_.resize(batch * raw_u_step_);
  for (int k = 0; k < cell.input_norms; ++k) moments(most_phases + k);
  if (normalises_input()) raw_a_.resize(chunk * cell.input_gates * units_[0]);
  if (normalises_input() && saves_apart_) work_raw_a_.resize(batch * chunk_steps_ * cell.input_gates * units_[0]);
  if (makes_input()) rows_.resize(places * sizes_.row);
}

template <class S>
void Run<S>::forward(const CellKernel<S>& cell, Sizes sizes, ForwardWeights<S>& weights, const Parameters<S>* pack_from,
                     const Inputs<S>& in, const Outputs<S>& out, bool keep) {
  start_forward(cell, sizes, weights, pack_from, in, keep, false);
  Barrier packed, made, tabled;
  Handover handover(partition_.threads());
  Distance distance(partition_.near_only && schedule_.steps() > 1);
  const Index steps = schedule_.steps();
  parallel(partition_.team(), [&](int id, int count) {
    if (pack_from) {
      weights.pack_share(cell.info, sizes, *pack_from, id, count);
      packed.wait(count);
    }
    if (makes_input()) {
      make_input(in, id, count);
      made.wait(count);
    }
    if (in.lengths) schedule_.clear_past_ends(out.y, sizes.output, y_step_, id, count);
    const Shares mine = shares(id, distance.near(id, count) ? count : 1);
    ThreadRows<S>& at = threads_[static_cast<std::size_t>(id)];
    if (in.ids && steps > 0) {
      project_table(weights, in, id, count, at);
      tabled.wait(count);
    }
    if (mine.team == nullptr) return;
    if (!hands_over(count)) return forward_steps(weights, in, out.y, 0, steps, mine, at);
    forward_steps(weights, in, out.y, 0, steps, mine, at, &handover);
    for (Handover::Rows rows; handover.take(&rows);)
      forward_steps(weights, in, out.y, rows.chunk, steps, mine.of(rows), at, &handover, rows.step);
  });
  finish_forward(weights, out);
}

/// What comes before the steps of forward; weights are prepared, but not packed.
template <class S>
void Run<S>::start_forward(const CellKernel<S>& cell, Sizes sizes, ForwardWeights<S>& weights,
                           const Parameters<S>* pack_from, const Inputs<S>& in, bool keep, bool alone) {
  kernel_ = &cell;
  sizes_ = sizes;
  y_step_ = in.y_step > 0 ? in.y_step : sizes.output;
  plan(in, keep, alone);
  load_initial(in);
  if (pack_from) weights.prepare(cell.info, sizes);
  for (int k = 0; k < cell.info.vectors; ++k) vector_data_[k] = weights.vectors.data() + k * weights.vector_step;
  plan_norms();
}

/// Steps [begin, end) of some rows, of which those before `first` have been run and the chunk around it has its input
/// parts.
template <class S>
void Run<S>::forward_steps(const ForwardWeights<S>& weights, const Inputs<S>& in, S* y, Index begin, Index end,
                           Shares mine, ThreadRows<S>& at, Handover* handover, Index first) {
  for (Index s0 = begin; s0 < end; s0 += chunk_steps_) {
    const Index s1 = std::min(end, s0 + chunk_steps_);
    if (s0 >= first) {
      if (normalises_input()) mine.await_all();  // others may still read raw input parts where these will be
      if (in.ids)
        look_up(in, s0, s1, mine);
      else
        project(weights, in, s0, s1, mine, at);
      if (normalises_input()) normalise_input(weights, s0, s1, mine);
    }
    for (Index s = std::max(s0, first); s < s1; ++s) {
      if (handover && s > s0 && handover->asked()) hand_over(*handover, {s, end}, s, s0, mine);
      forward_step(weights, in, y, s, s0, mine, at);
    }
  }
  if (saves_apart_) finish_past_caches();
}

template <class S>
void Run<S>::finish_forward(const ForwardWeights<S>& weights, const Outputs<S>& out) {
  const CellInfo& cell = kernel_->info;
  if (keep_) {
    vectors_.resize(cell.vectors * weights.vector_step);
    std::copy_n(weights.vectors.data(), cell.vectors * weights.vector_step, vectors_.data());
    for (int k = 0; k < cell.vectors; ++k) vector_data_[k] = vectors_.data() + k * weights.vector_step;
    plan_norms();
  }
  write_last(out);
}

/// a = W_ih x + b for this thread's rows and units of steps [s0, s1); only W_ih x, to where it is kept raw, for cells
/// that normalise it.
template <class S>
void Run<S>::project(const ForwardWeights<S>& weights, const Inputs<S>& in, Index s0, Index s1, const Shares& mine,
                     ThreadRows<S>& at) {
  const bool scattered = !schedule_.equal();
  const Index offset = input_first() * lanes<S>;
  Index rows = 0;
  for (Index s = s0; s < s1; ++s)
    for (Index n = 0, end = mine.rows(schedule_.rows(s)); n < end; ++n, ++rows) {
      const Index i = mine.row(n);
      const S* const x = at.a[static_cast<std::size_t>(rows)] = input_row(in, s, i);
      if (scattered) prefetch_row(x, sizes_.row);
      at.sums[static_cast<std::size_t>(rows)] = work_input_parts_at(s, i, s0) + offset;
    }
  multiply_input(weights, rows, mine.blocks(Space::Hidden), at);
}

/// The same for any `rows` rows of x, at.a, whose sums go to at.sums.
template <class S>
void Run<S>::multiply_input(const ForwardWeights<S>& weights, Index rows, const Blocks& own, ThreadRows<S>& at) {
  constexpr int P = lanes<S>;
  const int slots = input_stride();
  const Start start = normalises_input() ? Start::Zero : Start::Bias;
  for (int part = 0; part < input_parts && weights.input[part].gates > 0; ++part) {
    const GatePanels<S>& panels = weights.input[part];
    // A tile's packets go straight to their slots where those are evenly spaced, else by way of scratch.
    const bool even = panels.together == 1 || panels.gates == 1 || panels.gates == slots;
    const Index slot_step = panels.gates == 1 ? slots * P : P;
    const auto multiply = [&](Index group, int neighbours) {
      const int blocks = static_cast<int>(panels.blocks_of(group)), width = blocks * panels.gates;
      const Index first = (panels.first_block(group) * slots + part * most_gates) * P;
      const S* const bias = weights.bias[part].data() + panels.first_block(group) * panels.gates * P;
      if (rows == 1 && even) {
        S* out = at.sums[0] + first;
        return run_row(neighbours, width,
                       Tile<S>{Depth::contiguous(sizes_.row), at.a.data(), panels.panel(group), &out, slot_step, start,
                               bias, panels.panel_step(), blocks * slots * P});
      }
      for_row_tiles(rows, tile_rows<S>(width), [&](Index r0, int count) {
        S* const* const sums = at.sums.data() + r0;
        S* out[max_tile_rows];
        for (int r = 0; r < count; ++r) out[r] = even ? sums[r] + first : at.u.data() + r * width * P;
        run_tile(count, width,
                 Tile<S>{Depth::contiguous(sizes_.row), at.a.data() + r0, panels.panel(group), out,
                         even ? slot_step : P, start, bias});
        for (int r = 0; !even && r < count; ++r)
          for (int b = 0; b < blocks; ++b)
            std::copy_n(out[r] + b * panels.gates * P, panels.gates * P, sums[r] + first + b * slots * P);
      });
    };
    panels.each(panels.group_of(own.first), panels.group_of(own.last), rows == 1 && even, false, multiply);
  }
}

template <class S>
void Run<S>::forward_step(const ForwardWeights<S>& weights, const Inputs<S>& in, S* y, Index s, Index chunk,
                          const Shares& mine, ThreadRows<S>& at) {
  const CellInfo& cell = kernel_->info;
  if (!by_share_) mine.await_all();  // the step before is done
  const Index rows = mine.rows(schedule_.rows(s));
  for (Index n = 0; n < rows; ++n) {
    const Index i = mine.row(n), time = schedule_.at(s, i);
    const std::size_t r = static_cast<std::size_t>(n);
    at.slots[0][r] = work_slots_at(s, i, chunk);
    if (saves_apart_) at.saved[r] = slots_at(s, i, chunk);
    if (cell.output_slots > 0) at.slots[1][r] = output_slots_at(s, i);
    at.h_prev[r] = output_before(y, s, i);
    at.y[r] = y + time * y_step_;
    if (in.scalar) at.scalar[r] = in.scalar[time];
    for (int k = 0; k < cell.states; ++k) at.state_prev[k][r] = state_before(k, s, i);
    for (int k = 0; k < cell.streams; ++k) at.stream[k][r] = stream_at(k, s, i);
  }
  ForwardTile<S> tile;
  tile.keep = keep_;
  tile.numbers = in.numbers;
  tile.vectors = vector_data_;
  tile.info = &cell;
  tile.scalar = in.scalar;
  if (regularised_) tile.regular = draw_zones(s, rows, mine, at);
  if (masked_operand_) mask_operand(s, rows, mine, at);
  for (int p = 0; p < cell.phases; ++p) {
    const Phase& phase = cell.phase[p];
    if (phase.operand == Operand::PreviousOutput) {
      std::copy_n(at.h_prev.begin(), rows, at.operand.begin());
      for (Index n = 0; masked_operand_ && n < rows; ++n)
        at.operand[static_cast<std::size_t>(n)] = masked_before(s, mine.row(n));
    }
    if (phase.operand == Operand::PreviousState)
      std::copy_n(at.state_prev[phase.stream].begin(), rows, at.operand.begin());
    if (phase.operand == Operand::Stream) std::copy_n(at.stream[phase.stream].begin(), rows, at.operand.begin());
    tile.units = sizes_.width(phase.space);
    tile.slot_count = cell.slots_of(phase.space);
    tile.first_slot = phase.first_slot;
    tile.saved = saves_apart_ && phase.space == Space::Hidden ? at.saved.data() : nullptr;
    const Index depth = starts_at_zero(phase, in, s) ? 0 : weights.recurrent[p].depth;
    if (by_share_)
      fused_row(weights.recurrent[p], depth, mine, at, tile, s % 2 != 0);
    else if (phase.normalised)
      normalised_phase(p, weights, depth, s, rows, mine, at, tile);
    else
      fused_phase(weights.recurrent[p], depth, p, rows, mine, at, tile, s % 2 != 0);
    mine.arrive();
    if (p + 1 < cell.phases) mine.await_all();
  }
}

/// Whether what a phase multiplies at step s is the zeros that a sequence starts from: any finite matrix makes +0 of
/// them, so the product has no terms.
template <class S>
bool Run<S>::starts_at_zero(const Phase& phase, const Inputs<S>& in, Index s) const {
  if (s > 0 || started_) return false;
  if (phase.operand == Operand::PreviousOutput) return in.h0 == nullptr || !kernel_->info.output_is_state;
  return phase.operand == Operand::PreviousState && in.state0[phase.stream] == nullptr;
}

#define UNROLLED_FORWARD(S)                                                                                  \
  template void Run<S>::forward(const CellKernel<S>&, Sizes, ForwardWeights<S>&, const Parameters<S>*,       \
                                const Inputs<S>&, const Outputs<S>&, bool);                                  \
  template void Run<S>::start_forward(const CellKernel<S>&, Sizes, ForwardWeights<S>&, const Parameters<S>*, \
                                      const Inputs<S>&, bool, bool);                                         \
  template void Run<S>::forward_steps(const ForwardWeights<S>&, const Inputs<S>&, S*, Index, Index, Shares,  \
                                      ThreadRows<S>&, Handover*, Index);                                     \
  template void Run<S>::finish_forward(const ForwardWeights<S>&, const Outputs<S>&);
UNROLLED_FORWARD(float)
UNROLLED_FORWARD(double)

}  // namespace unrolled
