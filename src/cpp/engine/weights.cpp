#include "engine/weights.h"

#include <algorithm>

#include "core/threads.h"

namespace unrolled {
namespace {

/// Row of a stacked weight matrix: block of gate `gate`, hidden unit `unit`; null behind the last unit.
template <class S>
const S* weight_row(const S* W, Index ld, Index hidden, int gate, Index unit) {
  return unit < hidden ? W + (gate * hidden + unit) * ld : nullptr;
}

template <class S>
void prepare_gates(GatePanels<S>& panels, int gates, Index depth, Index blocks) {
  panels.gates = gates;
  panels.together = blocks_per_panel(gates);
  panels.depth = depth;
  panels.blocks = blocks;
  panels.data.resize(blocks * gates * lanes<S> * depth);
}

template <class S>
void pack_gates(GatePanels<S>& panels, const S* W, Index hidden, const int* gate_of, int id, int count) {
  constexpr int P = lanes<S>;
  const S* rows[max_vectors * P];
  const Index g0 = share_begin(panels.groups(), id, count), g1 = share_begin(panels.groups(), id + 1, count);
  for (Index group = g0; group < g1; ++group) {
    const int blocks = static_cast<int>(panels.blocks_of(group));
    const S** row = rows;
    for (int block = 0; block < blocks; ++block)
      for (int gate = 0; gate < panels.gates; ++gate)
        for (int lane = 0; lane < P; ++lane)
          *row++ = weight_row(W, panels.depth, hidden, gate_of[gate], (panels.first_block(group) + block) * P + lane);
    pack_transposed(rows, blocks * panels.gates, panels.depth, const_cast<S*>(panels.panel(group)));
  }
}

/// Rows of W in the order of a phase's slots: [block][gate][lane].
template <class S>
std::vector<const S*> slot_rows(const S* W, Index ld, Sizes sizes, int gates, const int* gate_of) {
  std::vector<const S*> rows;
  rows.reserve(static_cast<std::size_t>(sizes.blocks<S>() * gates * lanes<S>));
  for (Index block = 0; block < sizes.blocks<S>(); ++block)
    for (int gate = 0; gate < gates; ++gate)
      for (int lane = 0; lane < lanes<S>; ++lane)
        rows.push_back(weight_row(W, ld, sizes.hidden, gate_of[gate], block * lanes<S> + lane));
  return rows;
}

template <class S>
void pack_slots(const PanelShape<S>& shape, S* out, const std::vector<const S*>& rows, Index columns, int id,
                int count) {
  const Index g0 = share_begin(shape.groups(), id, count), g1 = share_begin(shape.groups(), id + 1, count);
  for (Index group = g0; group < g1; ++group) {
    const Index first = shape.first_column(group);
    pack_rows(rows.data(), shape.depth, first, columns - first, shape.vectors(group), out + shape.offset(group));
  }
}

}  // namespace

template <class S>
void ForwardWeights<S>::prepare(const CellInfo& cell, Sizes sizes) {
  const Index blocks = sizes.blocks<S>();
  prepare_gates(input, cell.input_gates, sizes.input, blocks);
  for (int p = 0; p < cell.phase_count; ++p)
    if (cell.phases[p].operand != Operand::None)
      prepare_gates(recurrent[p], cell.phases[p].gates, sizes.hidden, blocks);
  bias.resize(blocks * cell.input_gates * lanes<S>);
  for (int k = 0; k < cell.vectors; ++k) vectors[k].resize(blocks * lanes<S>);
}

template <class S>
void ForwardWeights<S>::pack_share(const CellInfo& cell, Sizes sizes, const Parameters<S>& from, int id, int count) {
  constexpr int P = lanes<S>;
  const Index blocks = sizes.blocks<S>();
  pack_gates(input, from.W_ih, sizes.hidden, cell.input_gate, id, count);
  for (int p = 0; p < cell.phase_count; ++p)
    if (cell.phases[p].operand != Operand::None)
      pack_gates(recurrent[p], from.W_hh, sizes.hidden, cell.phases[p].weight_gate, id, count);
  if (id != 0) return;
  bias.fill_zero(blocks * cell.input_gates * P);
  for (Index unit = 0; from.b && unit < sizes.hidden; ++unit)
    for (int gate = 0; gate < cell.input_gates; ++gate)
      bias[(unit / P * cell.input_gates + gate) * P + unit % P] = from.b[cell.input_gate[gate] * sizes.hidden + unit];
  for (int k = 0; k < cell.vectors; ++k) {
    vectors[k].fill_zero(blocks * P);
    if (from.vector[k]) std::copy_n(from.vector[k], sizes.hidden, vectors[k].data());
  }
}

template <class S>
void BackwardWeights<S>::prepare(const CellInfo& cell, Sizes sizes, const Parameters<S>& from, bool with_input) {
  const Index units = sizes.blocks<S>() * lanes<S>;
  input_shape = {};
  if (with_input) {
    input_shape = {sizes.input, units * cell.input_gates, max_vectors};
    input.resize(input_shape.size());
    input_rows_ = slot_rows(from.W_ih, sizes.input, sizes, cell.input_gates, cell.input_gate);
  }
  for (int p = 0; p < cell.phase_count; ++p) {
    const Phase& phase = cell.phases[p];
    if (phase.operand == Operand::None) continue;
    recurrent_shape[p] = {units, units * phase.gates, max_vectors};
    recurrent[p].resize(recurrent_shape[p].size());
    recurrent_rows_[p] = slot_rows(from.W_hh, sizes.hidden, sizes, phase.gates, phase.weight_gate);
  }
}

template <class S>
void BackwardWeights<S>::pack_share(const CellInfo& cell, Sizes sizes, int id, int count) {
  for (int p = 0; p < cell.phase_count; ++p)
    if (cell.phases[p].operand != Operand::None)
      pack_slots(recurrent_shape[p], recurrent[p].data(), recurrent_rows_[p], sizes.hidden, id, count);
  if (input_shape.depth > 0) pack_slots(input_shape, input.data(), input_rows_, sizes.input, id, count);
}

template class ForwardWeights<float>;
template class ForwardWeights<double>;
template class BackwardWeights<float>;
template class BackwardWeights<double>;

}  // namespace unrolled
