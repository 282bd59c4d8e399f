// Elman network (Elman 1990).
//
//   h[t] = phi(W_ih x[t] + b + W_hh h[t-1]),   phi = tanh | relu | sigmoid | identity
//
// backward, given dh[t]:
//   da   = dh * phi'(a + u)          phi' from the output itself: 1 - h^2 | h > 0 | h (1 - h) | 1
//   dh[t-1] = da W_hh
#include "cells/elman.h"
#include "engine/point.h"
#include "engine/registry.h"

namespace unrolled {
namespace {

constexpr CellInfo info(const char* name) {
  CellInfo cell(name);
  cell.slots = 1;
  cell.feed(0, 0);
  cell.multiply(Operand::PreviousOutput, cell.add_matrix(1), 0, 0);
  return cell;
}

// The same with the state before the nonlinearity (Pascanu, Mikolov & Bengio 2013). Two phases.
//
//   q = phi(h[t-1]),   h[t] = W_ih x[t] + b + W_hh q,   y[t] = phi(h[t])
//
// backward, given dy[t] and dh[t]:
//   dh   = dh + dy * phi'(h[t])      da = dh,   dq = da W_hh
//   dh[t-1] = dq * phi'(h[t-1])
template <Activation phi>
struct PreRnn {
  enum Slot { sum };
  enum Stream { h, q };
  enum PhaseIndex { squash, product };
  static constexpr int phases = 2;

  template <int phase, class Point>
  static void forward(Point& at) {
    using V = typename Point::V;
    if constexpr (phase == squash) {
      at.set_stream(q, activate<phi>(at.state_prev(h)));
    } else {
      const V next = at.a(sum) + at.u(sum);
      at.set_stream(h, next);
      at.set_output(activate<phi>(next));
    }
  }

  template <int phase, class Point>
  static void backward(Point& at) {
    using V = typename Point::V;
    if constexpr (phase == product) {
      at.set_delta(sum, fma(at.dh(), slope<phi>(at.output()), at.dstream(h)));
      at.set_dh_prev(V::zero());
    } else {
      at.set_dstate_prev(h, at.take_dstream(q) * slope<phi>(at.stream(q)));
    }
  }
};

constexpr CellInfo pre_info(const char* name) {
  CellInfo cell(name);
  cell.slots = 1;
  cell.output_is_state = false;
  cell.states = 1;
  cell.streams = 2;
  cell.feed(0, 0);
  cell.elementwise();
  cell.multiply(Operand::Stream, cell.add_matrix(1), 0, 0).stream = PreRnn<Activation::Tanh>::q;
  return cell;
}

}  // namespace

void register_rnn(Registry& registry) {
  registry.add<Elman<Activation::Tanh>>(info("rnn_tanh"));
  registry.add<Elman<Activation::Relu>>(info("rnn_relu"));
  registry.add<Elman<Activation::Sigmoid>>(info("rnn_sigmoid"));
  registry.add<Elman<Activation::Identity>>(info("rnn_identity"));
  registry.add<PreRnn<Activation::Tanh>>(pre_info("rnn_pre_tanh"));
  registry.add<PreRnn<Activation::Relu>>(pre_info("rnn_pre_relu"));
  registry.add<PreRnn<Activation::Sigmoid>>(pre_info("rnn_pre_sigmoid"));
  registry.add<PreRnn<Activation::Identity>>(pre_info("rnn_pre_identity"));
}

}  // namespace unrolled
