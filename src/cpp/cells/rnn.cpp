// Elman network (Elman 1990).
//
//   h[t] = phi(W_ih x[t] + b + W_hh h[t-1]),   phi = tanh | relu | sigmoid
//
// backward, given dh[t]:
//   da   = dh * phi'(a + u)          phi' from the output itself: 1 - h^2 | h > 0 | h (1 - h)
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

}  // namespace

void register_rnn(Registry& registry) {
  registry.add<Rnn<Tanh>>(info("rnn_tanh"));
  registry.add<Rnn<Relu>>(info("rnn_relu"));
  registry.add<Rnn<Sigmoid>>(info("rnn_sigmoid"));
}

}  // namespace unrolled
