// Packed matrices and the serial products over them. A packed matrix B (depth x columns) is cut into groups of `width`
// packets of columns; each group is one panel, contiguous in memory, read from front to back by the register tile.
#pragma once

#include "core/buffer.h"
#include "gemm/lines.h"
#include "gemm/tile.h"

namespace unrolled {

/// Panel[k][column] = rows[column][k]: the matrix is stored with one row per column of the panel, as weights (outputs,
/// inputs) are. rows has vectors * lanes entries; a null row gives zeros.
template <class S>
void pack_transposed(const S* const* rows, int vectors, Index depth, S* panel);

/// Panel[k][column] = rows[k][first + column] for the `valid` columns the matrix still has, zeros behind; a null row
/// gives zeros.
template <class S>
void pack_rows(const S* const* rows, Index depth, Index first, Index valid, int vectors, S* panel);

/// Geometry of a packed matrix: `groups` panels, the last one narrower where the columns end.
template <class S>
struct PanelShape {
  Index columns;  // valid columns
  Index depth;
  int width;  // packets per panel
  Index packets() const { return (columns + lanes<S> - 1) / lanes<S>; }
  Index groups() const { return (packets() + width - 1) / width; }
  int vectors(Index group) const {
    const Index left = packets() - group * width;
    return static_cast<int>(left < width ? left : width);
  }
  Index first_column(Index group) const { return group * width * lanes<S>; }
  /// Scalars of all panels, and where a panel starts.
  Index size() const { return packets() * lanes<S> * depth; }
  Index offset(Index group) const { return group * width * lanes<S> * depth; }
};

/// Calls tile(first_row, rows) for blocks of at most `most` rows that are as equal as can be (10 rows by 6: 5 and 5).
template <class F>
void for_row_tiles(Index rows, int most, F&& tile) {
  const Index blocks = (rows + most - 1) / most;
  for (Index b = 0; b < blocks; ++b) {
    const Index first = rows * b / blocks, last = rows * (b + 1) / blocks;
    tile(first, static_cast<int>(last - first));
  }
}

/// Rows for which packed panels are worth being read once more.
inline constexpr Index rows_worth_panels = 48;

/// For one group: c[r][column of the group] = start + a[r] . panel, for all rows, writing valid columns only.
/// c[r] points to column 0 of the whole matrix; rows are dense (column after column). Runs on the calling thread;
/// `ahead` is asked for meanwhile.
template <class S>
void multiply_group(const PanelShape<S>& shape, const S* panel, Index group, const Depth& depth, Index rows,
                    const S* const* a, S* const* c, Start start, const S* bias, LinesAhead<S>* ahead = nullptr);

/// The same for the groups [first, last) of a packed matrix, front to back or back to front; a single row takes several
/// at once. `bias`: of all columns.
template <class S>
void multiply_groups(const PanelShape<S>& shape, const S* packed, Index first, Index last, const Depth& depth,
                     Index rows, const S* const* a, S* const* c, Start start, bool back, const S* bias = nullptr);

/// c[first .. last) = start + a . B for a single row a and a matrix that is not packed: `rows` points to the rows of B,
/// as many as the sum is deep; columns first and last are whole packets. The same bits as from panels.
template <class S>
void multiply_unpacked(const S* const* rows, Index first, Index last, const Depth& depth, const S* a, S* c,
                       Start start);

}  // namespace unrolled
