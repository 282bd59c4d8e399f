#include "engine/segments.h"

#include <algorithm>

namespace unrolled {

template <class S>
Inputs<S> Segments<S>::inputs(Index n) {
  const Index segment = nth(n), first = first_time(segment);
  Inputs<S> part = in_;
  part.T = length(segment);
  part.first_time = in_.first_time + first;
  part.x = in_.x + first * in_.B * sizes_.input;
  if (in_.scalar) part.scalar = in_.scalar + first * in_.B;
  if (in_.reset) part.reset = in_.reset + first * in_.B;
  if (in_.lengths) {
    lengths_.resize(static_cast<std::size_t>(in_.B));
    for (Index row = 0; row < in_.B; ++row)
      lengths_[static_cast<std::size_t>(row)] = std::clamp<std::int64_t>(in_.lengths[row] - first, 0, part.T);
    part.lengths = lengths_.data();
  }
  for (int k = 0; k < cell_->info.carried(); ++k) state_of(cell_->info, part.h0, part.state0, k) = state_before(n, k);
  return part;
}

template <class S>
template <class Cut>
void Segments<S>::cut_after(Index n, Cut&& cut) {
  // In the reverse direction a reset at the first time of the segment parts it from the one before it in time.
  if (!in_.reset || !in_.reverse) return;
  const Index time = first_time(nth(n));
  for (Index row = 0; row < in_.B; ++row) {
    const bool ran = !in_.lengths || in_.lengths[row] > time;
    if (ran && in_.reset[time * in_.B + row]) cut(row);
  }
}

template <class S>
void Segments<S>::forward(const CellKernel<S>& cell, Sizes sizes, const Parameters<S>& parameters, const Inputs<S>& in,
                          const Outputs<S>& out, Index steps) {
  cell_ = &cell;
  sizes_ = sizes;
  in_ = in;
  steps_ = std::max<Index>(1, steps);
  const CellInfo& info = cell.info;
  for (int k = 0; k < info.carried(); ++k) {
    const Index size = in.B * width(k);
    states_[k].resize((count() + 1) * size);
    const S* const initial = state_of(info, in_.h0, in_.state0, k);
    if (initial)
      std::copy_n(initial, size, state_before(0, k));
    else
      std::fill_n(state_before(0, k), size, S(0));
  }
  for (Index n = 0; n < count(); ++n) {
    Outputs<S> part;
    part.y = out.y + first_time(nth(n)) * in.B * y_step();
    for (int k = 0; k < info.carried(); ++k) state_of(info, part.h_last, part.state_last, k) = state_before(n + 1, k);
    run_.forward(cell, sizes, weights_, n == 0 ? &parameters : nullptr, inputs(n), part, false);
    if (n + 1 == count()) continue;
    cut_after(n, [&](Index row) {
      for (int k = 0; k < info.carried(); ++k) {
        S* const state = state_before(n + 1, k) + row * width(k);
        if (in.start[k])
          std::copy_n(in.start[k], width(k), state);
        else
          std::fill_n(state, width(k), S(0));
      }
    });
  }
  for (int k = 0; k < info.carried(); ++k)
    if (S* const last = state_of(info, out.h_last, out.state_last, k))
      std::copy_n(state_before(count(), k), in.B * width(k), last);
}

template <class S>
void Segments<S>::backward(const Parameters<S>& parameters, const OutputGradients<S>& given,
                           const InputGradients<S>& wanted) {
  const CellInfo& info = cell_->info;
  const Index B = in_.B;
  Buffer<S> y(std::min(steps_, in_.T) * B * y_step());
  Buffer<S> dstates[1 + most_states];
  for (int k = 0; k < info.carried(); ++k) {
    dstates[k].resize(B * width(k));
    const S* const last = state_of(info, given.dh_last, given.dstate_last, k);
    if (last)
      std::copy_n(last, B * width(k), dstates[k].data());
    else
      dstates[k].fill_zero(B * width(k));
  }
  for (Index n = count(); n-- > 0;) {
    const Index before = first_time(nth(n)) * B;  // places of earlier segments
    if (n + 1 < count())
      cut_after(n, [&](Index row) {
        for (int k = 0; k < info.carried(); ++k) {
          S* const dstate = dstates[k].data() + row * width(k);
          for (Index unit = 0; in_.start[k] && wanted.dstart[k] && unit < width(k); ++unit)
            wanted.dstart[k][unit] += dstate[unit];
          std::fill_n(dstate, width(k), S(0));
        }
      });
    const Inputs<S> part = inputs(n);
    Outputs<S> again;
    again.y = y.data();
    run_.forward(*cell_, sizes_, weights_, nullptr, part, again, true);
    OutputGradients<S> given_here;
    InputGradients<S> wanted_here = wanted;
    if (given.dy) given_here.dy = given.dy + before * y_step();
    if (wanted.dx) wanted_here.dx = wanted.dx + before * sizes_.input;
    if (wanted.dscalar) wanted_here.dscalar = wanted.dscalar + before;
    for (int k = 0; k < info.carried(); ++k) {
      state_of(info, given_here.dh_last, given_here.dstate_last, k) = dstates[k].data();
      state_of(info, wanted_here.dh0, wanted_here.dstate0, k) = dstates[k].data();
    }
    wanted_here.continues = n + 1 < count();
    run_.backward(parameters, part, y.data(), given_here, wanted_here);
  }
  for (int k = 0; k < info.carried(); ++k)
    if (S* const to = state_of(info, wanted.dh0, wanted.dstate0, k)) std::copy_n(dstates[k].data(), B * width(k), to);
}

template class Segments<float>;
template class Segments<double>;

}  // namespace unrolled
