// The contract between a cell and the engine.
//
// A cell is one time step, told as a short list of phases. A phase multiplies an operand by rows of a weight matrix,
//
//     u[gate] = operand W[gate]'          (nothing, if it has no operand)
//
// and then calls the cell's point function on one packet of units at a time, which sees for every gate the input part
// a = W_ih x + b and the recurrent part u apart. The engine owns time, rows, direction, lengths, resets, products,
// normalisation, threads and memory.
//
// Values that belong to one row and one step lie in slots, unit block by unit block:  slots[row][block][slot][lane].
// A slot starts as the input part of its gate (for the input slots), becomes what backward needs (forward's point
// function saves it), and ends as the gradient of the gate's sum (backward's point function writes it): one memory,
// three lives. Where there are many, what is saved lies apart from the input parts, so that backward finds no more than
// has been set or saved.
//
// A cell whose output is not as wide as its hidden units (a projection, a fed-back output) has two spaces of units,
// each with slots of its own; every phase, stream and vector belongs to one of them.
//
// What W_ih multiplies need not be x[t]: a cell may make that row, feature by feature, of x[t] and of what it has kept
// of earlier inputs (a window of steps, the last value seen). Such states lie in a third space, and since they depend
// on x alone, the engine makes all rows before the loop over time and goes back through them after it.
#pragma once

#include "core/packet.h"

namespace unrolled {

inline constexpr int most_phases = 5, most_streams = 6, most_states = 3, most_gates = 4, most_input_gates = 8;
inline constexpr int most_matrices = 5, most_vectors = 12, most_numbers = 8, most_input_norms = 2;
inline constexpr int most_norms_at_once = 1 + most_input_norms;  // those of a phase and of the input

/// Which units: the hidden ones (H), those of the output where it has another size, or what is kept of inputs.
enum class Space { Hidden, Output, Kept };
inline constexpr int spaces = 3;

/// What multiplies the weights of a phase.
enum class Operand {
  None,
  PreviousOutput,  // h[t-1]
  PreviousState,   // another state of the step before, as c[t-1]; of a phase before the one that writes that state
  Stream,          // a stream of this step that an earlier phase wrote, as r * h[t-1]
};

/// Instead of a matrix: u is the operand itself, a stream (of a phase that normalises it).
inline constexpr int identity = -1;
/// Instead of an option.
inline constexpr int no_option = -1;

struct Phase {
  Operand operand = Operand::None;
  int stream = 0;                    // which one, for Operand::PreviousState and Operand::Stream
  int matrix = 0;                    // which one multiplies it
  Space space = Space::Hidden;       // of the gates, their slots and the point function
  int gates = 0;                     // how many gates the product gives
  int first_slot = 0;                // their slots are first_slot .. first_slot + gates - 1; backward leaves du there
  int weight_gate[most_gates] = {};  // the block of rows of the matrix that each of them takes
  // Layer normalisation: u - its mean over the whole row, all gates, over the deviation, times a gain.
  bool normalised = false;
  int gain = 0;  // first of `gates` vectors
};

/// Layer normalisation of neighbouring input gates, of at most most_gates in all: a = gain * (W_ih x normalised over
/// the row) + b.
struct InputNorm {
  int first_slot = 0, gates = 0;
  int gain = 0;  // first of `gates` vectors
};

/// A recurrent matrix: `gates` blocks of rows of the width of one space, columns of the width of another.
struct Matrix {
  int gates = 0;
  Space rows = Space::Hidden, columns = Space::Hidden;
};

/// Neighbouring per-unit vectors that are one parameter (b_hn; four gains).
struct VectorGroup {
  int count = 1;
  Space space = Space::Hidden;
  bool shared = false;  // one number for all units (of a single vector)
};

/// Widths, in times that of x, of the row that W_ih multiplies and of the space Kept.
struct MadeInput {
  int row = 1, kept = 0;        // both wider by as many as an option says,
  int more_option = no_option;  // if there is one
};

/// The shape of a cell. Streams are vectors per row and step, beside the output: first the `states`, carried from step
/// to step (c of an LSTM), then intermediates.
struct CellInfo {
  const char* name = nullptr;
  int slots = 0, output_slots = 0;        // of the two spaces
  int input_first = 0, input_gates = 0;   // slots that take W_ih x + b
  int input_gate[most_input_gates] = {};  // the block of rows of W_ih that each of them takes
  Space output = Space::Hidden;           // of y
  bool output_is_state = true;            // h[t-1] is the output of the step before, and the first state
  bool mixes_states = false;              // its points apply zoneout to the states beside h themselves
  MadeInput input;
  int matrices = 0;
  Matrix matrix[most_matrices] = {};
  int states = 0, streams = 0;
  Space stream_space[most_streams] = {};
  int vectors = 0, vector_groups = 0;
  VectorGroup vector_group[most_vectors] = {};
  int phases = 0;
  Phase phase[most_phases] = {};
  int input_norms = 0;  // none, or together they cover all input gates
  InputNorm input_norm[most_input_norms] = {};

  constexpr CellInfo() = default;
  constexpr explicit CellInfo(const char* name) : name(name) {}

  // What the files of cells build it with. Each adds one thing and gives its index.
  /// W_ih feeds the slots first, first + 1, ... with these blocks of its rows.
  template <class... Gate>
  constexpr void feed(int first, Gate... gate) {
    input_first = first;
    ((input_gate[input_gates++] = gate), ...);
  }
  constexpr int add_matrix(int gates, Space rows = Space::Hidden, Space columns = Space::Hidden) {
    matrix[matrices] = {gates, rows, columns};
    return matrices++;
  }
  constexpr int add_vectors(int count, Space space = Space::Hidden, bool shared = false) {
    vector_group[vector_groups++] = {count, space, shared};
    vectors += count;
    return vectors - count;
  }
  /// A phase whose product gives the slots first, first + 1, ... by these blocks of rows of a matrix.
  template <class... Gate>
  constexpr Phase& multiply(Operand operand, int matrix, int first, Gate... gate) {
    Phase& made = phase[phases++];
    made.operand = operand;
    made.matrix = matrix;
    made.first_slot = first;
    ((made.weight_gate[made.gates++] = gate), ...);
    return made;
  }
  /// A phase without operand.
  constexpr Phase& elementwise() { return phase[phases++]; }
  constexpr void normalise_input(int first_slot, int gates, int gain) {
    input_norm[input_norms++] = {first_slot, gates, gain};
  }
  constexpr int slots_of(Space space) const { return space == Space::Hidden ? slots : output_slots; }
  constexpr bool is_kept(int stream) const { return stream_space[stream] == Space::Kept; }
  constexpr Space operand_space(const Phase& of) const {
    return of.operand == Operand::PreviousOutput ? output : stream_space[of.stream];
  }
  /// Row blocks of all recurrent matrices.
  constexpr int weight_gates() const {
    int sum = 0;
    for (int m = 0; m < matrices; ++m) sum += matrix[m].gates;
    return sum;
  }
  /// States of the caller: the output, if it is one, then the streams.
  constexpr int carried() const { return states + (output_is_state ? 1 : 0); }
};

/// The group that vector k belongs to.
constexpr const VectorGroup& group_of(const CellInfo& cell, int k) {
  int group = 0;
  while (k >= cell.vector_group[group].count) k -= cell.vector_group[group++].count;
  return cell.vector_group[group];
}

/// How many vectors from the first of its normalisation on vector k is, and how many these are; 0 of 1 if it is no
/// gain.
struct GainPlace {
  int gate = 0, gates = 1;
};
constexpr GainPlace gain_place(const CellInfo& cell, int k) {
  GainPlace found;
  const auto look = [&](int gain, int gates) {
    if (gain <= k && k < gain + gates) found = {k - gain, gates};
  };
  for (int p = 0; p < cell.phases; ++p)
    if (cell.phase[p].normalised) look(cell.phase[p].gain, cell.phase[p].gates);
  for (int n = 0; n < cell.input_norms; ++n) look(cell.input_norm[n].gain, cell.input_norm[n].gates);
  return found;
}

/// Where vector k lies among all of them, each with room for `room` scalars in whole packets of `lanes`. Gains of one
/// normalisation lie as the sums that they multiply: [block][gate][lane].
struct VectorPlace {
  Index first, step;  // of its block 0; from block to block
  VectorPlace(const CellInfo& cell, int k, Index room, int lanes) {
    const GainPlace gain = gain_place(cell, k);
    first = (k - gain.gate) * room + gain.gate * lanes;
    step = gain.gates * lanes;
  }
};

/// Regularisation that the points apply around any cell, see regular.h.
template <class S>
struct RegularTile {
  const S* const* zone_h = nullptr;  // [row][unit] how much of h[t-1] is kept, or null: nothing
  const S* const* zone_c = nullptr;  // [row][unit] the same of the other states that the points make,
  int zoned = 0;                     // of which there are so many
  const S* const* mask = nullptr;    // [row][unit] the mask of the recurrent operand, or null: ones
  S clip = 0;                        // bound of the gradients of gate sums; 0: none
};

/// What a point function of one phase is run over: `rows` rows by `blocks` packets of units. Every `[row]` array is
/// indexed from 0.
template <class S>
struct ForwardTile {
  Index rows, first_block, blocks, units;
  bool keep;                   // backward will follow: save what it needs
  int slot_count, first_slot;  // of the phase
  const S* u;                  // [row][block][gate][lane] with the two steps below
  Index u_row, u_block;
  S* const* slots;                          // [row]
  S* const* saved;                          // [row] where backward finds them if elsewhere, or null
  const S* const* h_prev;                   // [row] `units` valid scalars
  S* const* y;                              // [row] `units` valid scalars
  const S* scalar;                          // [row], or null: ones
  const double* numbers;                    // options of the cell
  const S* const* state_prev[most_states];  // [state][row]
  S* const* stream[most_streams];           // [stream][row]
  const S* const* vectors;                  // [vector] zeros behind `units`; not for gains, see VectorPlace
  RegularTile<S> regular;
  const CellInfo* info = nullptr;  // of the whole cell, for points that serve any
};

template <class S>
struct BackwardTile {
  Index rows, first_block, blocks, units;
  int slot_count;
  S* const* slots;         // [row]
  const S* const* h_prev;  // [row]
  const S* const* y;       // [row]
  const S* const* dy;      // [row] `units` valid scalars, or null where there is none
  S* const* dh;            // [row] in: gradient of h[t] from later steps; out: of h[t-1] by ways other than products
  const S* scalar;
  const double* numbers;
  const S* const* state_prev[most_states];
  const S* const* stream[most_streams];
  S* const* dstream[most_streams];  // [stream][row] states: in of s[t], out of s[t-1]; intermediates: in, out zero
  const S* const* vectors;
  S* const* dvectors;  // [row] sums of the row's gradients, as VectorPlace says: [vector][vector_step] but for gains
  Index vector_step;
  S* const* dscalar;  // [row] gradient of the scalar by way of each unit, or null: not wanted
  RegularTile<S> regular;
  const CellInfo* info;
};

/// One row of the batch at one step, for a cell that makes what W_ih multiplies.
template <class S>
struct InputStep {
  Index features;
  const S* x;                        // [features]
  S scalar;                          // of this row and step
  const double* numbers;             // options of the cell
  const S* const* vectors;           // [vector]
  const S* kept_prev[most_streams];  // [stream] states of the space Kept, of the step before
  S* kept[most_streams];             // [stream] streams of the space Kept, of this step
  S* row;                            // what W_ih multiplies
};

template <class S>
struct InputStepGradient {
  InputStep<S> at;  // kept and row as forward left them
  const S* drow;
  S* dx;                   // overwritten; null: not wanted
  S* dkept[most_streams];  // [stream] states: in of this step, out of the step before; others: in
  S* dvectors;             // sums of the row's gradients, as of BackwardTile
  Index vector_step;
  S dscalar = 0;  // out
};

template <class S>
using ForwardFunction = void (*)(const ForwardTile<S>&);
template <class S>
using BackwardFunction = void (*)(const BackwardTile<S>&);

template <class S>
using InputForward = void (*)(const InputStep<S>&);
template <class S>
using InputBackward = void (*)(InputStepGradient<S>&);

/// A cell as the engine sees it, for one scalar type.
template <class S>
struct CellKernel {
  CellInfo info;
  ForwardFunction<S> forward[most_phases];
  BackwardFunction<S> backward[most_phases];
  // The same with regularisation; null for cells that take none.
  ForwardFunction<S> regularised_forward[most_phases];
  BackwardFunction<S> regularised_backward[most_phases];
  // Of cells that make what W_ih multiplies, else null.
  InputForward<S> make_input;
  InputBackward<S> input_backward;
};

}  // namespace unrolled
