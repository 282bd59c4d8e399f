#include "gemm/panels.h"

#include <algorithm>

#include "core/threads.h"

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
  for (Index k = 0; k < depth; ++k)
    for (int v = 0; v < vectors; ++v, panel += P) {
      const Index left = valid - v * P;
      const Vec<S> packet =
          rows[k] && left > 0 ? Vec<S>::load_partial(rows[k] + first + v * P, left) : Vec<S>::zero();
      packet.store(panel);
    }
}

template <class S>
void multiply_group(const PanelShape<S>& shape, const S* panel, Index group, Depth depth, Index rows, const S* const* a,
                    S* const* c, Start start, const S* bias) {
  constexpr int P = lanes<S>;
  const int vectors = shape.vectors(group);
  const Index first = shape.first_column(group);
  const Index valid = std::min<Index>(shape.columns - first, vectors * P);
  const bool whole = valid == vectors * P;
  alignas(64) S partial[max_tile_rows * max_vectors * P];
  for_row_tiles(rows, tile_rows<S>(vectors), [&](Index r0, int count) {
    S* out[max_tile_rows];
    for (int r = 0; r < count; ++r) {
      out[r] = whole ? c[r0 + r] + first : partial + r * vectors * P;
      if (!whole && start == Start::Continue) std::memcpy(out[r], c[r0 + r] + first, sizeof(S) * std::size_t(valid));
    }
    run_tile(count, vectors, Tile<S>{depth, a + r0, panel, out, P, start, bias});
    if (!whole)
      for (int r = 0; r < count; ++r) std::memcpy(c[r0 + r] + first, out[r], sizeof(S) * std::size_t(valid));
  });
}

namespace {

/// Rows p are summed in runs of this many, so that a panel of B stays in the second-level cache while tiles of A stream by.
constexpr Index outer_run = 256;

/// One tile of A, transposed to [p][row]: `count` neighbouring columns of each of the run's rows.
template <class S>
void pack_columns(const S* const* a, Index run, Index first, int count, S* out) {
  for (Index p = 0; p < run; ++p)
    for (int r = 0; r < count; ++r) *out++ = a[p][first + r];
}

}  // namespace

template <class S>
void accumulate_outer(Index rows, const S* const* a, Index a_columns, const S* const* b, Index b_columns, S* const* c,
                      bool accumulate) {
  constexpr int width = 3, tile = tile_rows<S>(3);
  const Index tiles = (a_columns + tile - 1) / tile;
  const PanelShape<S> shape{b_columns, std::min(rows, outer_run), width};
  if (rows == 0) {
    for (Index m = 0; m < a_columns && !accumulate; ++m)
      if (c[m]) std::fill_n(c[m], b_columns, S(0));
    return;
  }
  Buffer<S> panels(shape.size());
  Buffer<S> columns(tiles * tile * shape.depth);
  const double work = double(rows) * double(a_columns) * double(b_columns);
  const int wanted = work < least_team_work ? 1 : get_num_threads();
  Buffer<S> trash(wanted * padded<S>(b_columns));  // where rows of C that are not wanted go
  Barrier barrier;
  // Tiles of A go to threads in whole; every thread needs all panels of B, which are packed together.
  parallel(wanted, [&](int id, int count) {
    const Index t0 = share_begin(tiles, id, count), t1 = share_begin(tiles, id + 1, count);
    const Index g0 = share_begin(shape.groups(), id, count), g1 = share_begin(shape.groups(), id + 1, count);
    S* const own_trash = trash.data() + id * padded<S>(b_columns);
    for (Index p0 = 0; p0 < rows; p0 += outer_run) {
      const Index run = std::min(outer_run, rows - p0);
      PanelShape<S> now = shape;
      now.depth = run;
      for (Index g = g0; g < g1; ++g)
        pack_rows(b + p0, run, shape.first_column(g), b_columns - shape.first_column(g), shape.vectors(g),
                  panels.data() + now.offset(g));
      for (Index t = t0; t < t1; ++t)
        pack_columns(a + p0, run, t * tile, int(std::min<Index>(tile, a_columns - t * tile)),
                     columns.data() + t * tile * shape.depth);
      barrier.wait(count);
      for (Index g = 0; g < shape.groups(); ++g)
        for (Index t = t0; t < t1; ++t) {
          const int in_tile = int(std::min<Index>(tile, a_columns - t * tile));
          S* const* const c_tile = c + t * tile;
          if (std::all_of(c_tile, c_tile + in_tile, [](const S* row) { return row == nullptr; })) continue;
          const S* from[max_tile_rows];
          S* to[max_tile_rows];
          for (int r = 0; r < in_tile; ++r) {
            from[r] = columns.data() + t * tile * shape.depth + r;
            to[r] = c_tile[r] ? c_tile[r] : own_trash;
          }
          const Depth depth{1, run, 0, in_tile};
          multiply_group(now, panels.data() + now.offset(g), g, depth, in_tile, from, to,
                         p0 == 0 && !accumulate ? Start::Zero : Start::Continue, static_cast<const S*>(nullptr));
        }
      barrier.wait(count);
    }
  });
}

#define UNROLLED_PANELS(S)                                                                                             \
  template void pack_transposed<S>(const S* const*, int, Index, S*);                                                   \
  template void pack_rows<S>(const S* const*, Index, Index, Index, int, S*);                                           \
  template void multiply_group<S>(const PanelShape<S>&, const S*, Index, Depth, Index, const S* const*, S* const*, Start, \
                                  const S*);                                                                           \
  template void accumulate_outer<S>(Index, const S* const*, Index, const S* const*, Index, S* const*, bool);
UNROLLED_PANELS(float)
UNROLLED_PANELS(double)

}  // namespace unrolled
