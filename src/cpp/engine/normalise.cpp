// Layer normalisation of gate sums (Ba, Kiros & Hinton 2016), forward and backward, for phases and input parts alike:
//
//   v = (r - mean of r) / sqrt(variance of r + epsilon),     q = gain * v (+ b)
//
// over all the gates of the normalisation in a row. backward, given dq:
//   dgain = sum of dq v,   dv = gain dq,   dr = (dv - mean(dv) - v mean(dv v)) / deviation
#include "engine/engine.h"

namespace unrolled {

/// q of the blocks `own` of one row; `to` is where the first of them goes, `to_block` lies between two. bias: that of
/// block 0, with the blocks of the raw row, or null.
template <class S>
void Run<S>::normalise_row(const Norm& norm, const S* raw, Index place, const Blocks& own, S* to, Index to_block,
                           const S* bias) {
  constexpr int P = lanes<S>;
  using V = Vec<S>;
  const GateRow<const S> row = norm.of(raw);
  const RowMoments<S> moments(row, sizes_.width(norm.space));
  if (keep_ && own.first == 0) {
    mean_[norm.site][place] = moments.mean;
    inverse_deviation_[norm.site][place] = moments.inverse_deviation;
  }
  const V mean(moments.mean), scale(moments.inverse_deviation);
  for (Index block = own.first; block < own.last; ++block, to += to_block)
    for (int gate = 0; gate < norm.gates; ++gate) {
      const V v = (V::load(row.packet(block, gate)) - mean) * scale;
      const V gain = norm.gain == no_gain ? V(S(1)) : V::load(vector_data_[norm.gain + gate] + block * P);
      const V q = bias ? fma(gain, v, V::load(bias + (block * norm.stride + gate) * P)) : gain * v;
      q.store(to + gate * P);
    }
}

/// raw[row]: r, which becomes dr; the slots hold dq. Adds to the gradients of the gain.
template <class S>
void Run<S>::normalise_backward(const Norm& norm, S* const* raw, Index s, Index rows, const Shares& mine,
                                ThreadRows<S>& at) {
  constexpr int P = lanes<S>;
  using V = Vec<S>;
  const Index width = sizes_.width(norm.space), blocks = units(norm.space) / P;
  const int slots = kernel_->info.slots_of(norm.space);
  const Blocks own = mine.blocks(norm.space);
  struct Terms {
    V v, dq, dv;
  };
  const auto terms = [&](Index n, Index block, int gate) {
    const Index place = schedule_.place(s, mine.row(n));
    Terms of;
    of.v = (V::load(norm.of(raw[n]).packet(block, gate)) - V(mean_[norm.site][place])) *
           V(inverse_deviation_[norm.site][place]);
    const S* const row = at.slots[static_cast<int>(norm.space)][static_cast<std::size_t>(n)];
    of.dq = V::load(row + (block * slots + norm.first_slot + gate) * P);  // zero behind the last unit
    of.dv = norm.gain == no_gain ? of.dq : of.dq * V::load(vector_data_[norm.gain + gate] + block * P);
    return of;
  };
  const auto sums = [&](auto gates) {
    for (Index n = 0; n < rows; ++n) {
      V sum[gates], product[gates];
      for (int gate = 0; gate < gates; ++gate) sum[gate] = product[gate] = V::zero();
      for (Index block = 0; block < blocks; ++block)
        for (int gate = 0; gate < gates; ++gate) {
          const Terms of = terms(n, block, gate);
          sum[gate] += of.dv;
          product[gate] = fma(of.dv, of.v, product[gate]);
        }
      for (int gate = 1; gate < gates; ++gate) {
        sum[0] += sum[gate];
        product[0] += product[gate];
      }
      at.mean[n] = sum_lanes(sum[0]);
      at.product[n] = sum_lanes(product[0]);
    }
  };
  with_gates(norm.gates, sums);
  mine.meet->wait(mine.meeting);  // all have read r
  const V count(static_cast<S>(norm.gates * width));
  for (Index n = 0; n < rows; ++n) {
    const V mean_dv = V(at.mean[n]) / count, mean_dv_v = V(at.product[n]) / count;
    const V scale(inverse_deviation_[norm.site][schedule_.place(s, mine.row(n))]);
    S* const dgain =
        norm.gain == no_gain ? nullptr : at.dvectors[static_cast<std::size_t>(n)] + norm.gain * vector_step_;
    for (Index block = own.first; block < own.last; ++block)
      for (int gate = 0; gate < norm.gates; ++gate) {
        const Terms of = terms(n, block, gate);
        const V dr = (of.dv - mean_dv - of.v * mean_dv_v) * scale;
        first_lanes(dr, width - block * P).store(norm.of(raw[n]).packet(block, gate));
        if (dgain == nullptr) continue;
        S* const to = dgain + gate * vector_step_ + block * P;
        fma(of.dq, of.v, V::load(to)).store(to);
      }
  }
}

#define UNROLLED_NORMALISE(S)                                                                            \
  template void Run<S>::normalise_row(const Norm&, const S*, Index, const Blocks&, S*, Index, const S*); \
  template void Run<S>::normalise_backward(const Norm&, S* const*, Index, Index, const Shares&, ThreadRows<S>&);
UNROLLED_NORMALISE(float)
UNROLLED_NORMALISE(double)

}  // namespace unrolled
