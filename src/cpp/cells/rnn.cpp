// Elman network (Elman 1990).
//
//   h[t] = phi(W_ih x[t] + b + W_hh h[t-1]),   phi = tanh | relu | sigmoid | identity
//
// backward, given dh[t]:
//   da   = dh * phi'(a + u)          phi' from the output itself: 1 - h^2 | h > 0 | h (1 - h) | 1
//   dh[t-1] = da W_hh
#include "engine/point.h"
#include "engine/registry.h"

namespace unrolled {
namespace {

struct Tanh {
  template <class V>
  static V value(V x) {
    return tanh(x);
  }
  template <class V>
  static V slope(V h) {
    return V(1) - h * h;
  }
};
struct Relu {
  template <class V>
  static V value(V x) {
    return max(x, V::zero());
  }
  template <class V>
  static V slope(V h) {
    return select(less(V::zero(), h), V(1), V::zero());
  }
};
struct Sigmoid {
  template <class V>
  static V value(V x) {
    return sigmoid(x);
  }
  template <class V>
  static V slope(V h) {
    return h * (V(1) - h);
  }
};
struct Identity {
  template <class V>
  static V value(V x) {
    return x;
  }
  template <class V>
  static V slope(V) {
    return V(1);
  }
};

template <class Phi>
struct Rnn {
  enum Slot { sum };
  static constexpr int phases = 1;

  template <int, class Point>
  static void forward(Point& at) {
    at.set_output(Phi::value(at.a(sum) + at.u(sum)));
  }

  template <int, class Point>
  static void backward(Point& at) {
    at.set_delta(sum, at.dh() * Phi::slope(at.output()));
    at.set_dh_prev(Point::V::zero());
  }
};

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
template <class Phi>
struct PreRnn {
  enum Slot { sum };
  enum Stream { h, q };
  enum PhaseIndex { squash, product };
  static constexpr int phases = 2;

  template <int phase, class Point>
  static void forward(Point& at) {
    using V = typename Point::V;
    if constexpr (phase == squash) {
      at.set_stream(q, Phi::value(at.state_prev(h)));
    } else {
      const V next = at.a(sum) + at.u(sum);
      at.set_stream(h, next);
      at.set_output(Phi::value(next));
    }
  }

  template <int phase, class Point>
  static void backward(Point& at) {
    using V = typename Point::V;
    if constexpr (phase == product) {
      at.set_delta(sum, fma(at.dh(), Phi::slope(at.output()), at.dstream(h)));
      at.set_dh_prev(V::zero());
    } else {
      at.set_dstate_prev(h, at.take_dstream(q) * Phi::slope(at.stream(q)));
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
  cell.multiply(Operand::Stream, cell.add_matrix(1), 0, 0).stream = PreRnn<Tanh>::q;
  return cell;
}

}  // namespace

void register_rnn(Registry& registry) {
  registry.add<Rnn<Tanh>>(info("rnn_tanh"));
  registry.add<Rnn<Relu>>(info("rnn_relu"));
  registry.add<Rnn<Sigmoid>>(info("rnn_sigmoid"));
  registry.add<Rnn<Identity>>(info("rnn_identity"));
  registry.add<PreRnn<Tanh>>(pre_info("rnn_pre_tanh"));
  registry.add<PreRnn<Relu>>(pre_info("rnn_pre_relu"));
  registry.add<PreRnn<Sigmoid>>(pre_info("rnn_pre_sigmoid"));
  registry.add<PreRnn<Identity>>(pre_info("rnn_pre_identity"));
}

}  // namespace unrolled
