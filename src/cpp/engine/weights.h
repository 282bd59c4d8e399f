// Weights packed for the loops, once per change of the parameters.
#pragma once

#include <vector>

#include "core/buffer.h"
#include "engine/cell.h"
#include "gemm/panels.h"

namespace unrolled {

struct Sizes {
  Index input = 0, hidden = 0, output = 0;
  Index second = 0;         // units of the second space: those of the output, but in a cell fed back
  Index row = 0, kept = 0;  // what W_ih multiplies, and what is kept of inputs
  Sizes() = default;
  /// output, second: 0 where they are as wide as the hidden units and the output. Of a cell that has no input of its
  /// own making.
  Sizes(Index input, Index hidden, Index output = 0, Index second = 0)
      : input(input),
        hidden(hidden),
        output(output == 0 ? hidden : output),
        second(second == 0 ? this->output : second),
        row(input) {}
  /// Of any cell; `numbers` are its options. Throws std::invalid_argument for an option that is no width.
  Sizes(const CellInfo& cell, const double* numbers, Index input, Index hidden, Index output = 0, Index second = 0);
  Index width(Space space) const { return space == Space::Hidden ? hidden : space == Space::Output ? second : kept; }
  template <class S>
  Index blocks(Space space) const {
    return (width(space) + lanes<S> - 1) / lanes<S>;
  }
  bool operator==(const Sizes& other) const {
    return input == other.input && hidden == other.hidden && output == other.output && second == other.second &&
           row == other.row;
  }
};

/// use(group, first, count, width) for every parameter that is neighbouring per-unit vectors: `count` of them from
/// number `first` on, `width` scalars each.
template <class F>
void each_vector_group(const CellInfo& cell, const Sizes& sizes, F&& use) {
  for (int group = 0, first = 0; group < cell.vector_groups; first += cell.vector_group[group++].count) {
    const VectorGroup& of = cell.vector_group[group];
    use(group, first, of.count, of.shared ? Index(1) : sizes.width(of.space));
  }
}

/// The parameters of a cell where the caller keeps them. Null: zeros, except matrices.
template <class S>
struct Parameters {
  const S* W_ih = nullptr;              // (input_gates * H, I, or the width of the row that the cell makes)
  const S* matrix[most_matrices] = {};  // (gates * width of the rows' space, width of the columns' space) each
  const S* b = nullptr;                 // (input_gates * H)
  const S* vector[most_vectors] = {};   // (width of its space) each
};

/// Neighbouring unit blocks that share a panel, so that its packets fill a register tile: the gates of one block lie
/// side by side, then those of the next.  [k][block][gate][lane]
inline int blocks_per_panel(int gates) { return gates >= 3 ? 1 : gates == 2 ? 2 : 4; }

/// Panels from operand (depth K) to the gates of unit blocks.
template <class S>
struct GatePanels {
  int gates = 0, together = 1;  // blocks per panel
  int most_at_once = 1;         // panels, for a single row
  Index depth = 0, blocks = 0;
  Buffer<S> data;
  Index groups() const { return (blocks + together - 1) / together; }
  Index group_of(Index block) const { return (block + together - 1) / together; }
  Index first_block(Index group) const { return group * together; }
  Index blocks_of(Index group) const {
    return blocks - first_block(group) < together ? blocks - first_block(group) : together;
  }
  /// How many of the groups from `group` on, all as wide as it, a single row takes at once.
  int at_once(Index group, Index last) const {
    const Index whole = blocks / together;
    return panels_at_once((last < whole ? last : whole) - group, most_at_once);
  }
  /// use(group, panels) for all groups of [first, last), front to back or back to front: one by one, or for a single
  /// row as many neighbours as it takes at once.
  template <class F>
  void each(Index first, Index last, bool single_row, bool back, F&& use) const {
    while (first < last) {
      if (!single_row) {
        use(back ? --last : first++, 1);
        continue;
      }
      const bool narrow = back && blocks_of(last - 1) < together;
      const int count = narrow ? 1 : at_once(first, last);
      if (back)
        use(last -= count, count);
      else
        use(first, count), first += count;
    }
  }
  S* panel(Index group) { return data.data() + offset(group); }
  const S* panel(Index group) const { return data.data() + offset(group); }
  Index offset(Index group) const { return first_block(group) * gates * lanes<S> * depth; }
  /// From panel to panel of those a single row takes at once.
  Index panel_step() const { return together * gates * lanes<S> * depth; }
};

inline constexpr int input_parts = most_input_gates / most_gates;
/// Input gates of part k.
inline int gates_of_part(const CellInfo& cell, int part) {
  const int left = cell.input_gates - part * most_gates;
  return left < 0 ? 0 : left < most_gates ? left : most_gates;
}
/// Whether a phase has weights.
inline bool has_product(const Phase& phase) { return phase.operand != Operand::None && phase.matrix != identity; }

template <class S>
class ForwardWeights {
 public:
  /// After one `prepare`, `count` threads each pack their share.
  void prepare(const CellInfo& cell, Sizes sizes);
  void pack_share(const CellInfo& cell, Sizes sizes, const Parameters<S>& from, int id, int count);

  GatePanels<S> input[input_parts];      // W_ih: a panel holds the packets of at most `most_gates` gates
  GatePanels<S> recurrent[most_phases];  // rows of a matrix by phase
  Buffer<S> bias[input_parts];           // [block][gate][lane] in the order of the input panels
  Buffer<S> vectors;                     // as VectorPlace says, zeros behind the last unit
  Index vector_step = 0;
};

/// A matrix from the gradients of gate sums, in the order of the slots, to the operand's units or the input.
template <class S>
struct SlotMatrix {
  std::vector<const S*> rows;  // of the weights, in the order of the slots; null behind the last unit
  Index columns = 0;
  PanelShape<S> shape{};
  Buffer<S> panels;
  bool packed = true;  // else the rows are read where they are: each of them but a few times
  void multiply(Index first_group, Index last_group, const Depth& depth, Index count, const S* const* a, S* const* c,
                Start start, bool back = false) const;
};

template <class S>
class BackwardWeights {
 public:
  /// For `places` rows of gradients in all; `count` threads then each pack their share.
  void prepare(const CellInfo& cell, Sizes sizes, const Parameters<S>& from, bool with_input, Index places);
  void pack_share(const CellInfo& cell, int id, int count);

  SlotMatrix<S> input, recurrent[most_phases];
};

}  // namespace unrolled
