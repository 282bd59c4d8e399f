// Numbers dealt among threads: each is taken once, by its own thread unless that one is slow.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "core/deal.h"

namespace {

using namespace unrolled;

/// Threads take numbers, the first one waiting a while after each take; gives how many every thread has taken, with
/// what was taken twice or not at all in the last place.
std::vector<int> taken(Deal& deal, std::int64_t size, std::int64_t least, std::int64_t most, int team, int waiting_ms) {
  std::vector<std::atomic<int>> often(static_cast<std::size_t>(size));
  std::vector<int> counts(static_cast<std::size_t>(team) + 1, 0);
  std::vector<std::thread> threads;
  for (int id = 0; id < team; ++id) deal.start(size, id, team);
  for (int id = 0; id < team; ++id)
    threads.emplace_back([&, id] {
      for (Deal::Range mine; deal.take(least, most, id, team, &mine);) {
        counts[std::size_t(id)] += static_cast<int>(mine.last - mine.first);
        for (std::int64_t n = mine.first; n < mine.last; ++n) ++often[std::size_t(n)];
        if (id == 0) std::this_thread::sleep_for(std::chrono::milliseconds(waiting_ms));
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (const auto& times : often) counts.back() += times != 1;
  return counts;
}

}  // namespace

TEST_CASE("every number is taken once") {
  for (const int team : {1, 2, 3, 7})
    for (const std::int64_t size : {0, 1, 6, 7, 100, 4097}) {
      Deal deal(team);
      for (const std::int64_t least : {1, 4, 50}) CHECK(taken(deal, size, least, 64, team, 0).back() == 0);
    }
}

TEST_CASE("what a slow thread has not begun is taken from its end") {
  for (const int team : {2, 4}) {
    Deal deal(team);
    const std::vector<int> counts = taken(deal, 400, 1, 10, team, 100);
    CHECK(counts[0] < 400 / team);
    CHECK(counts.back() == 0);
  }
}

TEST_CASE("a thread takes half of what it has left") {
  Deal deal(2);
  for (int id = 0; id < 2; ++id) deal.start(40, id, 2);
  Deal::Range mine;
  REQUIRE(deal.take(1, 8, 0, 2, &mine));
  CHECK(mine.first == 0);
  CHECK(mine.last == 8);  // the most
  CHECK(mine.next == 6);
  REQUIRE(deal.take(1, 8, 0, 2, &mine));
  CHECK(mine.first == 8);
  CHECK(mine.last == 14);
  CHECK(mine.next == 3);
  REQUIRE(deal.take(4, 8, 0, 2, &mine));
  CHECK(mine.last == 20);  // half would be fewer than the least
  REQUIRE(deal.take(4, 8, 0, 2, &mine));
  CHECK(mine.first == 32);  // the end of the other one's
  CHECK(mine.last == 40);
  CHECK(mine.next == 0);
}

TEST_CASE("a thread alone takes as much as it may") {
  Deal deal(1);
  deal.start(100, 0, 1);
  Deal::Range mine;
  REQUIRE(deal.take(1, 96, 0, 1, &mine));
  CHECK(mine.last == 96);
  REQUIRE(deal.take(1, 96, 0, 1, &mine));
  CHECK(mine.last == 100);
  CHECK(!deal.take(1, 96, 0, 1, &mine));
}
