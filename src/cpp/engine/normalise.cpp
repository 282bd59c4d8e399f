// Layer normalisation of gate sums (Ba, Kiros & Hinton 2016), forward and backward, for phases and input parts alike:
//
//   v = (r - mean of r) / sqrt(variance of r + epsilon),     q = gain * v (+ b)
//
// over all the gates of the normalisation in a row. backward, given dq:
//   dgain = sum of dq v,   dv = gain dq,   dr = (dv - mean(dv) - v mean(dv v)) / deviation
#include "core/count.h"
#include "engine/engine.h"

namespace unrolled {
namespace {

/// One row on its way forward.
template <class S>
struct RowForward {
  using V = Vec<S>;
  GateRow<const S> raw;
  const S* gains;
  const S* bias;          // that of block 0, with the blocks of the raw row, or null
  S* to;                  // where block `first` goes
  Index bias_step, step;  // from block to block
  Index width, first, last;

  template <int gates>
  RowMoments<S> run() const {
    constexpr int P = lanes<S>;
    const auto moments = RowMoments<S>::template of<gates>(raw, width);
    const V mean(moments.mean), scale(moments.inverse_deviation);
    const GateRow<const S> r = raw, gain{gains, gates};
    S* out = to;
    for (Index block = first; block < last; ++block, out += step)
      for (int gate = 0; gate < gates; ++gate) {
        const V v = (V::load(r.packet(block, gate)) - mean) * scale;
        const V factor = V::load(gain.packet(block, gate));
        const V q = bias ? fma(factor, v, V::load(bias + block * bias_step + gate * P)) : factor * v;
        q.store(out + gate * P);
      }
    return moments;
  }
  template <int gates>
  void save(GateRow<S> saved) const {
    for (Index block = first; block < last; ++block)
      for (int gate = 0; gate < gates; ++gate)
        V::load(raw.packet(block, gate)).store_past_caches(saved.packet(block, gate));
  }
};

/// One row on its way back. What it reads is in the object, not behind pointers that a store might change.
template <class S>
struct RowBackward {
  using V = Vec<S>;
  GateRow<const S> raw;
  GateRow<S> to;        // where dr goes
  GateRow<const S> dq;  // zero behind the last unit
  const S* gains;
  S mean, inverse_deviation;
  S* dgains;  // as gains
  Index width;

  /// Sums of dv and of dv v over the whole row.
  template <int gates>
  RowSums<S> sums(Index blocks) const {
    const V middle(mean);
    const GateRow<const S> r = raw, given = dq, gain{gains, gates};
    V sum[gates], product[gates];
    for (int gate = 0; gate < gates; ++gate) sum[gate] = product[gate] = V::zero();
    for (Index block = 0; block < blocks; ++block)
      for (int gate = 0; gate < gates; ++gate) {
        const V d = V::load(r.packet(block, gate)) - middle;
        const V dv = V::load(given.packet(block, gate)) * V::load(gain.packet(block, gate));
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
    const GateRow<const S> r = raw, given = dq, gain{gains, gates};
    const GateRow<S> out = to, dgain{dgains, gates};
    const Index units = width;
    for (Index block = first; block < last; ++block)
      for (int gate = 0; gate < gates; ++gate) {
        S* const there = out.packet(block, gate);
        const V d = V::load(r.packet(block, gate)) - middle;
        const V q = V::load(given.packet(block, gate));
        const V dr = fma(d, tilt, fma(q * V::load(gain.packet(block, gate)), scale, offset));
        const V valid = first_lanes(dr, units - block * P);
        (add ? V::load(there) + valid : valid).store(there);
        S* const sum = dgain.packet(block, gate);
        fma(q, d * scale, V::load(sum)).store(sum);
      }
  }
};

}  // namespace

/// q of the blocks `own` of one row; `to` is where the first of them goes, `step` lies between two. bias: that of
/// block 0, with the blocks of the raw row, or null. saved: a row like `raw` for backward, where that does not stay, or
/// null.
template <class S>
void Run<S>::normalise_row(const Norm& norm, const S* raw, S* saved, Index place, const Blocks& own, S* to, Index step,
                           const S* bias) {
  const RowForward<S> row{norm.of(raw), norm.gains, bias, to, norm.stride * lanes<S>, step, sizes_.width(norm.space),
                          own.first,    own.last};
  with_count(norm.gates, [&](auto gates) {
    const RowMoments<S> moments = row.template run<gates>();
    if (saved) row.template save<gates>(norm.of(saved));
    if (!keep_ || own.first != 0) return;
    S* const kept = moments_[norm.site].data() + 2 * place;
    kept[0] = moments.mean;
    kept[1] = moments.inverse_deviation;
  });
}

/// a = gain * (the raw input part normalised) + b for the same rows and units.
template <class S>
void Run<S>::normalise_input(const ForwardWeights<S>& weights, Index s0, Index s1, const Shares& mine) {
  constexpr int P = lanes<S>;
  const CellInfo& cell = kernel_->info;
  const Blocks own = mine.blocks(Space::Hidden);
  mine.meet();  // the statistics are of all units
  for (Index s = s0; s < s1; ++s)
    for (Index n = 0, end = mine.rows(schedule_.rows(s)); n < end; ++n) {
      const Index i = mine.row(n);
      for (int k = 0; k < cell.input_norms; ++k) {
        const Norm& norm = norm_of_input(k);
        normalise_row(norm, work_raw_a_at(s, i, s0), saves_apart_ ? raw_a_at(s, i, s0) : nullptr, schedule_.place(s, i),
                      own, work_slots_at(s, i, s0) + (own.first * cell.slots + norm.first_slot) * P, cell.slots * P,
                      weights.bias[0].data() + norm.first_gate * P);
      }
    }
}

/// Back through the normalisation of phase p, and behind the first phase through those of the input, where the slots
/// hold dq: dr goes where r was, or is added to the gradient of the stream that was normalised where it lies. Adds to
/// the gradients of the gains. What one row waits for in one of them, its sums, is covered by the others.
template <class S>
void Run<S>::normalise_backward(int p, Index s, Index rows, const Shares& mine, ThreadRows<S>& at) {
  const CellInfo& cell = kernel_->info;
  const Phase& phase = cell.phase[p];
  const Norm* norms[most_norms_at_once];
  int count = 0;
  if (phase.normalised) norms[count++] = &norm_of_phase(p);
  for (int k = 0; p == 0 && k < cell.input_norms; ++k) norms[count++] = &norm_of_input(k);
  const bool adds = phase.normalised && phase.matrix == identity;  // the first one

  const auto row = [&](int k, Index n) {
    const Norm& norm = *norms[k];
    const std::size_t r = static_cast<std::size_t>(n);
    const Index i = mine.row(n);
    S* const raw = norm.site >= most_phases ? raw_a_at(s, i, 0) : adds ? at.stream[phase.stream][r] : raw_u_at(p, s, i);
    S* const to = adds && k == 0 ? at.dstream[phase.stream][r] : raw;
    const S* const moments = moments_[norm.site].data() + 2 * schedule_.place(s, i);
    return RowBackward<S>{
        norm.of(static_cast<const S*>(raw)),
        norm.of(to),
        {at.slots[static_cast<int>(norm.space)][r] + norm.first_slot * lanes<S>, cell.slots_of(norm.space)},
        norm.gains,
        moments[0],
        moments[1],
        at.dvectors[r] + norm.gain * vector_step_,
        sizes_.width(norm.space)};
  };
  const auto sums = [&](int k, const RowBackward<S>& one) {
    RowSums<S> total;
    with_count(norms[k]->gates,
               [&](auto gates) { total = one.template sums<gates>(units(norms[k]->space) / lanes<S>); });
    return total;
  };
  const auto finish = [&](int k, const RowBackward<S>& one, const RowSums<S>& total) {
    const Blocks own = mine.blocks(norms[k]->space);
    const bool elsewhere = adds && k == 0;
    with_count(norms[k]->gates, [&](auto gates) {
      elsewhere ? one.template finish<gates, true>(own.first, own.last, total)
                : one.template finish<gates, false>(own.first, own.last, total);
    });
  };
  if (mine.sharing == 1) {
    for (Index n = 0; n < rows; ++n) {
      RowBackward<S> one[most_norms_at_once];
      RowSums<S> total[most_norms_at_once];
      for (int k = 0; k < count; ++k) total[k] = sums(k, one[k] = row(k, n));
      for (int k = 0; k < count; ++k) finish(k, one[k], total[k]);
    }
    return;
  }
  RowSums<S>* const totals = at.norm_sums.data();
  for (Index n = 0; n < rows; ++n)
    for (int k = 0; k < count; ++k) totals[n * most_norms_at_once + k] = sums(k, row(k, n));
  mine.meet();  // all have read r
  for (Index n = 0; n < rows; ++n)
    for (int k = 0; k < count; ++k) finish(k, row(k, n), totals[n * most_norms_at_once + k]);
}

#define UNROLLED_NORMALISE(S)                                                                                \
  template void Run<S>::normalise_row(const Norm&, const S*, S*, Index, const Blocks&, S*, Index, const S*); \
  template void Run<S>::normalise_input(const ForwardWeights<S>&, Index, Index, const Shares&);              \
  template void Run<S>::normalise_backward(int, Index, Index, const Shares&, ThreadRows<S>&);
UNROLLED_NORMALISE(float)
UNROLLED_NORMALISE(double)

}  // namespace unrolled
