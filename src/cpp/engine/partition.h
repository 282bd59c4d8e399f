// How a call of a cell is shared among threads: the cost model is in partition.cpp, the amounts of work from which a
// team is worth being woken for anything are in core/threads.h.
#pragma once

#include "core/threads.h"
#include "engine/cell.h"

namespace unrolled {

/// A team of row_shares x unit_shares threads. Each thread runs its rows, neighbours or dealt out there and back again
/// (`Run::shares`), and its contiguous unit blocks. In the steps threads of one row share wait for one another after
/// every phase, threads of different row shares never; in backward all of them meet after every chunk of steps.
struct Partition {
  int row_shares = 1, unit_shares = 1;
  bool awake_only = false;  // as in Team
  bool near_only = false;   // its threads meet too often to be far apart, see distance.h
  int threads() const { return row_shares * unit_shares; }
  Team team() const { return {threads(), awake_only}; }
};

/// Shares of units are multiples of this many packets: the widest panel.
inline constexpr Index blocks_per_share = 4;

enum class Pass { Inference, Forward, Backward };

/// What a call of a cell has to do.
struct Load {
  Pass pass;
  Index rows;    // at most, of a step
  Index places;  // valid steps of all rows
  Index fresh;   // of these, those of the first step if it starts from zeros, which are not multiplied
  Index input, hidden;
  int gates, lanes;
};

/// Of at most so many threads. Short work is shared only if they are awake, and must be asked about once.
Partition choose_partition(const Load& load, int most_threads);

/// Steps of a part of a sequence of T steps of B rows, where its layers run as a pipeline (pipeline.h) with the threads
/// there are; 0: one after the other, each shared among them. `weights`: recurrent ones of the largest layer; `work`:
/// multiply-adds of all.
Index pipeline_steps(Index layers, Index T, Index B, double weights, double work);

}  // namespace unrolled
