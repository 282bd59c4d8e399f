// How far apart threads are: all of them get one answer, and what depends on it gives the same bits.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <limits>
#include <thread>

#include "core/distance.h"
#include "threads_guard.h"

namespace {

using namespace unrolled;
using testing::happens;
using testing::Threads;

/// How many of a team's threads are told that they are near, and how many there are.
struct Told {
  int near, count;
};
Told ask(Distance& distance, int threads) {
  std::atomic<int> near{0};
  int count = 0;
  parallel(threads, [&](int id, int of) {
    if (distance.near(id, of)) ++near;
    if (id == 0) count = of;
  });
  return {near, count};
}

void wait_for_next_look() { std::this_thread::sleep_for(std::chrono::milliseconds(2)); }

TEST_CASE("all threads of a team get the same answer") {
  Threads threads(4);
  for (const int wanted : {2, 3, 4}) {
    CAPTURE(wanted);
    CHECK(happens([&] {
      wait_for_next_look();
      Distance distance(true, std::numeric_limits<std::int64_t>::max());
      const Told told = ask(distance, wanted);
      CHECK(told.near == told.count);
      return told.count == wanted;
    }));
    CHECK_FALSE(far_apart());
  }
  for (const int wanted : {2, 4}) {
    CAPTURE(wanted);
    CHECK(happens([&] {
      wait_for_next_look();
      Distance distance(true, 0);  // nothing is so near
      const Told told = ask(distance, wanted);
      CHECK(told.near == (told.count == 1 ? 1 : 0));
      return told.count == wanted && far_apart();
    }));
  }
  CHECK(happens([] { return !far_apart(); }));
}

TEST_CASE("nobody looks who is not asked, is alone, or has just looked") {
  Threads threads(2);
  Distance unasked(false, 0);
  CHECK(ask(unasked, 2).near == ask(unasked, 2).count);
  wait_for_next_look();
  Distance alone(true, 0);
  CHECK(ask(alone, 1).near == 1);
  Distance again(true, 0);
  const Told told = ask(again, 2);
  CHECK(told.near == told.count);
}

}  // namespace
