// Threads that take rows over from others: every row is run at every step once, in order, whoever is slow.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "engine/handover.h"

namespace {

using namespace unrolled;

/// Threads with four rows each run them for some steps, `slow` of them a hundred times as long; gives how often rows
/// have been handed over, or -1 if one has missed a step.
int hand_overs(int threads, int slow, Index steps, Handover& handover) {
  std::vector<std::atomic<Index>> next(std::size_t(4 * threads));
  std::atomic<int> wrong{0}, given{0};
  const auto run = [&](int id, Handover::Rows rows) {
    for (Index step = rows.step; step < steps; ++step) {
      if (handover.asked() && rows.last - rows.first > 1 && handover.give({rows.last - 1, rows.last, 0, step, 0})) {
        --rows.last;
        ++given;
      }
      if (id < slow) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      for (Index row = rows.first; row < rows.last; ++row)
        if (next[std::size_t(row)].exchange(step + 1) != step) ++wrong;
    }
  };
  std::vector<std::thread> team;
  for (int id = 0; id < threads; ++id)
    team.emplace_back([&, id] {
      run(id, {4 * id, 4 * id + 4, 0, 0, 0});
      for (Handover::Rows rows; handover.take(&rows);) run(id, rows);
    });
  for (std::thread& thread : team) thread.join();
  for (const auto& step : next)
    if (step != steps) ++wrong;
  return wrong > 0 ? -1 : given.load();
}

}  // namespace

TEST_CASE("rows of slow threads are taken over by those that are done") {
  for (const int threads : {2, 3, 5}) {
    Handover handover(threads);
    CHECK(hand_overs(threads, threads - 1, 150, handover) > 0);
    handover.restart(threads);  // perhaps one still asked when all were done
    CHECK(hand_overs(threads, 1, 150, handover) > 0);
  }
}

TEST_CASE("threads that are done at the same time end") {
  for (int round = 0; round < 200; ++round) {
    Handover handover(3);
    CHECK(hand_overs(3, 0, 2, handover) >= 0);
  }
}
