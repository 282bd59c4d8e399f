// Leaky network: the bridge from Elman's network to the LSTM. Up to three phases.
//
//   g    = phi(W_ih x[t] + b + W_hh h[t-1])
//   c[t] = a c[t-1] + s g
//   h[t] = tanh(c[t])
//
// a and s are each one number, one per unit, or a matrix: kernels leaky_rnn_<a>_<s> with unit, shared, full. Option:
// phi.
//
// backward, given dh[t] and dc[t]:
//   dc = dc + dh * (1 - h^2)
//   dg = s' dc                      ds = sum of dc g (per unit, or the outer product)
//   dc[t-1] = a' dc                 da = sum of dc c[t-1]
//   da_g = dg * phi'(g),            dh[t-1] = da_g W_hh
#include "cells/activations.h"
#include "engine/point.h"
#include "engine/registry.h"

namespace unrolled {
namespace {

template <bool full_a, bool full_s>
struct LeakyRnn {
  enum Slot { g, past, drive };  // the last two take a c[t-1] and s g, where these are products
  enum Stream { c, q };
  enum Number { phi };
  static constexpr int vector_s = full_a ? 0 : 1, vector_a = 0;
  // Phases that there are, in this order.
  static constexpr int past_phase = full_a ? 0 : -1, gate_phase = full_a ? 1 : 0,
                       drive_phase = full_s ? gate_phase + 1 : gate_phase;
  static constexpr int phases = drive_phase + 1;

  template <int phase, class Point>
  static void forward(Point& at) {
    using V = typename Point::V;
    if constexpr (phase == past_phase) at.set(past, at.u(past));
    if constexpr (phase == gate_phase) {
      const V gate = activate<V>(at.choice(phi), at.a(g) + at.u(g));
      at.save(g, gate);
      if constexpr (full_s)
        at.set_stream(q, gate);
      else
        finish(at, at.vector(vector_s) * gate);
    }
    if constexpr (full_s && phase == drive_phase) finish(at, at.u(drive));
  }

  template <class Point>
  static void finish(Point& at, typename Point::V driven) {
    using V = typename Point::V;
    V cell;
    if constexpr (full_a)
      cell = at.a(past) + driven;
    else
      cell = fma(at.vector(vector_a), at.state_prev(c), driven);
    at.set_stream(c, cell);
    at.set_output(tanh(cell));
  }

  template <int phase, class Point>
  static void backward(Point& at) {
    using V = typename Point::V;
    V dc;
    if constexpr (phase == drive_phase) {
      const V h = at.output();
      dc = fma(at.dh(), V(1) - h * h, at.dstream(c));
      at.set_dh_prev(V::zero());
      if constexpr (full_a) {
        at.set_delta(past, dc);
        at.set_dstate_prev(c, V::zero());
      } else {
        at.add_dvector(vector_a, dc * at.state_prev(c));
        at.set_dstate_prev(c, dc * at.vector(vector_a));
      }
      if constexpr (full_s) at.set_delta(drive, dc);
    }
    if constexpr (phase == gate_phase) {
      const V gate = at.saved(g);
      V dg;
      if constexpr (full_s) {
        dg = at.take_dstream(q);
      } else {
        dg = dc * at.vector(vector_s);
        at.add_dvector(vector_s, dc * gate);
      }
      at.set_delta(g, dg * slope<V>(at.choice(phi), gate));
    }
  }
};

template <bool full_a, bool full_s>
constexpr CellInfo info(const char* name, bool shared_a, bool shared_s) {
  using Cell = LeakyRnn<full_a, full_s>;
  CellInfo cell(name);
  cell.slots = 3;
  cell.states = 1;
  cell.streams = 2;
  cell.feed(Cell::g, 0);
  const int W_hh = cell.add_matrix(1);
  if (full_a) cell.multiply(Operand::PreviousState, cell.add_matrix(1), Cell::past, 0).stream = Cell::c;
  cell.multiply(Operand::PreviousOutput, W_hh, Cell::g, 0);
  if (full_s) cell.multiply(Operand::Stream, cell.add_matrix(1), Cell::drive, 0).stream = Cell::q;
  if (!full_a) cell.add_vectors(1, Space::Hidden, shared_a);
  if (!full_s) cell.add_vectors(1, Space::Hidden, shared_s);
  return cell;
}

}  // namespace

void register_leaky_rnn(Registry& registry) {
  registry.add<LeakyRnn<false, false>>(info<false, false>("leaky_rnn_shared_shared", true, true));
  registry.add<LeakyRnn<false, false>>(info<false, false>("leaky_rnn_shared_unit", true, false));
  registry.add<LeakyRnn<false, false>>(info<false, false>("leaky_rnn_unit_shared", false, true));
  registry.add<LeakyRnn<false, false>>(info<false, false>("leaky_rnn_unit_unit", false, false));
  registry.add<LeakyRnn<false, true>>(info<false, true>("leaky_rnn_shared_full", true, false));
  registry.add<LeakyRnn<false, true>>(info<false, true>("leaky_rnn_unit_full", false, false));
  registry.add<LeakyRnn<true, false>>(info<true, false>("leaky_rnn_full_shared", false, true));
  registry.add<LeakyRnn<true, false>>(info<true, false>("leaky_rnn_full_unit", false, false));
  registry.add<LeakyRnn<true, true>>(info<true, true>("leaky_rnn_full_full", false, false));
}

}  // namespace unrolled
