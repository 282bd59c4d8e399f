// Long short-term memory with a recurrent projection (Sak, Senior & Beaufays 2014). Two phases, in two spaces.
//
//   i, f, o = sigmoid, g = tanh of W x + U h[t-1] + b      as in lstm.cpp, h (O) narrower than c (H)
//   c[t] = f * c[t-1] + i * g
//   m = o * tanh(c[t])
//   h[t] = W_hr m                                          projection
//
// backward, given dh[t] and dc[t], projection phase:   dm = dh W_hr
// gates phase: as in lstm.cpp with dm for dh
#include "engine/point.h"
#include "engine/registry.h"

namespace unrolled {
namespace {

struct ProjectedLstm {
  enum Slot { i, f, g, o };
  enum OutputSlot { projected };
  enum Stream { c, m };
  enum PhaseIndex { gates, projection };
  static constexpr int phases = 2;

  template <int phase, class Point>
  static void forward(Point& at) {
    using V = typename Point::V;
    if constexpr (phase == gates) {
      const V in = sigmoid(at.a(i) + at.u(i));
      const V forget = sigmoid(at.a(f) + at.u(f));
      const V candidate = tanh(at.a(g) + at.u(g));
      const V out = sigmoid(at.a(o) + at.u(o));
      const V cell = fma(forget, at.state_prev(c), in * candidate);
      at.set_stream(c, cell);
      at.set_stream(m, out * tanh(cell));
      at.save(i, in);
      at.save(f, forget);
      at.save(g, candidate);
      at.save(o, out);
    } else {
      at.set_output(at.u(projected));
    }
  }

  template <int phase, class Point>
  static void backward(Point& at) {
    using V = typename Point::V;
    if constexpr (phase == projection) {
      at.set_delta(projected, at.dh());
      at.set_dh_prev(V::zero());
    } else {
      const V one(1);
      const V in = at.saved(i), forget = at.saved(f), candidate = at.saved(g), out = at.saved(o);
      const V before = at.state_prev(c), squashed = tanh(fma(forget, before, in * candidate));
      const V dm = at.take_dstream(m);
      at.set_delta(o, dm * squashed * out * (one - out));
      const V dc = fma(dm * out, one - squashed * squashed, at.dstream(c));
      at.set_delta(g, dc * in * (one - candidate * candidate));
      at.set_delta(f, dc * before * forget * (one - forget));
      at.set_delta(i, dc * candidate * in * (one - in));
      at.set_dstate_prev(c, dc * forget);
    }
  }
};

constexpr CellInfo info() {
  CellInfo cell("projected_lstm");
  cell.slots = 4;
  cell.output_slots = 1;
  cell.output = Space::Output;
  cell.states = 1;
  cell.streams = 2;
  cell.feed(ProjectedLstm::i, 0, 1, 2, 3);
  const int W_hh = cell.add_matrix(4, Space::Hidden, Space::Output);
  const int W_hr = cell.add_matrix(1, Space::Output, Space::Hidden);
  cell.multiply(Operand::PreviousOutput, W_hh, ProjectedLstm::i, 0, 1, 2, 3);
  Phase& projection = cell.multiply(Operand::Stream, W_hr, ProjectedLstm::projected, 0);
  projection.stream = ProjectedLstm::m;
  projection.space = Space::Output;
  return cell;
}

}  // namespace

void register_projected_lstm(Registry& registry) { registry.add_gated<ProjectedLstm>(info()); }

}  // namespace unrolled
