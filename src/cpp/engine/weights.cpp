#include "engine/weights.h"

#include <algorithm>
#include <stdexcept>

#include "core/threads.h"

namespace unrolled {

Sizes::Sizes(const CellInfo& cell, const double* numbers, Index input, Index hidden, Index output, Index second)
    : Sizes(input, hidden, output, second) {
  constexpr double most = 1 << 20;
  const double more = cell.input.more_option == no_option ? 0 : numbers[cell.input.more_option];
  if (!(more >= 0 && more <= most) || more != static_cast<double>(static_cast<Index>(more)))
    throw std::invalid_argument("numbers: the option for the width of the input is no whole number of at least 0");
  row = (cell.input.row + static_cast<Index>(more)) * input;
  kept = (cell.input.kept + static_cast<Index>(more)) * input;
}

namespace {

/// Row of a stacked weight matrix: block of gate `gate`, unit `unit`; null behind the last unit.
template <class S>
const S* weight_row(const S* W, Index ld, Index units, int gate, Index unit) {
  return unit < units ? W + (gate * units + unit) * ld : nullptr;
}

template <class S>
void prepare_gates(GatePanels<S>& panels, int gates, Index depth, Index blocks) {
  panels.gates = gates;
  panels.together = blocks_per_panel(gates);
  panels.depth = depth;
  panels.blocks = blocks;
  const Index of_block = gates * lanes<S> * depth * Index(sizeof(S));
  panels.most_at_once = most_at_once(panels.together * of_block, blocks * of_block);
  panels.data.resize(blocks * gates * lanes<S> * depth);
}

template <class S>
void pack_gates(GatePanels<S>& panels, const S* W, Index units, const int* gate_of, int id, int count) {
  constexpr int P = lanes<S>;
  const S* rows[max_vectors * P];
  const Index g0 = share_begin(panels.groups(), id, count), g1 = share_begin(panels.groups(), id + 1, count);
  for (Index group = g0; group < g1; ++group) {
    const int blocks = static_cast<int>(panels.blocks_of(group));
    const S** row = rows;
    for (int block = 0; block < blocks; ++block)
      for (int gate = 0; gate < panels.gates; ++gate)
        for (int lane = 0; lane < P; ++lane)
          *row++ = weight_row(W, panels.depth, units, gate_of[gate], (panels.first_block(group) + block) * P + lane);
    pack_transposed(rows, blocks * panels.gates, panels.depth, panels.panel(group));
  }
}

/// Rows of W in the order of a phase's slots: [block][gate][lane].
template <class S>
std::vector<const S*> slot_rows(const S* W, Index ld, Index units, int gates, const int* gate_of) {
  const Index blocks = padded<S>(units) / lanes<S>;
  std::vector<const S*> rows(static_cast<std::size_t>(blocks * gates * lanes<S>));
  const S** to = rows.data();
  for (Index block = 0; block < blocks; ++block)
    for (int gate = 0; gate < gates; ++gate)
      for (int lane = 0; lane < lanes<S>; ++lane)
        *to++ = weight_row(W, ld, units, gate_of[gate], block * lanes<S> + lane);
  return rows;
}

template <class S>
void pack_slots(SlotMatrix<S>& matrix, int id, int count) {
  const PanelShape<S>& shape = matrix.shape;
  if (!matrix.packed) return;
  const Index g0 = share_begin(shape.groups(), id, count), g1 = share_begin(shape.groups(), id + 1, count);
  for (Index group = g0; group < g1; ++group) {
    const Index first = shape.first_column(group);
    pack_rows(matrix.rows.data(), shape.depth, first, matrix.columns - first, shape.vectors(group),
              matrix.panels.data() + shape.offset(group));
  }
}

/// Places up to which weights are not worth being packed for backward.
constexpr Index few_places = 2;

template <class S>
void prepare_slots(SlotMatrix<S>& matrix, Index columns, Index most_columns, Index places) {
  constexpr int P = lanes<S>;
  matrix.columns = columns;
  matrix.shape = {most_columns, static_cast<Index>(matrix.rows.size()), max_vectors};
  matrix.packed = places > few_places || columns % P != 0 ||
                  std::find(matrix.rows.begin(), matrix.rows.end(), nullptr) != matrix.rows.end();
  if (matrix.packed) matrix.panels.resize(matrix.shape.size());
}

}  // namespace

template <class S>
void ForwardWeights<S>::prepare(const CellInfo& cell, Sizes sizes) {
  const Index blocks = sizes.blocks<S>(Space::Hidden);
  for (int part = 0; part < input_parts; ++part) {
    const int gates = gates_of_part(cell, part);
    if (gates == 0) continue;
    prepare_gates(input[part], gates, sizes.row, blocks);
    bias[part].resize(blocks * gates * lanes<S>);
  }
  for (int p = 0; p < cell.phases; ++p) {
    const Phase& phase = cell.phase[p];
    if (has_product(phase))
      prepare_gates(recurrent[p], phase.gates, sizes.width(cell.operand_space(phase)), sizes.blocks<S>(phase.space));
  }
  vector_step = 0;
  for (int k = 0; k < cell.vectors; ++k)
    vector_step = std::max(vector_step, padded<S>(sizes.width(group_of(cell, k).space)));
  vectors.resize(cell.vectors * vector_step);
}

template <class S>
void ForwardWeights<S>::pack_share(const CellInfo& cell, Sizes sizes, const Parameters<S>& from, int id, int count) {
  constexpr int P = lanes<S>;
  for (int part = 0; part < input_parts; ++part)
    if (gates_of_part(cell, part) > 0)
      pack_gates(input[part], from.W_ih, sizes.hidden, cell.input_gate + part * most_gates, id, count);
  for (int p = 0; p < cell.phases; ++p) {
    const Phase& phase = cell.phase[p];
    if (has_product(phase))
      pack_gates(recurrent[p], from.matrix[phase.matrix], sizes.width(phase.space), phase.weight_gate, id, count);
  }
  if (id != 0) return;
  for (int part = 0; part < input_parts; ++part) {
    const int gates = gates_of_part(cell, part);
    bias[part].fill_zero(sizes.blocks<S>(Space::Hidden) * gates * P);
    const int* const gate_of = cell.input_gate + part * most_gates;
    for (Index unit = 0; from.b && unit < sizes.hidden; ++unit)
      for (int gate = 0; gate < gates; ++gate)
        bias[part][(unit / P * gates + gate) * P + unit % P] = from.b[gate_of[gate] * sizes.hidden + unit];
  }
  vectors.fill_zero(cell.vectors * vector_step);
  for (int k = 0; k < cell.vectors; ++k) {
    const VectorGroup& group = group_of(cell, k);
    const Index width = sizes.width(group.space);
    if (from.vector[k] == nullptr) continue;
    const VectorPlace place(cell, k, vector_step, P);
    for (Index unit = 0; unit < width; unit += P) {
      S* const to = vectors.data() + place.first + unit / P * place.step;
      const Index count = std::min<Index>(P, width - unit);
      group.shared ? std::fill_n(to, count, *from.vector[k]) : std::copy_n(from.vector[k] + unit, count, to);
    }
  }
}

template <class S>
void SlotMatrix<S>::multiply(Index first_group, Index last_group, const Depth& depth, Index count, const S* const* a,
                             S* const* c, Start start, bool back) const {
  if (packed) return multiply_groups(shape, panels.data(), first_group, last_group, depth, count, a, c, start, back);
  const Index first = shape.first_column(first_group), last = std::min(columns, shape.first_column(last_group));
  const S* const* const from = rows.data() + depth.skipped;
  for (Index r = 0; r < count; ++r) multiply_unpacked(from, first, last, depth, a[r], c[r], start);
}

template <class S>
void BackwardWeights<S>::prepare(const CellInfo& cell, Sizes sizes, const Parameters<S>& from, bool with_input,
                                 Index places) {
  input.shape = {};
  if (with_input) {
    input.rows = slot_rows(from.W_ih, sizes.row, sizes.hidden, cell.input_gates, cell.input_gate);
    prepare_slots(input, sizes.row, sizes.row, places);
  }
  for (int p = 0; p < cell.phases; ++p) {
    const Phase& phase = cell.phase[p];
    if (!has_product(phase)) continue;
    const Index width = sizes.width(cell.operand_space(phase)), units = sizes.width(phase.space);
    recurrent[p].rows = slot_rows(from.matrix[phase.matrix], width, units, phase.gates, phase.weight_gate);
    prepare_slots(recurrent[p], width, padded<S>(width), places);
  }
}

template <class S>
void BackwardWeights<S>::pack_share(const CellInfo& cell, int id, int count) {
  for (int p = 0; p < cell.phases; ++p)
    if (has_product(cell.phase[p])) pack_slots(recurrent[p], id, count);
  if (input.shape.depth > 0) pack_slots(input, id, count);
}

template class ForwardWeights<float>;
template class ForwardWeights<double>;
template struct SlotMatrix<float>;
template struct SlotMatrix<double>;
template class BackwardWeights<float>;
template class BackwardWeights<double>;

}  // namespace unrolled
