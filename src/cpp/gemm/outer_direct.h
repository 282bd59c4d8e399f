// Sums of outer products made where the factors lie, without packing: the same bits as from tiles.
#pragma once

#include <algorithm>

#include "core/count.h"
#include "gemm/outer.h"

namespace unrolled {

/// Steps of a sum (rows of A and B) so few that nothing is packed, and columns of B so few that A alone is read.
constexpr Index few_rows = 4, few_columns = 4;

/// Whether a product is made without packing: a few columns of B beside whole packets of A.
template <class S>
bool is_narrow(const OuterSum<S>& sum, const OuterProduct<S>& product) {
  return product.b_columns <= few_columns && sum.a_columns % lanes<S> == 0;
}

/// out[m] (+)= sum over rows of A[p][m] for the columns of so many packets from `first` on, rows_per_sum rows at a
/// time. A run is whole blocks of them, but for the last one, so that `ops::sum_rows` makes the same bits.
template <class S, int packets>
void add_packets(Index rows, const S* const* a, Index first, Index valid, S* out, bool accumulate) {
  constexpr int P = lanes<S>;
  const auto load = [&](const S* from, int v) {
    return packets > 1 ? Vec<S>::load(from + v * P) : Vec<S>::load_partial(from, valid);
  };
  Vec<S> total[packets];
  for (int v = 0; v < packets; ++v) total[v] = accumulate ? load(out + first, v) : Vec<S>::zero();
  for (Index p0 = 0; p0 < rows; p0 += rows_per_sum) {
    Vec<S> sum[packets];
    for (auto& packet : sum) packet = Vec<S>::zero();
    for (Index p = p0; p < std::min(rows, p0 + rows_per_sum); ++p)
      for (int v = 0; v < packets; ++v) sum[v] += load(a[p] + first, v);
    for (int v = 0; v < packets; ++v) total[v] += sum[v];
  }
  for (int v = 0; v < packets; ++v)
    packets > 1 ? total[v].store(out + first + v * P) : total[v].store_partial(out + first, valid);
}

/// The same for columns [first, last).
template <class S>
void add_columns(Index rows, const S* const* a, Index first, Index last, S* out, bool accumulate) {
  constexpr int P = lanes<S>, together = 8;
  for (; first + together * P <= last; first += together * P)
    add_packets<S, together>(rows, a, first, together * P, out, accumulate);
  for (; first < last; first += P) add_packets<S, 1>(rows, a, first, last - first, out, accumulate);
}

/// Few rows: C is written once, and nothing is worth being packed for it. The same bits as from tiles.
template <class S>
void outer_of_few(Index rows, const S* const* a, const S* const* b, Index first, Index last,
                  const OuterProduct<S>& product, bool accumulate) {
  constexpr int P = lanes<S>, together = 4;
  const Index columns = product.b_columns, whole = columns - columns % (together * P);
  for (Index m = first; m < last; ++m) {
    S* const c = product.c[m];
    if (c == nullptr) continue;
    for (Index n = 0; n < whole; n += together * P) {
      Vec<S> sum[together];
      for (int v = 0; v < together; ++v) sum[v] = accumulate ? Vec<S>::load(c + n + v * P) : Vec<S>::zero();
      for (Index p = 0; p < rows; ++p) {
        const Vec<S> factor(a[p][m]);
        for (int v = 0; v < together; ++v) sum[v] = fma(factor, Vec<S>::load(b[p] + n + v * P), sum[v]);
      }
      for (int v = 0; v < together; ++v) sum[v].store(c + n + v * P);
    }
    for (Index n = whole; n < columns; n += P) {
      const Index valid = columns - n;
      Vec<S> sum = accumulate ? Vec<S>::load_partial(c + n, valid) : Vec<S>::zero();
      for (Index p = 0; p < rows; ++p) sum = fma(Vec<S>(a[p][m]), Vec<S>::load_partial(b[p] + n, valid), sum);
      sum.store_partial(c + n, valid);
    }
  }
}

/// Packets [q, q + together) of A times all columns of B.
template <class S, int columns, int together>
void narrow_kernel(Index rows, const S* const* a, const S* const* b, Index q, S* const* c, bool accumulate) {
  constexpr int P = lanes<S>;
  Vec<S> sum[together][columns];
  alignas(64) S lane[P];
  c += q * P;
  for (int v = 0; v < together; ++v)
    for (int n = 0; n < columns; ++n) {
      for (int k = 0; k < P; ++k) lane[k] = accumulate && c[v * P + k] ? c[v * P + k][n] : S(0);
      sum[v][n] = Vec<S>::load(lane);
    }
  for (Index p = 0; p < rows; ++p) {
    const S* const from = a[p] + q * P;
#pragma GCC unroll 4
    for (int v = 0; v < together; ++v) {
      const Vec<S> packet = Vec<S>::load(from + v * P);
#pragma GCC unroll 4
      for (int n = 0; n < columns; ++n) sum[v][n] = fma(packet, Vec<S>(b[p][n]), sum[v][n]);
    }
  }
  for (int v = 0; v < together; ++v)
    for (int n = 0; n < columns; ++n) {
      sum[v][n].store(lane);
      for (int k = 0; k < P; ++k)
        if (S* const row = c[v * P + k]) row[n] = lane[k];
    }
}

/// Few columns: A is read once, where it lies. The same bits as from tiles.
template <class S, int columns>
void outer_of_columns(Index rows, const S* const* a, const S* const* b, Index first, Index last, S* const* c,
                      bool accumulate) {
  constexpr int together = 4;
  for (; first + together <= last; first += together)
    narrow_kernel<S, columns, together>(rows, a, b, first, c, accumulate);
  for (; first < last; ++first) narrow_kernel<S, columns, 1>(rows, a, b, first, c, accumulate);
}

/// Packets [first, last) of A.
template <class S>
void outer_of_narrow(Index rows, const S* const* a, const S* const* b, Index first, Index last,
                     const OuterProduct<S>& product, bool accumulate) {
  static_assert(few_columns <= most_count);
  with_count(product.b_columns,
             [&](auto columns) { outer_of_columns<S, columns>(rows, a, b, first, last, product.c, accumulate); });
}

}  // namespace unrolled
