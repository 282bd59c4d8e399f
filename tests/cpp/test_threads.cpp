// Teams, barriers, fork, and the floating-point state of the caller.
#include <doctest/doctest.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cfloat>
#include <limits>
#include <thread>
#include <vector>

#include "threads_guard.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif
#if defined(_OPENMP)
#include <omp.h>
#endif

namespace {

using namespace unrolled;
using testing::Threads;

/// Adds up 1 + 2 + ... + size with a team, and tells how many threads took part.
long sum_with_team(int wanted, long size, int* team = nullptr) {
  std::vector<long> parts(64, 0);
  int members = 0;
  parallel(wanted, [&](int id, int count) {
    long part = 0;
    for (long i = share_begin(size, id, count); i < share_begin(size, id + 1, count); ++i) part += i + 1;
    parts[std::size_t(id)] = part;
    if (id == 0) members = count;
  });
  if (team) *team = members;
  long sum = 0;
  for (const long part : parts) sum += part;
  return sum;
}

/// Ends a child with status 0 if sums are right, by a team of at most `most`: on a crowded machine there is none.
[[maybe_unused, noreturn]] void end_after_sum(int most) {
  alarm(20);  // a hang ends the child with a signal
  int team = 0;
  _exit(sum_with_team(2, 1000, &team) == 500500 && team <= most ? 0 : 1);
}

[[maybe_unused]] bool succeeded(pid_t child) {
  int status = -1;
  return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

#if defined(_OPENMP) && !defined(__SANITIZE_THREAD__)
// The first test, so that the library has not run a team before.
TEST_CASE("calls must come close after one another for a while before a team counts as awake") {
  const auto calls = [](int count) {
    bool some = false;
    for (int k = 0; k < count; ++k) some = awake_team(2).wanted == 2 || some;
    return some;
  };
  const auto pause = [] { std::this_thread::sleep_for(std::chrono::milliseconds(2)); };
  pause();
  CHECK_FALSE(calls(16));
  CHECK(testing::happens([&] { return calls(17); }));  // this thread may lose its core between two calls
  pause();
  CHECK(awake_team(2).wanted == 1);
}

TEST_CASE("a child after fork works where only the program itself has used OpenMP") {
  Threads threads(2);
  std::atomic<int> members{0};
#pragma omp parallel num_threads(2)
  ++members;
  CHECK(members >= 1);
  const pid_t child = fork();
  if (child == 0) end_after_sum(2);
  CHECK(succeeded(child));
}
#endif

#if defined(_OPENMP)
TEST_CASE("the program's setting of OpenMP comes back") {
  Threads threads(2);
  omp_set_dynamic(1);
  CHECK(sum_with_team(2, 1000) == 500500);
  CHECK(omp_get_dynamic() != 0);
  omp_set_dynamic(0);
}
#endif

TEST_CASE("shares cover a range once and differ by at most one") {
  for (long size : {0L, 1L, 5L, 64L, 1000L})
    for (int count : {1, 2, 3, 7}) {
      CHECK(share_begin(size, 0, count) == 0);
      CHECK(share_begin(size, count, count) == size);
      for (int id = 0; id < count; ++id) {
        const long share = share_begin(size, id + 1, count) - share_begin(size, id, count);
        CHECK(share >= size / count);
        CHECK(share <= size / count + 1);
      }
    }
}

TEST_CASE("every id runs once, with the same count, and no more than wanted") {
  Threads threads(4);
  for (int wanted : {1, 2, 3, 4, 9}) {
    std::vector<std::atomic<int>> calls(16);
    std::atomic<int> counts{0};
    int team = 0;
    parallel(wanted, [&](int id, int count) {
      ++calls[std::size_t(id)];
      counts += count;
      if (id == 0) team = count;
    });
    CHECK(team >= 1);
    CHECK(team <= std::min(wanted, 4));
    CHECK(counts == team * team);
    for (int id = 0; id < 16; ++id) CHECK(calls[std::size_t(id)] == (id < team ? 1 : 0));
  }
}

TEST_CASE("the number of threads is at least one, and has a limit") {
  Threads threads(2);
  set_num_threads(0);
  CHECK(get_num_threads() == 1);
  set_num_threads(-3);
  CHECK(get_num_threads() == 1);
  set_num_threads(3);
  CHECK(get_num_threads() == 3);
  set_num_threads(std::numeric_limits<int>::max());
  CHECK(get_num_threads() == most_threads);
}

TEST_CASE("a team inside a team runs alone") {
  Threads threads(3);
  std::atomic<int> inner_calls{0}, outer_calls{0}, wrong{0};
  parallel(3, [&](int, int) {
    ++outer_calls;
    parallel(3, [&](int id, int count) {
      ++inner_calls;
      if (id != 0 || count != 1) ++wrong;
    });
  });
  CHECK(inner_calls == outer_calls);
  CHECK(wrong == 0);
}

TEST_CASE("many callers at once all get right sums") {
  Threads threads(2);
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 6; ++i)
    callers.emplace_back([&] {
      for (int round = 0; round < 200; ++round)
        if (sum_with_team(2, 1000 + round) != (1000L + round) * (1001 + round) / 2) ++wrong;
    });
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong == 0);
}

TEST_CASE("behind a barrier every thread sees what the others wrote before it") {
  Threads threads(4);  // more threads than cores: the barrier has to yield
  constexpr int rounds = 300;
  std::vector<int> written(16, -1);
  std::atomic<int> wrong{0};
  Barrier barrier;
  parallel(4, [&](int id, int count) {
    for (int round = 0; round < rounds; ++round) {
      written[std::size_t(id)] = round;
      barrier.wait(count);
      for (int other = 0; other < count; ++other)
        if (written[std::size_t(other)] != round) ++wrong;
      barrier.wait(count);
    }
  });
  CHECK(wrong == 0);
}

TEST_CASE("who waits for the milestone of another thread sees what that wrote before it passed") {
  Threads threads(4);
  constexpr int rounds = 300;
  std::vector<std::vector<int>> written(rounds, std::vector<int>(4, -1));  // a place for each round, as y has
  std::vector<Milestone> milestones(4);
  for (Milestone& milestone : milestones) milestone.reset();
  std::atomic<int> wrong{0};
  parallel(4, [&](int id, int count) {
    const Milestone& mine = milestones[std::size_t(id)];
    for (int round = 0; round < rounds; ++round) {
      for (int other = 0; round > 0 && other < count; ++other) {
        milestones[std::size_t(other)].wait(mine);
        if (written[std::size_t(round - 1)][std::size_t(other)] != round - 1) ++wrong;
      }
      written[std::size_t(round)][std::size_t(id)] = round;
      milestones[std::size_t(id)].pass();
    }
  });
  CHECK(wrong == 0);
}

#if defined(__SSE2__)
TEST_CASE("denormals count as zero in every thread, and the caller's state comes back") {
  Threads threads(3);
  constexpr unsigned flags = 0x3f;           // exceptions seen so far: they may change
  constexpr unsigned round_down = 1u << 13;  // a state of the caller's own
  const unsigned before = _mm_getcsr();
  _mm_setcsr(before | round_down);
  std::atomic<int> flushed{0};
  int team = 0;
  parallel(3, [&](int id, int count) {
    volatile float tiny = FLT_MIN;
    volatile float half = tiny * 0.5f;
    if (half == 0.0f) ++flushed;
    if (id == 0) team = count;
  });
  const unsigned after = _mm_getcsr();
  _mm_setcsr(before);
  CHECK(flushed == team);
  CHECK((after & ~flags) == ((before | round_down) & ~flags));
  volatile float tiny = FLT_MIN;
  volatile float half = tiny * 0.5f;
  CHECK(half > 0.0f);
}

TEST_CASE("one thread: denormals are flushed and the state comes back too") {
  const unsigned before = _mm_getcsr() & ~0x3fu;
  bool zero = false;
  parallel(1, [&](int, int) {
    volatile float tiny = FLT_MIN;
    volatile float half = tiny * 0.5f;
    zero = half == 0.0f;
  });
  CHECK(zero);
  CHECK((_mm_getcsr() & ~0x3fu) == before);
}
#endif

#if !defined(__SANITIZE_THREAD__)  // the thread sanitizer stops a child that starts threads
TEST_CASE("a child after fork computes with its own team") {
  Threads threads(2);
  CHECK(sum_with_team(2, 1000) == 500500);
  for (int generation = 0; generation < 3; ++generation) {
    const pid_t child = fork();
    if (child == 0) end_after_sum(2);
    CHECK(succeeded(child));
    CHECK(sum_with_team(2, 1000) == 500500);
  }
}

TEST_CASE("a child that gets no further thread works alone") {
  Threads threads(2);
  CHECK(sum_with_team(2, 1000) == 500500);
  const pid_t child = fork();
  if (child == 0) {
    pthread_attr_t more_than_there_is;
    pthread_attr_init(&more_than_there_is);
    pthread_attr_setstacksize(&more_than_there_is, std::size_t(1) << 47);
    pthread_setattr_default_np(&more_than_there_is);
    end_after_sum(1);
  }
  CHECK(succeeded(child));
}

TEST_CASE("a caller that gets no further thread works alone") {
  Threads threads(2);
  std::atomic<bool> go{false};
  int team = 0;
  long sum = 0;
  std::thread caller([&] {  // without threads of its own so far
    while (!go) std::this_thread::yield();
    sum = sum_with_team(2, 1000, &team);
  });
  pthread_attr_t usual, more_than_there_is;
  pthread_getattr_default_np(&usual);
  pthread_attr_init(&more_than_there_is);
  pthread_attr_setstacksize(&more_than_there_is, std::size_t(1) << 47);
  pthread_setattr_default_np(&more_than_there_is);
  go = true;
  caller.join();
  pthread_setattr_default_np(&usual);
  CHECK(sum == 500500);
  CHECK(team == 1);
}

TEST_CASE("a child forked while another thread holds the team does not wait for it") {
  Threads threads(2);
  std::atomic<bool> held{false}, release{false};
  std::thread holder([&] {
    parallel(2, [&](int, int) {
      held = true;
      while (!release) std::this_thread::yield();
    });
  });
  while (!held) std::this_thread::yield();
  const pid_t child = fork();
  if (child == 0) {
    end_after_sum(2);
  }
  CHECK(succeeded(child));
  release = true;
  holder.join();
}
#endif
