#include "engine/partition.h"

#include <algorithm>

#include "core/distance.h"
#include "core/threads.h"

namespace unrolled {
namespace {

// Multiply-adds of one step below which waiting for another thread (0.1 to 0.2 microseconds) eats what halving the step
// saves.
constexpr double least_step_work = 3e4;
// Multiply-adds of a call from which threads on standby share it, and of a single step of inference, in which they meet
// once or twice. In training as many there as back, so that backward finds in a thread's caches what that has written.
constexpr double least_awake_call = 3e5, least_awake_step = 9e4;
// Multiply-adds of one step below which threads that share its units and are far apart (0.7 microseconds a meeting) are
// slower than one.
constexpr double least_far_step = 6e4;
// Rows per thread from which a tile's arithmetic outweighs streaming the weights: below it, threads share the units
// instead.
constexpr Index least_rows = 4;

// Recurrent weights from which reading them is what a step waits for. Backward has other work between two meetings.
constexpr double least_heavy_forward = 1e6, least_heavy_backward = 1.5e6;
// Weights of a stack that stay in a core's own cache from part to part of a pipeline.
constexpr double most_that_stay = 2e5;

/// How so many threads share a call.
Partition split(const Load& load, double weights, double step, int threads) {
  const int by_rows = static_cast<int>(std::min<Index>(threads, load.rows / least_rows));
  const Index share = load.lanes * blocks_per_share, panels = (load.hidden + share - 1) / share;
  // Where the weights are too many for a core's own cache, threads that split the units read half of them each, and
  // those that split the rows all of them.
  const bool heavy = weights >= (load.pass == Pass::Backward ? least_heavy_backward : least_heavy_forward);
  if (heavy && panels >= 4 * threads) return {1, threads};
  if (by_rows >= threads) return {threads, 1};
  const int row_shares = std::max(1, by_rows);
  if (double(load.rows) * step < least_step_work) return {row_shares, 1};
  // Too few rows for all: the threads of each row share split the units.
  const int unit_shares = static_cast<int>(std::min<Index>(threads / row_shares, panels));
  const bool near_only = unit_shares > 1 && double(load.rows) * step < least_far_step;
  if (near_only && far_apart()) return {row_shares, 1};
  return {row_shares, std::max(1, unit_shares), false, near_only};
}

}  // namespace

Partition choose_partition(const Load& load, int most_threads) {
  const double of_unit = double(load.gates) * double(load.hidden);
  const double weights = of_unit * double(load.hidden), step = weights + of_unit * double(load.input);
  const bool single = load.pass == Pass::Inference && load.places <= load.rows;
  const double work = double(load.places) * step - (single ? double(load.fresh) * weights : 0);
  if (most_threads <= 1 || work < (single ? least_awake_step : least_awake_call) || crowded()) return {};
  Partition made = split(load, weights, step, most_threads);
  if (work >= least_team_work || made.threads() == 1) return made;
  const Team team = awake_team(made.threads());
  if (team.wanted < made.threads()) made = split(load, weights, step, team.wanted);
  made.awake_only = team.awake_only;
  return made;
}

Index pipeline_steps(Index layers, Index T, Index B, double weights, double work) {
  // With more rows each layer is shared by its rows, and heavy weights by units: neither needs to fill a pipeline.
  if (layers < 2 || get_num_threads() < 2 || B >= 2 * least_rows || weights >= least_heavy_forward) return 0;
  if (work < least_team_work || crowded()) return 0;
  constexpr Index parts = 10, whole_tiles = 6, most_steps = 48;
  const Index steps = (T / parts + whole_tiles - 1) / whole_tiles * whole_tiles;
  const Index part = std::clamp(steps, whole_tiles, most_steps);
  // A thread goes from layer to layer. Where their weights do not stay in its cache all together, it reads them again
  // for every part, which must be long to be worth it. (Those of the input are about as many as the recurrent ones.)
  const bool stay = 2 * double(layers) * weights <= most_that_stay;
  return T >= (stay ? 2 : parts) * part && (stay || part == most_steps) ? part : 0;
}

}  // namespace unrolled
