// Recurrent highway network (Zilly et al. 2017), carry gate 1 - t. One phase for each of the `depth` layers of a step.
//
//   s_0 = h[t-1]
//   n_l = tanh   (W_n x[t] if l = 1 + U_n,l s_(l-1) + b_n,l)       candidate of layer l = 1 .. depth
//   t_l = sigmoid(W_t x[t] if l = 1 + U_t,l s_(l-1) + b_t,l)       transform gate
//   s_l = t_l * n_l + (1 - t_l) * s_(l-1)
//   h[t] = s_depth
//
// backward of layer l, given ds_l:
//   dn = ds * t                     da_n = dn * (1 - n^2)
//   dt = ds * (n - s_(l-1))         da_t = dt * t (1 - t)
//   ds_(l-1) = ds * (1 - t) + [da_n da_t] [U_n,l; U_t,l],   db = sum of da
#include "engine/point.h"
#include "engine/registry.h"

namespace unrolled {
namespace {

template <int depth>
struct RecurrentHighway {
  static constexpr int phases = depth;  // layer l, here from 0, has slots 2 l and 2 l + 1 and ends in stream l
  static constexpr int n(int layer) { return 2 * layer; }
  static constexpr int t(int layer) { return 2 * layer + 1; }
  /// Biases of the layers that W_ih does not feed: vectors, two a layer.
  static constexpr int b(int slot) { return slot - 2; }

  template <int layer, class Point>
  static typename Point::V below(const Point& at) {
    if constexpr (layer == 0)
      return at.h_prev();
    else
      return at.stream(layer - 1);
  }
  template <int layer, class Point>
  static typename Point::V sum(const Point& at, int slot) {
    if constexpr (layer == 0)
      return at.a(slot) + at.u(slot);
    else
      return at.u(slot) + at.vector(b(slot));
  }

  template <int layer, class Point>
  static void forward(Point& at) {
    using V = typename Point::V;
    const V before = below<layer>(at);
    const V candidate = tanh(sum<layer>(at, n(layer)));
    const V transform = sigmoid(sum<layer>(at, t(layer)));
    const V after = fma(transform, candidate - before, before);
    if constexpr (layer == depth - 1)
      at.set_output(after);
    else
      at.set_stream(layer, after);
    at.save(n(layer), candidate);
    at.save(t(layer), transform);
  }

  template <int layer, class Point>
  static void backward(Point& at) {
    using V = typename Point::V;
    const V one(1);
    const V candidate = at.saved(n(layer)), transform = at.saved(t(layer)), before = below<layer>(at);
    V ds;
    if constexpr (layer == depth - 1)
      ds = at.dh();
    else
      ds = at.take_dstream(layer);
    if constexpr (layer == depth - 1 && layer > 0) at.set_dh_prev(V::zero());
    const V da_n = at.set_delta(n(layer), ds * transform * (one - candidate * candidate));
    const V da_t = at.set_delta(t(layer), ds * (candidate - before) * transform * (one - transform));
    if constexpr (depth == 1) {
      at.set_dh_prev(ds * (one - transform));
    } else if constexpr (layer == 0) {
      at.set_dh_prev(fma(ds, one - transform, at.dh_prev()));
    } else {
      at.add_dvector(b(n(layer)), da_n);
      at.add_dvector(b(t(layer)), da_t);
      at.add_dstream(layer - 1, ds * (one - transform));
    }
  }
};

template <int depth>
void add(Registry& registry, const char* name) {
  CellInfo cell(name);
  cell.slots = 2 * depth;
  cell.streams = depth - 1;
  cell.feed(0, 0, 1);
  const int W_hh = cell.add_matrix(2 * depth);
  for (int layer = 0; layer < depth; ++layer) {
    const Operand operand = layer == 0 ? Operand::PreviousOutput : Operand::Stream;
    cell.multiply(operand, W_hh, 2 * layer, 2 * layer, 2 * layer + 1).stream = layer - 1;
  }
  if (depth > 1) cell.add_vectors(2 * (depth - 1));  // b_deep
  registry.add_gated<RecurrentHighway<depth>>(cell);
}

}  // namespace

void register_recurrent_highway(Registry& registry) {
  add<1>(registry, "recurrent_highway_1");
  add<2>(registry, "recurrent_highway_2");
  add<3>(registry, "recurrent_highway_3");
  add<4>(registry, "recurrent_highway_4");
  add<5>(registry, "recurrent_highway_5");
}

}  // namespace unrolled
