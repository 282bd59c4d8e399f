#include "gemm/outer.h"

#include <algorithm>

#include "gemm/outer_direct.h"

namespace unrolled {
namespace {

constexpr Index longest_run = 640;
static_assert(longest_run % rows_per_sum == 0);
constexpr Index block_bytes = Index(1) << 18;  // of tiles that a thread cuts at once
/// Steps of a sum that take as long as a line of C from memory.
constexpr Index steps_ahead = 64;
/// Sums of so few steps are a matter of writing C; their panels, if no larger than this, come from a core's own cache.
constexpr Index few_steps = 64, most_panel_bytes = Index(1) << 19;
/// A larger C comes from memory.
constexpr Index most_cached_bytes = Index(1) << 24;
/// Tiles that are cut at once at least.
constexpr Index least_tiles = 2;
/// Rows of A read side by side while they are cut into tiles.
constexpr Index rows_together = 8;
/// Scalars of C from which threads share the writing; threads that wait awake, from fewer on.
constexpr double least_team_writes = 1 << 20, least_awake_writes = 1 << 18;
/// Multiply-adds from which they share sums over many rows: what one thread has just written, the other one reads.
constexpr double least_team_sums = 6e6;

constexpr int panel_width = 4;
template <class S>
constexpr int tile_columns = tile_rows<S>(panel_width);  // of A

/// Tiles [t0, t1) of a run of A: out[tile - t0][p][column of the tile], `step` scalars from tile to tile.
template <class S>
void cut_tiles(const S* const* a, Index run, Index columns, Index t0, Index t1, Index step, S* out) {
  constexpr int tile = tile_columns<S>, wide = tile <= 2 ? 2 : tile <= 4 ? 4 : 8;
  for (Index p0 = 0; p0 < run; p0 += rows_together) {
    const Index p1 = std::min(run, p0 + rows_together);
    for (Index p = p1; p < std::min(run, p1 + rows_together); ++p)
      for (Index column = t0 * tile; column < std::min(columns, t1 * tile); column += 64 / Index(sizeof(S)))
        __builtin_prefetch(a[p] + column);
    for (Index t = t0; t < t1; ++t) {
      S* const to = out + (t - t0) * step;
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

/// C of one panel and one tile of A, over one run. all: no row of C is null. Then c is read where it has long been: a
/// wide load of what has just been written in parts waits for all stores before it, here those of the tile before.
template <class S>
void outer_tile_product(const PanelShape<S>& shape, const S* panel, Index group, const S* tile_data, int in_tile,
                        S* const* c, bool all, S* trash, Start start, LinesAhead<S>& ahead) {
  const S* from[max_tile_rows];
  for (int r = 0; r < in_tile; ++r) from[r] = tile_data + r;
  S* to[max_tile_rows];
  if (!all) {
    if (std::all_of(c, c + in_tile, [](const S* row) { return row == nullptr; })) return;
    for (int r = 0; r < in_tile; ++r) to[r] = c[r] ? c[r] : trash;
    c = to;
  }
  const Depth depth{1, shape.depth, 0, tile_columns<S>};
  multiply_group(shape, panel, group, depth, in_tile, from, c, start, static_cast<const S*>(nullptr), &ahead);
}

/// All tiles of a range with all panels: a panel with one tile after the other, or a tile with one panel after the
/// other, which writes neighbouring columns of C.
struct TileOrder {
  struct Place {
    Index tile, group;
  };
  Index size() const { return (range.last - range.first) * groups; }
  Place operator[](Index n) const {
    const Index tiles = range.last - range.first;
    return by_rows ? Place{range.first + n / groups, n % groups} : Place{range.first + n % tiles, n / tiles};
  }
  Deal::Range range;
  Index groups;
  bool by_rows;
};

template <class S>
Index tiles_of(const OuterSum<S>& sum) {
  return (sum.a_columns + tile_columns<S> - 1) / tile_columns<S>;
}

}  // namespace

template <class S>
Team outer_team(const OuterSum<S>* sums, int count) {
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
  if (work >= least_team_sums || most_writes >= least_team_writes) return get_num_threads();
  return most_writes >= least_awake_writes ? awake_team(get_num_threads()) : 1;
}

template <class S>
OuterTeam<S>::OuterTeam(const OuterSum<S>* sums, int count, Index most, int team)
    : run_(std::min(most, longest_run)),
      block_(std::max<Index>(1, block_bytes / std::max<Index>(1, tile_columns<S> * run_ * Index(sizeof(S))))),
      deal_(team) {
  Index panels = 0, tiles = 0;
  for (int k = 0; k < count; ++k) {
    const OuterSum<S>& sum = sums[k];
    if (sum.rows <= few_rows) continue;
    Index columns = 0;
    for (int product = 0; product < sum.count; ++product) {
      if (is_narrow(sum, sum.products[product])) continue;
      const Index width = padded<S>(sum.products[product].b_columns);
      columns += width;
      widest_ = std::max(widest_, width);
    }
    panels = std::max(panels, columns * run_);
    if (columns > 0) tiles = std::max(tiles, std::min(block_, tiles_of(sum)));
  }
  panels_.resize(panels);
  block_ = std::max<Index>(1, tiles);
  tiles_.resize(team * tiles * tile_columns<S> * run_);
  trash_.resize(team * widest_);
}

template <class S>
void OuterTeam<S>::add(const OuterSum<S>& sum, Index first, Index last, bool accumulate, int id, int team) {
  barrier_.wait(team);  // threads share C in another way for few rows, few columns and tiles: what was added is there
  if (last - first > few_rows) {
    for (Index p = first; p < last; p += run_)
      add_run(sum, p, std::min(run_, last - p), accumulate || p > first, id, team);
    return;
  }
  const Index m0 = share_begin(sum.a_columns, id, team), m1 = share_begin(sum.a_columns, id + 1, team);
  for (int k = 0; k < sum.count; ++k)
    outer_of_few(last - first, sum.a + first, sum.products[k].b + first, m0, m1, sum.products[k], accumulate);
  if (sum.of_a) add_columns(last - first, sum.a + first, m0, m1, sum.of_a, accumulate);
}

/// The products that are made without packing, and where all are, the sums of A; whether there are others.
template <class S>
bool OuterTeam<S>::add_narrow(const OuterSum<S>& sum, Index first, Index run, bool accumulate, int id, int team) {
  const Index packets = sum.a_columns / lanes<S>;
  const Index q0 = share_begin(packets, id, team), q1 = share_begin(packets, id + 1, team);
  bool others = false;
  for (int k = 0; k < sum.count; ++k)
    if (is_narrow(sum, sum.products[k]))
      outer_of_narrow(run, sum.a + first, sum.products[k].b + first, q0, q1, sum.products[k], accumulate);
    else
      others = true;
  if (!others && sum.of_a) add_columns(run, sum.a + first, q0 * lanes<S>, q1 * lanes<S>, sum.of_a, accumulate);
  return others;
}

/// use(product, shape, panels) for each product that goes in panels.
template <class S>
template <class F>
void OuterTeam<S>::each_packed(const OuterSum<S>& sum, Index run, F&& use) {
  S* at = panels_.data();
  for (int k = 0; k < sum.count; ++k) {
    if (is_narrow(sum, sum.products[k])) continue;
    const PanelShape<S> shape{sum.products[k].b_columns, run, panel_width};
    use(sum.products[k], shape, at);
    at += shape.size();
  }
}

/// Tiles of A go to threads in whole, as they come; every thread needs all panels of B, which are packed together.
template <class S>
void OuterTeam<S>::add_run(const OuterSum<S>& sum, Index first, Index run, bool accumulate, int id, int team) {
  if (!add_narrow(sum, first, run, accumulate, id, team)) return;
  Index groups = 0;
  each_packed(sum, run, [&](const OuterProduct<S>& product, const PanelShape<S>& shape, S* at) {
    groups += shape.groups();
    for (Index g = share_begin(shape.groups(), id, team); g < share_begin(shape.groups(), id + 1, team); ++g)
      pack_rows(product.b + first, run, shape.first_column(g), shape.columns - shape.first_column(g), shape.vectors(g),
                at + shape.offset(g));
  });
  deal_.start(tiles_of(sum), id, team);
  barrier_.wait(team);
  for (Deal::Range mine; deal_.take(least_tiles, block_, id, team, &mine);) {
    const Index last = std::min(sum.a_columns, mine.last * tile_columns<S>);
    LinesAhead<S> ahead(sum.a + first, run, last, std::min(sum.a_columns, (mine.last + mine.next) * tile_columns<S>),
                        (mine.last - mine.first) * groups);
    add_tiles(sum, first, run, mine, accumulate, id, ahead);
    if (sum.of_a) add_columns(run, sum.a + first, mine.first * tile_columns<S>, last, sum.of_a, accumulate);
  }
  barrier_.wait(team);  // the next run is packed where this one was
}

/// Some tiles of A with all panels, over one run.
template <class S>
void OuterTeam<S>::add_tiles(const OuterSum<S>& sum, Index first, Index run, Deal::Range range, bool accumulate, int id,
                             LinesAhead<S>& ahead) {
  constexpr int tile = tile_columns<S>;
  const Index step = tile * run_, ahead_by = 1 + steps_ahead / run;
  S* const tiles = tiles_.data() + id * block_ * step;
  cut_tiles(sum.a + first, run, sum.a_columns, range.first, range.last, step, tiles);
  each_packed(sum, run, [&](const OuterProduct<S>& product, const PanelShape<S>& shape, S* panels) {
    S* const* const end = product.c + std::min(range.last * tile, sum.a_columns);
    const bool all = std::find(product.c + range.first * tile, end, nullptr) == end;
    const bool by_rows = run <= few_steps && shape.size() * Index(sizeof(S)) <= most_panel_bytes;
    // Lines of C are asked for ahead, but those of rows that are written column after column, which the processor sees
    // by itself, unless they come from memory.
    const bool asks_for_c = !by_rows || sum.a_columns * shape.columns * Index(sizeof(S)) > most_cached_bytes;
    const TileOrder order{range, shape.groups(), by_rows};
    for (Index n = 0; n < order.size(); ++n) {
      if (asks_for_c && n + ahead_by < order.size()) {
        const auto [t, g] = order[n + ahead_by];
        for (Index m = t * tile, end = std::min(m + tile, sum.a_columns); m < end; ++m)
          for (int v = 0; product.c[m] && v < shape.vectors(g); ++v)
            ahead.also(product.c[m] + shape.first_column(g) + v * lanes<S>);
      }
      const auto [t, g] = order[n];
      outer_tile_product(shape, panels + shape.offset(g), g, tiles + (t - range.first) * step,
                         static_cast<int>(std::min<Index>(tile, sum.a_columns - t * tile)), product.c + t * tile, all,
                         trash_.data() + id * widest_, accumulate ? Start::Continue : Start::Zero, ahead);
    }
  });
}

template <class S>
void accumulate_outer(const OuterSum<S>* sums, int count, bool accumulate) {
  Index most = 0;
  for (int k = 0; k < count; ++k) most = std::max(most, sums[k].rows);
  const Team wanted = outer_team(sums, count);
  OuterTeam<S> outer(sums, count, most, wanted.wanted);
  parallel(wanted, [&](int id, int team) {
    for (int k = 0; k < count; ++k) outer.add(sums[k], 0, sums[k].rows, accumulate, id, team);
  });
}

#define UNROLLED_OUTER(S)                               \
  template Team outer_team<S>(const OuterSum<S>*, int); \
  template class OuterTeam<S>;                          \
  template void accumulate_outer<S>(const OuterSum<S>*, int, bool);
UNROLLED_OUTER(float)
UNROLLED_OUTER(double)

}  // namespace unrolled
