// Gradients that need no loop over time: once every step's gate gradients are known, those of the inputs, the weights
// and the per-unit parameters are products and sums over all valid steps, in the schedule's order.
#include <algorithm>

#include "engine/engine.h"

namespace unrolled {
namespace {

/// Sums of outer products: some products that share their deltas, then their deltas, then others; all at once in the
/// end.
template <class S>
class WeightSums {
 public:
  /// dW of `columns` columns: row m, whose sum is of delta m times the operands, goes to targets[m], if that is not
  /// null.
  void add(std::vector<const S*> operands, Index columns, std::vector<S*> targets) {
    products_.push_back({std::move(operands), columns, std::move(targets)});
  }
  /// The deltas, `width` wide, of all products added since the last ones, if there are any.
  template <class F>
  void over(Index width, F&& deltas) {
    const int before = sums_.empty() ? 0 : sums_.back().end;
    const int end = static_cast<int>(products_.size());
    if (end > before) sums_.push_back({deltas(), width, end});
  }
  void run(bool accumulate) const {
    std::vector<OuterProduct<S>> products;
    for (const Product& product : products_)
      products.push_back({product.operands.data(), product.columns, product.targets.data()});
    std::vector<OuterSum<S>> all;
    int begin = 0;
    for (const Sum& sum : sums_) {
      all.push_back({static_cast<Index>(sum.deltas.size()), sum.deltas.data(), sum.width, products.data() + begin,
                     sum.end - begin});
      begin = sum.end;
    }
    accumulate_outer(all.data(), static_cast<int>(all.size()), accumulate);
  }

 private:
  struct Product {
    std::vector<const S*> operands;
    Index columns;
    std::vector<S*> targets;
  };
  struct Sum {
    std::vector<const S*> deltas;
    Index width;
    int end;  // behind its last product
  };
  std::vector<Product> products_;
  std::vector<Sum> sums_;
};

}  // namespace

/// dx = da W_ih, or that of the rows that the cell has made of x, for the places, or the symbols of a table, of
/// [first, last).
template <class S>
void Run<S>::input_gradient(const Inputs<S>& in, S* dx, Index first, Index last) {
  constexpr int P = lanes<S>;
  constexpr Index most = 96;  // rows per product: their slots stay in the second-level cache
  const CellInfo& cell = kernel_->info;
  const PanelShape<S>& shape = back_.input.shape;
  const bool raw = cell.input_norms > 0;  // the gradients of W_ih x are where it was
  const Depth depth = raw || cell.input_gates == cell.slots
                          ? Depth::contiguous(shape.depth)
                          : Depth{units_[0] / P, cell.input_gates * P, cell.slots * P, 1};
  const S* a[most];
  S* out[most];
  const auto multiply = [&](Index rows) { back_.input.multiply(0, shape.groups(), depth, rows, a, out, Start::Zero); };
  Index rows = 0;
  const auto add = [&](const S* from, S* to) {
    a[rows] = from + (raw ? 0 : cell.input_first * P);
    out[rows] = to;
    if (++rows < most) return;
    multiply(rows);
    rows = 0;
  };
  for (Index v = first; in.ids && v < last; ++v) add(table_.data() + v * table_row(), dx + v * sizes_.input);
  for (Index s = 0; !in.ids && s < schedule_.steps(); ++s) {
    const Index i0 = std::max<Index>(0, first - schedule_.first(s)),
                i1 = std::min(schedule_.rows(s), last - schedule_.first(s));
    for (Index i = i0; i < i1; ++i)
      add(raw ? raw_a_at(s, i, 0) : slots_at(s, i, 0),
          makes_input() ? drows_.data() + schedule_.place(s, i) * sizes_.row : dx + schedule_.at(s, i) * sizes_.input);
  }
  if (rows > 0) multiply(rows);
}

/// db: sums over all places, or symbols, a share of the unit blocks per thread.
template <class S>
void Run<S>::bias_gradient(const Inputs<S>& in, S* to, bool accumulate, int id, int count) {
  constexpr int P = lanes<S>;
  using V = Vec<S>;
  const CellInfo& cell = kernel_->info;
  const Index H = sizes_.hidden, blocks = units_[0] / P;
  const bool by_symbol = in.ids && cell.input_norms == 0;  // else the table holds gradients of what is normalised
  const S* const rows = by_symbol ? table_.data() : slots_[0].data();
  const Index all = by_symbol ? in.symbols : schedule_.places();
  for (Index block = share_begin(blocks, id, count); block < share_begin(blocks, id + 1, count); ++block) {
    V db[most_input_gates];
    const auto target = [&](int gate) { return to + cell.input_gate[gate] * H + block * P; };
    for (int gate = 0; gate < cell.input_gates; ++gate)
      db[gate] = accumulate ? V::load_partial(target(gate), H - block * P) : V::zero();
    const S* slots = rows + (block * cell.slots + cell.input_first) * P;
    for (Index place = 0; place < all; ++place, slots += slot_row_[0])
      for (int gate = 0; gate < cell.input_gates; ++gate) db[gate] += V::load(slots + gate * P);
    for (int gate = 0; gate < cell.input_gates; ++gate) db[gate].store_partial(target(gate), H - block * P);
  }
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

/// dW_ih = sum of da x', dW = sum of du operand' for every recurrent matrix: one product for all matrices whose gate
/// gradients lie in the same rows.
template <class S>
void Run<S>::weight_gradients(const Inputs<S>& in, const S* y, const InputGradients<S>& wanted) {
  constexpr int P = lanes<S>;
  const CellInfo& cell = kernel_->info;
  const auto collect = [&](auto&& row_of) {
    std::vector<const S*> rows(static_cast<std::size_t>(schedule_.places()));
    std::size_t at = 0;
    for (Index s = 0; s < schedule_.steps(); ++s)
      for (Index i = 0; i < schedule_.rows(s); ++i) rows[at++] = row_of(s, i);
    return rows;
  };
  // Row of the weight matrix that a scalar of the gate gradients belongs to, null for slots of other gates and lanes
  // behind the last unit.
  const auto rows_of = [&](S* dW, Index columns, Space space, int stride, int first, int gates, const int* gate_of) {
    std::vector<S*> rows(static_cast<std::size_t>(stride * units(space)), nullptr);
    const Index width = sizes_.width(space);
    for (Index unit = 0; unit < width; ++unit)
      for (int gate = 0; gate < gates; ++gate)
        rows[static_cast<std::size_t>((unit / P * stride + first + gate) * P + unit % P)] =
            dW + (gate_of[gate] * width + unit) * columns;
    return rows;
  };
  // What phase p multiplied at (s, i).
  const auto operand = [&](const Phase& phase, Index s, Index i) -> const S* {
    if (phase.operand == Operand::PreviousOutput) return masked_operand_ ? masked_before(s, i) : output_before(y, s, i);
    return phase.operand == Operand::PreviousState ? state_before(phase.stream, s, i) : stream_at(phase.stream, s, i);
  };
  WeightSums<S> sums;
  const auto each_symbol = [&](const S* table, Index row) {
    std::vector<const S*> rows(static_cast<std::size_t>(in.symbols));
    for (Index v = 0; v < in.symbols; ++v) rows[static_cast<std::size_t>(v)] = table + v * row;
    return rows;
  };
  const auto add_input = [&](int stride, int first) {
    if (wanted.dW_ih)
      sums.add(
          in.ids ? each_symbol(in.x, sizes_.input) : collect([&](Index s, Index i) { return input_row(in, s, i); }),
          sizes_.row,
          rows_of(wanted.dW_ih, sizes_.row, Space::Hidden, stride, first, cell.input_gates, cell.input_gate));
  };
  const auto add_phase = [&](const Phase& phase, int stride, int first) {
    S* const dW = wanted.dmatrix[phase.matrix];
    const Index columns = sizes_.width(cell.operand_space(phase));
    if (dW)
      sums.add(collect([&](Index s, Index i) { return operand(phase, s, i); }), columns,
               rows_of(dW, columns, phase.space, stride, first, phase.gates, phase.weight_gate));
  };

  const bool raw = cell.input_norms > 0;
  if (raw || in.ids) {
    add_input(static_cast<int>(input_stride()), raw ? 0 : cell.input_first);
    sums.over(table_row(), [&] {
      return in.ids ? each_symbol(table_.data(), table_row())
                    : collect([&](Index s, Index i) { return raw_a_at(s, i, 0); });
    });
  }
  for (int p = 0; p < cell.phases; ++p) {
    const Phase& phase = cell.phase[p];
    if (!phase.normalised || phase.matrix == identity) continue;
    add_phase(phase, phase.gates, 0);
    sums.over(phase.gates * units(phase.space),
              [&] { return collect([&](Index s, Index i) { return raw_u_at(p, s, i); }); });
  }
  for (const Space space : {Space::Hidden, Space::Output}) {
    if (space == Space::Hidden && !raw && !in.ids) add_input(cell.slots, cell.input_first);
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
  sums.run(wanted.continues);
}

#define UNROLLED_GRADIENTS(S)                                                        \
  template void Run<S>::input_gradient(const Inputs<S>&, S*, Index, Index);          \
  template void Run<S>::bias_gradient(const Inputs<S>&, S*, bool, int, int);         \
  template void Run<S>::scalar_gradient(S*, int, int);                               \
  template void Run<S>::start_gradients(const Inputs<S>&, const InputGradients<S>&); \
  template void Run<S>::vector_gradients(const InputGradients<S>&);                  \
  template void Run<S>::weight_gradients(const Inputs<S>&, const S*, const InputGradients<S>&);
UNROLLED_GRADIENTS(float)
UNROLLED_GRADIENTS(double)

}  // namespace unrolled
