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
//   kept     P, memories, gates
#include "core/buffer.h"
#include "core/threads.h"
#include "ops/wavefront_plan.h"
#include "ops/wavefront_point.h"
#include "ops/weight_panels.h"

namespace unrolled::ops {
namespace {

constexpr Index rows_at_once = 32;  // their products stay in the first-level cache

std::vector<Spec> wavefront_shapes(const Arrays& inputs, const Attributes& attributes) {
  const Geometry g = make_geometry(inputs, attributes);
  const Type type = inputs[2].spec.type;
  const auto rows_of = [&](Index scalars) { return Spec{type, {g.size[0], g.size[1], g.size[2], g.rows, scalars}}; };
  return {rows_of(g.output_row()), rows_of(g.output_row()), rows_of(g.operand_row()), rows_of(g.memory_row()),
          rows_of(g.gate_row())};
}

/// What one thread does of every wavefront: a share of its rows and all units, or all rows and a share of the units.
struct Share {
  int id, count;
  bool by_rows;
  Index begin_of(Index size, bool mine) const { return mine ? share_begin(size, id, count) : 0; }
  Index end_of(Index size, bool mine) const { return mine ? share_begin(size, id + 1, count) : size; }

  /// f(first, last) for the units of work that are this thread's.
  template <class F>
  void units(Index size, F&& f) const {
    f(begin_of(size, !by_rows), end_of(size, !by_rows));
  }
  /// f(layer, first, last) for the live places of a wavefront, those of one layer at a time, few at once.
  template <class F>
  void live(const Plan& plan, const Plan::Level& level, F&& f) const {
    if (level.first_run == level.last_run) return;
    const Index base = plan.runs[std::size_t(level.first_run)].first, size = plan.rows_of(level);
    const Index begin = base + begin_of(size, by_rows), end = base + end_of(size, by_rows);
    for (Index r = level.first_run; r < level.last_run; ++r) {
      const Plan::Run& run = plan.runs[std::size_t(r)];
      const Index last = std::min(run.last, end);
      for (Index at = std::max(run.first, begin); at < last; at += rows_at_once)
        f(run.layer, at, std::min(last, at + rows_at_once));
    }
  }
  template <class F>
  void dead(const Plan& plan, const Plan::Level& level, F&& f) const {
    const Index size = level.last_dead - level.first_dead;
    for (Index i = share_begin(size, id, count); i < share_begin(size, id + 1, count); ++i)
      f(plan.dead[std::size_t(level.first_dead + i)]);
  }
};

struct Team {
  int threads;
  bool by_rows;
};

/// As for recurrent layers: rows are shared where there are enough for every thread, else the units.
Team choose_team(const Geometry& g, const Plan& plan) {
  constexpr double least_level_work = 4e4;  // below it, the meeting of the threads costs more than it saves
  constexpr Index least_rows = 4;
  const Index levels = std::max<Index>(1, static_cast<Index>(plan.levels.size()));
  const Index rows = static_cast<Index>(plan.live.size()) / levels;
  const double work = double(plan.live.size()) * double(g.gate_row()) * double(g.operand_row());
  const int threads = get_num_threads();
  if (threads == 1 || crowded() || work < least_team_work || work / double(levels) < least_level_work) return {1, true};
  return {threads, rows >= least_rows * threads};
}

/// f(share, barrier) on every thread of a team.
template <class F>
void run_team(const Team& team, F&& f) {
  Barrier barrier;
  parallel(team.threads, [&](int id, int count) {
    const FlushDenormals flush;
    f(Share{id, count, team.by_rows}, [&] { barrier.wait(count); });
  });
}

template <class S>
WavefrontArrays<S> arrays_of(const Geometry& g, const Plan& plan, const Arrays& in, const Arrays& out) {
  return {g,
          plan,
          in[2].as<S>(),
          in[3].as<S>(),
          in[4].as<S>(),
          out[2].as<S>(),
          out[3].as<S>(),
          out[4].as<S>(),
          out[0].as<S>(),
          out[1].as<S>(),
          nullptr,
          nullptr,
          nullptr,
          nullptr,
          nullptr};
}

/// Operands and memories start at zero, or at what is given for the edge of the grid.
template <class S>
void set_starts(const WavefrontArrays<S>& w, const Arrays& inputs) {
  const Geometry& g = w.g;
  std::fill_n(w.operands, g.places() * g.operand_row(), S(0));
  std::fill_n(w.memory, g.places() * g.memory_row(), S(0));
  for_starts(g, inputs[1].as<std::int64_t>(), [&](int k, Index place, Index start) {
    const Array &h = inputs[std::size_t(5 + 2 * k)], &c = inputs[std::size_t(6 + 2 * k)];
    if (h) std::copy_n(h.as<S>() + start * g.hidden, g.hidden, w.operands + w.operand(place, k, 0));
    if (c) std::copy_n(c.as<S>() + start * g.hidden, g.hidden, w.memory + w.memory_at(place, k, 0));
  });
}

/// Products and point functions of a few places of one layer.
template <class S>
void forward_places(const WavefrontArrays<S>& w, const GatePanels<S>& panels, const Share& share, Index layer,
                    const Index* places, Index rows) {
  alignas(64) S product[rows_at_once * GatePanels<S>::most_gates * lanes<S>];
  const S* from[rows_at_once];
  S* to[rows_at_once];
  for (Index r = 0; r < rows; ++r) {
    from[r] = w.operands + w.operand(places[r], 0, 0);
    to[r] = product + r * panels.shape.columns;
  }
  share.units(panels.units, [&](Index begin, Index end) {
    for (Index unit = begin; unit < end; ++unit) {
      panels.multiply(layer, unit, rows, from, to);
      const int stream = static_cast<int>(unit / panels.blocks);
      for (Index r = 0; r < rows; ++r)
        wavefront_forward(w, layer, places[r], stream, unit % panels.blocks * lanes<S>, to[r]);
    }
  });
}

template <class S>
void forward_on(const Geometry& g, const Arrays& inputs, const Arrays& outputs) {
  const Plan plan = make_plan(g, inputs[1].as<std::int64_t>());
  const WavefrontArrays<S> w = arrays_of<S>(g, plan, inputs, outputs);
  set_starts(w, inputs);
  GatePanels<S> panels(g.layers, g.streams, g.gates(), g.hidden, g.operand_row());
  panels.pack(w.W);
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

void wavefront_forward_op(const Arrays& inputs, const Attributes& attributes, const Arrays& outputs) {
  const Geometry g = make_geometry(inputs, attributes);
  dispatch(inputs[2].spec.type, [&](auto scalar) { forward_on<decltype(scalar)>(g, inputs, outputs); });
}

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
    std::vector<const S*> gates, operands;
    for (const Plan::Run& run : w.plan.runs)
      for (Index i = run.first; i < run.last && run.layer == layer; ++i) {
        gates.push_back(w.dgates + w.plan.live[std::size_t(i)] * g.gate_row());
        operands.push_back(w.operands + w.plan.live[std::size_t(i)] * g.operand_row());
      }
    sum_layer_gradients(gates, g.gate_row(), operands, g.operand_row(),
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
  const Plan plan = make_plan(g, inputs[1].as<std::int64_t>());
  const Index places = g.places();
  Buffer<S> doperands(places * g.operand_row()), dmemory(places * g.memory_row()), dgates;
  if (!dx[3]) dgates.resize(places * g.gate_row());
  doperands.fill_zero(places * g.operand_row());
  dmemory.fill_zero(places * g.memory_row());
  WavefrontArrays<S> w = arrays_of<S>(g, plan, inputs, outputs);
  w.dh = dy[0].as<S>();
  w.dc = dy[1].as<S>();
  w.doperands = doperands.data();
  w.dmemory = dmemory.data();
  w.dgates = dx[3] ? dx[3].as<S>() : dgates.data();
  backward_time(w);
  sum_weight_gradients(w, dx[2], dx[4]);
  sum_start_gradients(w, inputs, dx);
}

void wavefront_vjp(const Arrays& inputs, const Attributes& attributes, const Arrays& outputs, const Arrays& dy,
                   const Arrays& dx) {
  const Geometry g = make_geometry(inputs, attributes);
  dispatch(inputs[2].spec.type, [&](auto scalar) { backward_on<decltype(scalar)>(g, inputs, outputs, dy, dx); });
}

const Registration wavefront_op({"wavefront", 3, 11, 2, wavefront_shapes, wavefront_forward_op, wavefront_vjp});

}  // namespace
}  // namespace unrolled::ops
