// What a call of a cell is given and what it gives, where the caller keeps it.
#pragma once

#include <cstdint>

#include "engine/weights.h"

namespace unrolled {

/// Regularisation of a call to a gated cell. Masks are functions of the seed and of where they act alone.
struct Regular {
  double zoneout_h = 0, zoneout_c = 0;  // probability that a unit keeps its state
  double recurrent_dropout = 0;         // of h[t-1] before products, one mask per row and call
  double clip = 0;                      // bound of the gradients of gate sums; 0: none
  std::uint64_t seed = 0;
  bool training = false;  // masks are drawn; else their means act
  bool on() const { return zoneout_h > 0 || zoneout_c > 0 || (training && recurrent_dropout > 0) || clip > 0; }
};

/// One call's inputs, where the caller keeps them. Sequences are (T, B, I) and (T, B, O), row-major, O the width of the
/// output, H but for cells with two spaces; states (B, O) and (B, width of the stream).
template <class S>
struct Inputs {
  Index T = 0, B = 0;
  const S* x = nullptr;
  const std::int64_t* ids = nullptr;     // not null: x is a table (symbols, I), and step t of row b reads row ids[t][b]
  Index symbols = 0;                     // not for cells that make what W_ih multiplies
  const S* h0 = nullptr;                 // null: zeros; not read if the output is no state
  const S* state0[most_states] = {};     // null: zeros
  const S* start[1 + most_states] = {};  // (width), of each state: where a reset puts it; null: zeros
  const S* scalar = nullptr;             // (T, B), null: ones
  double numbers[most_numbers] = {};     // options of the cell
  Regular regular;
  Index first_time = 0;  // of a sequence of which these are a part: masks do not depend on how it is cut
  const std::int64_t* lengths = nullptr;  // (B), null: all T
  const std::uint8_t* reset = nullptr;    // (T, B), null: none
  bool reverse = false;
  Index y_step = 0;  // scalars from place to place of y and dy, which may be columns of wider arrays; 0: O
};

template <class S>
struct Outputs {
  S* y = nullptr;       // (T, B, O), see y_step; zeros past a sequence's end
  S* h_last = nullptr;  // (B, O)
  S* state_last[most_states] = {};
};

/// Width of state k of the caller: the output first, if it is one.
inline Index state_width(const CellInfo& info, const Sizes& sizes, int k) {
  if (info.output_is_state && k == 0) return sizes.width(info.output);
  return sizes.width(info.stream_space[info.output_is_state ? k - 1 : k]);
}

/// State k of the caller, of an array for h and one for each stream.
template <class T, class States>
T& state_of(const CellInfo& info, T& h, States& states, int k) {
  if (!info.output_is_state) return states[k];
  return k == 0 ? h : states[k - 1];
}

/// Gradients given to backward; null: zeros. y and h_last and states may each be absent.
template <class S>
struct OutputGradients {
  const S* dy = nullptr;
  const S* dh_last = nullptr;
  const S* dstate_last[most_states] = {};
};

/// Gradients that backward writes (overwrites); null: not wanted.
template <class S>
struct InputGradients {
  /// The call goes on where the backward before ended: the weights are the same, and the gradients of parameters are
  /// added to.
  bool continues = false;
  S* dx = nullptr;  // of the table, where x is one
  S* dh0 = nullptr;
  S* dstate0[most_states] = {};
  S* dW_ih = nullptr;
  S* dmatrix[most_matrices] = {};
  S* db = nullptr;
  S* dvector[most_vectors] = {};
  S* dstart[1 + most_states] = {};  // if there is a start
  S* dscalar = nullptr;             // (T, B)
};

}  // namespace unrolled
