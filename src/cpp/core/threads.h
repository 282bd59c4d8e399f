// Teams of threads. The interface is all that the rest of the library sees; OpenMP is named in threads.cpp only.
#pragma once

#include <unrolled/threads.h>

#include <atomic>
#include <cstdint>
#include <memory>

namespace unrolled {

/// Multiply-adds of a product from which a team is woken for it: about twenty microseconds of one thread.
inline constexpr double least_team_work = 2e6;

/// No team has more threads, whatever is asked for.
inline constexpr int most_threads = 1024;

/// What a piece of work asks for.
struct Team {
  Team(int threads, bool only_awake = false) : wanted(threads), awake_only(only_awake) {}  // NOLINT: an int is one
  int wanted;
  bool awake_only;  // shorter than what it takes to wake a thread, see `awake_team`
};

namespace detail {
using Body = void (*)(void* context, int id, int count);
void run_team(Team team, Body body, void* context);
std::int64_t now_ns();
inline std::int64_t now_us() { return now_ns() / 1000; }
/// Tells the processor that this thread waits for another.
void pause();
}  // namespace detail

/// Runs body(id, count) once for every id in [0, count), at the same time, and returns when all have ended.
/// count is min(team.wanted, get_num_threads()), less where the system grants fewer threads, and 1 where threads
/// that should be awake are not, when another call of this process holds the team or the caller is inside one: results
/// never depend on it. body must not throw.
template <class F>
void parallel(Team team, F&& body) {
  detail::run_team(
      team, [](void* context, int id, int count) { (*static_cast<std::remove_reference_t<F>*>(context))(id, count); },
      &body);
}

/// Share `id` of `count` of the range [0, size): contiguous, sizes differ by at most one.
template <class I>
I share_begin(I size, int id, int count) {
  return size * id / count;
}

/// One wait for other threads of a team: `for (Patience patience; !passed(); patience.pause()) {}`. Spins for a moment,
/// then lets whoever has the core run.
class Patience {
 public:
  Patience() = default;
  ~Patience();
  Patience(const Patience&) = delete;
  Patience& operator=(const Patience&) = delete;
  void pause();

 private:
  int spins_ = 0;
  std::int64_t since_ = 0;
};

/// Meeting point of the `count` threads of a team.
class Barrier {
 public:
  void wait(int count);

 private:
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<unsigned> round_{0};
};

/// How far one thread of a team has come. At every time step the others wait for it, and a cache line of its own
/// travels to them once, where the counter of a Barrier goes back and forth.
class Milestone {
 public:
  /// Before the team starts.
  void reset() { passed_.store(0, std::memory_order_relaxed); }
  /// By its own thread: what it has written so far is there for whoever waits.
  void pass() { passed_.store(passed_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }
  /// Until its thread has passed as often as that of `mine`.
  void wait(const Milestone& mine) const {
    const unsigned often = mine.passed_.load(std::memory_order_relaxed);
    for (Patience patience; static_cast<int>(passed_.load(std::memory_order_acquire) - often) < 0; patience.pause()) {
    }
  }

 private:
  alignas(128) std::atomic<unsigned> passed_{0};  // two lines: processors fetch them in pairs
};

/// True for a while after threads have repeatedly waited long for their team, because other work had the cores: one
/// thread is faster then, and calls run on one.
bool crowded();

/// The team of so many threads, or of one, for a piece of short work: what a team would do sooner only if its threads
/// are awake, since to wake them takes longer than the work. They are, see standby.h, once such work has come close
/// after one another for some time. To be asked for once for each piece of it.
Team awake_team(int threads);

/// Multiply-adds of a product, or of several calls, from which threads on standby share them.
inline constexpr double least_awake_work = 1.5e5;
/// The team of so many threads, or of fewer, for so many multiply-adds.
Team team_for(double work, int threads);

/// While it lives, denormal numbers count as zero on this thread; the caller's floating-point state is restored
/// afterwards.
class FlushDenormals {
 public:
  FlushDenormals();
  ~FlushDenormals();
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  unsigned saved_;
};

}  // namespace unrolled
