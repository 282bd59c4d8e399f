// wavefront: LSTM cells on a grid of up to three axes, each fed by the cells at up to three earlier positions. All
// positions of a wavefront are computed at once, the wavefronts one after the other.
//
// Position p has K operands, the outputs at p - step_k, and S streams of H units; stream s has M memories m:
//
//   P[p] = [h[p - step_0], ..., h[p - step_{K-1}]]           zeros, or start_k, outside of the grid
//   i, f_m, o = sigmoid, g = tanh  of  W_s P[p] + a_s[p] + b_s          blocks of rows of W_s: i, f_0 .. f_{M-1}, g, o
//   c_s[p] = i g + sum over m of f_m c[p - step_m]
//   h_s[p] = o tanh(c_s[p])
//
//   S = 1      one LSTM; operand k and memory m are the outputs and cells of positions p - step_k, p - step_m, M <= K
//              (multi-dimensional LSTM: M = K = axes; diagonal and row LSTM: M = 1)
//   S = K      Grid LSTM, M = 1; operand k and the memory of stream k are stream k at p - step_k
//
// Weights may differ along the last axis (L = n2), or not (L = 1).
//
//   inputs   step (K + 1, 3) integers: the steps, and a vector whose product with a position is its wavefront
//            live (n0, n1, n2, B) integers: 0 dead (Grid: passes each operand on; else h = c = 0), 1 live, 2 live, but
//            operand 0 and its memory are zero
//            W (L, S G H, K H), G = M + 3; a (n0, n1, n2, B, S G H) and b (L, S G H) may be absent
//            start of h and of c for operands 0, 1, 2, each the shape of the grid, B, H with 1 along its axis, or
//            absent
//   results  h, c (n0, n1, n2, B, S H)
//   kept     gates, after their activations; not where nothing will go back
//
// backward, wavefront by wavefront from the last, given dh and dc of the results:
//
//   dh_s[p], dc_s[p] += doperand_k, dmemory_k of the places p + step_k that read them
//   dc_s += dh_s o (1 - tanh(c_s)^2);  da_o = dh_s tanh(c_s) o';  da_{f_m} = dc_s c[p - step_m] f_m';  da_i = dc_s g
//   i'; da_g = dc_s i g';  dmemory_m = dc_s f_m;  doperands = sum over s of da_s W_s after the loop  dW = sum over p of
//   da[p] P[p]',  db = sum of da
#include "ops/wavefront.h"

#include "ops/wavefront_team.h"
#include "ops/weight_panels.h"

namespace unrolled::ops {
namespace {

std::vector<Spec> wavefront_shapes(const Arrays& inputs, const Attributes& attributes) {
  const Geometry g = make_geometry(inputs, attributes);
  const Type type = inputs[2].spec.type;
  const auto rows_of = [&](Index scalars) { return Spec{type, {g.size[0], g.size[1], g.size[2], g.rows, scalars}}; };
  return {rows_of(g.output_row()), rows_of(g.output_row()), rows_of(g.gate_row())};
}

/// The weights as UnitPanels of their type.
std::shared_ptr<const void> make_panels(const Arrays& inputs, const Attributes& attributes) {
  const Geometry g = make_geometry(inputs, attributes);
  std::shared_ptr<const void> made;
  dispatch(inputs[2].spec.type, [&](auto scalar) {
    using S = decltype(scalar);
    auto panels = std::make_shared<UnitPanels<S>>(g.layers, g.streams, g.gates(), g.hidden, g.operand_row());
    panels->pack(inputs[2].as<S>());
    made = panels;
  });
  return made;
}

/// Products and point functions of a few places of one layer.
template <class S>
void forward_places(const WavefrontArrays<S>& w, const UnitPanels<S>& panels, const Share& share, Index layer,
                    const Index* places, Index rows) {
  alignas(64) S product[rows_at_once * UnitPanels<S>::most_gates * lanes<S>];
  const S* from[most_operands][rows_at_once];
  S* to[rows_at_once];
  for (Index r = 0; r < rows; ++r) {
    for (int k = 0; k < w.g.operands; ++k) from[k][r] = w.h_before(places[r], k);
    to[r] = product + r * panels.shape.columns;
  }
  share.units(panels.units, [&](Index begin, Index end) {
    for (Index unit = begin; unit < end; ++unit) {
      for (int k = 0; k < w.g.operands; ++k)
        panels.multiply_part(layer, unit, k * w.g.hidden, w.g.hidden, rows, from[k], to);
      const int stream = static_cast<int>(unit / panels.blocks);
      for (Index r = 0; r < rows; ++r)
        wavefront_forward(w, layer, places[r], stream, unit % panels.blocks * lanes<S>, to[r]);
    }
  });
}

template <class S>
void forward_on(const Geometry& g, const Arrays& inputs, const Arrays& outputs, const UnitPanels<S>& panels) {
  const WavefrontCall<S> call(g, inputs, outputs);
  const WavefrontArrays<S>& w = call.arrays;
  const Plan& plan = call.plan;
  run_team(choose_team(g, plan), [&](const Share& share, auto&& meet) {
    for (const Plan::Level& level : plan.levels) {
      share.live(plan, level, [&](Index layer, Index first, Index last) {
        forward_places(w, panels, share, layer, plan.live.data() + first, last - first);
      });
      share.dead(plan, level, [&](Index place) { wavefront_skip(w, place); });
      meet();
    }
  });
}

void forward_with_panels(const Arrays& inputs, const Attributes& attributes, const Arrays& outputs,
                         const void* panels) {
  const Geometry g = make_geometry(inputs, attributes);
  dispatch(inputs[2].spec.type, [&](auto scalar) {
    forward_on(g, inputs, outputs, *static_cast<const UnitPanels<decltype(scalar)>*>(panels));
  });
}

void wavefront_forward_op(const Arrays& inputs, const Attributes& attributes, const Arrays& outputs) {
  forward_with_panels(inputs, attributes, outputs, make_panels(inputs, attributes).get());
}

const Registration wavefront_op({"wavefront", 3, 11, 2, wavefront_shapes, wavefront_forward_op, wavefront_vjp, true,
                                 Preparation{2, make_panels, forward_with_panels}});

}  // namespace
}  // namespace unrolled::ops
