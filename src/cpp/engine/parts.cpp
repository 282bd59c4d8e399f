// Forward and backward in parts of the steps, each on the thread that calls it: what layers above and below one another
// do at the same time.
#include "engine/engine.h"

namespace unrolled {

template <class S>
void Run<S>::begin_forward(const CellKernel<S>& cell, Sizes sizes, ForwardWeights<S>& weights,
                           const Parameters<S>* pack_from, const Inputs<S>& in, const Outputs<S>& out) {
  start_forward(cell, sizes, weights, pack_from, in, true, true);
  if (in.lengths) schedule_.clear_past_ends(out.y, sizes.output, y_step_, 0, 1);
  if (pack_from) weights.pack_share(cell.info, sizes, *pack_from, 0, 1);
}

template <class S>
void Run<S>::forward_part(const ForwardWeights<S>& weights, const Inputs<S>& in, S* y, Index begin, Index end) {
  const FlushDenormals flush;
  forward_steps(weights, in, y, begin, end, shares(0, 1), threads_[0]);
}

template <class S>
void Run<S>::begin_backward(const Parameters<S>& parameters, const Inputs<S>& in, const OutputGradients<S>& given,
                            const InputGradients<S>& wanted) {
  prepare_backward(parameters, in, given, wanted, true);
  if (wanted.dx && in.lengths && !in.ids) schedule_.clear_past_ends(wanted.dx, sizes_.input, sizes_.input, 0, 1);
  back_.pack_share(kernel_->info, 0, 1);
}

template <class S>
void Run<S>::backward_part(const Inputs<S>& in, const S* y, const OutputGradients<S>& given,
                           const InputGradients<S>& wanted, Index begin, Index end) {
  const FlushDenormals flush;
  const Shares mine = shares(0, 1);
  backward_steps(in, given, y, false, begin, end, mine, threads_[0]);
  if (wanted.dx) input_gradient(wanted.dx, schedule_.first(begin), schedule_.first(end));
}

template <class S>
void Run<S>::finish_backward(const Inputs<S>& in, const S* y, const InputGradients<S>& wanted) {
  {
    const FlushDenormals flush;  // as a team does
    for (Index k = chunks_.count(); k-- > 0;) chunk_bias_gradient(in, wanted, k, 0, 1);
  }
  WeightSums<S> listed = weight_sums(in, y, wanted);
  const std::vector<OuterSum<S>> sums = listed.sums();
  weight_gradients(sums, outer_team(sums.data(), static_cast<int>(sums.size())), wanted);
  finish_gradients(in, wanted);
}

#define UNROLLED_PARTS(S)                                                                                              \
  template void Run<S>::begin_forward(const CellKernel<S>&, Sizes, ForwardWeights<S>&, const Parameters<S>*,           \
                                      const Inputs<S>&, const Outputs<S>&);                                            \
  template void Run<S>::forward_part(const ForwardWeights<S>&, const Inputs<S>&, S*, Index, Index);                    \
  template void Run<S>::begin_backward(const Parameters<S>&, const Inputs<S>&, const OutputGradients<S>&,              \
                                       const InputGradients<S>&);                                                      \
  template void Run<S>::backward_part(const Inputs<S>&, const S*, const OutputGradients<S>&, const InputGradients<S>&, \
                                      Index, Index);                                                                   \
  template void Run<S>::finish_backward(const Inputs<S>&, const S*, const InputGradients<S>&);
UNROLLED_PARTS(float)
UNROLLED_PARTS(double)

}  // namespace unrolled
