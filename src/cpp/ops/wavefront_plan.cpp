#include "ops/wavefront_plan.h"

#include <algorithm>
#include <numeric>

namespace unrolled::ops {
namespace {

bool is_integers(const Array& array, int ndim) { return array && array.spec.type == Type::i64 && array.ndim() == ndim; }

Index level_of(const Geometry& g, const Index (&at)[grid_axes]) {
  Index level = 0;
  for (int d = 0; d < grid_axes; ++d) level += g.front[d] * at[d];
  return level;
}

void require_steps(const Geometry& g) {
  for (int d = 0; d < grid_axes; ++d)
    require(g.front[d] >= 0 && g.front[d] <= 2, "wavefront needs a front of numbers from 0 to 2");
  for (int k = 0; k < g.operands; ++k) {
    for (Index step : g.step[k]) require(step >= -1 && step <= 1, "wavefront needs steps of -1, 0 or 1");
    require(level_of(g, g.step[k]) > 0, "wavefront needs steps that come from an earlier front");
  }
}

void require_starts(const Geometry& g, const Arrays& inputs) {
  for (std::size_t i = 5; i < inputs.size(); ++i) {
    if (!inputs[i]) continue;
    const int k = static_cast<int>(i - 5) / 2, axis = k < g.operands ? g.axis_of(k) : -1;
    require(g.streams > 1 && axis >= 0, "wavefront has starts where every operand has a stream and an axis");
    Shape shape{g.size[0], g.size[1], g.size[2], g.rows, g.hidden};
    shape[static_cast<std::size_t>(axis)] = 1;
    require(inputs[i].spec.type == inputs[2].spec.type && inputs[i].shape() == shape,
            "wavefront needs starts of the shape of the grid, 1 along their axis");
  }
}

}  // namespace

int Geometry::axis_of(int k) const {
  int axis = -1;
  for (int d = 0; d < grid_axes; ++d) {
    if (step[k][d] == 0) continue;
    if (axis >= 0 || step[k][d] != 1) return -1;
    axis = d;
  }
  return axis;
}

Geometry make_geometry(const Arrays& inputs, const Attributes& attributes) {
  const Array &steps = inputs[0], &live = inputs[1], &W = inputs[2], &a = inputs[3], &b = inputs[4];
  require(is_integers(steps, 2) && steps.last() == grid_axes, "wavefront needs steps (operands + 1, 3)");
  require(is_integers(live, 4), "wavefront needs live (n0, n1, n2, rows)");
  require_float(W, "wavefront needs float32 or float64 weights");
  Geometry g{};
  g.operands = static_cast<int>(steps.shape()[0]) - 1;
  require(g.operands >= 1 && g.operands <= most_operands, "wavefront needs 1 to 3 operands");
  const std::int64_t* value = steps.as<std::int64_t>();
  for (int k = 0; k < g.operands; ++k)
    for (Index& step : g.step[k]) step = *value++;
  for (Index& front : g.front) front = *value++;
  require_steps(g);
  std::copy_n(live.shape().begin(), grid_axes, g.size);
  g.rows = live.last();
  const std::int64_t streams = attributes.integer("streams"), memories = attributes.integer("memories");
  require(streams == 1 || streams == g.operands, "wavefront needs one stream, or one per operand");
  require(memories >= 1 && memories <= (streams == 1 ? g.operands : 1), "wavefront has a memory per operand at most");
  g.streams = static_cast<int>(streams);
  g.memories = static_cast<int>(memories);
  require(W.ndim() == 3 && W.last() % g.operands == 0, "wavefront needs weights (layers, gates, operands)");
  g.hidden = W.last() / g.operands;
  g.layers = W.shape()[0];
  require(g.hidden > 0 && W.shape()[1] == g.gate_row(), "wavefront needs weights (layers, gates, operands)");
  require(g.layers == 1 || g.layers == g.size[2], "wavefront needs weights for one layer or for each");
  require(
      !a || (a.spec.type == W.spec.type && a.shape() == Shape{g.size[0], g.size[1], g.size[2], g.rows, g.gate_row()}),
      "wavefront needs input parts (n0, n1, n2, rows, gates)");
  require(!b || (b.spec.type == W.spec.type && b.shape() == Shape{g.layers, g.gate_row()}),
          "wavefront needs biases (layers, gates)");
  require_starts(g, inputs);
  return g;
}

std::vector<Index> Plan::next(int operands) const {
  std::vector<Index> places(before.size(), no_place);
  for (std::size_t at = 0; at < before.size(); ++at)
    if (before[at] >= 0) places[std::size_t(before[at] * operands) + at % std::size_t(operands)] = Index(at) / operands;
  return places;
}

Plan make_plan(const Geometry& g, const std::int64_t* live) {
  const Index positions = g.positions(), B = g.rows;
  Plan plan;
  plan.before.assign(static_cast<std::size_t>(g.places() * g.operands), no_place);
  std::vector<Index> level(static_cast<std::size_t>(positions)), order(level.size());
  const Index stride[grid_axes] = {g.size[1] * g.size[2], g.size[2], 1};
  for (Index p = 0; p < positions; ++p) {
    const Index at[grid_axes] = {p / stride[0], p / stride[1] % g.size[1], p % g.size[2]};
    level[std::size_t(p)] = level_of(g, at);
    for (int k = 0; k < g.operands; ++k) {
      Index from = 0;
      bool inside = true;
      for (int d = 0; d < grid_axes; ++d) {
        const Index there = at[d] - g.step[k][d];
        inside = inside && there >= 0 && there < g.size[d];
        from += there * stride[d];
      }
      for (Index b = 0; inside && b < B; ++b)
        if (k != 0 || live[p * B + b] != Reset) plan.before[std::size_t((p * B + b) * g.operands + k)] = from * B + b;
    }
  }
  for_starts(g, live, [&](int k, Index place, Index row) {
    plan.before[std::size_t(place * g.operands + k)] = start_place(row);
  });
  const auto layer_of = [&](Index p) { return g.layers == 1 ? 0 : p % g.size[2]; };
  std::iota(order.begin(), order.end(), Index(0));
  std::stable_sort(order.begin(), order.end(), [&](Index p, Index q) {
    const Index lp = level[std::size_t(p)], lq = level[std::size_t(q)];
    return lp != lq ? lp < lq : layer_of(p) < layer_of(q);
  });
  Index current = -1;
  for (Index p : order) {
    const Index runs = static_cast<Index>(plan.runs.size()), dead = static_cast<Index>(plan.dead.size());
    if (level[std::size_t(p)] != current) plan.levels.push_back({runs, runs, dead, dead});
    current = level[std::size_t(p)];
    Plan::Level& now = plan.levels.back();
    const Index first = static_cast<Index>(plan.live.size());
    for (Index b = 0; b < B; ++b) (live[p * B + b] == Dead ? plan.dead : plan.live).push_back(p * B + b);
    const Index last = static_cast<Index>(plan.live.size());
    if (now.last_run > now.first_run && plan.runs.back().layer == layer_of(p))
      plan.runs.back().last = last;
    else if (last > first)
      plan.runs.push_back({first, last, layer_of(p)});
    now.last_run = static_cast<Index>(plan.runs.size());
    now.last_dead = static_cast<Index>(plan.dead.size());
  }
  return plan;
}

}  // namespace unrolled::ops
