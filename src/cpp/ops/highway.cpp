// highway: a feed-forward highway network, a recurrence over depth instead of time.
//
//   a_0 = x
//   z = sigmoid(W_z a_{t-1} + b_z),  h' = f(W_h a_{t-1} + b_h),  f tanh or relu          t = 1 .. depth
//   a_t = z a_{t-1} + (1 - z) h',    y = a_depth
//
//   inputs   x (N, H); W (L, 2 H, H) and b (L, 2 H) or absent, rows of z first, L = depth, or 1 where tied
//   results  y (N, H)
//   kept     a_0 .. a_{depth-1} (depth, N, H), z and h' (depth, N, 2 H)
//
//   dh' = da_t (1 - z) f',  dz = da_t (a_{t-1} - h') z (1 - z),  da_{t-1} = da_t z + [dz; dh'] W
//
// Rows have nothing to do with each other: each thread takes some of them through all layers.
#include "core/math.h"
#include "ops/op.h"
#include "ops/weight_panels.h"

namespace unrolled::ops {
namespace {

constexpr Index rows_at_once = 32;

struct Sizes {
  Index rows, H, layers, depth;
  bool relu;
  Index layer(Index t) const { return layers == 1 ? 0 : t; }
};

Sizes sizes_of(const Arrays& inputs, const Attributes& attributes) {
  return {inputs[0].shape()[0], inputs[0].shape()[1], inputs[1].shape()[0], attributes.integer("depth"),
          attributes.integer("relu") != 0};
}

std::vector<Spec> highway_shapes(const Arrays& inputs, const Attributes& attributes) {
  const Array &x = inputs[0], &W = inputs[1], &b = inputs[2];
  require_float(x, "highway needs float32 or float64 arrays");
  require(x.ndim() == 2, "highway needs x (rows, units)");
  const Index depth = attributes.integer("depth"), H = x.last();
  require(depth >= 1, "highway needs a depth of at least 1");
  require(W && W.spec.type == x.spec.type && W.ndim() == 3, "highway needs weights (layers, 2 units, units)");
  require(W.shape()[0] == 1 || W.shape()[0] == depth, "highway needs weights for one layer or for each");
  require(W.shape()[1] == 2 * H && W.last() == H, "highway needs weights (layers, 2 units, units)");
  require(!b || (b.spec.type == x.spec.type && b.shape() == Shape{W.shape()[0], 2 * H}),
          "highway needs biases (layers, 2 units)");
  const Index rows = x.shape()[0];
  return {x.spec, {x.spec.type, {depth, rows, H}}, {x.spec.type, {depth, rows, 2 * H}}};
}

/// f(first, count) for blocks of rows, shared among threads.
template <class F>
void for_rows(const Sizes& s, F&& f) {
  const Index blocks = (s.rows + rows_at_once - 1) / rows_at_once;
  share(blocks, rows_at_once * s.depth * s.H * (s.H / 8 + 1), [&](Index begin, Index end) {
    const FlushDenormals flush;
    for (Index block = begin; block < end; ++block)
      f(block * rows_at_once, std::min(rows_at_once, s.rows - block * rows_at_once));
  });
}

/// One packet of one row, from the sums of z and h'. Gives a_t; keeps z and h'.
template <class S>
void forward_point(const Sizes& s, const S* sums, const S* bias, const S* before, Index unit, S* gates, S* after) {
  const Index count = s.H - unit;
  Vec<S> z = Vec<S>::load(sums), h = Vec<S>::load(sums + lanes<S>);
  if (bias) {
    z += Vec<S>::load_partial(bias + unit, count);
    h += Vec<S>::load_partial(bias + s.H + unit, count);
  }
  z = sigmoid(z);
  h = s.relu ? max(h, Vec<S>::zero()) : tanh(h);
  if (gates) {
    z.store_partial(gates + unit, count);
    h.store_partial(gates + s.H + unit, count);
  }
  const Vec<S> a = Vec<S>::load_partial(before + unit, count);
  fma(z, a, (Vec<S>(S(1)) - z) * h).store_partial(after + unit, count);
}

/// In: da_t. Out: its direct part of da_{t-1}, and the gradients of the gates in place of the gates.
template <class S>
void backward_point(const Sizes& s, const S* before, const S* gates, Index unit, S* dgates, S* da) {
  const Index count = s.H - unit;
  const Vec<S> one(S(1)), dy = Vec<S>::load_partial(da + unit, count);
  const Vec<S> z = Vec<S>::load_partial(gates + unit, count), h = Vec<S>::load_partial(gates + s.H + unit, count);
  const Vec<S> dh = dy * (one - z);
  const Vec<S> through = s.relu ? select(less(Vec<S>::zero(), h), dh, Vec<S>::zero()) : dh * (one - h * h);
  through.store_partial(dgates + s.H + unit, count);
  (dy * (Vec<S>::load_partial(before + unit, count) - h) * (z * (one - z))).store_partial(dgates + unit, count);
  (dy * z).store_partial(da + unit, count);
}

template <class S>
void forward_on(const Sizes& s, const Arrays& in, const Arrays& out) {
  UnitPanels<S> panels(s.layers, 1, 2, s.H, s.H);
  panels.pack(in[1].as<S>());
  S *const y = out[0].as<S>(), *const gates = out[2].as<S>();
  const bool keep = bool(out[1]);
  Buffer<S> two;  // where nothing is kept: the states of two layers in turns
  if (!keep) two.resize(2 * s.rows * s.H);
  const auto state = [&](Index t) {
    return keep ? out[1].as<S>() + t * s.rows * s.H : two.data() + t % 2 * s.rows * s.H;
  };
  std::copy_n(in[0].as<S>(), s.rows * s.H, state(0));
  for_rows(s, [&](Index first, Index count) {
    alignas(64) S sums[rows_at_once * 2 * lanes<S>];
    const S* from[rows_at_once];
    S* to[rows_at_once];
    for (Index t = 0; t < s.depth; ++t) {
      for (Index r = 0; r < count; ++r) {
        from[r] = state(t) + (first + r) * s.H;
        to[r] = sums + r * 2 * lanes<S>;
      }
      S* const after = t + 1 < s.depth ? state(t + 1) : y;
      const S* bias = in[2] ? in[2].as<S>() + s.layer(t) * 2 * s.H : nullptr;
      for (Index block = 0; block < panels.blocks; ++block) {
        panels.multiply(s.layer(t), block, count, from, to);
        for (Index r = 0; r < count; ++r)
          forward_point(s, to[r], bias, from[r], block * lanes<S>,
                        keep ? gates + (t * s.rows + first + r) * 2 * s.H : nullptr, after + (first + r) * s.H);
      }
    }
  });
}

/// dgates (depth, N, 2 H) and, in place of dy, dx.
template <class S>
void backward_through_layers(const Sizes& s, const Arrays& in, const Arrays& out, S* dgates, S* da) {
  OperandPanels<S> panels(s.layers, 2 * s.H, s.H);
  panels.pack(in[1].as<S>());
  for_rows(s, [&](Index first, Index count) {
    const S* from[rows_at_once];
    S* to[rows_at_once];
    for (Index t = s.depth - 1; t >= 0; --t) {
      for (Index r = 0; r < count; ++r) {
        const Index place = t * s.rows + first + r;
        from[r] = dgates + place * 2 * s.H;
        to[r] = da + (first + r) * s.H;
        for (Index unit = 0; unit < s.H; unit += lanes<S>)
          backward_point(s, out[1].as<S>() + place * s.H, out[2].as<S>() + place * 2 * s.H, unit,
                         dgates + place * 2 * s.H, to[r]);
      }
      for (Index group = 0; group < panels.shape.groups(); ++group)
        panels.multiply(s.layer(t), group, count, from, to, Start::Continue);
    }
  });
}

template <class S>
void backward_on(const Sizes& s, const Arrays& in, const Arrays& out, const Array& dy, const Arrays& dx) {
  Buffer<S> dgates(s.depth * s.rows * 2 * s.H), da;
  if (!dx[0]) da.resize(s.rows * s.H);
  S* const gradient = dx[0] ? dx[0].as<S>() : da.data();
  std::copy_n(dy.as<S>(), s.rows * s.H, gradient);
  backward_through_layers(s, in, out, dgates.data(), gradient);
  for (Index layer = 0; layer < s.layers; ++layer) {
    std::vector<const S*> gates;
    std::vector<std::vector<const S*>> states(1);
    const Index first = layer * s.rows, last = s.layers == 1 ? s.depth * s.rows : first + s.rows;
    for (Index place = first; place < last; ++place) {
      gates.push_back(dgates.data() + place * 2 * s.H);
      states[0].push_back(out[1].as<S>() + place * s.H);
    }
    sum_layer_gradients(gates, 2 * s.H, states, s.H, dx[1] ? dx[1].as<S>() + layer * 2 * s.H * s.H : nullptr,
                        dx[2] ? dx[2].as<S>() + layer * 2 * s.H : nullptr);
  }
}

void highway_forward(const Arrays& inputs, const Attributes& attributes, const Arrays& outputs) {
  const Sizes s = sizes_of(inputs, attributes);
  dispatch(inputs[0].spec.type, [&](auto scalar) { forward_on<decltype(scalar)>(s, inputs, outputs); });
}

void highway_vjp(const Arrays& inputs, const Attributes& attributes, const Arrays& outputs, const Arrays& dy,
                 const Arrays& dx) {
  const Sizes s = sizes_of(inputs, attributes);
  dispatch(inputs[0].spec.type, [&](auto scalar) { backward_on<decltype(scalar)>(s, inputs, outputs, dy[0], dx); });
}

const Registration highway_op({"highway", 2, 3, 1, highway_shapes, highway_forward, highway_vjp, true});

}  // namespace
}  // namespace unrolled::ops
