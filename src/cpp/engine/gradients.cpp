// Gradients that need no loop over time: once every step's gate gradients are known, those of the inputs, the weights
// and the per-unit parameters are products and sums over all valid steps, in the schedule's order.
#include <algorithm>

#include "engine/engine.h"

namespace unrolled {
/// Multiplies the gradients of rows of gate sums by W_ih, some rows at a time.
template <class S>
class Run<S>::InputProduct {
 public:
  static constexpr Index most = 96;  // rows whose slots stay in the second-level cache
  explicit InputProduct(const Run& run) : run_(run) {
    const CellInfo& cell = run.kernel_->info;
    const PanelShape<S>& shape = run.back_.input.shape;
    first_ = run.input_first() * lanes<S>;
    depth_ = cell.input_gates == run.input_stride()
                 ? Depth::contiguous(shape.depth)
                 : Depth{run.units_[0] / lanes<S>, cell.input_gates * lanes<S>, run.input_stride() * lanes<S>, 1};
  }
  void add(const S* from, S* to) {
    a_[rows_] = from + first_;
    out_[rows_] = to;
    if (++rows_ == most) finish();
  }
  void finish() {
    if (rows_ > 0) run_.back_.input.multiply(0, run_.back_.input.shape.groups(), depth_, rows_, a_, out_, Start::Zero);
    rows_ = 0;
  }

 private:
  const Run& run_;
  Depth depth_;
  Index first_, rows_ = 0;
  const S* a_[most];
  S* out_[most];
};

/// dx = da W_ih, or that of the rows that the cell has made of x, for places [first, last).
template <class S>
void Run<S>::input_gradient(S* dx, Index first, Index last) {
  InputProduct product(*this);
  Index place = first;
  for (Index s = schedule_.step_of(first); place < last; ++s)
    for (Index i = place - schedule_.first(s); i < schedule_.rows(s) && place < last; ++i, ++place)
      product.add(input_parts_at(s, i, 0),
                  makes_input() ? drows_.data() + place * sizes_.row : dx + schedule_.at(s, i) * sizes_.input);
  product.finish();
}

/// db (+)= the sums over `count` rows of slots, a share of the unit blocks per thread.
template <class S>
void Run<S>::bias_gradient(const S* rows, Index count, S* db, bool accumulate, int id, int team) {
  constexpr int P = lanes<S>;
  using V = Vec<S>;
  const CellInfo& cell = kernel_->info;
  const Index H = sizes_.hidden, blocks = units_[0] / P;
  for (Index block = share_begin(blocks, id, team); block < share_begin(blocks, id + 1, team); ++block) {
    V sum[most_input_gates];
    const auto target = [&](int gate) { return db + cell.input_gate[gate] * H + block * P; };
    for (int gate = 0; gate < cell.input_gates; ++gate) sum[gate] = V::zero();
    const S* slots = rows + (block * cell.slots + cell.input_first) * P;
    for (Index row = 0; row < count; ++row, slots += slot_row_[0])
      for (int gate = 0; gate < cell.input_gates; ++gate) sum[gate] += V::load(slots + gate * P);
    for (int gate = 0; gate < cell.input_gates; ++gate) {
      const Index valid = H - block * P;
      if (accumulate) sum[gate] += V::load_partial(target(gate), valid);  // of chunks: more exact than one running sum
      sum[gate].store_partial(target(gate), valid);
    }
  }
}

/// What the bias gets from chunk k, but where it is summed by symbol. (The table of a cell that normalises holds
/// gradients of what is normalised.)
template <class S>
void Run<S>::chunk_bias_gradient(const Inputs<S>& in, const InputGradients<S>& wanted, Index k, int id, int team) {
  const Chunk chunk = chunks_[k];
  if (wanted.db && !bias_by_symbol(in))
    bias_gradient(slots_[0].data() + chunk.first * slot_row_[0], chunk.places(), wanted.db, adds(wanted, k), id, team);
}

/// Gradients of the input and the bias from the steps of chunk k, whose places have been dealt.
template <class S>
void Run<S>::chunk_gradients(const Inputs<S>& in, const InputGradients<S>& wanted, Index k, Deal& places, int id,
                             int count) {
  const Index first = chunks_[k].first;
  if (!in.ids && (wanted.dx || makes_input()))
    for (Deal::Range mine; places.take(rows_worth_panels, InputProduct::most, id, count, &mine);)
      input_gradient(wanted.dx, first + mine.first, first + mine.last);
  chunk_bias_gradient(in, wanted, k, id, count);
}

/// Gradients of the table and of the bias from the sums of its symbols.
template <class S>
void Run<S>::symbol_gradients(const Inputs<S>& in, const InputGradients<S>& wanted, int id, int team) {
  InputProduct product(*this);
  for (Index v = share_begin(in.symbols, id, team); wanted.dx && v < share_begin(in.symbols, id + 1, team); ++v)
    product.add(table_.data() + v * table_row(), wanted.dx + v * sizes_.input);
  product.finish();
  if (wanted.db && bias_by_symbol(in)) bias_gradient(table_.data(), in.symbols, wanted.db, wanted.continues, id, team);
}

/// Gradients of the per-unit vectors: every row has summed its own over time.
template <class S>
void Run<S>::vector_gradients(const InputGradients<S>& wanted) {
  constexpr int P = lanes<S>;
  const CellInfo& cell = kernel_->info;
  for (int k = 0; k < cell.vectors; ++k) {
    S* const to = wanted.dvector[k];
    if (to == nullptr) continue;
    const VectorGroup& group = group_of(cell, k);
    const Index width = sizes_.width(group.space);
    if (!wanted.continues) std::fill_n(to, group.shared ? 1 : width, S(0));
    const VectorPlace place(cell, k, vector_step_, P);
    for (Index i = 0; i < schedule_.batch(); ++i) {
      const S* row = dvectors_.data() + i * cell.vectors * vector_step_ + place.first;
      for (Index unit = 0; unit < width; unit += P, row += place.step)
        for (Index lane = 0, count = std::min<Index>(P, width - unit); lane < count; ++lane)
          to[group.shared ? 0 : unit + lane] += row[lane];
    }
  }
}

/// Gradients of the scalars: sums over the units in their order, for a share of the places.
template <class S>
void Run<S>::scalar_gradient(S* dscalar, int id, int count) {
  const Index first = share_begin(schedule_.places(), id, count), last = share_begin(schedule_.places(), id + 1, count);
  for (Index s = 0; s < schedule_.steps(); ++s)
    for (Index i = 0; i < schedule_.rows(s); ++i) {
      const Index place = schedule_.place(s, i);
      if (place < first || place >= last) continue;
      const S* const parts = dscalar_.data() + place * units_[0];
      S sum = 0;
      for (Index unit = 0; unit < sizes_.hidden; ++unit) sum += parts[unit];
      dscalar[schedule_.at(s, i)] = sum;
    }
}

/// Gradients of the starts: every row has summed its own over its resets.
template <class S>
void Run<S>::start_gradients(const Inputs<S>& in, const InputGradients<S>& wanted) {
  const CellInfo& cell = kernel_->info;
  for (int k = 0; k < cell.carried(); ++k) {
    S* const to = wanted.dstart[k];
    if (to == nullptr || in.start[k] == nullptr) continue;
    const Index width = state_width(cell, sizes_, k);
    if (!wanted.continues) std::fill_n(to, width, S(0));
    for (Index i = 0; i < schedule_.batch(); ++i) {
      const S* const row = dstart_.data() + (i * cell.carried() + k) * start_step_;
      for (Index unit = 0; unit < width; ++unit) to[unit] += row[unit];
    }
  }
}

/// Row of dW that a scalar of a row of gate gradients belongs to, null for slots of other gates and lanes behind the
/// last unit. The gates are `gates` of `stride` slots from `first` on.
template <class S>
std::vector<S*> Run<S>::rows_of(S* dW, Index columns, Space space, int stride, int first, int gates,
                                const int* gate_of) const {
  constexpr int P = lanes<S>;
  std::vector<S*> rows(static_cast<std::size_t>(stride * units(space)), nullptr);
  const Index width = sizes_.width(space);
  for (Index block = 0; block * P < width; ++block)
    for (int gate = 0; gate < gates; ++gate) {
      S** const to = rows.data() + (block * stride + first + gate) * P;
      S* row = dW + (gate_of[gate] * width + block * P) * columns;
      for (Index lane = 0, valid = std::min<Index>(P, width - block * P); lane < valid; ++lane, row += columns)
        to[lane] = row;
    }
  return rows;
}

template <class S>
std::vector<S*> Run<S>::rows_of_input(S* dW_ih) const {
  const CellInfo& cell = kernel_->info;
  return rows_of(dW_ih, sizes_.row, Space::Hidden, input_stride(), input_first(), cell.input_gates, cell.input_gate);
}

/// dW_ih = sum of da x', dW = sum of du operand' for every recurrent matrix, over all places: one product for all
/// matrices whose gate gradients lie in the same rows.
template <class S>
WeightSums<S> Run<S>::weight_sums(const Inputs<S>& in, const S* y, const InputGradients<S>& wanted) {
  const CellInfo& cell = kernel_->info;
  const auto collect = [&](auto&& row_of) {
    std::vector<const S*> rows(static_cast<std::size_t>(schedule_.places()));
    std::size_t at = 0;
    for (Index s = 0; s < schedule_.steps(); ++s)
      for (Index i = 0; i < schedule_.rows(s); ++i) rows[at++] = row_of(s, i);
    return rows;
  };
  // What phase p multiplied at (s, i).
  const auto operand = [&](const Phase& phase, Index s, Index i) -> const S* {
    if (phase.operand == Operand::PreviousOutput) return masked_operand_ ? masked_before(s, i) : output_before(y, s, i);
    return phase.operand == Operand::PreviousState ? state_before(phase.stream, s, i) : stream_at(phase.stream, s, i);
  };
  WeightSums<S> sums;
  const auto add_input = [&] {
    if (wanted.dW_ih && !in.ids)
      sums.add(collect([&](Index s, Index i) { return input_row(in, s, i); }), sizes_.row, rows_of_input(wanted.dW_ih));
  };
  const auto add_phase = [&](const Phase& phase, int stride, int first) {
    S* const dW = wanted.dmatrix[phase.matrix];
    const Index columns = sizes_.width(cell.operand_space(phase));
    if (dW)
      sums.add(collect([&](Index s, Index i) { return operand(phase, s, i); }), columns,
               rows_of(dW, columns, phase.space, stride, first, phase.gates, phase.weight_gate));
  };

  if (normalises_input()) {
    add_input();
    sums.over(table_row(), [&] { return collect([&](Index s, Index i) { return raw_a_at(s, i, 0); }); });
  }
  for (int p = 0; p < cell.phases; ++p) {
    const Phase& phase = cell.phase[p];
    if (!phase.normalised || phase.matrix == identity) continue;
    add_phase(phase, phase.gates, 0);
    sums.over(phase.gates * units(phase.space),
              [&] { return collect([&](Index s, Index i) { return raw_u_at(p, s, i); }); });
  }
  for (const Space space : {Space::Hidden, Space::Output}) {
    if (space == Space::Hidden && !normalises_input()) add_input();
    for (int p = 0; p < cell.phases; ++p) {
      const Phase& phase = cell.phase[p];
      if (has_product(phase) && !phase.normalised && phase.space == space)
        add_phase(phase, cell.slots_of(space), phase.first_slot);
    }
    sums.over(slot_row(space), [&] {
      return collect(
          [&](Index s, Index i) { return space == Space::Hidden ? slots_at(s, i, 0) : output_slots_at(s, i); });
    });
  }
  return sums;
}

/// The sums, chunk by chunk as backward takes them, by a team of their own.
template <class S>
void Run<S>::weight_gradients(const std::vector<OuterSum<S>>& sums, Team team, const InputGradients<S>& wanted) {
  OuterTeam<S> outer(sums.data(), static_cast<int>(sums.size()), chunks_.most_places(), team.wanted);
  parallel(team, [&](int id, int count) {
    for (Index k = chunks_.count(); k-- > 0;)
      for (const OuterSum<S>& sum : sums) outer.add(sum, chunks_[k].first, chunks_[k].last, adds(wanted, k), id, count);
  });
}

/// dW_ih where x is a table: over its symbols.
template <class S>
void Run<S>::symbol_weight_gradients(const Inputs<S>& in, const InputGradients<S>& wanted) {
  if (!in.ids || !wanted.dW_ih) return;
  const auto each = [&](const S* table, Index row) {
    std::vector<const S*> rows(static_cast<std::size_t>(in.symbols));
    for (Index v = 0; v < in.symbols; ++v) rows[static_cast<std::size_t>(v)] = table + v * row;
    return rows;
  };
  WeightSums<S> sums;
  sums.add(each(in.x, sizes_.input), sizes_.row, rows_of_input(wanted.dW_ih));
  sums.over(table_row(), [&] { return each(table_.data(), table_row()); });
  accumulate_outer(sums.sums().data(), 1, wanted.continues);
}

#define UNROLLED_GRADIENTS(S)                                                                                \
  template void Run<S>::input_gradient(S*, Index, Index);                                                    \
  template void Run<S>::chunk_bias_gradient(const Inputs<S>&, const InputGradients<S>&, Index, int, int);    \
  template void Run<S>::chunk_gradients(const Inputs<S>&, const InputGradients<S>&, Index, Deal&, int, int); \
  template void Run<S>::symbol_gradients(const Inputs<S>&, const InputGradients<S>&, int, int);              \
  template void Run<S>::scalar_gradient(S*, int, int);                                                       \
  template void Run<S>::start_gradients(const Inputs<S>&, const InputGradients<S>&);                         \
  template void Run<S>::vector_gradients(const InputGradients<S>&);                                          \
  template WeightSums<S> Run<S>::weight_sums(const Inputs<S>&, const S*, const InputGradients<S>&);          \
  template void Run<S>::weight_gradients(const std::vector<OuterSum<S>>&, Team, const InputGradients<S>&);   \
  template void Run<S>::symbol_weight_gradients(const Inputs<S>&, const InputGradients<S>&);
UNROLLED_GRADIENTS(float)
UNROLLED_GRADIENTS(double)

}  // namespace unrolled
