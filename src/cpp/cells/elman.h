// The step of an Elman network, for those whose sums come in different ways.
#pragma once

#include "cells/activations.h"

namespace unrolled {

/// h[t] = phi(a + u), and on the way back da = du = dh * phi'(a + u), from the output itself.
template <Activation phi>
struct Elman {
  enum Slot { sum };
  static constexpr int phases = 1;

  template <int, class Point>
  static void forward(Point& at) {
    at.set_output(activate<phi>(at.a(sum) + at.u(sum)));
  }

  template <int, class Point>
  static void backward(Point& at) {
    at.set_delta(sum, at.dh() * slope<phi>(at.output()));
    at.set_dh_prev(Point::V::zero());
  }
};

}  // namespace unrolled
