// The contract between a cell and the engine.
//
// A cell is one time step, told as a short list of phases. A phase multiplies an operand by a weight panel,
//
//     u[gate] = operand W[gate]'          (nothing, if it has no operand)
//
// and then calls the cell's point function on one packet of hidden units at a time, which sees for every gate the input
// part a = W_ih x + b and the recurrent part u apart. The engine owns time, rows, direction, lengths, resets, products,
// threads and memory.
//
// Values that belong to one row and one step lie in slots, unit block by unit block:  slots[row][block][slot][lane].
// A slot starts as the input part of its gate (for the input slots), becomes what backward needs (forward's point
// function writes it), and ends as the gradient of the gate's sum (backward's point function writes it): one memory,
// three lives.
#pragma once

#include "core/packet.h"

namespace unrolled {

inline constexpr int most_phases = 3, most_streams = 3, most_gates = 4, most_vectors = 4;

/// What multiplies the weights of a phase.
enum class Operand {
  None,
  PreviousOutput,  // h[t-1]
  Stream,          // a stream of this step that an earlier phase wrote, as r * h[t-1]
};

struct Phase {
  Operand operand = Operand::None;
  int stream = 0;                    // which one, for Operand::Stream
  int gates = 0;                     // how many gates the product gives
  int first_slot = 0;                // their slots are first_slot .. first_slot + gates - 1; backward leaves du there
  int weight_gate[most_gates] = {};  // the block of rows of W_hh that each of them takes
  bool row_statistics = false;       // mean and deviation of u over the whole row are taken before the point function
};

/// The shape of a cell. Streams are vectors of H values per row and step, beside the output: first the `states`,
/// carried from step to step (c of an LSTM), then intermediates.
struct CellInfo {
  const char* name = nullptr;
  int slots = 0;
  int input_first = 0, input_gates = 0;  // slots that take W_ih x + b
  int input_gate[most_gates] = {};       // the block of rows of W_ih that each of them takes
  int weight_gates = 0;                  // row blocks of W_hh
  int states = 0, streams = 0;
  int vectors = 0;  // per-unit parameters (b_hn, peepholes)
  int phase_count = 0;
  Phase phases[most_phases] = {};
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
  const S* mean;                             // [row] statistics of u, where the phase takes them
  const S* inverse_deviation;                // [row]
  S* const* slots;                           // [row]
  const S* const* h_prev;                    // [row] `units` valid scalars
  S* const* y;                               // [row] `units` valid scalars
  const S* const* state_prev[most_streams];  // [state][row]
  S* const* stream[most_streams];            // [stream][row]
  const S* vectors[most_vectors];            // zeros behind `units`
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
  const S* const* state_prev[most_streams];
  const S* const* stream[most_streams];
  S* const* dstream[most_streams];  // [stream][row] states: in of s[t], out of s[t-1]; intermediates: in
  const S* vectors[most_vectors];
};

template <class S>
using ForwardFunction = void (*)(const ForwardTile<S>&);
template <class S>
using BackwardFunction = void (*)(const BackwardTile<S>&);
/// Adds the gradient of per-unit vector `vector` at one row and block, from the slots backward has left.
template <class S>
using VectorGradient = void (*)(int vector, const S* slots, Vec<S>& sum);

/// A cell as the engine sees it, for one scalar type.
template <class S>
struct CellKernel {
  CellInfo info;
  ForwardFunction<S> forward[most_phases];
  BackwardFunction<S> backward[most_phases];
  VectorGradient<S> vector_gradient;
};

}  // namespace unrolled
