// Who computes what of a wavefront: threads share its rows, or its units, and meet behind it.
#pragma once

#include <algorithm>

#include "core/threads.h"
#include "ops/wavefront_plan.h"

namespace unrolled::ops {

inline constexpr Index rows_at_once = 32;  // their products stay in the first-level cache

/// What one thread does of every wavefront: a share of its rows and all units, or all rows and a share of the units.
struct Share {
  int id, count;
  bool by_rows;
  Index begin_of(Index size, bool mine) const { return mine ? share_begin(size, id, count) : 0; }
  Index end_of(Index size, bool mine) const { return mine ? share_begin(size, id + 1, count) : size; }

  /// f(first, last) for the units of work that are this thread's.
  template <class F>
  void units(Index size, F&& f) const {
    f(begin_of(size, !by_rows), end_of(size, !by_rows));
  }
  /// f(layer, first, last) for the live places of a wavefront, those of one layer at a time, few at once.
  template <class F>
  void live(const Plan& plan, const Plan::Level& level, F&& f) const {
    if (level.first_run == level.last_run) return;
    const Index base = plan.runs[std::size_t(level.first_run)].first, size = plan.rows_of(level);
    const Index begin = base + begin_of(size, by_rows), end = base + end_of(size, by_rows);
    for (Index r = level.first_run; r < level.last_run; ++r) {
      const Plan::Run& run = plan.runs[std::size_t(r)];
      const Index last = std::min(run.last, end);
      for (Index at = std::max(run.first, begin); at < last; at += rows_at_once)
        f(run.layer, at, std::min(last, at + rows_at_once));
    }
  }
  template <class F>
  void dead(const Plan& plan, const Plan::Level& level, F&& f) const {
    const Index size = level.last_dead - level.first_dead;
    for (Index i = share_begin(size, id, count); i < share_begin(size, id + 1, count); ++i)
      f(plan.dead[std::size_t(level.first_dead + i)]);
  }
};

struct WavefrontTeam {
  int threads;
  bool by_rows;
};

/// As for recurrent layers: rows are shared where there are enough for every thread, else the units.
inline WavefrontTeam choose_team(const Geometry& g, const Plan& plan) {
  constexpr double least_level_work = 4e4;  // below it, the meeting of the threads costs more than it saves
  constexpr Index least_rows = 4;
  const Index levels = std::max<Index>(1, static_cast<Index>(plan.levels.size()));
  const Index rows = static_cast<Index>(plan.live.size()) / levels;
  const double work = double(plan.live.size()) * double(g.gate_row()) * double(g.operand_row());
  const int threads = get_num_threads();
  if (threads == 1 || crowded() || work < least_team_work || work / double(levels) < least_level_work) return {1, true};
  return {threads, rows >= least_rows * threads};
}

/// f(share, barrier) on every thread of a team.
template <class F>
void run_team(const WavefrontTeam& team, F&& f) {
  Barrier barrier;
  parallel(team.threads, [&](int id, int count) { f(Share{id, count, team.by_rows}, [&] { barrier.wait(count); }); });
}

}  // namespace unrolled::ops
