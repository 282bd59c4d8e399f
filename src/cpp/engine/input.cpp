// The rows that W_ih multiplies, of a cell that makes them: before the loop over time, each row of the batch from its
// first step to its last, and back through them after it. They depend on x alone, not on what the loop computes.
#include <algorithm>

#include "engine/engine.h"

namespace unrolled {

template <class S>
InputStep<S> Run<S>::input_step(const Inputs<S>& in, Index s, Index i) {
  const CellInfo& cell = kernel_->info;
  const Index time = schedule_.at(s, i);
  InputStep<S> step{};
  step.features = sizes_.input;
  step.x = in.x + time * sizes_.input;
  step.scalar = in.scalar ? in.scalar[time] : S(1);
  step.numbers = in.numbers;
  step.vectors = vector_data_;
  step.row = rows_.data() + schedule_.place(s, i) * sizes_.row;
  for (int k = 0; k < cell.streams; ++k) {
    if (!cell.is_kept(k)) continue;
    if (k < cell.states) step.kept_prev[k] = state_before(k, s, i);
    step.kept[k] = stream_at(k, s, i);
  }
  return step;
}

/// For a share of the batch.
template <class S>
void Run<S>::make_input(const Inputs<S>& in, int id, int count) {
  const Index B = schedule_.batch();
  for (Index i = share_begin(B, id, count); i < share_begin(B, id + 1, count); ++i)
    for (Index s = 0; s < schedule_.length(i); ++s) kernel_->make_input(input_step(in, s, i));
}

/// The same, from the gradients of the rows and of the streams made beside them; dstream_ holds those of the last
/// states and in the end those of the initial ones.
template <class S>
void Run<S>::input_backward(const Inputs<S>& in, const InputGradients<S>& wanted, int id, int count) {
  const CellInfo& cell = kernel_->info;
  const Index B = schedule_.batch(), blocks = units(Space::Kept) / lanes<S>;
  const int first = cell.output_is_state ? 1 : 0;
  for (Index i = share_begin(B, id, count); i < share_begin(B, id + 1, count); ++i)
    for (Index s = schedule_.length(i); s-- > 0;) {
      const Index time = schedule_.at(s, i);
      InputStepGradient<S> step{};
      step.at = input_step(in, s, i);
      step.drow = drows_.data() + schedule_.place(s, i) * sizes_.row;
      if (wanted.dx) step.dx = wanted.dx + time * sizes_.input;
      for (int k = 0; k < cell.streams; ++k)
        if (cell.is_kept(k)) step.dkept[k] = dstream_at(k, s, i);
      step.dvectors = dvectors_.data() + i * cell.vectors * vector_step_;
      step.vector_step = vector_step_;
      kernel_->input_backward(step);
      if (wanted.dscalar) wanted.dscalar[time] += step.dscalar;
      for (int k = 0; k < cell.states && schedule_.cut(s, i); ++k)
        if (cell.is_kept(k)) cut_gradient(first + k, i, step.dkept[k], {0, blocks});
    }
}

#define UNROLLED_INPUT(S)                                                   \
  template InputStep<S> Run<S>::input_step(const Inputs<S>&, Index, Index); \
  template void Run<S>::make_input(const Inputs<S>&, int, int);             \
  template void Run<S>::input_backward(const Inputs<S>&, const InputGradients<S>&, int, int);
UNROLLED_INPUT(float)
UNROLLED_INPUT(double)

}  // namespace unrolled
