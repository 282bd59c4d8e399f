// One call of one cell of one space with random parameters and inputs, forward and backward, for the tests of the
// engine.
#pragma once

#include <cmath>
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

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

/// Which of lengths, resets and the reverse direction (1, 2, 4) to try with the kernel at one place of the list and the
/// shape at one of its own: none, all, and one of the others in turn, since every kernel goes the same ways through the
/// engine. A sanitizer makes a call ten times slower: there, one of all eight in turn, so that every kernel still meets
/// every shape and several of the options, and every shape all of the options.
inline std::vector<int> some_options(std::size_t place, std::size_t shape_place) {
  if (sanitized) return {int((place + shape_place) % 8)};
  return {0, 7, 1 + int(place % 6)};
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
    if (info.input.more_option != no_option) numbers[info.input.more_option] = 2;
    const Sizes all = sizes();
    W_ih = random.values(info.input_gates * H * all.row, S(0.5));
    for (int m = 0; m < info.matrices; ++m)
      matrices.push_back(random.values(info.matrix[m].gates * H * all.width(info.matrix[m].columns), S(0.3)));
    b = random.values(info.input_gates * H);
    for (int k = 0; k < info.vectors; ++k) vectors.push_back(random.values(all.width(group_of(info, k).space)));
    x = random.values(T * B * I);
    for (std::size_t at = 0; at < x.size() && info.input.row > 1; at += 3) x[at] = std::nan("");  // not seen
    scalar = random.values(T * B);
    for (S& one : scalar) one = std::abs(one);
    for (int k = 0; k < info.carried(); ++k) {
      const Index width = state_width(info, all, k);
      states.push_back(random.values(B * width));
      dlast.push_back(random.values(B * width));
      starts.push_back(random.values(width));
    }
    dy = random.values(T * B * H);
    for (Index row = 0; row < B && ragged; ++row) lengths.push_back((row * 5 + 1) % (T + 1));
    for (Index at = 0; at < T * B && reset_some; ++at) reset.push_back(at % 7 == 3);
  }

  Sizes sizes() const { return Sizes(kernel->info, numbers, shape.I, shape.H); }
  Parameters<S> parameters() const {
    Parameters<S> p;
    p.W_ih = W_ih.data();
    for (std::size_t m = 0; m < matrices.size(); ++m) p.matrix[m] = matrices[m].data();
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
    std::copy_n(numbers, most_numbers, in.numbers);
    in.scalar = scalar.data();
    for (std::size_t k = 0; k < starts.size(); ++k) in.start[k] = starts[k].data();
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
  /// Outputs as above, then gradients of x, W_ih, b, the scalars, the matrices, the vectors, the starts and the initial
  /// states; of the whole sequence, or in segments of so many steps.
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
    for (const auto* like : {&x, &W_ih, &b, &scalar}) g.emplace_back(like->size());
    for (const auto* all : {&matrices, &vectors, &starts, &states})
      for (const auto& like : *all) g.emplace_back(like.size());
    auto to = g.begin();
    wanted.dx = (to++)->data();
    wanted.dW_ih = (to++)->data();
    wanted.db = (to++)->data();
    wanted.dscalar = (to++)->data();
    for (std::size_t m = 0; m < matrices.size(); ++m) wanted.dmatrix[m] = (to++)->data();
    for (std::size_t k = 0; k < vectors.size(); ++k) wanted.dvector[k] = (to++)->data();
    for (std::size_t k = 0; k < starts.size(); ++k) wanted.dstart[k] = (to++)->data();
    for (int k = 0; k < kernel->info.carried(); ++k)
      state_of(kernel->info, wanted.dh0, wanted.dstate0, k) = (to++)->data();
    if (segment_steps > 0)
      segments.backward(parameters(), given, wanted);
    else
      run.backward(parameters(), inputs(), y.data(), given, wanted);
    results.insert(results.end(), g.begin(), g.end());
    return results;
  }

  Results<S> room_for_outputs() const {
    Results<S> results{std::vector<S>(static_cast<std::size_t>(shape.T * shape.B * shape.H))};
    for (const auto& like : states) results.emplace_back(like.size());
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
  double numbers[most_numbers] = {};
  std::vector<S> W_ih, b, x, scalar, dy;
  std::vector<std::vector<S>> matrices, vectors, states, starts, dlast;
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
