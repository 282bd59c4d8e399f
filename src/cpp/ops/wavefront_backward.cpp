// Backward of the op "wavefront", whose equations are in wavefront.cpp: the wavefronts from the last to the first, then
// the sums over all places.
#include "ops/wavefront.h"
#include "ops/wavefront_team.h"
#include "ops/weight_panels.h"

namespace unrolled::ops {
namespace {

/// Gradients of the gates of a few places.
template <class S>
void backward_places(const WavefrontArrays<S>& w, const Share& share, const Index* places, Index rows) {
  const Index blocks = (w.g.hidden + lanes<S> - 1) / lanes<S>;
  share.units(w.g.streams * blocks, [&](Index begin, Index end) {
    for (Index r = 0; r < rows; ++r)
      for (Index unit = begin; unit < end; ++unit)
        wavefront_backward(w, places[r], static_cast<int>(unit / blocks), unit % blocks * lanes<S>);
  });
}

/// Gradients of the operands of a few places, from those of the gates.
template <class S>
void backward_product(const WavefrontArrays<S>& w, const OperandPanels<S>& panels, const Share& share, Index layer,
                      const Index* places, Index rows) {
  const S* from[rows_at_once];
  S* to[rows_at_once];
  for (Index r = 0; r < rows; ++r) {
    from[r] = w.dgates + places[r] * w.g.gate_row();
    to[r] = w.doperands + w.operand(places[r], 0, 0);
  }
  share.units(panels.shape.groups(), [&](Index begin, Index end) {
    for (Index group = begin; group < end; ++group) panels.multiply(layer, group, rows, from, to, Start::Zero);
  });
}

template <class S>
void backward_time(const WavefrontArrays<S>& w) {
  const Plan& plan = w.plan;
  OperandPanels<S> panels(w.g.layers, w.g.gate_row(), w.g.operand_row());
  panels.pack(w.W);
  run_team(choose_team(w.g, plan), [&](const Share& share, auto&& meet) {
    for (auto level = plan.levels.rbegin(); level != plan.levels.rend(); ++level) {
      share.live(plan, *level, [&](Index, Index first, Index last) {
        backward_places(w, share, plan.live.data() + first, last - first);
      });
      share.dead(plan, *level, [&](Index place) {
        wavefront_skip_back(w, place);
        std::fill_n(w.dgates + place * w.g.gate_row(), w.g.gate_row(), S(0));
      });
      if (!share.by_rows) meet();  // the product needs all gates of a place
      share.live(plan, *level, [&](Index layer, Index first, Index last) {
        backward_product(w, panels, share, layer, plan.live.data() + first, last - first);
      });
      meet();
    }
  });
}

/// Gradients of W and b: sums over the live places of each layer, in the order of the plan.
template <class S>
void sum_weight_gradients(const WavefrontArrays<S>& w, const Array& dW, const Array& db) {
  const Geometry& g = w.g;
  for (Index layer = 0; layer < g.layers; ++layer) {
    std::vector<const S*> gates;
    std::vector<std::vector<const S*>> operands(std::size_t(g.operands));
    for (const Plan::Run& run : w.plan.runs)
      for (Index i = run.first; i < run.last && run.layer == layer; ++i) {
        const Index place = w.plan.live[std::size_t(i)];
        gates.push_back(w.dgates + place * g.gate_row());
        for (int k = 0; k < g.operands; ++k) operands[std::size_t(k)].push_back(w.h_before(place, k));
      }
    sum_layer_gradients(gates, g.gate_row(), operands, g.hidden,
                        dW ? dW.as<S>() + layer * g.gate_row() * g.operand_row() : nullptr,
                        db ? db.as<S>() + layer * g.gate_row() : nullptr);
  }
}

template <class S>
void sum_start_gradients(const WavefrontArrays<S>& w, const Arrays& inputs, const Arrays& dx) {
  const Index H = w.g.hidden;
  for (std::size_t i = 5; i < dx.size(); ++i)
    if (dx[i]) std::fill_n(dx[i].as<S>(), dx[i].size(), S(0));
  for_starts(w.g, inputs[1].as<std::int64_t>(), [&](int k, Index place, Index start) {
    const Array &dh = dx[std::size_t(5 + 2 * k)], &dc = dx[std::size_t(6 + 2 * k)];
    if (dh) std::copy_n(w.doperands + w.operand(place, k, 0), H, dh.as<S>() + start * H);
    if (dc) std::copy_n(w.dmemory + w.memory_at(place, k, 0), H, dc.as<S>() + start * H);
  });
}

template <class S>
void backward_on(const Geometry& g, const Arrays& inputs, const Arrays& outputs, const Arrays& dy, const Arrays& dx) {
  const Index places = g.places();
  Buffer<S> doperands(places * g.operand_row()), dmemory(places * g.memory_row()), dgates;
  if (!dx[3]) dgates.resize(places * g.gate_row());
  doperands.fill_zero(places * g.operand_row());
  dmemory.fill_zero(places * g.memory_row());
  WavefrontCall<S> call(g, inputs, outputs);
  WavefrontArrays<S>& w = call.arrays;
  const std::vector<Index> next = call.plan.next(g.operands);
  w.next = next.data();
  w.dh = dy[0].as<S>();
  w.dc = dy[1].as<S>();
  w.doperands = doperands.data();
  w.dmemory = dmemory.data();
  w.dgates = dx[3] ? dx[3].as<S>() : dgates.data();
  backward_time(w);
  sum_weight_gradients(w, dx[2], dx[4]);
  sum_start_gradients(w, inputs, dx);
}

}  // namespace

void wavefront_vjp(const Arrays& inputs, const Attributes& attributes, const Arrays& outputs, const Arrays& dy,
                   const Arrays& dx) {
  const Geometry g = make_geometry(inputs, attributes);
  dispatch(inputs[2].spec.type, [&](auto scalar) { backward_on<decltype(scalar)>(g, inputs, outputs, dy, dx); });
}

}  // namespace unrolled::ops
