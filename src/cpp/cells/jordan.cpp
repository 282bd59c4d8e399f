// Jordan network (Jordan 1986): the output of the step before comes back, not the hidden units. Two phases, in two
// spaces.
//
//   s    = phi(W_ih x[t] + b + W_hh y[t-1])      hidden units (H)
//   y[t] = psi(W_ho s + b_o)                     output (O)
//
// Options: phi, psi.
//
// backward, given dy[t], output phase:   da_o = dy * psi'(y),   db_o = sum of da_o,   ds = da_o W_ho
// hidden phase:                          da = ds * phi'(s),     dy[t-1] = da W_hh
#include "cells/activations.h"
#include "engine/point.h"
#include "engine/registry.h"

namespace unrolled {
namespace {

struct Jordan {
  enum Slot { sum };
  enum OutputSlot { out };
  enum Stream { s };
  enum Vector { b_o };
  enum Number { phi, psi };
  enum PhaseIndex { hidden, output };
  static constexpr int phases = 2;

  template <int phase, class Point>
  static void forward(Point& at) {
    using V = typename Point::V;
    if constexpr (phase == hidden)
      at.set_stream(s, activate<V>(at.choice(phi), at.a(sum) + at.u(sum)));
    else
      at.set_output(activate<V>(at.choice(psi), at.u(out) + at.vector(b_o)));
  }

  template <int phase, class Point>
  static void backward(Point& at) {
    using V = typename Point::V;
    if constexpr (phase == output) {
      const V da = at.dh() * slope<V>(at.choice(psi), at.output());
      at.set_delta(out, da);
      at.add_dvector(b_o, da);
      at.set_dh_prev(V::zero());
    } else {
      at.set_delta(sum, at.take_dstream(s) * slope<V>(at.choice(phi), at.stream(s)));
    }
  }
};

constexpr CellInfo info() {
  CellInfo cell("jordan");
  cell.slots = cell.output_slots = 1;
  cell.output = Space::Output;
  cell.streams = 1;
  cell.feed(Jordan::sum, 0);
  const int W_hh = cell.add_matrix(1, Space::Hidden, Space::Output);
  const int W_ho = cell.add_matrix(1, Space::Output, Space::Hidden);
  cell.multiply(Operand::PreviousOutput, W_hh, Jordan::sum, 0);
  Phase& output = cell.multiply(Operand::Stream, W_ho, Jordan::out, 0);
  output.stream = Jordan::s;
  output.space = Space::Output;
  cell.add_vectors(1, Space::Output);  // b_o
  return cell;
}

}  // namespace

void register_jordan(Registry& registry) { registry.add<Jordan>(info()); }

}  // namespace unrolled
