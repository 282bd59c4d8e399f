// The register tile: the one inner loop under every matrix product of the library.
//
//   acc[r][v] = start + sum over k of a[r][k] * panel[k][v]        r < rows, v < vectors (packets)
//
// `a` is read one scalar at a time and broadcast; `panel` holds, for each k, `vectors` packets side by side (see
// panels.h). The sum runs over k in order and never through partial sums, so a row's result does not depend on the rows
// beside it.
#pragma once

#include "core/packet.h"

namespace unrolled {

enum class Start { Zero, Bias, Continue };  // from 0, from one packet of bias per vector, or from what `out` holds

/// Most packets side by side in a panel.
inline constexpr int max_vectors = 4;
/// Most rows of a tile at any width.
inline constexpr int max_tile_rows = 8;

/// Rows of a tile of `vectors` packets: accumulators, one row of the panel and a broadcast fill the register file.
template <class S>
constexpr int tile_rows(int vectors) {
#if defined(__AVX512F__)
  constexpr int by_vectors[] = {0, 8, 8, 8, 6};
#elif defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  constexpr int by_vectors[] = {0, 8, 6, 4, 3};
#else  // a product needs a register before it is added
  constexpr int by_vectors[] = {0, 8, 6, 4, 2};
#endif
  return by_vectors[vectors];
}

/// A sum over k in `segments` runs of `length` neighbouring elements; `a_jump` lies between the starts of two runs of a
/// row.
struct Depth {
  Index segments;
  Index length;
  Index a_jump;
  Index a_step;       // from k to k + 1 inside a run
  Index skipped = 0;  // terms of the matrix before the first of these
  static Depth contiguous(Index length) { return {1, length, 0, 1}; }
};

/// Lines of memory that are asked for while a tile is summed, one at every step of the sum: all at once, they would
/// wait for one another, and the sums for them.
struct Ahead {
  const void* const* begin = nullptr;
  const void* const* end = nullptr;
};

template <class S>
struct Tile {
  const Depth& depth;  // no copy: a wide load of what has just been written in parts waits for all stores before it
  const S* const* a;   // [rows] start of each row
  const S* panel;      // for each k of the sum, `vectors` packets
  S* const* out;       // [rows] the rows that packets go to, from `out_first` on
  Index out_step;      // from packet to packet of a row
  Start start;
  const S* bias;             // `vectors` packets, read if start is Bias
  Index panel_step = 0;      // of run_row: from panel to panel
  Index out_panel_step = 0;  // of run_row: the same where the packets go
  Ahead ahead{};             // of run_tile
  Index out_first = 0;       // of run_tile: scalars from out[r] to packet 0
};

/// Runs a tile of `rows` <= tile_rows(vectors) rows and `vectors` <= max_vectors packets.
template <class S>
void run_tile(int rows, int vectors, const Tile<S>& tile);

/// Panels that `run_row` takes at once, at most; a power of two.
#if defined(__AVX512F__)
inline constexpr int most_panels = 4;
#else
inline constexpr int most_panels = 2;
#endif
/// How many panels of `bytes` bytes each, `all` bytes in all, a single row should take at once, at most.
inline int most_at_once(Index bytes, Index all) {
  // Of more than this the first would be gone from a core's own cache before the last is read, and nothing would be
  // left of them for the next step.
  constexpr Index most_bytes = Index(1) << 19;
  // Weights that are a little more than the first-level cache holds: half of them stay there if they come in two parts.
  constexpr Index first_level = 48 << 10;
  const int most = all > first_level && all <= 2 * first_level ? 2 : most_panels;
  return most >= 4 && 4 * bytes <= most_bytes ? 4 : 2 * bytes <= most_bytes ? 2 : 1;
}
/// How many of `left` neighbouring panels to take at once.
inline int panels_at_once(Index left, int most) { return left >= 4 && most == 4 ? 4 : left >= 2 && most >= 2 ? 2 : 1; }

/// Runs a single row over 1, 2 or 4 panels that lie one after the other, as do their biases. The sums of one panel
/// are too few to keep the multipliers busy: each would wait for its own last step.
template <class S>
void run_row(int panels, int vectors, const Tile<S>& tile);

}  // namespace unrolled
