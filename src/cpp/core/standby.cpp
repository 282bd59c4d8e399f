#include "core/standby.h"

#include <semaphore.h>

#include <algorithm>
#include <cstdint>
#include <new>
#include <thread>

#include "core/distance.h"
#include "core/signals.h"

namespace unrolled::standby {
namespace {

/// A thread on standby. It may have lost its core, and is asked before it is relied on.
class Helper {
 public:
  /// False where the system refuses a thread.
  bool start() {
    sem_init(&sleep_, 0, 0);
    const SignalsHeld held;
    try {
      std::thread([this] { serve(); }).detach();
    } catch (const std::exception&) {
      return false;
    }
    return true;
  }

  /// Gives whether it is awake; wakes it if not.
  bool awake() {
    if (state_.load(std::memory_order_relaxed) == Asleep && change(Asleep, Waking)) sem_post(&sleep_);
    return state_.load(std::memory_order_relaxed) > Waking;
  }

  /// It waits for a question.
  bool idle() const { return state_.load(std::memory_order_relaxed) == Awake; }

  // What one caller does, in this order: `begin` if all that it asks answer, else `dismiss`.
  bool ask() { return change(Awake, Asked); }
  bool answers(std::int64_t asked_ns) const {
    for (int spins = 0; state_.load(std::memory_order_relaxed) == Asked; ++spins) {
      detail::pause();
      if (spins > 1 && detail::now_ns() - asked_ns > most_ns_when_near) break;
    }
    return state_.load(std::memory_order_relaxed) == Ready;
  }
  void dismiss() {
    if (!change(Asked, Awake)) change(Ready, Awake);
  }
  void begin(detail::Body body, void* context, int id, int count) {
    body_ = body;
    context_ = context;
    id_ = id;
    count_ = count;
    state_.store(Working, std::memory_order_release);
  }
  void wait_for_end() const {
    for (Patience patience; state_.load(std::memory_order_acquire) == Working; patience.pause()) {
    }
  }

 private:
  enum State : int { Asleep, Waking, Awake, Asked, Ready, Working };

  /// Gives whether it was in that state.
  bool change(State from, State to) { return state_.compare_exchange_strong(from, to, std::memory_order_relaxed); }

  [[noreturn]] void serve() {
    const FlushDenormals flush;
    state_.store(Awake, std::memory_order_relaxed);
    for (;;) {
      wait_for_question();
      if (!change(Asked, Ready)) continue;  // dismissed meanwhile
      for (int spins = 0; state_.load(std::memory_order_relaxed) == Ready; ++spins)
        spins < 1000 ? detail::pause() : std::this_thread::yield();  // who asked may have lost its core
      if (state_.load(std::memory_order_acquire) != Working) continue;
      body_(context_, id_, count_);
      state_.store(Awake, std::memory_order_release);
    }
  }

  /// Until it is asked; sleeps after a while, until it is woken.
  void wait_for_question() {
    constexpr std::int64_t a_while_us = 1000;
    constexpr unsigned look_at_the_clock_every = 256;
    std::int64_t since = detail::now_us();
    for (unsigned spins = 1; state_.load(std::memory_order_relaxed) != Asked; ++spins) {
      detail::pause();
      if (spins % look_at_the_clock_every != 0 || detail::now_us() - since < a_while_us) continue;
      if (!change(Awake, Asleep)) continue;
      while (sem_wait(&sleep_) != 0) {  // a signal
      }
      state_.store(Awake, std::memory_order_relaxed);
      since = detail::now_us();
    }
  }

  alignas(128) std::atomic<State> state_{Waking};  // two lines: processors fetch them in pairs
  detail::Body body_ = nullptr;
  void* context_ = nullptr;
  int id_ = 0, count_ = 0;
  sem_t sleep_;
};

Helper helpers[most - 1];  // their threads outlive whatever ends at exit
std::atomic<int> started{0};
std::atomic<bool> starting{false};  // by one thread at a time
std::atomic<std::int64_t> refused_until{0};

std::atomic<int> late_in_a_row{0};

void note_answers(bool in_time) {
  if (in_time) return late_in_a_row.store(0, std::memory_order_relaxed);
  constexpr int too_often = 3;  // once may be an interrupt
  if (late_in_a_row.fetch_add(1, std::memory_order_relaxed) + 1 >= too_often) note_far_apart();
}

void start(int count) {
  const std::int64_t refused = refused_until.load(std::memory_order_relaxed);
  if (refused != 0 && detail::now_us() < refused) return;
  if (starting.exchange(true, std::memory_order_acquire)) return;
  for (int k = started.load(std::memory_order_relaxed); k < count; ++k) {
    if (!helpers[k].start()) {
      constexpr std::int64_t a_second = 1'000'000;
      refused_until.store(detail::now_us() + a_second, std::memory_order_relaxed);
      break;
    }
    started.store(k + 1, std::memory_order_release);
  }
  starting.store(false, std::memory_order_release);
}

}  // namespace

bool ready(int count) {
  if (count >= most || far_apart()) return false;
  if (started.load(std::memory_order_relaxed) < count) start(count);
  const int there = std::min(count, started.load(std::memory_order_acquire));
  bool all = there == count;
  for (int k = 0; k < there; ++k) all = helpers[k].awake() && all;
  return all;
}

bool run(int wanted, detail::Body body, void* context) {
  const int others = wanted - 1;
  if (others > started.load(std::memory_order_acquire)) return false;
  for (int k = 0; k < others; ++k)
    if (!helpers[k].idle()) return false;
  bool asked = true;
  for (int k = 0; k < others; ++k) asked = helpers[k].ask() && asked;  // one may have fallen asleep
  const std::int64_t now = detail::now_ns();
  bool all = asked;
  for (int k = 0; k < others && all; ++k) all = helpers[k].answers(now);
  if (asked) note_answers(all);
  if (!all) {
    for (int k = 0; k < others; ++k) helpers[k].dismiss();
    return false;
  }
  for (int k = 0; k < others; ++k) helpers[k].begin(body, context, k + 1, wanted);
  body(context, 0, wanted);
  for (int k = 0; k < others; ++k) helpers[k].wait_for_end();
  return true;
}

void forget() {
  started.store(0, std::memory_order_relaxed);
  for (Helper& helper : helpers) new (&helper) Helper;
  starting.store(false, std::memory_order_relaxed);
}

}  // namespace unrolled::standby
