// One packet of hidden units of one place of the op "wavefront", forward and backward in mirror order. The equations
// are in wavefront.cpp.
#pragma once

#include "core/math.h"
#include "ops/wavefront_plan.h"

namespace unrolled::ops {

/// The arrays of a call. A row is what belongs to one place; see Geometry for its scalars.
template <class S>
struct WavefrontArrays {
  const Geometry& g;
  const Plan& plan;
  const S* W;        // (L, gates, operands)
  const S* input;    // a, or null
  const S* bias;     // b, or null
  S* operands;       // rows of [operand][unit]
  S* memory;         // rows of [memory][unit]
  S* gates;          // rows of [stream][gate][unit], after their activations
  S *h, *c;          // rows of [stream][unit]
  const S *dh, *dc;  // backward: gradients of the results
  S *doperands, *dmemory, *dgates;

  /// Where the packet of a gate begins; gates of a stream are i, f_0 .. f_{M-1}, g, o.
  Index gate(Index place, int stream, int gate, Index unit) const {
    return place * g.gate_row() + (stream * g.gates() + gate) * g.hidden + unit;
  }
  Index output(Index place, int stream, Index unit) const { return place * g.output_row() + stream * g.hidden + unit; }
  Index operand(Index place, int k, Index unit) const { return place * g.operand_row() + k * g.hidden + unit; }
  Index memory_at(Index place, int k, Index unit) const { return place * g.memory_row() + k * g.hidden + unit; }
  bool has_memory(int k) const { return k < g.streams * g.memories; }
};

/// Hands h and c to the places that follow.
template <class S>
void pass_on(const WavefrontArrays<S>& w, Index place, int stream, Index unit, Index count, Vec<S> h, Vec<S> c) {
  for (int k = 0; k < w.g.operands; ++k) {
    const Index next = w.plan.next[std::size_t(place * w.g.operands + k)];
    if (next < 0 || w.g.stream_of(k) != stream) continue;
    h.store_partial(w.operands + w.operand(next, k, unit), count);
    if (w.has_memory(k)) c.store_partial(w.memory + w.memory_at(next, k, unit), count);
  }
}

/// Takes the gradients of h and c from the places that followed.
template <class S>
void take_back(const WavefrontArrays<S>& w, Index place, int stream, Index unit, Index count, Vec<S>& dh, Vec<S>& dc) {
  dh = Vec<S>::load_partial(w.dh + w.output(place, stream, unit), count);
  dc = Vec<S>::load_partial(w.dc + w.output(place, stream, unit), count);
  for (int k = 0; k < w.g.operands; ++k) {
    const Index next = w.plan.next[std::size_t(place * w.g.operands + k)];
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
    value.store_partial(w.gates + w.gate(place, stream, gate, unit), count);
  };
  const Vec<S> i = sigmoid(sum(0)), g = tanh(sum(candidate)), o = sigmoid(sum(out));
  Vec<S> c = i * g;
  for (int m = 0; m < M; ++m) {
    const Vec<S> f = sigmoid(sum(1 + m));
    const S* before = w.memory + w.memory_at(place, w.g.memory_of(stream, m), unit);
    c = fma(f, Vec<S>::load_partial(before, count), c);
    keep(1 + m, f);
  }
  const Vec<S> h = o * tanh(c);
  keep(0, i);
  keep(candidate, g);
  keep(out, o);
  h.store_partial(w.h + w.output(place, stream, unit), count);
  c.store_partial(w.c + w.output(place, stream, unit), count);
  pass_on(w, place, stream, unit, count, h, c);
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
    const Index before = w.memory_at(place, w.g.memory_of(stream, m), unit);
    leave(1 + m, dc * Vec<S>::load_partial(w.memory + before, count) * (f * (one - f)));
    (dc * f).store_partial(w.dmemory + before, count);
  }
  leave(candidate, dc * i * (one - g * g));
  leave(0, dc * g * (i * (one - i)));
}

/// A dead place keeps nothing where one stream has many operands; else each stream passes its own operand on.
template <class S>
void wavefront_skip(const WavefrontArrays<S>& w, Index place) {
  for (int s = 0; s < w.g.streams; ++s)
    for (Index unit = 0; unit < w.g.hidden; unit += lanes<S>) {
      const Index count = w.g.hidden - unit;
      Vec<S> h = Vec<S>::zero(), c = Vec<S>::zero();
      if (w.g.streams > 1) {
        h = Vec<S>::load_partial(w.operands + w.operand(place, s, unit), count);
        c = Vec<S>::load_partial(w.memory + w.memory_at(place, s, unit), count);
      }
      h.store_partial(w.h + w.output(place, s, unit), count);
      c.store_partial(w.c + w.output(place, s, unit), count);
      pass_on(w, place, s, unit, count, h, c);
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
