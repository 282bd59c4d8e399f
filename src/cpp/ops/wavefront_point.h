// One packet of hidden units of one place of the op "wavefront", forward and backward in mirror order. The equations
// are in wavefront.cpp.
#pragma once

#include <algorithm>

#include "core/math.h"
#include "ops/wavefront_plan.h"

namespace unrolled::ops {

/// The arrays of a call. A row is what belongs to one place; see Geometry for its scalars.
template <class S>
struct WavefrontArrays {
  WavefrontArrays(const Geometry& geometry, const Plan& plan) : g(geometry), plan(plan) {}

  const Geometry& g;
  const Plan& plan;
  const S* W = nullptr;                                                // (L, gates, operands)
  const S* input = nullptr;                                            // a, or null
  const S* bias = nullptr;                                             // b, or null
  const S *start_h[most_operands] = {}, *start_c[most_operands] = {};  // or null: zeros
  const S* zeros = nullptr;                                            // H of them
  S *h = nullptr, *c = nullptr;                                        // rows of [stream][unit]
  S* gates = nullptr;  // rows of [stream][gate][unit], after their activations; null: not kept
  // backward
  const Index* next = nullptr;           // Plan::next
  const S *dh = nullptr, *dc = nullptr;  // gradients of the results
  S* doperands = nullptr;                // rows of [operand][unit]
  S* dmemory = nullptr;                  // rows of [memory][unit]
  S* dgates = nullptr;                   // as gates

  /// Where the packet of a gate begins; gates of a stream are i, f_0 .. f_{M-1}, g, o.
  Index gate(Index place, int stream, int gate, Index unit) const {
    return place * g.gate_row() + (stream * g.gates() + gate) * g.hidden + unit;
  }
  Index output(Index place, int stream, Index unit) const { return place * g.output_row() + stream * g.hidden + unit; }
  Index operand(Index place, int k, Index unit) const { return place * g.operand_row() + k * g.hidden + unit; }
  Index memory_at(Index place, int k, Index unit) const { return place * g.memory_row() + k * g.hidden + unit; }
  bool has_memory(int k) const { return k < g.streams * g.memories; }
  /// Operand k of a place, and the cells that lie where it comes from.
  const S* h_before(Index place, int k) const { return before(place, k, h, start_h[k]); }
  const S* c_before(Index place, int k) const { return before(place, k, c, start_c[k]); }
  const S* before(Index place, int k, const S* results, const S* start) const {
    const Index from = plan.before[std::size_t(place * g.operands + k)];
    if (from >= 0) return results + output(from, g.stream_of(k), 0);
    return from == no_place || start == nullptr ? zeros : start + start_row(from) * g.hidden;
  }
};

/// Takes the gradients of h and c from the places that followed.
template <class S>
void take_back(const WavefrontArrays<S>& w, Index place, int stream, Index unit, Index count, Vec<S>& dh, Vec<S>& dc) {
  dh = Vec<S>::load_partial(w.dh + w.output(place, stream, unit), count);
  dc = Vec<S>::load_partial(w.dc + w.output(place, stream, unit), count);
  for (int k = 0; k < w.g.operands; ++k) {
    const Index next = w.next[place * w.g.operands + k];
    if (next < 0 || w.g.stream_of(k) != stream) continue;
    dh += Vec<S>::load_partial(w.doperands + w.operand(next, k, unit), count);
    if (w.has_memory(k)) dc += Vec<S>::load_partial(w.dmemory + w.memory_at(next, k, unit), count);
  }
}

/// `product` holds the packets of W P of every gate, side by side.
template <class S>
void wavefront_forward(const WavefrontArrays<S>& w, Index layer, Index place, int stream, Index unit,
                       const S* product) {
  const Index count = w.g.hidden - unit;
  const int M = w.g.memories, candidate = 1 + M, out = 2 + M;
  const auto sum = [&](int gate) {
    Vec<S> z = Vec<S>::load(product + gate * lanes<S>);
    if (w.input) z += Vec<S>::load_partial(w.input + w.gate(place, stream, gate, unit), count);
    if (w.bias) z += Vec<S>::load_partial(w.bias + w.gate(layer, stream, gate, unit), count);
    return z;
  };
  const auto keep = [&](int gate, Vec<S> value) {
    if (w.gates) value.store_partial(w.gates + w.gate(place, stream, gate, unit), count);
  };
  const Vec<S> i = sigmoid(sum(0)), g = tanh(sum(candidate)), o = sigmoid(sum(out));
  Vec<S> c = i * g;
  for (int m = 0; m < M; ++m) {
    const Vec<S> f = sigmoid(sum(1 + m));
    c = fma(f, Vec<S>::load_partial(w.c_before(place, w.g.memory_of(stream, m)) + unit, count), c);
    keep(1 + m, f);
  }
  const Vec<S> h = o * tanh(c);
  keep(0, i);
  keep(candidate, g);
  keep(out, o);
  h.store_partial(w.h + w.output(place, stream, unit), count);
  c.store_partial(w.c + w.output(place, stream, unit), count);
}

template <class S>
void wavefront_backward(const WavefrontArrays<S>& w, Index place, int stream, Index unit) {
  const Index count = w.g.hidden - unit;
  const int M = w.g.memories, candidate = 1 + M, out = 2 + M;
  const Vec<S> one(S(1));
  const auto kept = [&](int gate) { return Vec<S>::load_partial(w.gates + w.gate(place, stream, gate, unit), count); };
  const auto leave = [&](int gate, Vec<S> dz) {
    dz.store_partial(w.dgates + w.gate(place, stream, gate, unit), count);
  };
  Vec<S> dh, dc;
  take_back(w, place, stream, unit, count, dh, dc);
  const Vec<S> i = kept(0), g = kept(candidate), o = kept(out);
  const Vec<S> tanh_c = tanh(Vec<S>::load_partial(w.c + w.output(place, stream, unit), count));
  dc = fma(dh * o, one - tanh_c * tanh_c, dc);
  leave(out, dh * tanh_c * (o * (one - o)));
  for (int m = 0; m < M; ++m) {
    const Vec<S> f = kept(1 + m);
    const int k = w.g.memory_of(stream, m);
    leave(1 + m, dc * Vec<S>::load_partial(w.c_before(place, k) + unit, count) * (f * (one - f)));
    (dc * f).store_partial(w.dmemory + w.memory_at(place, k, unit), count);
  }
  leave(candidate, dc * i * (one - g * g));
  leave(0, dc * g * (i * (one - i)));
}

/// A dead place keeps nothing where one stream has many operands; else each stream passes its own operand on.
template <class S>
void wavefront_skip(const WavefrontArrays<S>& w, Index place) {
  const bool passes_on = w.g.streams > 1;
  for (int s = 0; s < w.g.streams; ++s) {
    std::copy_n(passes_on ? w.h_before(place, s) : w.zeros, w.g.hidden, w.h + w.output(place, s, 0));
    std::copy_n(passes_on ? w.c_before(place, s) : w.zeros, w.g.hidden, w.c + w.output(place, s, 0));
  }
}

/// `doperands` and `dmemory` start at zero.
template <class S>
void wavefront_skip_back(const WavefrontArrays<S>& w, Index place) {
  for (int s = 0; s < w.g.streams && w.g.streams > 1; ++s)
    for (Index unit = 0; unit < w.g.hidden; unit += lanes<S>) {
      const Index count = w.g.hidden - unit;
      Vec<S> dh, dc;
      take_back(w, place, s, unit, count, dh, dc);
      dh.store_partial(w.doperands + w.operand(place, s, unit), count);
      dc.store_partial(w.dmemory + w.memory_at(place, s, unit), count);
    }
}

}  // namespace unrolled::ops
