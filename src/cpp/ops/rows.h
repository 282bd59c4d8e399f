// Loops over rows and elements, shared among threads. Every sum has an order fixed by the shape alone.
#pragma once

#include <algorithm>
#include <limits>

#include "core/buffer.h"
#include "core/math.h"
#include "core/packet.h"
#include "core/threads.h"
#include "gemm/outer.h"

namespace unrolled::ops {

/// Threads for `work` elementary operations.
inline int team_size(Index work) {
  constexpr Index work_per_thread =
      32768;  // about 10 microseconds: gains where threads are awake from what came before
  return static_cast<int>(std::clamp<Index>(work / work_per_thread, 1, most_threads));
}

/// f(begin, end) for contiguous shares of [0, count); `cost` is the work of one item.
template <class F>
void share(Index count, Index cost, F&& f) {
  parallel(team_size(count * std::max<Index>(cost, 1)),
           [&](int id, int team) { f(share_begin(count, id, team), share_begin(count, id + 1, team)); });
}

/// The first `count` lanes from memory, `fill` behind them.
template <class S>
Vec<S> load_filled(const S* from, Index count, S fill) {
  if (count >= lanes<S>) return Vec<S>::load(from);
  alignas(64) S part[lanes<S>];
  for (int lane = 0; lane < lanes<S>; ++lane) part[lane] = lane < count ? from[lane] : fill;
  return Vec<S>::load(part);
}

/// 0, 1, 2 ...
template <class S>
Vec<S> lane_numbers() {
  alignas(64) S numbers[lanes<S>];
  for (int lane = 0; lane < lanes<S>; ++lane) numbers[lane] = S(lane);
  return Vec<S>::load(numbers);
}

/// y[i] = f(x[i], ...) for packets of up to three arrays of `size` scalars; a packet is never split between threads.
template <class S, class F, class... Inputs>
void map(Index size, S* y, F&& f, const Inputs*... x) {
  const Index packets = padded<S>(size) / lanes<S>;
  share(packets, lanes<S>, [&](Index begin, Index end) {
    for (Index packet = begin; packet < end; ++packet) {
      const Index i = packet * lanes<S>;
      const Index count = size - i;
      if (count >= lanes<S>)
        f(Vec<S>::load(x + i)...).store(y + i);
      else
        f(Vec<S>::load_partial(x + i, count)...).store_partial(y + i, count);
    }
  });
}

/// Sum over i < size of f(packet at i, lanes in it), a packet that must hold zeros behind those lanes.
template <class S, class F>
S sum_packets(Index size, F&& f) {
  Vec<S> total = Vec<S>::zero();
  for (Index i = 0; i < size; i += lanes<S>) total += f(i, size - i);
  return sum_lanes(total);
}

/// out[c] = sum over rows of what add_row(row, partial) adds to partial[c], blocks of rows first, then the blocks in
/// order: more exact than one running sum, and the same at any number of threads.
template <class S, class F>
void sum_rows(Index rows, Index columns, S* out, F&& add_row) {
  const Index blocks = (rows + rows_per_sum - 1) / rows_per_sum;
  std::fill(out, out + columns, S(0));
  if (rows == 0 || columns == 0) return;
  Buffer<S> partial(blocks * columns);
  partial.fill_zero(blocks * columns);
  share(blocks, rows_per_sum * columns, [&](Index begin, Index end) {
    for (Index block = begin; block < end; ++block)
      for (Index row = block * rows_per_sum; row < std::min(rows, (block + 1) * rows_per_sum); ++row)
        add_row(row, partial.data() + block * columns);
  });
  for (Index block = 0; block < blocks; ++block)
    for (Index c = 0; c < columns; ++c) out[c] += partial[block * columns + c];
}

/// e^x for x <= 0, exactly 0 where exp_saturated would stay at the smallest normal number.
template <class S>
Vec<S> exp_of_negative(Vec<S> x) {
  const Vec<S> least(std::is_same_v<S, float> ? S(-87.3365478515625) : S(-708));
  return select(less(x, least), Vec<S>::zero(), exp_saturated(x));
}

/// The largest of a row, and the sum of e^(x - largest).
template <class S>
struct RowExp {
  S largest, sum;
};
template <class S>
RowExp<S> row_exp(const S* x, Index size) {
  constexpr S lowest = -std::numeric_limits<S>::infinity();
  // The last packet of a row reaches back into the one before it: `old` of its lanes have been seen there. A short row
  // is filled up with -infinity, which changes neither the maximum nor the sum.
  const Index whole = size / lanes<S> * lanes<S>, old = whole == size ? 0 : lanes<S> - (size - whole);
  const Vec<S> last = size >= lanes<S> ? Vec<S>::load(x + size - lanes<S>) : load_filled(x, size, lowest);
  Vec<S> most = last;
  for (Index i = 0; i < whole; i += lanes<S>) most = max(Vec<S>::load(x + i), most);
  alignas(64) S part[lanes<S>];
  most.store(part);
  for (int half = lanes<S> / 2; half > 0; half /= 2)
    for (int lane = 0; lane < half; ++lane)
      part[lane] = part[lane] < part[lane + half] ? part[lane + half] : part[lane];
  const S largest = part[0];
  const Vec<S> shift(largest);
  Vec<S> total = Vec<S>::zero();
  for (Index i = 0; i < whole; i += lanes<S>) total += exp_of_negative(Vec<S>::load(x + i) - shift);
  if (whole < size) {
    const Vec<S> e = exp_of_negative(last - shift);
    total += whole == 0 ? e : select(less(lane_numbers<S>(), Vec<S>(S(old))), Vec<S>::zero(), e);
  }
  return {largest, sum_lanes(total)};
}

}  // namespace unrolled::ops
