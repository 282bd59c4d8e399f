// Layer normalisation of gate sums (Ba, Kiros & Hinton 2016), forward and backward, for phases and input parts alike:
//
//   v = (r - mean of r) / sqrt(variance of r + epsilon),     q = gain * v (+ b)
//
// over all the gates of the normalisation in a row. backward, given dq:
//   dgain = sum of dq v,   dv = gain dq,   dr = (dv - mean(dv) - v mean(dv v)) / deviation
#include "engine/engine.h"

namespace unrolled {
namespace {

/// One row on its way forward.
template <class S>
struct RowForward {
  using V = Vec<S>;
  GateRow<const S> raw;
  const S* const* gains;
  const S* bias;          // that of block 0, with the blocks of the raw row, or null
  S* to;                  // where block `first` goes
  Index bias_step, step;  // from block to block
  Index width, first, last;

  template <int gates>
  RowMoments<S> run() const {
    constexpr int P = lanes<S>;
    const auto moments = RowMoments<S>::template of<gates>(raw, width);
    const V mean(moments.mean), scale(moments.inverse_deviation);
    const S* gain[gates];
    for (int gate = 0; gate < gates; ++gate) gain[gate] = gains[gate];
    S* out = to;
    for (Index block = first; block < last; ++block, out += step)
      for (int gate = 0; gate < gates; ++gate) {
        const V v = (V::load(raw.packet(block, gate)) - mean) * scale;
        const V factor = V::load(gain[gate] + block * P);
        const V q = bias ? fma(factor, v, V::load(bias + block * bias_step + gate * P)) : factor * v;
        q.store(out + gate * P);
      }
    return moments;
  }
};

/// One row on its way back. What it reads is in the object, not behind pointers that a store might change.
template <class S>
struct RowBackward {
  using V = Vec<S>;
  GateRow<const S> raw;
  GateRow<S> to;  // where dr goes
  const S* dq;    // zero behind the last unit
  Index slots;    // from block to block of dq, in packets
  const S* const* gains;
  S mean, inverse_deviation;
  S* dgain;
  Index dgain_step, width;

  /// Sums of dv and of dv v over the whole row.
  template <int gates>
  RowSums<S> sums(Index blocks) const {
    constexpr int P = lanes<S>;
    const V middle(mean);
    const GateRow<const S> r = raw;
    V sum[gates], product[gates];
    for (int gate = 0; gate < gates; ++gate) sum[gate] = product[gate] = V::zero();
    for (Index block = 0; block < blocks; ++block)
      for (int gate = 0; gate < gates; ++gate) {
        const V d = V::load(r.packet(block, gate)) - middle;
        const V dv = V::load(dq + (block * slots + gate) * P) * V::load(gains[gate] + block * P);
        sum[gate] += dv;
        product[gate] = fma(dv, d, product[gate]);
      }
    for (int gate = 1; gate < gates; ++gate) {
      sum[0] += sum[gate];
      product[0] += product[gate];
    }
    return {sum_lanes(sum[0]), sum_lanes(product[0]) * inverse_deviation};
  }

  /// dr, which goes or is added to where it goes, and the gradient of the gain in blocks [first, last).
  template <int gates, bool add>
  void finish(Index first, Index last, RowSums<S> total) const {
    constexpr int P = lanes<S>;
    const S share = S(1) / static_cast<S>(gates * width);
    // dr = scale dv + offset + tilt (r - mean)
    const S factor = -share * inverse_deviation;
    const V middle(mean), scale(inverse_deviation), offset(factor * total.dv),
        tilt(factor * inverse_deviation * total.dv_v);
    const GateRow<const S> r = raw;
    const GateRow<S> out = to;
    const S* gain[gates];
    for (int gate = 0; gate < gates; ++gate) gain[gate] = gains[gate];
    const S* const from = dq;
    S* const dgains = dgain;
    const Index step = slots, gain_step = dgain_step, units = width;
    for (Index block = first; block < last; ++block)
      for (int gate = 0; gate < gates; ++gate) {
        S* const there = out.packet(block, gate);
        const V d = V::load(r.packet(block, gate)) - middle;
        const V given = V::load(from + (block * step + gate) * P);
        const V dv = given * V::load(gain[gate] + block * P);
        const V dr = fma(d, tilt, fma(dv, scale, offset));
        const V valid = first_lanes(dr, units - block * P);
        (add ? V::load(there) + valid : valid).store(there);
        S* const sum = dgains + gate * gain_step + block * P;
        fma(given, d * scale, V::load(sum)).store(sum);
      }
  }
};

}  // namespace

/// q of the blocks `own` of one row; `to` is where the first of them goes, `step` lies between two. bias: that of
/// block 0, with the blocks of the raw row, or null.
template <class S>
void Run<S>::normalise_row(const Norm& norm, const S* raw, Index place, const Blocks& own, S* to, Index step,
                           const S* bias) {
  const RowForward<S> row{norm.of(raw), norm.gains, bias, to, norm.stride * lanes<S>, step, sizes_.width(norm.space),
                          own.first,    own.last};
  with_gates(norm.gates, [&](auto gates) {
    const RowMoments<S> moments = row.template run<gates>();
    if (!keep_ || own.first != 0) return;
    S* const kept = moments_[norm.site].data() + 2 * place;
    kept[0] = moments.mean;
    kept[1] = moments.inverse_deviation;
  });
}

/// dr of raw[row] = r goes, or is added, to to[row], which may be the same; the slots hold dq. Adds to the gradients of
/// the gain.
template <class S>
void Run<S>::normalise_backward(const Norm& norm, S* const* raw, S* const* to, bool adds, Index s, Index rows,
                                const Shares& mine, ThreadRows<S>& at) {
  const Index blocks = units(norm.space) / lanes<S>, slots = kernel_->info.slots_of(norm.space);
  const Blocks own = mine.blocks(norm.space);
  const auto row = [&](Index n) {
    const S* const moments = moments_[norm.site].data() + 2 * schedule_.place(s, mine.row(n));
    const S* const dq =
        at.slots[static_cast<int>(norm.space)][static_cast<std::size_t>(n)] + norm.first_slot * lanes<S>;
    S* const dgain = at.dvectors[static_cast<std::size_t>(n)] + norm.gain * vector_step_;
    return RowBackward<S>{norm.of(static_cast<const S*>(raw[n])),
                          norm.of(to[n]),
                          dq,
                          slots,
                          norm.gains,
                          moments[0],
                          moments[1],
                          dgain,
                          vector_step_,
                          sizes_.width(norm.space)};
  };
  const auto with_kind = [&](auto&& use) {
    with_gates(norm.gates, [&](auto gates) { adds ? use(gates, std::true_type()) : use(gates, std::false_type()); });
  };
  if (mine.meeting == 1)
    return with_kind([&](auto gates, auto add) {
      for (Index n = 0; n < rows; ++n) {
        const RowBackward<S> one = row(n);
        one.template finish<gates, add>(0, blocks, one.template sums<gates>(blocks));
      }
    });
  with_gates(norm.gates, [&](auto gates) {
    for (Index n = 0; n < rows; ++n) at.norm_sums[static_cast<std::size_t>(n)] = row(n).template sums<gates>(blocks);
  });
  mine.meet->wait(mine.meeting);  // all have read r
  with_kind([&](auto gates, auto add) {
    for (Index n = 0; n < rows; ++n)
      row(n).template finish<gates, add>(own.first, own.last, at.norm_sums[static_cast<std::size_t>(n)]);
  });
}

#define UNROLLED_NORMALISE(S)                                                                                    \
  template void Run<S>::normalise_row(const Norm&, const S*, Index, const Blocks&, S*, Index, const S*);         \
  template void Run<S>::normalise_backward(const Norm&, S* const*, S* const*, bool, Index, Index, const Shares&, \
                                           ThreadRows<S>&);
UNROLLED_NORMALISE(float)
UNROLLED_NORMALISE(double)

}  // namespace unrolled
