// What forward and backward share: who does what, and where a row's values lie.
#include <algorithm>
#include <cassert>

#include "engine/engine.h"

namespace unrolled {

template <class S>
void ThreadRows<S>::resize(const CellInfo& cell, Index rows, Index chunk_rows, Index units) {
  const std::size_t n = static_cast<std::size_t>(rows), m = static_cast<std::size_t>(chunk_rows);
  const auto grow = [](auto& v, std::size_t size) {
    if (v.size() < size) v.resize(size);
  };
  for (auto* v : {&operand, &h_prev, &output, &dy, &du}) grow(*v, n);
  for (auto* v : {&slots[0], &slots[1], &saved, &y, &dh, &dvectors, &dscalar}) grow(*v, n);
  grow(scalar, n);
  grow(norm_sums, n * most_norms_at_once);
  for (int k = 0; k < cell.states; ++k) grow(state_prev[k], n);
  for (int k = 0; k < cell.streams; ++k) {
    grow(stream[k], n);
    grow(dstream[k], n);
  }
  grow(a, m);
  grow(sums, m);
  Index scratch = max_tile_rows * max_vectors * lanes<S>;
  for (int p = 0; p < cell.phases; ++p)
    // All sums of a row, before it is normalised or while the operand comes in shares (fused_row).
    if (cell.phase[p].normalised || rows == 1) scratch = std::max(scratch, cell.phase[p].gates * units);
  u.resize(scratch);
}

template <class S>
Shares Run<S>::shares(int id, int count) const {
  // The runtime may have granted another number of threads than was planned: then the first one does it all.
  const bool as_planned = count == partition_.threads();
  const Partition part = as_planned ? partition_ : Partition{};
  Shares mine;
  if (!as_planned && id > 0) return mine;
  const int row_share = id / part.unit_shares, unit_share = id % part.unit_shares;
  // Rows of unequal length, the longest first, are dealt out there and back again, so that no thread has all the longer
  // ones; else neighbours stay together, and so do their cache lines.
  const bool equal = schedule_.equal();
  const Index batch = schedule_.batch();
  mine.first_row = equal ? share_begin(batch, row_share, part.row_shares) : 0;
  mine.last_row = equal ? share_begin(batch, row_share + 1, part.row_shares) : batch;
  mine.turn = equal ? 0 : row_share;
  mine.turns = equal ? 1 : part.row_shares;
  for (const Space space : {Space::Hidden, Space::Output, Space::Kept})
    mine.of_space[static_cast<int>(space)] = blocks_of_share(space, unit_share, part.unit_shares);
  mine.team = &milestones_[static_cast<std::size_t>(row_share * part.unit_shares)];
  mine.share = unit_share;
  mine.sharing = part.unit_shares;
  return mine;
}

/// Whether threads take rows over from one another.
template <class S>
bool Run<S>::hands_over(int count) const {
  return partition_.row_shares > 1 && partition_.unit_shares == 1 && count == partition_.threads();
}

/// Before `step` of a chunk, gives half of this thread's rows to one that waits for some, where the steps that are left
/// are worth it.
template <class S>
void Run<S>::hand_over(Handover& handover, Steps left, Index step, Index chunk, Shares& mine) const {
  constexpr Index least_rows = 3;     // fewer do not keep the multipliers busy while weights pass
  constexpr double least_work = 1e6;  // twenty microseconds of multiply-adds
  const Index rows = mine.rows(schedule_.rows(left.first));
  const double place = double(slot_row_[0]) * double(kernel_->info.matrices > 0 ? units_[0] : sizes_.row);
  if (rows < 2 * least_rows || double(left.last - left.first) * double(rows) * place < least_work) return;
  Index kept = (rows + 1) / 2;
  if (mine.turns > 1) kept += kept % 2;  // so that those behind are dealt in the same way
  const Index middle = mine.first_row + kept * mine.turns;
  if (handover.give({middle, mine.last_row, mine.turn, step, chunk})) mine.last_row = middle;
}

/// Shares of units are made of whole panels, forward's and backward's.
template <class S>
Blocks Run<S>::blocks_of_share(Space space, int share, int sharing) const {
  const Index blocks = units(space) / lanes<S>, panels = (blocks + blocks_per_share - 1) / blocks_per_share;
  const auto border = [&](int k) { return std::min(blocks, blocks_per_share * share_begin(panels, k, sharing)); };
  return {border(share), border(share + 1)};
}

/// Whether threads that share the units of a cell with one phase need not meet after it: the product of the next step
/// takes what each of them makes as it comes, its own share while the others' are on their way. Sums go over k in the
/// same order. Weights that exceed a core's own cache would be read half by half and lose what fused_phase gains.
template <class S>
bool Run<S>::takes_shares() const {
  constexpr Index most_bytes = Index(1) << 19;
  const CellInfo& cell = kernel_->info;
  const Phase& phase = cell.phase[0];
  if (partition_.unit_shares == 1 || cell.phases > 1 || normalises_input() || masked_operand_) return false;
  if (phase.operand != Operand::PreviousOutput || phase.normalised || !has_product(phase)) return false;
  const Index weights = phase.gates * sizes_.width(phase.space) * sizes_.width(cell.output);
  return weights * Index(sizeof(S)) <= most_bytes * partition_.unit_shares;
}

template <class S>
void Run<S>::plan_partition(Pass pass, Index fresh, bool alone) {
  const CellInfo& cell = kernel_->info;
  const int gates = std::max(cell.input_gates, cell.weight_gates());
  const Load load{pass, schedule_.batch(), schedule_.places(), fresh, sizes_.row, sizes_.hidden, gates, lanes<S>};
  partition_ = choose_partition(load, alone ? 1 : get_num_threads());
}

template <class S>
void Run<S>::plan_threads() {
  const Index batch = schedule_.batch();
  const std::size_t count = static_cast<std::size_t>(partition_.threads());
  const Index share = (batch + partition_.row_shares - 1) / partition_.row_shares;
  if (threads_.size() < count) threads_.resize(count);
  // The first thread may find itself alone, see `shares`: it has room for all rows.
  for (std::size_t id = 0; id < count; ++id) {
    const Index rows = id == 0 ? batch : share;
    threads_[id].resize(kernel_->info, rows, rows * chunk_steps_, std::max(units_[0], units_[1]));
  }
  if (milestone_count_ < partition_.threads()) {
    milestones_ = std::make_unique<Milestone[]>(count);
    milestone_count_ = partition_.threads();
  }
  for (std::size_t id = 0; id < count; ++id) milestones_[id].reset();
}

/// Initial states in the order of the schedule, each row in whole packets.
template <class S>
void Run<S>::load_initial(const Inputs<S>& in) {
  const CellInfo& cell = kernel_->info;
  const auto load = [&](Buffer<S>& to, const S* from, Space space) {
    const Index width = sizes_.width(space), step = units(space);
    to.resize(in.B * step);
    for (Index i = 0; i < in.B; ++i) {
      S* const row = to.data() + i * step;
      if (from) std::copy_n(from + schedule_.row(i) * width, width, row);
      std::fill(row + (from ? width : 0), row + step, S(0));
    }
  };
  load(initial_, cell.output_is_state ? in.h0 : nullptr, cell.output);
  for (int k = 0; k < cell.states; ++k) load(initial_state_[k], in.state0[k], cell.stream_space[k]);
  start_step_ = std::max({units_[0], units_[1], units_[2]});
  start_.resize(cell.carried() * start_step_);
  start_.fill_zero(cell.carried() * start_step_);
  started_ = false;
  for (int k = 0; k < cell.carried(); ++k) {
    if (in.start[k] == nullptr) continue;
    std::copy_n(in.start[k], state_width(cell, sizes_, k), start_.data() + k * start_step_);
    started_ = true;
  }
}

/// The states at each sequence's last valid step; the initial ones where there is none.
template <class S>
void Run<S>::write_last(const Outputs<S>& out) {
  const CellInfo& cell = kernel_->info;
  for (Index i = 0; i < schedule_.batch(); ++i) {
    const Index row = schedule_.row(i), last = schedule_.length(i) - 1;
    const auto copy = [&](S* to, const S* from, Space space) {
      const Index width = sizes_.width(space);
      if (to) std::copy_n(from, width, to + row * width);
    };
    if (cell.output_is_state)
      copy(out.h_last, last < 0 ? initial_.data() + i * units(cell.output) : out.y + schedule_.at(last, i) * y_step_,
           cell.output);
    for (int k = 0; k < cell.states; ++k)
      copy(out.state_last[k], last < 0 ? initial_state_[k].data() + i * units(stream_space(k)) : stream_at(k, last, i),
           stream_space(k));
  }
}

template <class S>
const S* Run<S>::output_before(const S* y, Index s, Index i) const {
  if (schedule_.cut(s, i)) return start_of(0);
  const Space space = kernel_->info.output;
  return s == 0 ? initial_.data() + i * units(space) : y + schedule_.at(s - 1, i) * y_step_;
}

template <class S>
const S* Run<S>::state_before(int k, Index s, Index i) const {
  if (schedule_.cut(s, i)) return start_of(kernel_->info.output_is_state ? k + 1 : k);
  const Index step = units(stream_space(k));
  return s == 0 ? initial_state_[k].data() + i * step : streams_[k].data() + stream_row(k, s - 1, i) * step;
}

/// The normalisations of the call; vector_data_ is set.
template <class S>
void Run<S>::plan_norms() {
  const CellInfo& cell = kernel_->info;
  const auto set = [&](int site, Space space, int first_slot, int gates, int gain, int stride, int first_gate) {
    norms_[site] = {site, space, first_slot, gates, gain, stride, first_gate, vector_data_[gain]};
  };
  for (int p = 0; p < cell.phases; ++p) {
    const Phase& phase = cell.phase[p];
    if (phase.normalised) set(p, phase.space, phase.first_slot, phase.gates, phase.gain, phase.gates, 0);
  }
  assert(cell.input_norms == 0 || cell.input_gates <= most_gates);  // one part of the bias
  for (int k = 0; k < cell.input_norms; ++k) {
    const InputNorm& norm = cell.input_norm[k];
    set(most_phases + k, Space::Hidden, norm.first_slot, norm.gates, norm.gain, cell.input_gates,
        norm.first_slot - cell.input_first);
  }
}

template <class S>
void Run<S>::copy_slot(int slot, S* to) {
  constexpr int P = lanes<S>;
  const Index H = sizes_.hidden, slots = kernel_->info.slots;
  for (Index s = 0; s < schedule_.steps(); ++s)
    for (Index i = 0; i < schedule_.rows(s); ++i)
      for (Index block = 0; block * P < H; ++block)
        std::copy_n(slots_at(s, i, 0) + (block * slots + slot) * P, std::min<Index>(P, H - block * P),
                    to + schedule_.at(s, i) * H + block * P);
}

template <class S>
void Run<S>::copy_stream(int stream, S* to) {
  const Index width = sizes_.width(stream_space(stream));
  for (Index s = 0; s < schedule_.steps(); ++s)
    for (Index i = 0; i < schedule_.rows(s); ++i)
      std::copy_n(stream_at(stream, s, i), width, to + schedule_.at(s, i) * width);
}

template struct ThreadRows<float>;
template struct ThreadRows<double>;
#define UNROLLED_RUN(S)                                                           \
  template Shares Run<S>::shares(int, int) const;                                 \
  template Blocks Run<S>::blocks_of_share(Space, int, int) const;                 \
  template bool Run<S>::takes_shares() const;                                     \
  template bool Run<S>::hands_over(int) const;                                    \
  template void Run<S>::hand_over(Handover&, Steps, Index, Index, Shares&) const; \
  template void Run<S>::plan_partition(Pass, Index, bool);                        \
  template void Run<S>::plan_threads();                                           \
  template void Run<S>::plan_norms();                                             \
  template void Run<S>::load_initial(const Inputs<S>&);                           \
  template void Run<S>::write_last(const Outputs<S>&);                            \
  template const S* Run<S>::output_before(const S*, Index, Index) const;          \
  template const S* Run<S>::state_before(int, Index, Index) const;                \
  template void Run<S>::copy_slot(int, S*);                                       \
  template void Run<S>::copy_stream(int, S*);

UNROLLED_RUN(float)
UNROLLED_RUN(double)

}  // namespace unrolled
