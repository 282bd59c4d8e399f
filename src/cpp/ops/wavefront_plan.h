// Where the positions of a grid find their predecessors, and in which order they can be computed: all positions of one
// wavefront at a time.
#pragma once

#include <cstdint>
#include <vector>

#include "ops/op.h"

namespace unrolled::ops {

inline constexpr int most_operands = 3, grid_axes = 3;

/// The sizes of one call of the op "wavefront"; see wavefront.cpp for what they mean.
struct Geometry {
  Index size[grid_axes];  // of the grid
  Index rows;             // B
  int operands;           // K
  int streams;            // S, 1 or K
  int memories;           // M of each stream
  Index hidden;           // H
  Index layers;           // L, 1 or size[2]: weights by the place along the last axis
  Index step[most_operands][grid_axes];
  Index front[grid_axes];

  int gates() const { return memories + 3; }
  Index positions() const { return size[0] * size[1] * size[2]; }
  Index places() const { return positions() * rows; }
  /// Scalars of a place: operands, memories, outputs, gates.
  Index operand_row() const { return operands * hidden; }
  Index memory_row() const { return streams * memories * hidden; }
  Index output_row() const { return streams * hidden; }
  Index gate_row() const { return streams * gates() * hidden; }
  /// The stream whose output operand k is. Memory k is c of that stream, from the same position.
  int stream_of(int k) const { return streams == 1 ? 0 : k; }
  /// The memory that gate f_m of stream s keeps.
  int memory_of(int s, int m) const { return streams == 1 ? m : s; }
  /// The axis along which operand k looks back by one, or -1.
  int axis_of(int k) const;
};

/// Checks the inputs of the op (throws std::invalid_argument).
Geometry make_geometry(const Arrays& inputs, const Attributes& attributes);

/// A place is one row at one position. What is dead passes its operands on.
struct Plan {
  struct Run {
    Index first, last;  // in `live`
    Index layer;
  };
  struct Level {
    Index first_run, last_run;
    Index first_dead, last_dead;
  };
  std::vector<Index> live, dead;  // places, level by level
  std::vector<Run> runs;
  std::vector<Level> levels;
  std::vector<Index> before;  // [place][operand] the place whose output it is; see below where there is none

  /// [place][operand] the place whose operand this place's output is, or -1.
  std::vector<Index> next(int operands) const;
  Index rows_of(const Level& level) const {
    return level.first_run == level.last_run
               ? 0
               : runs[std::size_t(level.last_run - 1)].last - runs[std::size_t(level.first_run)].first;
  }
};

/// The values of the input `live`.
enum Liveness : std::int64_t { Dead = 0, Live = 1, Reset = 2 };  // Reset: live, and operand 0 is zero

Plan make_plan(const Geometry& geometry, const std::int64_t* live);

/// Values of `before` where no place is: the operand is zero, or a row of the start array (which may be absent).
inline constexpr Index no_place = -1;
constexpr Index start_place(Index row) { return -2 - row; }
constexpr Index start_row(Index place) { return -2 - place; }

/// f(operand, place, row of the operand's start array) for every place whose operand is a start value.
template <class F>
void for_starts(const Geometry& g, const std::int64_t* live, F&& f) {
  for (int k = 0; k < g.operands; ++k) {
    const int axis = g.axis_of(k);
    if (axis < 0) continue;
    Index size[grid_axes] = {g.size[0], g.size[1], g.size[2]};
    if (size[axis] == 0) continue;
    size[axis] = 1;
    Index start = 0;
    for (Index i = 0; i < size[0]; ++i)
      for (Index j = 0; j < size[1]; ++j)
        for (Index l = 0; l < size[2]; ++l)
          for (Index b = 0; b < g.rows; ++b, ++start) {
            const Index place = ((i * g.size[1] + j) * g.size[2] + l) * g.rows + b;
            if (k != 0 || live[place] != Reset) f(k, place, start);
          }
  }
}

}  // namespace unrolled::ops
