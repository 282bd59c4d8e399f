// The public C++ interface over the engine.
#include <unrolled/recurrent.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "engine/engine.h"
#include "engine/registry.h"

namespace unrolled {

static_assert(max_states == 1 + most_states && max_unit_vectors == most_vectors && max_matrices == most_matrices &&
                  max_options == most_numbers,
              "the engine's limits");

std::vector<std::string> cell_names() { return cells().names(); }

template <class S>
struct Recurrent<S>::Implementation {
  const CellKernel<S>* cell;
  Sizes sizes;
  Parameters<S> parameters;
  ForwardWeights<S> weights;
  bool packed = false;
  Run<S> inference, training, single;
  Inputs<S> kept;
  const S* y = nullptr;
  std::array<double, max_options> options{};

  Inputs<S> inputs(const Sequence& in) const {
    if (!packed)
      throw std::logic_error("Recurrent: set_parameters has not been called since the options were set, or never");
    if (in.T < 0 || in.B < 0) throw std::invalid_argument("Recurrent: T and B must be at least 0");
    for (Size row = 0; in.lengths && row < in.B; ++row)
      if (in.lengths[row] < 0 || in.lengths[row] > in.T)
        throw std::invalid_argument("Recurrent: a length is not in 0 .. T");
    Inputs<S> to;
    to.T = in.T;
    to.B = in.B;
    to.x = in.x;
    for (int k = 0; k < cell->info.carried(); ++k)
      state_of(cell->info, to.h0, to.state0, k) = in.initial[static_cast<std::size_t>(k)];
    std::copy_n(in.start.begin(), cell->info.carried(), to.start);
    to.scalar = in.scalar;
    std::copy(options.begin(), options.end(), to.numbers);
    to.lengths = in.lengths;
    to.reset = in.reset;
    to.reverse = in.reverse;
    return to;
  }
  Outputs<S> outputs(const Result& out) const {
    Outputs<S> to;
    to.y = out.y;
    for (int k = 0; k < cell->info.carried(); ++k)
      state_of(cell->info, to.h_last, to.state_last, k) = out.last[static_cast<std::size_t>(k)];
    return to;
  }
};

template <class S>
Recurrent<S>::Recurrent(const std::string& cell, Size input_size, Size hidden_size, Size output_size)
    : self_(new Implementation) {
  if (input_size < 1 || hidden_size < 1 || output_size < 0)
    throw std::invalid_argument("Recurrent: input_size and hidden_size must be at least 1");
  self_->cell = &cells().find<S>(cell);
  if (output_size != 0 && output_size != hidden_size && self_->cell->info.output == Space::Hidden)
    throw std::invalid_argument("Recurrent: the output of this cell is as wide as its hidden units");
  self_->sizes = Sizes(self_->cell->info, self_->options.data(), input_size, hidden_size, output_size);
}
template <class S>
Recurrent<S>::~Recurrent() = default;
template <class S>
Recurrent<S>::Recurrent(Recurrent&&) noexcept = default;
template <class S>
Recurrent<S>& Recurrent<S>::operator=(Recurrent&&) noexcept = default;

template <class S>
std::ptrdiff_t Recurrent<S>::input_size() const {
  return self_->sizes.input;
}
template <class S>
std::ptrdiff_t Recurrent<S>::hidden_size() const {
  return self_->sizes.hidden;
}
template <class S>
int Recurrent<S>::states() const {
  return self_->cell->info.carried();
}
template <class S>
int Recurrent<S>::unit_vectors() const {
  return self_->cell->info.vectors;
}
template <class S>
std::ptrdiff_t Recurrent<S>::output_size() const {
  return self_->sizes.output;
}
template <class S>
std::ptrdiff_t Recurrent<S>::input_rows() const {
  return self_->cell->info.input_gates * self_->sizes.hidden;
}
template <class S>
std::ptrdiff_t Recurrent<S>::weight_rows() const {
  const CellInfo& info = self_->cell->info;
  return info.matrices == 0 ? 0 : info.matrix[0].gates * self_->sizes.width(info.matrix[0].rows);
}
template <class S>
void Recurrent<S>::set_options(const std::array<double, max_options>& options) {
  const Sizes& before = self_->sizes;
  self_->sizes = Sizes(self_->cell->info, options.data(), before.input, before.hidden, before.output);
  self_->options = options;
  self_->packed = false;  // W_ih may have other columns now, and a call before was made with other options
  self_->y = nullptr;
}

template <class S>
void Recurrent<S>::set_parameters(const Weights& from) {
  Parameters<S>& to = self_->parameters;
  to.W_ih = from.W_ih;
  to.matrix[0] = from.W_hh;
  std::copy(from.matrices.begin(), from.matrices.end(), to.matrix + 1);
  bool complete = to.W_ih != nullptr;
  for (int m = 0; m < self_->cell->info.matrices; ++m) complete = complete && to.matrix[m] != nullptr;
  if (!complete) throw std::invalid_argument("Recurrent: W_ih and every recurrent matrix are needed");
  to.b = from.b;
  std::copy_n(from.vectors.begin(), most_vectors, to.vector);
  self_->weights.prepare(self_->cell->info, self_->sizes);
  self_->weights.pack_share(self_->cell->info, self_->sizes, to, 0, 1);
  self_->packed = true;
}

template <class S>
void Recurrent<S>::forward(const Sequence& in, const Result& out) {
  Implementation& me = *self_;
  me.inference.forward(*me.cell, me.sizes, me.weights, nullptr, me.inputs(in), me.outputs(out), false);
}

template <class S>
void Recurrent<S>::forward_for_training(const Sequence& in, const Result& out) {
  Implementation& me = *self_;
  me.y = nullptr;
  me.kept = me.inputs(in);
  me.training.forward(*me.cell, me.sizes, me.weights, nullptr, me.kept, me.outputs(out), true);
  me.y = out.y;
}

template <class S>
void Recurrent<S>::backward(const OutputGradients& given, const Gradients& wanted) {
  Implementation& me = *self_;
  if (me.y == nullptr) throw std::logic_error("Recurrent: backward follows one forward_for_training");
  unrolled::OutputGradients<S> from;
  from.dy = given.y;
  InputGradients<S> to;
  to.dx = wanted.x;
  const CellInfo& info = me.cell->info;
  for (int k = 0; k < info.carried(); ++k) {
    state_of(info, from.dh_last, from.dstate_last, k) = given.last[static_cast<std::size_t>(k)];
    state_of(info, to.dh0, to.dstate0, k) = wanted.initial[static_cast<std::size_t>(k)];
  }
  to.dW_ih = wanted.W_ih;
  to.dmatrix[0] = wanted.W_hh;
  std::copy(wanted.matrices.begin(), wanted.matrices.end(), to.dmatrix + 1);
  to.db = wanted.b;
  std::copy_n(wanted.vectors.begin(), most_vectors, to.dvector);
  std::copy_n(wanted.start.begin(), info.carried(), to.dstart);
  to.dscalar = wanted.scalar;
  me.training.backward(me.parameters, me.kept, std::exchange(me.y, nullptr), from, to);  // once, even if it throws
}

template <class S>
void Recurrent<S>::step(Size B, const S* x, const std::array<const S*, max_states>& state,
                        const std::array<S*, max_states>& next, S* y) {
  Implementation& me = *self_;
  Sequence in;
  in.T = 1;
  in.B = B;
  in.x = x;
  in.initial = state;
  me.single.forward(*me.cell, me.sizes, me.weights, nullptr, me.inputs(in), me.outputs({y, next}), false);
}

template class Recurrent<float>;
template class Recurrent<double>;

}  // namespace unrolled
