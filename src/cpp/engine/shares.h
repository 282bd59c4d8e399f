// What one thread of a team does.
#pragma once

#include <algorithm>

#include "core/threads.h"
#include "engine/cell.h"
#include "engine/handover.h"

namespace unrolled {

/// Unit blocks [first, last).
struct Blocks {
  Index first, last;
  Index count() const { return last - first; }
};

/// What one thread of a team does: those rows of [first_row, last_row) that it gets where `turns` threads are dealt
/// them there and back again, and `turn` is its place among these; some unit blocks of each space.
struct Shares {
  Index first_row = 0, last_row = 0, turn = 0, turns = 1;
  Blocks of_space[spaces] = {};
  Milestone* team = nullptr;   // of the threads that share the units of these rows; null: this one has none
  int share = 0, sharing = 1;  // which of them this one is, and how many they are
  /// What this thread has written is there for the others.
  void arrive() const {
    if (sharing > 1) team[share].pass();
  }
  /// Until another, or all, have arrived as often as this one.
  void await(int other) const { team[other].wait(team[share]); }
  void await_all() const {
    for (int other = 0; other < sharing; ++other) await(other);
  }
  void meet() const {
    arrive();
    await_all();
  }
  /// Its n-th row, and how many of the first `running` rows it has.
  Index row(Index n) const { return first_row + n * turns + (n % 2 == 0 ? turn : turns - 1 - turn); }
  Index rows(Index running) const {
    const Index end = std::min(running, last_row);
    if (end <= first_row) return 0;
    const Index rounds = (end - first_row) / turns;
    return rounds + (row(rounds) < end ? 1 : 0);
  }
  const Blocks& blocks(Space space) const { return of_space[static_cast<int>(space)]; }
  /// The same of rows that another thread had.
  Shares of(const Handover::Rows& rows) const {
    Shares taken = *this;
    taken.first_row = rows.first;
    taken.last_row = rows.last;
    taken.turn = rows.turn;
    return taken;
  }
};

/// Steps [first, last).
struct Steps {
  Index first, last;
};

}  // namespace unrolled
