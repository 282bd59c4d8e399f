#include "gemm/panels.h"

#include <algorithm>

namespace unrolled {

template <class S>
void pack_transposed(const S* const* rows, int vectors, Index depth, S* panel) {
  constexpr int P = lanes<S>;
  const Index whole = depth / P * P;
  for (int v = 0; v < vectors; ++v) {
    const S* const* r = rows + v * P;
    const bool all = std::all_of(r, r + P, [](const S* row) { return row != nullptr; });
    S* out = panel + v * P;
    Index k = 0;
    for (; all && k < whole; k += P) {
      Vec<S> block[P];
      for (int i = 0; i < P; ++i) block[i] = Vec<S>::load(r[i] + k);
      transpose(block);
      for (int i = 0; i < P; ++i) block[i].store(out + (k + i) * vectors * P);
    }
    for (; k < depth; ++k)
      for (int i = 0; i < P; ++i) out[k * vectors * P + i] = r[i] ? r[i][k] : S(0);
  }
}

template <class S>
void pack_rows(const S* const* rows, Index depth, Index first, Index valid, int vectors, S* panel) {
  constexpr int P = lanes<S>;
  const int whole = static_cast<int>(std::min<Index>(vectors, valid / P));
  for (Index k = 0; k < depth; ++k, panel += vectors * P) {
    const S* const row = rows[k] ? rows[k] + first : nullptr;
    int v = 0;
    for (; row && v < whole; ++v) Vec<S>::load(row + v * P).store(panel + v * P);
    if (row && v < vectors && v * P < valid) Vec<S>::load_partial(row + v * P, valid - v * P).store(panel + v * P), ++v;
    for (; v < vectors; ++v) Vec<S>::zero().store(panel + v * P);
  }
}

template <class S>
void multiply_group(const PanelShape<S>& shape, const S* panel, Index group, const Depth& depth, Index rows,
                    const S* const* a, S* const* c, Start start, const S* bias, LinesAhead<S>* ahead) {
  constexpr int P = lanes<S>;
  const int vectors = shape.vectors(group);
  const Index first = shape.first_column(group);
  const Index valid = std::min<Index>(shape.columns - first, vectors * P);
  const bool whole = valid == vectors * P;
  alignas(64) S partial[max_tile_rows * max_vectors * P];
  for_row_tiles(rows, tile_rows<S>(vectors), [&](Index r0, int count) {
    Tile<S> tile{depth, a + r0, panel, c + r0, P, start, bias, 0, 0, ahead ? ahead->next() : Ahead{}, first};
    if (whole) return run_tile(count, vectors, tile);
    S* out[max_tile_rows];
    for (int r = 0; r < count; ++r) {
      out[r] = partial + r * vectors * P;
      if (start == Start::Continue) std::memcpy(out[r], c[r0 + r] + first, sizeof(S) * std::size_t(valid));
    }
    tile.out = out;
    tile.out_first = 0;
    run_tile(count, vectors, tile);
    for (int r = 0; r < count; ++r) std::memcpy(c[r0 + r] + first, out[r], sizeof(S) * std::size_t(valid));
  });
}

template <class S>
void multiply_groups(const PanelShape<S>& shape, const S* packed, Index first, Index last, const Depth& depth,
                     Index rows, const S* const* a, S* const* c, Start start, bool back, const S* bias) {
  constexpr int P = lanes<S>;
  const Index whole = std::min(last, shape.columns / (shape.width * P));
  const int most = most_at_once(shape.width * P * shape.depth * Index(sizeof(S)), shape.size() * Index(sizeof(S)));
  while (first < last) {
    const bool single = rows == 1 && (back ? last : first + 1) <= whole;
    const int count = single ? panels_at_once(last - first < whole - first ? last - first : whole - first, most) : 1;
    const Index group = back ? last - count : first;
    const S* const panel = packed + shape.offset(group) + depth.skipped * shape.vectors(group) * P;
    const S* const of_group = start == Start::Bias ? bias + shape.first_column(group) : nullptr;
    if (single) {
      S* out = c[0] + shape.first_column(group);
      const Index width = shape.width * P;
      run_row(count, shape.width, Tile<S>{depth, a, panel, &out, P, start, of_group, width * shape.depth, width});
    } else {
      multiply_group(shape, panel, group, depth, rows, a, c, start, of_group);
    }
    (back ? last : first) += back ? -count : count;
  }
}

namespace {

template <class S, int packets>
void unpacked_kernel(const S* const* rows, Index first, const Depth& depth, const S* a, S* c, Start start) {
  constexpr int P = lanes<S>;
  Vec<S> acc[packets];
#pragma GCC unroll 16
  for (int v = 0; v < packets; ++v)
    acc[v] = start == Start::Continue ? Vec<S>::load(c + first + v * P) : Vec<S>::zero();
  for (Index segment = 0; segment < depth.segments; ++segment, a += depth.a_jump)
    for (Index k = 0; k < depth.length; ++k, ++rows) {
      const Vec<S> x(a[k * depth.a_step]);
#pragma GCC unroll 16
      for (int v = 0; v < packets; ++v) acc[v] = fma(x, Vec<S>::load(*rows + first + v * P), acc[v]);
    }
#pragma GCC unroll 16
  for (int v = 0; v < packets; ++v) acc[v].store(c + first + v * P);
}

}  // namespace

template <class S>
void multiply_unpacked(const S* const* rows, Index first, Index last, const Depth& depth, const S* a, S* c,
                       Start start) {
  constexpr int P = lanes<S>, most = max_vectors * most_panels;
  for (; first + most * P <= last; first += most * P) unpacked_kernel<S, most>(rows, first, depth, a, c, start);
  for (; first + 4 * P <= last; first += 4 * P) unpacked_kernel<S, 4>(rows, first, depth, a, c, start);
  for (; first < last; first += P) unpacked_kernel<S, 1>(rows, first, depth, a, c, start);
}

#define UNROLLED_PANELS(S)                                                                                             \
  template void pack_transposed<S>(const S* const*, int, Index, S*);                                                   \
  template void pack_rows<S>(const S* const*, Index, Index, Index, int, S*);                                           \
  template void multiply_group<S>(const PanelShape<S>&, const S*, Index, const Depth&, Index, const S* const*,         \
                                  S* const*, Start, const S*, LinesAhead<S>*);                                         \
  template void multiply_groups<S>(const PanelShape<S>&, const S*, Index, Index, const Depth&, Index, const S* const*, \
                                   S* const*, Start, bool, const S*);                                                  \
  template void multiply_unpacked<S>(const S* const*, Index, Index, const Depth&, const S*, S*, Start);
UNROLLED_PANELS(float)
UNROLLED_PANELS(double)

}  // namespace unrolled
