// One call of one cell of one space with random parameters and inputs, forward and backward, for the tests of the
// engine.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "cells/feedback.h"
#include "engine/engine.h"
#include "engine/registry.h"
#include "engine/segments.h"

namespace unrolled::testing {

struct Shape {
  Index T, B, I, H;
};

/// All cells, and a few fed back: one gate, several, and more than one product gives.
inline std::vector<std::string> all_kernels() {
  std::vector<std::string> names = cells().names();
  for (const char* cell : {"rnn_tanh", "gru", "multiplicative_lstm"})
    names.push_back(cell + std::string(fed_back_suffix));
  return names;
}

template <class S>
struct Random {
  std::mt19937 engine{7};
  std::vector<S> values(Index size, S scale = 1) {
    std::uniform_real_distribution<S> distribution(-scale, scale);
    std::vector<S> v(static_cast<std::size_t>(size));
    for (S& value : v) value = distribution(engine);
    return v;
  }
};

/// Every array that a call writes, in one row: compared as a whole.
template <class S>
using Results = std::vector<std::vector<S>>;

template <class S>
struct CellCall {
  CellCall(const std::string& name, Shape shape, bool ragged = false, bool reset_some = false, bool reverse = false)
      : kernel(&cells().find<S>(name)), shape(shape), reverse(reverse) {
    const CellInfo& info = kernel->info;
    const auto [T, B, I, H] = shape;
    Random<S> random;
    W_ih = random.values(info.input_gates * H * I, S(0.5));
    W_hh = random.values(info.weight_gates() * H * H, S(0.3));
    b = random.values(info.input_gates * H);
    for (int k = 0; k < info.vectors; ++k) vectors.push_back(random.values(H));
    x = random.values(T * B * I);
    for (int k = 0; k < info.carried(); ++k) {
      states.push_back(random.values(B * H));
      dlast.push_back(random.values(B * H));
    }
    dy = random.values(T * B * H);
    for (Index row = 0; row < B && ragged; ++row) lengths.push_back((row * 5 + 1) % (T + 1));
    for (Index at = 0; at < T * B && reset_some; ++at) reset.push_back(at % 7 == 3);
  }

  Sizes sizes() const { return {shape.I, shape.H}; }
  Parameters<S> parameters() const {
    Parameters<S> p;
    p.W_ih = W_ih.data();
    for (Index m = 0, before = 0; m < kernel->info.matrices; before += kernel->info.matrix[m++].gates)
      p.matrix[m] = W_hh.data() + before * shape.H * shape.H;
    p.b = b.data();
    for (std::size_t k = 0; k < vectors.size(); ++k) p.vector[k] = vectors[k].data();
    return p;
  }
  Inputs<S> inputs() const {
    Inputs<S> in;
    in.T = shape.T;
    in.B = shape.B;
    in.x = x.data();
    if (!ids.empty()) {
      in.ids = ids.data();
      in.symbols = Index(x.size()) / shape.I;
    }
    for (int k = 0; k < kernel->info.carried(); ++k)
      state_of(kernel->info, in.h0, in.state0, k) = states[std::size_t(k)].data();
    in.lengths = lengths.empty() ? nullptr : lengths.data();
    in.reset = reset.empty() ? nullptr : reset.data();
    in.reverse = reverse;
    return in;
  }
  /// y, h_last and the other last states; `weights` packed already, or null.
  Results<S> forward(Run<S>& run, bool keep, ForwardWeights<S>* packed = nullptr) const {
    Results<S> results = room_for_outputs();
    const Parameters<S> p = parameters();
    ForwardWeights<S> own;
    run.forward(*kernel, sizes(), packed ? *packed : own, packed ? nullptr : &p, inputs(), outputs(results), keep);
    return results;
  }
  /// Outputs as above, then gradients of x, W_ih, W_hh, b, the vectors and the initial states; of the whole sequence,
  /// or in segments of so many steps.
  Results<S> forward_and_backward(Index segment_steps = 0) const {
    Run<S> run;
    Segments<S> segments;
    Results<S> results = segment_steps > 0 ? room_for_outputs() : forward(run, true);
    const std::vector<S> y = results[0];
    if (segment_steps > 0) segments.forward(*kernel, sizes(), parameters(), inputs(), outputs(results), segment_steps);
    OutputGradients<S> given;
    given.dy = dy.data();
    for (int k = 0; k < kernel->info.carried(); ++k)
      state_of(kernel->info, given.dh_last, given.dstate_last, k) = dlast[std::size_t(k)].data();
    InputGradients<S> wanted;
    Results<S> g;
    for (const auto* like : {&x, &W_ih, &W_hh, &b}) g.emplace_back(like->size());
    for (const auto& like : vectors) g.emplace_back(like.size());
    for (const auto& like : states) g.emplace_back(like.size());
    wanted.dx = g[0].data();
    wanted.dW_ih = g[1].data();
    for (Index m = 0, before = 0; m < kernel->info.matrices; before += kernel->info.matrix[m++].gates)
      wanted.dmatrix[m] = g[2].data() + before * shape.H * shape.H;
    wanted.db = g[3].data();
    for (std::size_t k = 0; k < vectors.size(); ++k) wanted.dvector[k] = g[4 + k].data();
    for (int k = 0; k < kernel->info.carried(); ++k)
      state_of(kernel->info, wanted.dh0, wanted.dstate0, k) = g[4 + vectors.size() + std::size_t(k)].data();
    if (segment_steps > 0)
      segments.backward(parameters(), given, wanted);
    else
      run.backward(parameters(), inputs(), y.data(), given, wanted);
    results.insert(results.end(), g.begin(), g.end());
    return results;
  }

  Results<S> room_for_outputs() const {
    const auto [T, B, I, H] = shape;
    Results<S> results(1 + states.size(), std::vector<S>(static_cast<std::size_t>(B * H)));
    results[0].resize(static_cast<std::size_t>(T * B * H));
    return results;
  }
  Outputs<S> outputs(Results<S>& results) const {
    Outputs<S> out;
    out.y = results[0].data();
    for (int k = 0; k < kernel->info.carried(); ++k)
      state_of(kernel->info, out.h_last, out.state_last, k) = results[std::size_t(k + 1)].data();
    return out;
  }

  const CellKernel<S>* kernel;
  Shape shape;
  bool reverse;
  std::vector<S> W_ih, W_hh, b, x, dy;
  std::vector<std::vector<S>> vectors, states, dlast;
  std::vector<std::int64_t> lengths, ids;  // with ids, x is a table
  std::vector<std::uint8_t> reset;
};

template <class S>
bool same_bits(const Results<S>& one, const Results<S>& other) {
  if (one.size() != other.size()) return false;
  for (std::size_t k = 0; k < one.size(); ++k) {
    if (one[k].size() != other[k].size()) return false;
    if (!one[k].empty() && std::memcmp(one[k].data(), other[k].data(), one[k].size() * sizeof(S)) != 0) return false;
  }
  return true;
}

}  // namespace unrolled::testing
