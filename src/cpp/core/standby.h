// Threads on standby: awake for a moment after each piece of work, they begin the next one within a tenth of a
// microsecond. A region of OpenMP takes half of one to begin and end, and hundreds where its threads sleep.
#pragma once

#include "core/threads.h"

namespace unrolled::standby {

/// Threads of a team, at most: short work is too short for more.
inline constexpr int most = 8;

/// Gives whether `count` threads are awake, and near: not late with several answers in a row just now. Starts or wakes
/// them for later where they are not.
bool ready(int count);

/// As `detail::run_team`, with `wanted - 1` of these threads. False, and nothing has run, unless all of them are awake
/// and answer in time. For one caller at a time.
bool run(int wanted, detail::Body body, void* context);

/// In a child after fork, which has none of these threads.
void forget();

}  // namespace unrolled::standby
