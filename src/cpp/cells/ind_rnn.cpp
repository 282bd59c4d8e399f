// Independently recurrent network (Li et al. 2018): every unit sees its own past only. No operand.
//
//   h[t] = phi(W_ih x[t] + b + w_hh * h[t-1])
//
// Option: phi.
//
// backward, given dh[t]:
//   da = dh * phi'(h)      dw_hh = sum of da * h[t-1],   dh[t-1] = da * w_hh
#include "cells/activations.h"
#include "engine/point.h"
#include "engine/registry.h"

namespace unrolled {
namespace {

struct IndRnn {
  enum Slot { sum };
  enum Vector { w_hh };
  enum Number { phi };
  static constexpr int phases = 1;

  template <int, class Point>
  static void forward(Point& at) {
    using V = typename Point::V;
    at.set_output(activate<V>(at.choice(phi), fma(at.vector(w_hh), at.h_prev(), at.a(sum))));
  }

  template <int, class Point>
  static void backward(Point& at) {
    using V = typename Point::V;
    const V da = at.dh() * slope<V>(at.choice(phi), at.output());
    at.set_delta(sum, da);
    at.add_dvector(w_hh, da * at.h_prev());
    at.set_dh_prev(da * at.vector(w_hh));
  }
};

constexpr CellInfo info() {
  CellInfo cell("ind_rnn");
  cell.slots = 1;
  cell.feed(IndRnn::sum, 0);
  cell.elementwise();
  cell.add_vectors(1);  // w_hh
  return cell;
}

}  // namespace

void register_ind_rnn(Registry& registry) { registry.add<IndRnn>(info()); }

}  // namespace unrolled
