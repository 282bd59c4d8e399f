// Weights packed for the loops, once per change of the parameters.
#pragma once

#include <vector>

#include "core/buffer.h"
#include "engine/cell.h"
#include "gemm/panels.h"

namespace unrolled {

struct Sizes {
  Index input = 0, hidden = 0;
  template <class S>
  Index blocks() const {
    return (hidden + lanes<S> - 1) / lanes<S>;
  }
};

/// The parameters of a cell where the caller keeps them. Null: zeros, except W_ih and W_hh.
template <class S>
struct Parameters {
  const S* W_ih = nullptr;             // (input_gates * H, I)
  const S* W_hh = nullptr;             // (weight_gates * H, H)
  const S* b = nullptr;                // (input_gates * H)
  const S* vector[most_vectors] = {};  // (H) each
};

/// Neighbouring unit blocks that share a panel, so that its packets fill a register tile: the gates of one block lie
/// side by side, then those of the next.  [k][block][gate][lane]
inline int blocks_per_panel(int gates) { return gates >= 3 ? 1 : gates == 2 ? 2 : 4; }

/// Panels from operand (depth K) to the gates of unit blocks.
template <class S>
struct GatePanels {
  int gates = 0, together = 1;  // blocks per panel
  Index depth = 0, blocks = 0;
  Buffer<S> data;
  Index groups() const { return (blocks + together - 1) / together; }
  Index group_of(Index block) const { return (block + together - 1) / together; }
  Index first_block(Index group) const { return group * together; }
  Index blocks_of(Index group) const {
    return blocks - first_block(group) < together ? blocks - first_block(group) : together;
  }
  const S* panel(Index group) const { return data.data() + first_block(group) * gates * lanes<S> * depth; }
};

template <class S>
class ForwardWeights {
 public:
  /// After one `prepare`, `count` threads each pack their share.
  void prepare(const CellInfo& cell, Sizes sizes);
  void pack_share(const CellInfo& cell, Sizes sizes, const Parameters<S>& from, int id, int count);

  GatePanels<S> input;                   // W_ih
  GatePanels<S> recurrent[most_phases];  // rows of W_hh by phase
  Buffer<S> bias;                        // [block][gate][lane] in the order of the input panels
  Buffer<S> vectors[most_vectors];       // zeros behind H
};

/// Panels from the gradients of gate sums, in the order of the slots, to the operand's units or the input.
template <class S>
class BackwardWeights {
 public:
  void prepare(const CellInfo& cell, Sizes sizes, const Parameters<S>& from, bool with_input);
  void pack_share(const CellInfo& cell, Sizes sizes, int id, int count);

  PanelShape<S> input_shape{};
  Buffer<S> input;
  PanelShape<S> recurrent_shape[most_phases];
  Buffer<S> recurrent[most_phases];

 private:
  std::vector<const S*> input_rows_, recurrent_rows_[most_phases];  // of the weights, in the order of the slots
};

}  // namespace unrolled
