// A cell fed back: beside its input, every step reads a readout of the output of the step before it,
//
//   q[t] = psi(W_y h[t-1] + b_y)                  (B, O), a second space of units
//   a[t] = W_ih x[t] + b + W_q q[t]               in place of the cell's own W_ih x[t] + b
//
// and then the phases of the cell follow. With W_q = W_ih and x = 0 it is the cell whose input is its own output.
// Parameters: those of the cell, and behind its matrices W_y (O, H) and W_q (gates H, O), behind its vectors b_y. Its
// last option is psi.
//
// backward, after the phases of the cell, which leave da[t]:   dq = da W_q,   da_y = dq psi'(q),   dh[t-1] += da_y W_y
#include "cells/feedback.h"

#include <algorithm>

#include "cells/activations.h"
#include "engine/point.h"

namespace unrolled {
namespace {

/// Where the parts of the readout lie: behind those of the cell.
int q_of(const CellInfo& fed_back) { return fed_back.streams - 1; }
int b_y_of(const CellInfo& fed_back) { return fed_back.vectors - 1; }
constexpr int psi = most_numbers - 1;
constexpr int readout_slot = 0;  // the only one of the second space

/// f(point) for every row and packet of units of a tile.
template <class Point, class Tile, class F>
void for_points(const Tile& tile, F&& f) {
  for (Index row = 0; row < tile.rows; ++row)
    for (Index block = 0; block < tile.blocks; ++block) {
      Point at(tile, row, block);
      f(at);
    }
}

template <class S>
void readout_forward(const ForwardTile<S>& tile) {
  const int q = q_of(*tile.info), b_y = b_y_of(*tile.info);
  for_points<ForwardPoint<S>>(tile, [&](ForwardPoint<S>& at) {
    at.set_stream(q, activate<Vec<S>>(at.choice(psi), at.u(readout_slot) + at.vector(b_y)));
  });
}

template <class S>
void readout_backward(const BackwardTile<S>& tile) {
  const int q = q_of(*tile.info), b_y = b_y_of(*tile.info);
  for_points<BackwardPoint<S>>(tile, [&](BackwardPoint<S>& at) {
    const Vec<S> da = at.take_dstream(q) * slope<Vec<S>>(at.choice(psi), at.stream(q));
    at.set_delta(readout_slot, da);
    at.add_dvector(b_y, da);
  });
}

/// The product with W_q joins the input parts.
template <class S>
void input_forward(const ForwardTile<S>& tile) {
  const int first = tile.first_slot, last = first + static_cast<int>(tile.u_block / lanes<S>);
  for_points<ForwardPoint<S>>(tile, [&](ForwardPoint<S>& at) {
    for (int slot = first; slot < last; ++slot) at.set(slot, at.a(slot) + at.u(slot));
  });
}

/// The gradients of the sums are those that the cell has left.
template <class S>
void input_backward(const BackwardTile<S>&) {}

bool has_room(const CellInfo& cell) {
  const int parts = (cell.input_gates + most_gates - 1) / most_gates;
  const bool reads_x_alone = cell.input.row == 1 && cell.input.kept == 0;
  return reads_x_alone && cell.output == Space::Hidden && cell.output_slots == 0 && cell.output_is_state &&
         cell.input_norms == 0 && cell.phases + 1 + parts <= most_phases && cell.matrices + 2 <= most_matrices &&
         cell.streams < most_streams && cell.vectors < most_vectors;
}

}  // namespace

template <class S>
std::optional<CellKernel<S>> feed_back(const CellKernel<S>& cell) {
  if (!has_room(cell.info)) return std::nullopt;
  CellKernel<S> made = cell;
  CellInfo& info = made.info;
  info.output_slots = 1;
  const int W_y = info.add_matrix(1, Space::Output, Space::Hidden);
  const int W_q = info.add_matrix(info.input_gates, Space::Hidden, Space::Output);
  info.add_vectors(1, Space::Output);  // b_y
  info.stream_space[info.streams++] = Space::Output;

  info.phases = 0;
  const auto add = [&](ForwardFunction<S> forward, BackwardFunction<S> backward) -> Phase& {
    const int p = info.phases++;
    made.forward[p] = forward;
    made.backward[p] = backward;
    const bool regular = cell.regularised_forward[0] != nullptr;
    made.regularised_forward[p] = regular ? forward : nullptr;
    made.regularised_backward[p] = regular ? backward : nullptr;
    return info.phase[p] = Phase{};
  };
  Phase& readout = add(readout_forward<S>, readout_backward<S>);
  readout.operand = Operand::PreviousOutput;
  readout.matrix = W_y;
  readout.space = Space::Output;
  readout.gates = 1;
  readout.first_slot = readout_slot;
  for (int first = 0; first < info.input_gates; first += most_gates) {
    Phase& input = add(input_forward<S>, input_backward<S>);
    input.operand = Operand::Stream;
    input.stream = q_of(info);
    input.matrix = W_q;
    input.gates = std::min(most_gates, info.input_gates - first);
    input.first_slot = info.input_first + first;
    std::copy_n(info.input_gate + first, input.gates, input.weight_gate);
  }
  for (int p = 0; p < cell.info.phases; ++p, ++info.phases) {
    info.phase[info.phases] = cell.info.phase[p];
    made.forward[info.phases] = cell.forward[p];
    made.backward[info.phases] = cell.backward[p];
    made.regularised_forward[info.phases] = cell.regularised_forward[p];
    made.regularised_backward[info.phases] = cell.regularised_backward[p];
  }
  return made;
}

template std::optional<CellKernel<float>> feed_back(const CellKernel<float>&);
template std::optional<CellKernel<double>> feed_back(const CellKernel<double>&);

}  // namespace unrolled
