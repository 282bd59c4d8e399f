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

template <class S>
void multiply_groups(const PanelShape<S>& shape, const S* packed, Index first, Index last, Depth depth, Index rows,
                     const S* const* a, S* const* c, Start start, bool back) {
  constexpr int P = lanes<S>;
  const Index whole = std::min(last, shape.columns / (shape.width * P));
  const Index bytes = shape.width * P * shape.depth * Index(sizeof(S));
  while (first < last) {
    const bool single = rows == 1 && (back ? last : first + 1) <= whole;
    const int count = single ? panels_at_once(last - first < whole - first ? last - first : whole - first, bytes) : 1;
    const Index group = back ? last - count : first;
    const S* const panel = packed + shape.offset(group);
    if (single) {
      S* out = c[0] + shape.first_column(group);
      run_row(count, shape.width, Tile<S>{depth, a, panel, &out, P, start, nullptr, shape.width * P});
    } else {
      multiply_group(shape, panel, group, depth, rows, a, c, start, static_cast<const S*>(nullptr));
    }
    back ? last -= count : first += count;
  }
}

namespace {

template <class S, int packets>
void unpacked_kernel(const S* const* rows, Index first, Depth depth, const S* a, S* c, Start start) {
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
void multiply_unpacked(const S* const* rows, Index first, Index last, Depth depth, const S* a, S* c, Start start) {
  constexpr int P = lanes<S>, most = max_vectors * most_panels;
  for (; first + most * P <= last; first += most * P) unpacked_kernel<S, most>(rows, first, depth, a, c, start);
  for (; first + 4 * P <= last; first += 4 * P) unpacked_kernel<S, 4>(rows, first, depth, a, c, start);
  for (; first < last; first += P) unpacked_kernel<S, 1>(rows, first, depth, a, c, start);
}

namespace {

/// Rows p are summed in runs of this many, so that a panel of B stays in the second-level cache while tiles of A stream
/// by.
constexpr Index outer_run = 512;
/// Rows of A read side by side while they are cut into tiles.
constexpr Index rows_together = 8;
/// Rows up to which an outer product is a matter of writing C.
constexpr Index few_rows = 4;
/// Scalars of C from which threads share the writing; threads that wait awake, from fewer on.
constexpr double least_team_writes = 1 << 20, least_awake_writes = 1 << 18;
/// Multiply-adds from which they share sums over many rows: what one thread has just written, the other one reads.
constexpr double least_team_sums = 6e6;

template <class S>
constexpr int outer_width = 4;
template <class S>
constexpr int outer_tile = tile_rows<S>(outer_width<S>);

/// Tiles [t0, t1) of a run of A: out[tile][p][column of the tile], `step` scalars from tile to tile.
template <class S>
void cut_tiles(const S* const* a, Index run, Index columns, Index t0, Index t1, Index step, S* out) {
  constexpr int tile = outer_tile<S>, wide = tile <= 2 ? 2 : tile <= 4 ? 4 : 8;
  for (Index p0 = 0; p0 < run; p0 += rows_together) {
    const Index p1 = std::min(run, p0 + rows_together);
    for (Index t = t0; t < t1; ++t) {
      S* const to = out + t * step;
      const Index valid = std::min<Index>(tile, columns - t * tile);
      Index p = p0;
      // One move of a power of two, of which the next row covers what is too much; the last row has no next one.
      if (t * tile + wide <= columns)
        for (const Index end = std::min(p1, run - 1); p < end; ++p)
          std::memcpy(to + p * tile, a[p] + t * tile, wide * sizeof(S));
      for (; p < p1; ++p) std::copy_n(a[p] + t * tile, valid, to + p * tile);
    }
  }
}

/// Few rows: C is written once, and nothing is worth being packed for it. The same bits as from tiles.
template <class S>
void outer_of_few(Index rows, const S* const* a, Index first, Index last, const OuterProduct<S>& product,
                  bool accumulate) {
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
        const S* const b = product.b[p] + n;
        for (int v = 0; v < together; ++v) sum[v] = fma(factor, Vec<S>::load(b + v * P), sum[v]);
      }
      for (int v = 0; v < together; ++v) sum[v].store(c + n + v * P);
    }
    for (Index n = whole; n < columns; n += P) {
      const Index valid = columns - n;
      Vec<S> sum = accumulate ? Vec<S>::load_partial(c + n, valid) : Vec<S>::zero();
      for (Index p = 0; p < rows; ++p) sum = fma(Vec<S>(a[p][m]), Vec<S>::load_partial(product.b[p] + n, valid), sum);
      sum.store_partial(c + n, valid);
    }
  }
}

/// C is large and its rows lie apart: those of the next tile come while this one is summed.
template <class S>
void prefetch_rows(S* const* c, Index rows, const PanelShape<S>& shape, Index group) {
  const Index first = shape.first_column(group);
  for (Index r = 0; r < rows; ++r)
    for (int v = 0; c[r] && v < shape.vectors(group); ++v) __builtin_prefetch(c[r] + first + v * lanes<S>, 1);
}

/// C of one panel and one tile of A, over one run.
template <class S>
void outer_tile_product(const PanelShape<S>& shape, const S* panel, Index group, const S* tile_data, int in_tile,
                        S* const* c, S* trash, Start start) {
  if (std::all_of(c, c + in_tile, [](const S* row) { return row == nullptr; })) return;
  const S* from[max_tile_rows];
  S* to[max_tile_rows];
  for (int r = 0; r < in_tile; ++r) {
    from[r] = tile_data + r;
    to[r] = c[r] ? c[r] : trash;
  }
  const Depth depth{1, shape.depth, 0, outer_tile<S>};
  multiply_group(shape, panel, group, depth, in_tile, from, to, start, static_cast<const S*>(nullptr));
}

/// Room for the packed operands of sums that are made one after the other by one team.
template <class S>
class OuterRoom {
 public:
  OuterRoom(const OuterSum<S>* sums, int count, int team) {
    Index panels = 0, tiles = 0;
    for (int k = 0; k < count; ++k) {
      const OuterSum<S>& sum = sums[k];
      if (sum.rows <= few_rows) continue;
      const Index run = std::min(outer_run, sum.rows);
      Index columns = 0;
      for (int product = 0; product < sum.count; ++product) {
        columns += padded<S>(sum.products[product].b_columns);
        widest_ = std::max(widest_, padded<S>(sum.products[product].b_columns));
      }
      panels = std::max(panels, columns * run);
      tiles = std::max(tiles, tiles_of(sum) * tile_step(sum));
    }
    panels_.resize(panels);
    tiles_.resize(tiles);
    trash_.resize(team * widest_);
  }

  /// Share `id` of a sum. Tiles of A go to threads in whole; every thread needs all panels of B, which are packed
  /// together.
  void sum_share(const OuterSum<S>& sum, bool accumulate, int id, int team) {
    constexpr int tile = outer_tile<S>;
    const Index t0 = share_begin(tiles_of(sum), id, team), t1 = share_begin(tiles_of(sum), id + 1, team);
    for (Index p0 = 0; p0 < sum.rows; p0 += outer_run) {
      const Index run = std::min(outer_run, sum.rows - p0);
      const auto for_products = [&](auto&& use) {
        S* at = panels_.data();
        for (int k = 0; k < sum.count; ++k) {
          const PanelShape<S> shape{sum.products[k].b_columns, run, outer_width<S>};
          use(sum.products[k], shape, at);
          at += shape.size();
        }
      };
      for_products([&](const OuterProduct<S>& product, const PanelShape<S>& shape, S* at) {
        for (Index g = share_begin(shape.groups(), id, team); g < share_begin(shape.groups(), id + 1, team); ++g)
          pack_rows(product.b + p0, run, shape.first_column(g), shape.columns - shape.first_column(g), shape.vectors(g),
                    at + shape.offset(g));
      });
      cut_tiles(sum.a + p0, run, sum.a_columns, t0, t1, tile_step(sum), tiles_.data());
      barrier_.wait(team);
      for_products([&](const OuterProduct<S>& product, const PanelShape<S>& shape, S* at) {
        for (Index g = 0; g < shape.groups(); ++g)
          for (Index t = t0; t < t1; ++t) {
            if (t + 1 < t1)
              prefetch_rows(product.c + (t + 1) * tile, std::min<Index>(tile, sum.a_columns - (t + 1) * tile), shape,
                            g);
            outer_tile_product(shape, at + shape.offset(g), g, tiles_.data() + t * tile_step(sum),
                               static_cast<int>(std::min<Index>(tile, sum.a_columns - t * tile)), product.c + t * tile,
                               trash_.data() + id * widest_, p0 == 0 && !accumulate ? Start::Zero : Start::Continue);
          }
      });
      barrier_.wait(team);
    }
  }

 private:
  static Index tiles_of(const OuterSum<S>& sum) { return (sum.a_columns + outer_tile<S> - 1) / outer_tile<S>; }
  static Index tile_step(const OuterSum<S>& sum) { return outer_tile<S> * std::min(outer_run, sum.rows); }

  Buffer<S> panels_, tiles_;
  Buffer<S> trash_;  // where rows of C that are not wanted go
  Index widest_ = 0;
  Barrier barrier_;
};

template <class S>
bool worth_a_team(const OuterSum<S>* sums, int count) {
  double work = 0, most_writes = 0;
  for (int k = 0; k < count; ++k) {
    double columns = 0;
    for (int product = 0; product < sums[k].count; ++product) columns += double(sums[k].products[product].b_columns);
    const double writes = double(sums[k].a_columns) * columns;
    if (sums[k].rows > few_rows)
      work += double(sums[k].rows) * writes;
    else
      most_writes = std::max(most_writes, writes);
  }
  if (work >= least_team_sums || most_writes >= least_team_writes) return true;
  return most_writes >= least_awake_writes && !crowded() && awake();
}

}  // namespace

template <class S>
void accumulate_outer(const OuterSum<S>* sums, int count, bool accumulate) {
  const int wanted = worth_a_team(sums, count) ? get_num_threads() : 1;
  OuterRoom<S> room(sums, count, wanted);
  parallel(wanted, [&](int id, int team) {
    for (int k = 0; k < count; ++k) {
      const OuterSum<S>& sum = sums[k];
      if (sum.rows > few_rows) {
        room.sum_share(sum, accumulate, id, team);
        continue;
      }
      for (int product = 0; product < sum.count; ++product)
        outer_of_few(sum.rows, sum.a, share_begin(sum.a_columns, id, team), share_begin(sum.a_columns, id + 1, team),
                     sum.products[product], accumulate);
    }
  });
}

#define UNROLLED_PANELS(S)                                                                                         \
  template void pack_transposed<S>(const S* const*, int, Index, S*);                                               \
  template void pack_rows<S>(const S* const*, Index, Index, Index, int, S*);                                       \
  template void multiply_group<S>(const PanelShape<S>&, const S*, Index, Depth, Index, const S* const*, S* const*, \
                                  Start, const S*);                                                                \
  template void multiply_groups<S>(const PanelShape<S>&, const S*, Index, Index, Depth, Index, const S* const*,    \
                                   S* const*, Start, bool);                                                        \
  template void multiply_unpacked<S>(const S* const*, Index, Index, Depth, const S*, S*, Start);                   \
  template void accumulate_outer<S>(const OuterSum<S>*, int, bool);
UNROLLED_PANELS(float)
UNROLLED_PANELS(double)

}  // namespace unrolled
