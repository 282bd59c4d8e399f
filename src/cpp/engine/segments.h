// A call that keeps only the states between segments of the sequence, and runs each segment again in backward: memory
// for T / n + n steps instead of T, for one more forward pass (Chen, Xu, Zhang & Guestrin 2016, "Training deep nets
// with sublinear memory cost").
#pragma once

#include "engine/engine.h"

namespace unrolled {

template <class S>
class Segments {
 public:
  /// As Run::forward with `keep`, in segments of `steps`.
  void forward(const CellKernel<S>& cell, Sizes sizes, const Parameters<S>& parameters, const Inputs<S>& in,
               const Outputs<S>& out, Index steps);

  /// As Run::backward. Gradients of parameters sum over the segments, the last one first.
  void backward(const Parameters<S>& parameters, const OutputGradients<S>& given, const InputGradients<S>& wanted);

 private:
  Index count() const { return (in_.T + steps_ - 1) / steps_; }
  /// The n-th segment to run, by its place in time.
  Index nth(Index n) const { return in_.reverse ? count() - 1 - n : n; }
  Index first_time(Index segment) const { return segment * steps_; }
  Index length(Index segment) const { return std::min(steps_, in_.T - first_time(segment)); }
  /// x, lengths and the like of the n-th segment to run, starting from the states kept for it.
  Inputs<S> inputs(Index n);
  /// Calls cut(row) for the rows where a reset parts the n-th segment from the one after it and the engine, which sees
  /// one segment at a time, does not know.
  template <class Cut>
  void cut_after(Index n, Cut&& cut);
  S* state_before(Index n, int k) { return states_[k].data() + n * in_.B * width(k); }
  Index y_step() const { return in_.y_step > 0 ? in_.y_step : sizes_.output; }
  Index width(int k) const { return state_width(cell_->info, sizes_, k); }

  const CellKernel<S>* cell_ = nullptr;
  Sizes sizes_{};
  Inputs<S> in_;
  Index steps_ = 1;
  ForwardWeights<S> weights_;
  Run<S> run_;
  Buffer<S> states_[1 + most_states];  // [segment in the order of running][row]
  std::vector<std::int64_t> lengths_;  // of the segment at hand
};

}  // namespace unrolled
