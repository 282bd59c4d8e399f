#include "core/threads.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <thread>
#include <vector>

#include "core/signals.h"
#include "core/standby.h"

#if defined(_OPENMP)
#include <omp.h>
#endif
#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace unrolled {
namespace {

int affinity_count() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

/// CPU quota of the cgroup in whole processors, or a large number where there is none.
int cgroup_count() {
  double quota = -1, period = -1;
  if (std::FILE* file = std::fopen("/sys/fs/cgroup/cpu.max", "r")) {
    if (std::fscanf(file, "%lf %lf", &quota, &period) != 2) quota = -1;
    std::fclose(file);
  } else {
    const auto read = [](const char* path) {
      double value = -1;
      if (std::FILE* f = std::fopen(path, "r")) {
        if (std::fscanf(f, "%lf", &value) != 1) value = -1;
        std::fclose(f);
      }
      return value;
    };
    quota = read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
    period = read("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  }
  return quota > 0 && period > 0 ? std::max(1, static_cast<int>(std::ceil(quota / period))) : 1 << 20;
}

int environment_count() {
  const char* text = std::getenv("OMP_NUM_THREADS");
  const int count = text ? std::atoi(text) : 0;
  return count > 0 ? count : 1 << 20;
}

std::atomic<int>& thread_limit() {
  static std::atomic<int> limit{std::min({affinity_count(), cgroup_count(), environment_count(), most_threads})};
  return limit;
}

// One team per process: a call that finds it taken runs alone rather than oversubscribing the cores.
std::atomic<bool> team_taken{false};
// OpenMP's pool does not survive fork: a child makes plain threads instead.
std::atomic<bool> in_forked_child{false};

std::atomic<std::int64_t> crowded_until{0};

using detail::now_us;

// One late thread may be chance, as another library's threads still spinning; four teams in a row that were late are
// not.
constexpr int late_teams_make_a_crowd = 4;
std::atomic<int> late_teams{0};

/// Takes down whether a team's threads came together in time.
void note_team(bool late) {
  if (!late) return late_teams.store(0, std::memory_order_relaxed);
  if (late_teams.fetch_add(1, std::memory_order_relaxed) + 1 < late_teams_make_a_crowd) return;
  late_teams.store(late_teams_make_a_crowd - 1, std::memory_order_relaxed);  // once more, and it is one still
  constexpr std::int64_t a_while = 200'000;
  crowded_until.store(now_us() + a_while, std::memory_order_relaxed);
}

void after_fork_in_child() {
  team_taken.store(false);
  in_forked_child.store(true);
  standby::forget();
}

// At load, not at the first team: the program may have used OpenMP's pool itself before it forks.
[[maybe_unused]] const int fork_handler = pthread_atfork(nullptr, nullptr, after_fork_in_child);

void run_with_plain_threads(int wanted, detail::Body body, void* context) {
  std::atomic<int> count{0};  // 0 until all have been started
  std::vector<std::thread> others;
  try {
    const SignalsHeld held;
    others.reserve(static_cast<std::size_t>(wanted - 1));
    for (int id = 1; id < wanted; ++id)
      others.emplace_back([&count, body, context, id] {
        while (count.load(std::memory_order_acquire) == 0) std::this_thread::yield();
        FlushDenormals flush;
        body(context, id, count.load(std::memory_order_relaxed));
      });
  } catch (const std::exception&) {
    // Threads or memory are short: the team is those there are.
  }
  const int granted = 1 + static_cast<int>(others.size());
  count.store(granted, std::memory_order_release);
  body(context, 0, granted);
  for (std::thread& thread : others) thread.join();
}

void run_with_openmp(int count, detail::Body body, void* context) {
#if defined(_OPENMP)
  const int dynamic = omp_get_dynamic();  // the caller's
  omp_set_dynamic(0);
#pragma omp parallel num_threads(count)
  {
    FlushDenormals flush;
    // The runtime may grant fewer threads than asked for: every thread learns the true number.
    body(context, omp_get_thread_num(), omp_get_num_threads());
  }
  omp_set_dynamic(dynamic);
#else
  run_with_plain_threads(count, body, context);
#endif
}

/// Whether this thread has a pool of OpenMP for teams of so many. Every thread that starts teams has a pool of its own,
/// made here at its first one: OpenMP's runtime ends the whole process where the system refuses a thread, so that the
/// system is asked with plain ones before.
bool has_pool(int count) {
  thread_local int most = 1;
  if (count <= most) return true;
  const auto join = [](void* running, int, int) { static_cast<std::atomic<int>*>(running)->fetch_add(1); };
  std::atomic<int> running{0};
  run_with_plain_threads(count, join, &running);
  if (running < count) return false;
  const SignalsHeld held;
  run_with_openmp(count, join, &running);
  most = count;
  return true;
}

/// Processor time of all threads of this process.
std::int64_t processor_us() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return std::int64_t(time.tv_sec) * 1'000'000 + time.tv_nsec / 1000;
}

/// A watch on one team: whether its threads came together in time.
class TeamWatch {
 public:
  TeamWatch() { long_waits.store(0, std::memory_order_relaxed); }
  /// `late`: what else is known of its `count` threads.
  void judge(int count, bool late) const {
    late = late || long_waits.load(std::memory_order_relaxed) > 0;
    // A thread may also be late because the system had to find memory for it. Waiting threads spin, so a team that had
    // its cores used them: the clock is costly and asked only when there is suspicion.
    if (late && suspicious_) late = 5 * (processor_us() - processor_) < 4 * count * (now_us() - begin);
    note_team(late);
  }
  const std::int64_t begin = now_us();
  static std::atomic<int> long_waits;  // of the team that runs, one for another

 private:
  const bool suspicious_ = late_teams.load(std::memory_order_relaxed) > 0;
  const std::int64_t processor_ = suspicious_ ? processor_us() : 0;
};
std::atomic<int> TeamWatch::long_waits{0};

/// By threads that OpenMP wakes where they sleep. It gives how many they were, and when the first of them was done.
class WokenTeam {
 public:
  WokenTeam(detail::Body body, void* context) : body_(body), context_(context) {}
  void run(int count) {
    const bool plain = in_forked_child.load(std::memory_order_relaxed) || !has_pool(count);
    (plain ? run_with_plain_threads : run_with_openmp)(count, share, this);
  }
  /// The first thread waited for the others longer than it worked.
  bool late(std::int64_t begin) const {
    constexpr std::int64_t noise = 500;
    return now_us() - end_ > end_ - begin + noise;
  }
  int count() const { return count_; }

 private:
  static void share(void* team, int id, int count) {
    auto* const self = static_cast<WokenTeam*>(team);
    self->body_(self->context_, id, count);
    if (id != 0) return;
    self->end_ = now_us();
    self->count_ = count;
  }
  detail::Body body_;
  void* context_;
  std::int64_t end_ = 0;
  int count_ = 1;
};

}  // namespace

int get_num_threads() { return thread_limit().load(std::memory_order_relaxed); }
void set_num_threads(int count) { thread_limit().store(std::clamp(count, 1, most_threads), std::memory_order_relaxed); }

void detail::run_team(Team team, Body body, void* context) {
  FlushDenormals flush;
  const int count = crowded() ? 1 : std::min(team.wanted, get_num_threads());
  if (count <= 1 || team_taken.exchange(true, std::memory_order_acquire)) {
    body(context, 0, 1);
    return;
  }
  const TeamWatch watch;
  if (standby::run(count, body, context)) {
    watch.judge(count, false);
  } else if (team.awake_only) {
    body(context, 0, 1);
  } else {
    WokenTeam woken(body, context);
    woken.run(count);
    watch.judge(woken.count(), woken.late(watch.begin));
  }
  team_taken.store(false, std::memory_order_release);
}

void Barrier::wait(int count) {
  if (count == 1) return;
  const unsigned round = round_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) == count - 1) {
    arrived_.store(0, std::memory_order_relaxed);
    round_.store(round + 1, std::memory_order_release);
    return;
  }
  for (Patience patience; round_.load(std::memory_order_acquire) == round; patience.pause()) {
  }
}

std::int64_t detail::now_ns() {
  using namespace std::chrono;
  return duration_cast<nanoseconds>(steady_clock::now().time_since_epoch()).count();
}

void detail::pause() {
#if defined(__SSE2__)
  _mm_pause();
#endif
}

void Patience::pause() {
  constexpr int some_tens_of_microseconds = 2000;
  if (++spins_ < some_tens_of_microseconds) return detail::pause();
  // The other thread has lost its core.
  if (since_ == 0) since_ = now_us();
  std::this_thread::yield();
}

Patience::~Patience() {
  constexpr std::int64_t time_slice = 3000;  // shorter waits may be work that was not shared evenly
  if (since_ > 0 && now_us() - since_ > time_slice) TeamWatch::long_waits.fetch_add(1, std::memory_order_relaxed);
}

bool crowded() {
  const std::int64_t until = crowded_until.load(std::memory_order_relaxed);
  return until != 0 && now_us() < until;  // the clock takes longer than the rest
}

Team awake_team(int threads) {
  if (threads < 2 || crowded()) return 1;
  constexpr std::int64_t close_us = 300;  // much less than threads on standby stay awake
  constexpr int a_while = 16;
  static std::atomic<std::int64_t> last{0};
  static std::atomic<int> in_a_row{0};
  const std::int64_t now = now_us();
  const bool close = now - last.exchange(now, std::memory_order_relaxed) < close_us;
  const int row = close ? std::min(in_a_row.load(std::memory_order_relaxed) + 1, a_while) : 0;
  in_a_row.store(row, std::memory_order_relaxed);
  threads = std::min(threads, standby::most);
  return row == a_while && standby::ready(threads - 1) ? Team{threads, true} : 1;
}

Team team_for(double work, int threads) {
  return work >= least_team_work ? threads : work >= least_awake_work ? awake_team(threads) : 1;
}

#if defined(__SSE2__)
FlushDenormals::FlushDenormals() : saved_(_mm_getcsr()) {
  constexpr unsigned flush_to_zero = 1u << 15, denormals_are_zero = 1u << 6;
  _mm_setcsr(saved_ | flush_to_zero | denormals_are_zero);
}
FlushDenormals::~FlushDenormals() { _mm_setcsr(saved_); }
#else
FlushDenormals::FlushDenormals() : saved_(0) {}
FlushDenormals::~FlushDenormals() = default;
#endif

}  // namespace unrolled
