// Inputs that are rows of a table, as those of symbols: there are fewer symbols than places, so the input parts are
// made once per symbol and looked up, and in backward the gradients at all places of a symbol are summed before the
// products.
#include <algorithm>

#include "engine/engine.h"

namespace unrolled {

/// a = W_ih x + b of a share of the symbols.
template <class S>
void Run<S>::project_table(const ForwardWeights<S>& weights, const Inputs<S>& in, int id, int count,
                           ThreadRows<S>& at) {
  const Index offset = input_first() * lanes<S>;
  const Index most = static_cast<Index>(at.a.size()), last = share_begin(in.symbols, id + 1, count);
  for (Index v = share_begin(in.symbols, id, count); v < last;) {
    const Index rows = std::min(most, last - v);
    for (Index r = 0; r < rows; ++r, ++v) {
      at.a[static_cast<std::size_t>(r)] = in.x + v * sizes_.input;
      at.sums[static_cast<std::size_t>(r)] = table_.data() + v * table_row() + offset;
    }
    multiply_input(weights, rows, {0, units_[0] / lanes<S>}, at);
  }
}

/// The input parts of steps [s0, s1) from the table.
template <class S>
void Run<S>::look_up(const Inputs<S>& in, Index s0, Index s1, const Shares& mine) {
  const Blocks own = mine.blocks(Space::Hidden);
  const Index block = input_stride() * lanes<S>;
  for (Index s = s0; s < s1; ++s)
    for (Index n = 0, end = mine.rows(schedule_.rows(s)); n < end; ++n) {
      const Index i = mine.row(n);
      S* const row = work_input_parts_at(s, i, s0);
      const S* const from = table_.data() + in.ids[schedule_.at(s, i)] * table_row();
      std::copy_n(from + own.first * block, own.count() * block, row + own.first * block);
    }
}

/// The gradients of the input parts summed over the places of each symbol, in the schedule's order; a share of the
/// columns per thread.
template <class S>
void Run<S>::sum_by_symbol(const Inputs<S>& in, int id, int count) {
  constexpr int P = lanes<S>;
  const Index packets = table_row() / P;
  const Index first = share_begin(packets, id, count) * P, last = share_begin(packets, id + 1, count) * P;
  for (Index v = 0; v < in.symbols; ++v) {
    S* const row = table_.data() + v * table_row();
    std::fill(row + first, row + last, S(0));
  }
  for (Index s = 0; s < schedule_.steps(); ++s)
    for (Index i = 0; i < schedule_.rows(s); ++i) {
      const S* const from = input_parts_at(s, i, 0);
      S* const to = table_.data() + in.ids[schedule_.at(s, i)] * table_row();
      for (Index k = first; k < last; k += P) (Vec<S>::load(to + k) + Vec<S>::load(from + k)).store(to + k);
    }
}

#define UNROLLED_TABLE(S)                                                                                    \
  template void Run<S>::project_table(const ForwardWeights<S>&, const Inputs<S>&, int, int, ThreadRows<S>&); \
  template void Run<S>::look_up(const Inputs<S>&, Index, Index, const Shares&);                              \
  template void Run<S>::sum_by_symbol(const Inputs<S>&, int, int);
UNROLLED_TABLE(float)
UNROLLED_TABLE(double)

}  // namespace unrolled
