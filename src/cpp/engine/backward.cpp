// Back-propagation through time: the mirror of forward.cpp. The phases of a step run in reverse; each phase's point
// function turns what forward saved into gradients of the gate sums, whose product with the weights goes to the
// gradient of the phase's operand.
#include <algorithm>
#include <optional>

#include "engine/engine.h"

namespace unrolled {

template <class S>
void Run<S>::backward(const Parameters<S>& parameters, const Inputs<S>& in, const S* y, const OutputGradients<S>& given,
                      const InputGradients<S>& wanted) {
  const CellInfo& cell = kernel_->info;
  prepare_backward(parameters, in, given, wanted, false);
  WeightSums<S> listed = weight_sums(in, y, wanted);
  const std::vector<OuterSum<S>> sums = listed.sums();
  // One team for both where both want as many threads: it finds the gradients of a chunk in its caches.
  const int count_of_sums = static_cast<int>(sums.size());
  const Team sums_team = outer_team(sums.data(), count_of_sums);
  std::optional<OuterTeam<S>> outer;
  if (sums_team.wanted == partition_.threads())
    outer.emplace(sums.data(), count_of_sums, chunks_.most_places(), sums_team.wanted);
  Barrier packed, done, summed, rows_done;
  Handover handovers[2]{Handover(partition_.threads()), Handover(partition_.threads())};  // of this chunk, of the next
  Deal deals[2]{Deal(partition_.threads()), Deal(partition_.threads())};                  // their places
  Distance distance(partition_.near_only);
  const bool with_scalar = wanted.dscalar != nullptr;
  parallel(partition_.team(), [&](int id, int count) {
    if (!wanted.continues) back_.pack_share(cell, id, count);
    if (wanted.dx && in.lengths && !in.ids) schedule_.clear_past_ends(wanted.dx, sizes_.input, sizes_.input, id, count);
    packed.wait(count);
    const Shares mine = shares(id, distance.near(id, count) ? count : 1);
    ThreadRows<S>& at = threads_[static_cast<std::size_t>(id)];
    for (Index k = chunks_.count(); k-- > 0;) {
      const Chunk chunk = chunks_[k];
      if (mine.team != nullptr) {
        Handover* const handover = hands_over(count) ? &handovers[k % 2] : nullptr;
        backward_steps(in, given, y, with_scalar, chunk.begin, chunk.end, mine, at, handover);
        for (Handover::Rows rows; handover && handover->take(&rows);)
          backward_steps(in, given, y, with_scalar, chunk.begin, rows.step, mine.of(rows), at, handover);
      }
      if (id == 0) handovers[(k + 1) % 2].restart(count);
      deals[k % 2].start(chunk.places(), id, count);
      done.wait(count);
      chunk_gradients(in, wanted, k, deals[k % 2], id, count);
      for (const OuterSum<S>& sum : sums)
        if (outer) outer->add(sum, chunk.first, chunk.last, adds(wanted, k), id, count);
    }
    if (in.ids) {
      sum_by_symbol(in, id, count);
      summed.wait(count);
      symbol_gradients(in, wanted, id, count);
    }
    if (wanted.dscalar) scalar_gradient(wanted.dscalar, id, count);
    if (makes_input()) {
      rows_done.wait(count);
      input_backward(in, wanted, id, count);
    }
  });
  if (!outer) weight_gradients(sums, sums_team, wanted);
  finish_gradients(in, wanted);
}

/// What comes before the steps of backward; weights are prepared, but not packed.
template <class S>
void Run<S>::prepare_backward(const Parameters<S>& parameters, const Inputs<S>& in, const OutputGradients<S>& given,
                              const InputGradients<S>& wanted, bool alone) {
  const CellInfo& cell = kernel_->info;
  plan_partition(Pass::Backward, 0, alone);
  plan_threads();
  plan_regular_threads();
  const bool with_rows = wanted.dx != nullptr || makes_input();
  if (!wanted.continues) back_.prepare(cell, sizes_, parameters, with_rows, schedule_.places());
  chunks_.plan(schedule_);
  by_share_ = takes_shares();
  start_backward(given);
  initial_wanted_ = started_ || wanted.dh0;
  for (int k = 0; k < cell.states; ++k) initial_wanted_ = initial_wanted_ || wanted.dstate0[k];
  if (wanted.dscalar) {
    std::fill_n(wanted.dscalar, in.T * in.B, S(0));
    dscalar_.resize(schedule_.places() * units_[0]);
    dscalar_.fill_zero(schedule_.places() * units_[0]);
  }
}

/// What needs the gradients of all steps, and no share of a team.
template <class S>
void Run<S>::finish_gradients(const Inputs<S>& in, const InputGradients<S>& wanted) {
  start_gradients(in, wanted);
  vector_gradients(wanted);
  symbol_weight_gradients(in, wanted);
  state_gradients(wanted);
}

/// Gradients of the last states to where the loop carries them, in the order of the schedule.
template <class S>
void Run<S>::start_backward(const OutputGradients<S>& given) {
  const CellInfo& cell = kernel_->info;
  const Index B = schedule_.batch();
  const auto load = [&](Buffer<S>& to, const S* from, Space space) {
    const Index width = sizes_.width(space), step = units(space);
    to.resize(B * step);
    to.fill_zero(B * step);
    for (Index i = 0; from && i < B; ++i) std::copy_n(from + schedule_.row(i) * width, width, to.data() + i * step);
  };
  load(dh_, cell.output_is_state ? given.dh_last : nullptr, cell.output);
  for (int k = 0; k < cell.streams; ++k) {
    load(dstream_[k], k < cell.states ? given.dstate_last[k] : nullptr, cell.stream_space[k]);
    if (!cell.is_kept(k) || k < cell.states) continue;
    dstream_[k].resize(schedule_.places() * units(Space::Kept));
    dstream_[k].fill_zero(schedule_.places() * units(Space::Kept));
  }
  vector_step_ = start_step_;
  dvectors_.resize(B * cell.vectors * vector_step_);
  dvectors_.fill_zero(B * cell.vectors * vector_step_);
  if (makes_input()) drows_.resize(schedule_.places() * sizes_.row);
  if (!started_) return;
  dstart_.resize(B * cell.carried() * start_step_);
  dstart_.fill_zero(B * cell.carried() * start_step_);
}

template <class S>
void Run<S>::cut_gradient(int k, Index i, S* row, Blocks own) {
  const Index first = own.first * lanes<S>, last = own.last * lanes<S>;
  S* const sum = started_ ? dstart_.data() + (i * kernel_->info.carried() + k) * start_step_ : nullptr;
  for (Index unit = first; sum && unit < last; ++unit) sum[unit] += row[unit];
  std::fill(row + first, row + last, S(0));
}

template <class S>
void Run<S>::state_gradients(const InputGradients<S>& wanted) {
  const CellInfo& cell = kernel_->info;
  const auto unload = [&](const Buffer<S>& from, S* to, Space space) {
    const Index width = sizes_.width(space);
    for (Index i = 0; to && i < schedule_.batch(); ++i)
      std::copy_n(from.data() + i * units(space), width, to + schedule_.row(i) * width);
  };
  if (cell.output_is_state) unload(dh_, wanted.dh0, cell.output);
  for (int k = 0; k < cell.states; ++k) unload(dstream_[k], wanted.dstate0[k], cell.stream_space[k]);
}

/// Points this thread's rows to the values of step s.
template <class S>
void Run<S>::aim_backward(const Inputs<S>& in, const OutputGradients<S>& given, const S* y, bool with_scalar, Index s,
                          Index rows, const Shares& mine, ThreadRows<S>& at) {
  const CellInfo& cell = kernel_->info;
  const bool scattered = s > 0 && !schedule_.equal();
  for (Index n = 0; n < rows; ++n) {
    const Index i = mine.row(n), time = schedule_.at(s, i);
    if (scattered) {  // what the next step reads
      if (given.dy) prefetch_row(given.dy + schedule_.at(s - 1, i) * y_step_, sizes_.output);
      prefetch_row(output_before(y, s - 1, i), sizes_.output);
    }
    const std::size_t r = static_cast<std::size_t>(n);
    at.slots[0][r] = slots_at(s, i, 0);
    if (cell.output_slots > 0) at.slots[1][r] = output_slots_at(s, i);
    at.h_prev[r] = output_before(y, s, i);
    at.output[r] = y + time * y_step_;
    at.dy[r] = given.dy ? given.dy + time * y_step_ : nullptr;
    at.dh[r] = dh_.data() + i * units(cell.output);
    at.dvectors[r] = dvectors_.data() + i * cell.vectors * vector_step_;
    if (in.scalar) at.scalar[r] = in.scalar[time];
    if (with_scalar) at.dscalar[r] = dscalar_.data() + schedule_.place(s, i) * units_[0];
    for (int k = 0; k < cell.states; ++k) at.state_prev[k][r] = state_before(k, s, i);
    for (int k = 0; k < cell.streams; ++k) {
      at.stream[k][r] = stream_at(k, s, i);
      at.dstream[k][r] = dstream_at(k, s, i);
    }
  }
}

/// Steps [begin, end) of some rows, the last one first.
template <class S>
void Run<S>::backward_steps(const Inputs<S>& in, const OutputGradients<S>& given, const S* y, bool with_scalar,
                            Index begin, Index end, Shares mine, ThreadRows<S>& at, Handover* handover) {
  for (Index s = end; s-- > begin;) {
    if (handover && handover->asked()) hand_over(*handover, {begin, s + 1}, s + 1, begin, mine);
    backward_step(in, given, y, with_scalar, s, mine, at);
  }
}

template <class S>
void Run<S>::backward_step(const Inputs<S>& in, const OutputGradients<S>& given, const S* y, bool with_scalar, Index s,
                           const Shares& mine, ThreadRows<S>& at) {
  const CellInfo& cell = kernel_->info;
  const Index rows = mine.rows(schedule_.rows(s));
  aim_backward(in, given, y, with_scalar, s, rows, mine, at);
  BackwardTile<S> tile{};
  tile.rows = rows;
  tile.h_prev = at.h_prev.data();
  tile.y = at.output.data();
  tile.dy = at.dy.data();
  tile.dh = at.dh.data();
  tile.scalar = in.scalar ? at.scalar.data() : nullptr;
  tile.numbers = in.numbers;
  for (int k = 0; k < cell.states; ++k) tile.state_prev[k] = at.state_prev[k].data();
  for (int k = 0; k < cell.streams; ++k) {
    tile.stream[k] = at.stream[k].data();
    tile.dstream[k] = at.dstream[k].data();
  }
  tile.vectors = vector_data_;
  tile.info = &cell;
  tile.dvectors = at.dvectors.data();
  tile.vector_step = vector_step_;
  tile.dscalar = with_scalar ? at.dscalar.data() : nullptr;
  if (regularised_) tile.regular = draw_zones(s, rows, mine, at);
  for (int p = cell.phases; p-- > 0;) {
    const Phase& phase = cell.phase[p];
    const Blocks own = mine.blocks(phase.space);
    tile.first_block = own.first;
    tile.blocks = own.count();
    tile.units = sizes_.width(phase.space);
    tile.slot_count = cell.slots_of(phase.space);
    tile.slots = at.slots[static_cast<int>(phase.space)].data();
    backward_point(p)(tile);
    const bool normalised = phase.normalised || (p == 0 && normalises_input());
    if (phase.operand == Operand::None && !normalised) continue;
    // Statistics and product read the gradients of all units.
    if (by_share_)
      mine.arrive();  // propagate_shares waits for each share
    else
      mine.meet();
    if (normalised) normalise_backward(p, s, rows, mine, at);
    if (has_product(phase)) propagate(p, s, rows, mine, at);
  }
  // A reset cuts the gradient as it cut the state.
  for (Index n = 0; n < rows; ++n) {
    const Index i = mine.row(n);
    if (!schedule_.cut(s, i)) continue;
    const std::size_t r = static_cast<std::size_t>(n);
    const int first = cell.output_is_state ? 1 : 0;
    if (first == 1) cut_gradient(0, i, at.dh[r], mine.blocks(cell.output));
    for (int k = 0; k < cell.states; ++k)
      if (!cell.is_kept(k)) cut_gradient(first + k, i, at.dstream[k][r], mine.blocks(cell.stream_space[k]));
  }
}

template <class S>
BackwardFunction<S> Run<S>::backward_point(int p) const {
  return (regularised_ ? kernel_->regularised_backward : kernel_->backward)[p];
}

/// d operand += du W for this thread's units.
template <class S>
void Run<S>::propagate(int p, Index s, Index rows, const Shares& mine, ThreadRows<S>& at) {
  const CellInfo& cell = kernel_->info;
  const Phase& phase = cell.phase[p];
  constexpr int P = lanes<S>;
  const int slots = cell.slots_of(phase.space);
  S* const* const target = phase.operand == Operand::PreviousOutput ? at.dh.data() : at.dstream[phase.stream].data();
  const Blocks own = mine.blocks(cell.operand_space(phase));
  if (phase.normalised) {
    mine.meet();  // du is whole
    for (Index n = 0; n < rows; ++n) at.du[static_cast<std::size_t>(n)] = raw_u_at(p, s, mine.row(n));
  } else {
    const std::vector<S*>& from = at.slots[static_cast<int>(phase.space)];
    for (Index n = 0; n < rows; ++n)
      at.du[static_cast<std::size_t>(n)] = from[static_cast<std::size_t>(n)] + phase.first_slot * P;
  }
  const bool goes_before = phase.operand == Operand::PreviousOutput || phase.operand == Operand::PreviousState;
  if (s == 0 && goes_before && !initial_wanted_) return;
  const SlotMatrix<S>& matrix = back_.recurrent[p];
  const bool back = s % 2 != 0;  // back and forth, as forward does
  if (by_share_) return propagate_shares(matrix, rows, mine, at, back);
  const PanelShape<S>& shape = matrix.shape;
  const Depth depth = phase.normalised || phase.gates == slots
                          ? Depth::contiguous(shape.depth)
                          : Depth{units(phase.space) / P, phase.gates * P, slots * P, 1};
  const bool mask = masked_operand_ && phase.operand == Operand::PreviousOutput;
  const Index g0 = own.first / shape.width, g1 = (own.last + shape.width - 1) / shape.width;
  matrix.multiply(g0, g1, depth, rows, at.du.data(), mask ? at.masked_rows.data() : target,
                  mask ? Start::Zero : Start::Continue, back);
  for (Index n = 0; mask && n < rows; ++n) {
    const S* const of_row = mask_.data() + mine.row(n) * units(cell.output);
    const S* const product = at.masked_rows[static_cast<std::size_t>(n)];
    for (Index unit = own.first * P; unit < own.last * P; ++unit) target[n][unit] += of_row[unit] * product[unit];
  }
}

/// The same share by share of du, as they come; moves at.du on to its end.
template <class S>
void Run<S>::propagate_shares(const SlotMatrix<S>& matrix, Index rows, const Shares& mine, ThreadRows<S>& at,
                              bool back) {
  constexpr int P = lanes<S>;
  const CellInfo& cell = kernel_->info;
  const Phase& phase = cell.phase[0];
  const Blocks own = mine.blocks(cell.output);
  const Index length = phase.gates * P, jump = cell.slots_of(phase.space) * P;
  const int width = matrix.shape.width;
  for (int share = 0; share < mine.sharing; ++share) {
    const Blocks from = blocks_of_share(phase.space, share, mine.sharing);
    mine.await(share);
    matrix.multiply(own.first / width, (own.last + width - 1) / width,
                    Depth{from.count(), length, jump, 1, from.first * length}, rows, at.du.data(), at.dh.data(),
                    Start::Continue, back);
    for (Index n = 0; n < rows; ++n) at.du[static_cast<std::size_t>(n)] += from.count() * jump;
  }
}

#define UNROLLED_BACKWARD(S)                                                                                      \
  template void Run<S>::backward(const Parameters<S>&, const Inputs<S>&, const S*, const OutputGradients<S>&,     \
                                 const InputGradients<S>&);                                                       \
  template void Run<S>::prepare_backward(const Parameters<S>&, const Inputs<S>&, const OutputGradients<S>&,       \
                                         const InputGradients<S>&, bool);                                         \
  template void Run<S>::backward_steps(const Inputs<S>&, const OutputGradients<S>&, const S*, bool, Index, Index, \
                                       Shares, ThreadRows<S>&, Handover*);                                        \
  template void Run<S>::finish_gradients(const Inputs<S>&, const InputGradients<S>&);
UNROLLED_BACKWARD(float)
UNROLLED_BACKWARD(double)

}  // namespace unrolled
