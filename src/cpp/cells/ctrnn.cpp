// Continuous-time network (Funahashi & Nakamura 1993), one step of length dt:
//
//   tau dh/dt = -h + phi(W_ih x + W_hh h + b)
//
//   g    = phi(W_ih x[t] + W_hh h[t-1] + b)               the drive
//   k    = dt / tau                                        explicit Euler
//          1 - exp(-dt / tau)                              exponential Euler: exact while g does not change
//   h[t] = h[t-1] + k * (g - h[t-1])
//
// Options: phi, whether k is exponential. The row scalar is dt. ctrnn_fading takes inputs with missing values, see
// fading_input.h.
//
// backward, given dh[t]:
//   dg = dh * k                     da = dg * phi'(g)
//   dk = dh * (g - h[t-1])          dtau = sum of -dk * dt / tau^2, times exp(-dt / tau) if exponential
//   ddt = sum over units of dk / tau, times exp(-dt / tau) if exponential
//   dh[t-1] = dh * (1 - k) + da W_hh
#include "cells/activations.h"
#include "cells/fading_input.h"
#include "engine/point.h"
#include "engine/registry.h"

namespace unrolled {
namespace {

struct NoFading {
  enum FeatureVector { feature_vectors };
};

template <class Input>
struct Ctrnn : Input {
  enum Slot { g };
  enum Vector { tau = Input::feature_vectors };
  enum Number { phi, exponential };
  static constexpr int phases = 1;

  /// exp(-dt / tau), for exponential Euler; 1 - k.
  template <class Point>
  static typename Point::V kept(const Point& at, typename Point::V ratio) {
    using V = typename Point::V;
    return at.choice(exponential) ? exp_saturated(-ratio) : V(1) - ratio;
  }
  /// k, to all its digits where it is the ratio.
  template <class Point>
  static typename Point::V taken(const Point& at, typename Point::V ratio, typename Point::V keep) {
    using V = typename Point::V;
    return at.choice(exponential) ? V(1) - keep : ratio;
  }

  template <int, class Point>
  static void forward(Point& at) {
    using V = typename Point::V;
    const V drive = activate<V>(at.choice(phi), at.a(g) + at.u(g));
    const V keep = kept(at, at.scalar() / at.vector(tau));
    at.set_output(fma(keep, at.h_prev() - drive, drive));
    at.save(g, drive);
  }

  template <int, class Point>
  static void backward(Point& at) {
    using V = typename Point::V;
    const V drive = at.saved(g), ratio = at.scalar() / at.vector(tau), keep = kept(at, ratio), before = at.h_prev();
    const V dh = at.dh();
    at.set_delta(g, dh * taken(at, ratio, keep) * slope<V>(at.choice(phi), drive));
    const V dratio = dh * (drive - before), ddt = (at.choice(exponential) ? dratio * keep : dratio) / at.vector(tau);
    at.set_dscalar(ddt);
    at.add_dvector(tau, -(ddt * ratio));
    at.set_dh_prev(dh * keep);
  }
};

template <class Input>
constexpr CellInfo info(const char* name) {
  using Cell = Ctrnn<Input>;
  CellInfo cell(name);
  cell.slots = 1;
  cell.feed(Cell::g, 0);
  cell.multiply(Operand::PreviousOutput, cell.add_matrix(1), Cell::g, 0);
  if constexpr (Cell::tau > 0) Input::add_to(cell);
  cell.add_vectors(1);  // tau
  return cell;
}

}  // namespace

void register_ctrnn(Registry& registry) {
  registry.add<Ctrnn<NoFading>>(info<NoFading>("ctrnn"));
  registry.add<Ctrnn<FadingInput<false>>>(info<FadingInput<false>>("ctrnn_fading"));
}

}  // namespace unrolled
