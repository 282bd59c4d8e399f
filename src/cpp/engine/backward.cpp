// Back-propagation through time: the mirror of forward.cpp. The phases of a step run in reverse; each phase's point
// function turns what forward saved into gradients of the gate sums, whose product with the weights goes to the
// gradient of the phase's operand.
#include <algorithm>

#include "engine/engine.h"
#include "engine/statistics.h"

namespace unrolled {

template <class S>
void Run<S>::backward(const Parameters<S>& parameters, const Inputs<S>& in, const S* y, const OutputGradients<S>& given,
                      const InputGradients<S>& wanted) {
  const CellInfo& cell = kernel_->info;
  const Index B = in.B, H = sizes_.hidden;
  back_.prepare(cell, sizes_, parameters, wanted.dx != nullptr);
  dh_.resize(B * units_);
  for (int k = 0; k < cell.streams; ++k) dstream_[k].resize(B * units_);
  const auto load = [&](Buffer<S>& to, const S* from) {
    to.fill_zero(B * units_);
    for (Index i = 0; from && i < B; ++i) std::copy_n(from + schedule_.row(i) * H, H, to.data() + i * units_);
  };
  load(dh_, given.dh_last);
  for (int k = 0; k < cell.streams; ++k) load(dstream_[k], k < cell.states ? given.dstate_last[k] : nullptr);
  if (wanted.dx && in.lengths) std::fill_n(wanted.dx, in.T * B * sizes_.input, S(0));

  Barrier packed, done;
  parallel(partition_.threads(), [&](int id, int count) {
    back_.pack_share(cell, sizes_, id, count);
    packed.wait(count);
    const Shares mine = shares(id, count);
    ThreadRows<S>& at = threads_[static_cast<std::size_t>(id)];
    if (mine.first_block < mine.last_block)
      for (Index s = schedule_.steps(); s-- > 0;) backward_step(given, y, s, mine, at);
    done.wait(count);
    if (wanted.dx) input_gradient(wanted.dx, id, count);
    unit_gradients(wanted, id, count);
  });
  weight_gradients(in, y, wanted);

  const auto unload = [&](const Buffer<S>& from, S* to) {
    for (Index i = 0; to && i < B; ++i) std::copy_n(from.data() + i * units_, H, to + schedule_.row(i) * H);
  };
  unload(dh_, wanted.dh0);
  for (int k = 0; k < cell.states; ++k) unload(dstream_[k], wanted.dstate0[k]);
}

template <class S>
void Run<S>::backward_step(const OutputGradients<S>& given, const S* y, Index s, const Shares& mine,
                           ThreadRows<S>& at) {
  const CellInfo& cell = kernel_->info;
  const Index rows = mine.rows(schedule_.rows(s)), H = sizes_.hidden;
  for (Index n = 0; n < rows; ++n) {
    const Index i = mine.row(n), time = schedule_.at(s, i);
    const std::size_t r = static_cast<std::size_t>(n);
    at.slots[r] = slots_at(s, i, 0);
    at.h_prev[r] = output_before(y, s, i);
    at.operand[r] = y + time * H;
    at.dy[r] = given.dy ? given.dy + time * H : nullptr;
    at.dh[r] = dh_.data() + i * units_;
    for (int k = 0; k < cell.states; ++k) at.state_prev[k][r] = state_before(k, s, i);
    for (int k = 0; k < cell.streams; ++k) {
      at.stream[k][r] = stream_at(k, s, i);
      at.dstream[k][r] = dstream_[k].data() + i * units_;
    }
  }
  for (int p = cell.phase_count; p-- > 0;) {
    BackwardTile<S> tile{};
    tile.rows = rows;
    tile.first_block = mine.first_block;
    tile.blocks = mine.last_block - mine.first_block;
    tile.units = H;
    tile.slot_count = cell.slots;
    tile.slots = at.slots.data();
    tile.h_prev = at.h_prev.data();
    tile.y = at.operand.data();
    tile.dy = at.dy.data();
    tile.dh = at.dh.data();
    for (int k = 0; k < cell.states; ++k) tile.state_prev[k] = at.state_prev[k].data();
    for (int k = 0; k < cell.streams; ++k) {
      tile.stream[k] = at.stream[k].data();
      tile.dstream[k] = at.dstream[k].data();
    }
    for (int k = 0; k < cell.vectors; ++k) tile.vectors[k] = vectors_[k].data();
    kernel_->backward[p](tile);
    if (cell.phases[p].operand == Operand::None) continue;
    mine.meet->wait(mine.meeting);  // the product reads the gradients of all units
    if (cell.phases[p].row_statistics) statistics_backward(p, s, rows, mine, at);
    propagate(p, rows, mine, at);
  }
  // A reset cuts the gradient as it cut the state.
  for (Index n = 0; n < rows; ++n) {
    if (!schedule_.cut(s, mine.row(n))) continue;
    const std::size_t r = static_cast<std::size_t>(n);
    const Index from = mine.first_block * lanes<S>, count = (mine.last_block - mine.first_block) * lanes<S>;
    std::fill_n(at.dh[r] + from, count, S(0));
    for (int k = 0; k < cell.states; ++k) std::fill_n(at.dstream[k][r] + from, count, S(0));
  }
}

/// d operand += du W for this thread's units.
template <class S>
void Run<S>::propagate(int p, Index rows, const Shares& mine, ThreadRows<S>& at) {
  const CellInfo& cell = kernel_->info;
  const Phase& phase = cell.phases[p];
  const PanelShape<S>& shape = back_.recurrent_shape[p];
  constexpr int P = lanes<S>;
  for (Index n = 0; n < rows; ++n)
    at.du[static_cast<std::size_t>(n)] = at.slots[static_cast<std::size_t>(n)] + phase.first_slot * P;
  const Depth depth = phase.gates == cell.slots ? Depth::contiguous(shape.depth)
                                                : Depth{units_ / P, phase.gates * P, cell.slots * P, 1};
  S* const* const target = phase.operand == Operand::Stream ? at.dstream[phase.stream].data() : at.dh.data();
  const Index g0 = mine.first_block / shape.width, g1 = (mine.last_block + shape.width - 1) / shape.width;
  for (Index group = g0; group < g1; ++group)
    multiply_group(shape, back_.recurrent[p].data() + shape.offset(group), group, depth, rows, at.du.data(), target,
                   Start::Continue, static_cast<const S*>(nullptr));
}

/// Where u was normalised, v = (u - mean) / deviation, the point function left dv; this makes it
///   du = (dv - mean(dv) - v mean(dv v)) / deviation.
template <class S>
void Run<S>::statistics_backward(int p, Index s, Index rows, const Shares& mine, ThreadRows<S>& at) {
  constexpr int P = lanes<S>;
  using V = Vec<S>;
  const Phase& phase = kernel_->info.phases[p];
  const Index slots = kernel_->info.slots, blocks = units_ / P;
  const V count(static_cast<S>(phase.gates * sizes_.hidden));
  const auto packet = [&](Index n, Index block, int gate) {
    return at.slots[static_cast<std::size_t>(n)] + (block * slots + phase.first_slot + gate) * P;
  };
  const auto normalised = [&](Index n, Index block, int gate) {
    const Index place = schedule_.place(s, mine.row(n));
    const V u = V::load(raw_u_[p].data() + (place * blocks + block) * phase.gates * P + gate * P);
    return (u - V(mean_[p][place])) * V(inverse_deviation_[p][place]);
  };
  for (Index n = 0; n < rows; ++n) {
    V sum = V::zero(), product = V::zero();
    for (Index block = 0; block < blocks; ++block)
      for (int gate = 0; gate < phase.gates; ++gate) {
        const V dv = V::load(packet(n, block, gate));  // zero behind the last unit, as every gradient is
        sum += dv;
        product = fma(dv, normalised(n, block, gate), product);
      }
    at.mean[n] = sum_lanes(sum);
    at.inverse_deviation[n] = sum_lanes(product);
  }
  mine.meet->wait(mine.meeting);  // all have read dv
  for (Index n = 0; n < rows; ++n) {
    const V mean_dv = V(at.mean[n]) / count, mean_dv_v = V(at.inverse_deviation[n]) / count;
    const V scale(inverse_deviation_[p][schedule_.place(s, mine.row(n))]);
    for (Index block = mine.first_block; block < mine.last_block; ++block)
      for (int gate = 0; gate < phase.gates; ++gate) {
        S* const at_packet = packet(n, block, gate);
        const V du = (V::load(at_packet) - mean_dv - normalised(n, block, gate) * mean_dv_v) * scale;
        first_lanes(du, sizes_.hidden - block * P).store(at_packet);
      }
  }
  mine.meet->wait(mine.meeting);  // du is whole
}

template void Run<float>::backward(const Parameters<float>&, const Inputs<float>&, const float*,
                                   const OutputGradients<float>&, const InputGradients<float>&);
template void Run<double>::backward(const Parameters<double>&, const Inputs<double>&, const double*,
                                    const OutputGradients<double>&, const InputGradients<double>&);

}  // namespace unrolled
