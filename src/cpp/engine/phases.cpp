// The phases of a forward step: recurrent products, tile by tile, and the cell's point function on each tile's sums
// while they are in the first-level cache.
#include <algorithm>

#include "engine/engine.h"

namespace unrolled {
namespace {

/// Rows [r0, r0 + count) of the step as a point function of phase p sees them.
template <class S>
void aim(ForwardTile<S>& tile, const CellInfo& cell, const Phase& phase, const ThreadRows<S>& at, Index r0,
         Index count) {
  tile.rows = count;
  tile.slots = at.slots[static_cast<int>(phase.space)].data() + r0;
  if (tile.saved) tile.saved = at.saved.data() + r0;
  tile.h_prev = at.h_prev.data() + r0;
  if (tile.regular.zone_h) tile.regular.zone_h = at.zone_rows[0].data() + r0;
  if (tile.regular.zone_c) tile.regular.zone_c = at.zone_rows[1].data() + r0;
  if (tile.regular.mask) tile.regular.mask = at.zone_rows[2].data() + r0;
  tile.y = at.y.data() + r0;
  if (tile.scalar) tile.scalar = at.scalar.data() + r0;
  for (int k = 0; k < cell.states; ++k) tile.state_prev[k] = at.state_prev[k].data() + r0;
  for (int k = 0; k < cell.streams; ++k) tile.stream[k] = at.stream[k].data() + r0;
}

}  // namespace

template <class S>
ForwardFunction<S> Run<S>::forward_point(int p) const {
  return (regularised_ ? kernel_->regularised_forward : kernel_->forward)[p];
}

/// Product and point function, tile by tile; `back`: from the last panel to the first. Every other step goes back, so
/// that weights too many for a core's own cache are found there in part: those it read last.
template <class S>
void Run<S>::fused_phase(const GatePanels<S>& panels, Index depth, int p, Index rows, const Shares& mine,
                         ThreadRows<S>& at, ForwardTile<S>& tile, bool back) {
  constexpr int P = lanes<S>;
  const CellInfo& cell = kernel_->info;
  const Phase& phase = cell.phase[p];
  const ForwardFunction<S> point = forward_point(p);
  const Blocks own = mine.blocks(phase.space);
  tile.u = at.u.data();
  if (phase.operand == Operand::None) {
    aim(tile, cell, phase, at, 0, rows);
    tile.first_block = own.first;
    tile.blocks = own.count();
    tile.u_row = tile.u_block = 0;
    point(tile);
    return;
  }
  const Index first = panels.group_of(own.first), last = panels.group_of(own.last);
  panels.each(first, last, rows == 1, back, [&](Index group, int panels_here) {
    const int width = static_cast<int>(panels.blocks_of(group)) * panels.gates;
    tile.first_block = panels.first_block(group);
    tile.blocks = panels.blocks_of(group) * panels_here;
    tile.u_row = width * P;
    tile.u_block = panels.gates * P;
    if (rows == 1) {
      S* out = at.u.data();
      run_row(panels_here, width,
              Tile<S>{Depth::contiguous(depth), at.operand.data(), panels.panel(group), &out, P, Start::Zero, nullptr,
                      panels.panel_step(), width * P});
      aim(tile, cell, phase, at, 0, 1);
      point(tile);
      return;
    }
    for_row_tiles(rows, tile_rows<S>(width), [&](Index r0, int count) {
      S* out[max_tile_rows];
      for (int r = 0; r < count; ++r) out[r] = at.u.data() + r * width * P;
      run_tile(
          count, width,
          Tile<S>{Depth::contiguous(depth), at.operand.data() + r0, panels.panel(group), out, P, Start::Zero, nullptr});
      aim(tile, cell, phase, at, r0, count);
      point(tile);
    });
  });
}

/// The same for a single row whose operand comes in shares of the threads that share its units.
template <class S>
void Run<S>::fused_row(const GatePanels<S>& panels, Index depth, const Shares& mine, ThreadRows<S>& at,
                       ForwardTile<S>& tile, bool back) {
  constexpr int P = lanes<S>;
  const CellInfo& cell = kernel_->info;
  const Phase& phase = cell.phase[0];
  const Blocks own = mine.blocks(phase.space);
  const Index first = panels.group_of(own.first), last = panels.group_of(own.last);
  for (int share = 0; share < mine.sharing; ++share) {
    const Blocks from = blocks_of_share(cell.output, share, mine.sharing);
    const Index begin = std::min(depth, from.first * P), end = std::min(depth, from.last * P);
    const S* const a = at.operand[0] + begin;
    mine.await(share);
    panels.each(first, last, true, back, [&](Index group, int panels_here) {
      const int width = static_cast<int>(panels.blocks_of(group)) * panels.gates;
      S* out = at.u.data() + (panels.first_block(group) - own.first) * panels.gates * P;
      run_row(panels_here, width,
              Tile<S>{Depth::contiguous(end - begin), &a, panels.panel(group) + begin * width * P, &out, P,
                      share == 0 ? Start::Zero : Start::Continue, nullptr, panels.panel_step(), width * P});
    });
  }
  aim(tile, cell, phase, at, 0, 1);
  tile.first_block = own.first;
  tile.blocks = own.count();
  tile.u = at.u.data();
  tile.u_row = 0;
  tile.u_block = panels.gates * P;
  forward_point(0)(tile);
}

/// The same where u is normalised over the row: the products first, for all units.
template <class S>
void Run<S>::normalised_phase(int p, const ForwardWeights<S>& weights, Index depth, Index s, Index rows,
                              const Shares& mine, ThreadRows<S>& at, ForwardTile<S>& tile) {
  const CellInfo& cell = kernel_->info;
  const Phase& phase = cell.phase[p];
  const Blocks own = mine.blocks(phase.space);
  const bool product = phase.matrix != identity;
  if (product) {
    raw_product(p, weights.recurrent[p], depth, s, rows, mine, at);
    mine.meet();  // the statistics are of all units
  }
  const Norm& norm = norm_of_phase(p);
  tile.first_block = own.first;
  tile.blocks = own.count();
  tile.u = at.u.data();
  tile.u_row = 0;
  tile.u_block = phase.gates * lanes<S>;
  for (Index n = 0; n < rows; ++n) {
    const Index i = mine.row(n);
    const S* const raw = product ? work_raw_u_at(p, s, i) : at.operand[static_cast<std::size_t>(n)];
    normalise_row(norm, raw, product && saves_apart_ ? raw_u_at(p, s, i) : nullptr, schedule_.place(s, i), own,
                  at.u.data(), tile.u_block, nullptr);
    aim(tile, cell, phase, at, n, 1);
    forward_point(p)(tile);
  }
}

/// u before normalisation, of this thread's rows and units.
template <class S>
void Run<S>::raw_product(int p, const GatePanels<S>& panels, Index depth, Index s, Index rows, const Shares& mine,
                         ThreadRows<S>& at) {
  constexpr int P = lanes<S>;
  const Phase& phase = kernel_->info.phase[p];
  const Blocks own = mine.blocks(phase.space);
  const Index first = panels.group_of(own.first), last = panels.group_of(own.last);
  panels.each(first, last, rows == 1, s % 2 != 0, [&](Index group, int panels_here) {
    const int width = static_cast<int>(panels.blocks_of(group)) * panels.gates;
    const auto to = [&](Index n) {
      return work_raw_u_at(p, s, mine.row(n)) + panels.first_block(group) * panels.gates * P;
    };
    S* out[max_tile_rows];
    if (rows == 1) {
      out[0] = to(0);
      return run_row(panels_here, width,
                     Tile<S>{Depth::contiguous(depth), at.operand.data(), panels.panel(group), out, P, Start::Zero,
                             nullptr, panels.panel_step(), width * P});
    }
    for_row_tiles(rows, tile_rows<S>(width), [&](Index r0, int count) {
      for (int r = 0; r < count; ++r) out[r] = to(r0 + r);
      run_tile(
          count, width,
          Tile<S>{Depth::contiguous(depth), at.operand.data() + r0, panels.panel(group), out, P, Start::Zero, nullptr});
    });
  });
}

#define UNROLLED_PHASES(S)                                                                                            \
  template void Run<S>::fused_phase(const GatePanels<S>&, Index, int, Index, const Shares&, ThreadRows<S>&,           \
                                    ForwardTile<S>&, bool);                                                           \
  template void Run<S>::fused_row(const GatePanels<S>&, Index, const Shares&, ThreadRows<S>&, ForwardTile<S>&, bool); \
  template void Run<S>::normalised_phase(int, const ForwardWeights<S>&, Index, Index, Index, const Shares&,           \
                                         ThreadRows<S>&, ForwardTile<S>&);
UNROLLED_PHASES(float)
UNROLLED_PHASES(double)

}  // namespace unrolled
