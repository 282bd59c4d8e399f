// Gradients that need no loop over time: once every step's gate gradients are known, those of the inputs, the weights
// and the per-unit parameters are products and sums over all valid steps, in the schedule's order.
#include <algorithm>

#include "engine/engine.h"

namespace unrolled {

/// dx = da W_ih for a share of the places.
template <class S>
void Run<S>::input_gradient(S* dx, int id, int count) {
  constexpr int P = lanes<S>;
  constexpr Index most = 96;  // rows per product: their slots stay in the second-level cache
  const CellInfo& cell = kernel_->info;
  const PanelShape<S>& shape = back_.input_shape;
  const Depth depth = cell.input_gates == cell.slots ? Depth::contiguous(shape.depth)
                                                     : Depth{units_ / P, cell.input_gates * P, cell.slots * P, 1};
  const S* a[most];
  S* out[most];
  const auto multiply = [&](Index rows) {
    for (Index group = 0; group < shape.groups(); ++group)
      multiply_group(shape, back_.input.data() + shape.offset(group), group, depth, rows, a, out, Start::Zero,
                     static_cast<const S*>(nullptr));
  };
  const Index first = share_begin(schedule_.places(), id, count), last = share_begin(schedule_.places(), id + 1, count);
  Index rows = 0;
  for (Index s = 0; s < schedule_.steps(); ++s) {
    const Index i0 = std::max<Index>(0, first - schedule_.first(s)),
                i1 = std::min(schedule_.rows(s), last - schedule_.first(s));
    for (Index i = i0; i < i1; ++i) {
      a[rows] = slots_at(s, i, 0) + cell.input_first * P;
      out[rows] = dx + schedule_.at(s, i) * sizes_.input;
      if (++rows < most) continue;
      multiply(rows);
      rows = 0;
    }
  }
  if (rows > 0) multiply(rows);
}

/// db and the gradients of per-unit vectors: sums over all places, a share of the unit blocks per thread.
template <class S>
void Run<S>::unit_gradients(const InputGradients<S>& wanted, int id, int count) {
  constexpr int P = lanes<S>;
  using V = Vec<S>;
  const CellInfo& cell = kernel_->info;
  const Index H = sizes_.hidden, blocks = units_ / P;
  for (Index block = share_begin(blocks, id, count); block < share_begin(blocks, id + 1, count); ++block) {
    V db[most_gates], dvector[most_vectors];
    std::fill_n(db, most_gates, V::zero());
    std::fill_n(dvector, most_vectors, V::zero());
    const S* slots = slots_.data() + block * cell.slots * P;
    for (Index place = 0; place < schedule_.places(); ++place, slots += slot_row_) {
      for (int gate = 0; gate < cell.input_gates; ++gate) db[gate] += V::load(slots + (cell.input_first + gate) * P);
      for (int k = 0; k < cell.vectors; ++k) kernel_->vector_gradient(k, slots, dvector[k]);
    }
    for (int gate = 0; wanted.db && gate < cell.input_gates; ++gate)
      db[gate].store_partial(wanted.db + cell.input_gate[gate] * H + block * P, H - block * P);
    for (int k = 0; k < cell.vectors; ++k)
      if (wanted.dvector[k]) dvector[k].store_partial(wanted.dvector[k] + block * P, H - block * P);
  }
}

/// dW_ih = sum of da x', dW_hh = sum of du operand'.
template <class S>
void Run<S>::weight_gradients(const Inputs<S>& in, const S* y, const InputGradients<S>& wanted) {
  constexpr int P = lanes<S>;
  const CellInfo& cell = kernel_->info;
  const Index places = schedule_.places(), H = sizes_.hidden;
  std::vector<const S*> slots(static_cast<std::size_t>(places));
  const auto collect = [&](std::vector<const S*>& rows, auto&& row_of) {
    rows.resize(static_cast<std::size_t>(places));
    std::size_t at = 0;
    for (Index s = 0; s < schedule_.steps(); ++s)
      for (Index i = 0; i < schedule_.rows(s); ++i) rows[at++] = row_of(s, i);
  };
  collect(slots, [&](Index s, Index i) { return slots_at(s, i, 0); });
  // Row of the weight matrix that a scalar of the slots belongs to, null for slots of other gates and lanes behind the
  // last unit.
  const auto rows_of = [&](S* dW, Index columns, int first_slot, int gates, const int* gate_of) {
    std::vector<S*> rows(static_cast<std::size_t>(slot_row_), nullptr);
    for (Index unit = 0; unit < H; ++unit)
      for (int gate = 0; gate < gates; ++gate)
        rows[static_cast<std::size_t>((unit / P * cell.slots + first_slot + gate) * P + unit % P)] =
            dW + (gate_of[gate] * H + unit) * columns;
    return rows;
  };
  std::vector<const S*> operands[1 + most_phases];
  std::vector<S*> targets[1 + most_phases];
  OuterProduct<S> products[1 + most_phases];
  int count = 0;
  if (wanted.dW_ih) {
    collect(operands[count], [&](Index s, Index i) { return in.x + schedule_.at(s, i) * sizes_.input; });
    targets[count] = rows_of(wanted.dW_ih, sizes_.input, cell.input_first, cell.input_gates, cell.input_gate);
    products[count] = {operands[count].data(), sizes_.input, targets[count].data()};
    ++count;
  }
  for (int p = 0; wanted.dW_hh && p < cell.phase_count; ++p) {
    const Phase& phase = cell.phases[p];
    if (phase.operand == Operand::None) continue;
    if (phase.operand == Operand::PreviousOutput)
      collect(operands[count], [&](Index s, Index i) { return output_before(y, s, i); });
    else
      collect(operands[count], [&](Index s, Index i) { return static_cast<const S*>(stream_at(phase.stream, s, i)); });
    targets[count] = rows_of(wanted.dW_hh, H, phase.first_slot, phase.gates, phase.weight_gate);
    products[count] = {operands[count].data(), H, targets[count].data()};
    ++count;
  }
  accumulate_outer(places, slots.data(), slot_row_, products, count, false);
}

#define UNROLLED_GRADIENTS(S)                                               \
  template void Run<S>::input_gradient(S*, int, int);                       \
  template void Run<S>::unit_gradients(const InputGradients<S>&, int, int); \
  template void Run<S>::weight_gradients(const Inputs<S>&, const S*, const InputGradients<S>&);
UNROLLED_GRADIENTS(float)
UNROLLED_GRADIENTS(double)

}  // namespace unrolled
