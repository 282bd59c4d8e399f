#include "core/distance.h"

#include <algorithm>
#include <limits>

#include "core/threads.h"

namespace unrolled {
namespace {

std::atomic<std::int64_t> far_until{0}, next_look{0};

bool is_due() {
  constexpr std::int64_t often_us = 1000;
  const std::int64_t now = detail::now_us();
  if (now < next_look.load(std::memory_order_relaxed)) return false;
  next_look.store(now + often_us, std::memory_order_relaxed);
  return true;
}

}  // namespace

bool far_apart() {
  const std::int64_t until = far_until.load(std::memory_order_relaxed);
  return until != 0 && detail::now_us() < until;
}

void note_far_apart() {
  constexpr std::int64_t a_while_us = 10'000;
  far_until.store(detail::now_us() + a_while_us, std::memory_order_relaxed);
}

Distance::Distance(bool asked, std::int64_t most_ns) : most_ns_(most_ns), due_(asked && is_due()) {}

/// Between the first two threads; the second one stands for the others.
bool Distance::near(int id, int count) {
  if (!due_ || count < 2) return true;
  if (id == 0) {
    const bool near = look();
    if (!near) note_far_apart();
    verdict_.store(near ? Near : Far, std::memory_order_relaxed);
    return near;
  }
  if (id == 1) answer();
  Verdict verdict;
  for (Patience patience; (verdict = verdict_.load(std::memory_order_relaxed)) == Open; patience.pause()) {
  }
  return verdict == Near;
}

bool Distance::look() {
  std::int64_t fastest = std::numeric_limits<std::int64_t>::max();
  for (int round = 0; round <= rounds; ++round) {  // the first one only until the other thread has come
    const std::int64_t begin = detail::now_ns();
    call_.store(round + 1, std::memory_order_relaxed);
    for (Patience patience; echo_.load(std::memory_order_relaxed) != round + 1; patience.pause()) {
    }
    if (round > 0) fastest = std::min(fastest, detail::now_ns() - begin);
  }
  return fastest <= most_ns_;
}

void Distance::answer() {
  for (int round = 0; round <= rounds; ++round) {
    for (Patience patience; call_.load(std::memory_order_relaxed) != round + 1; patience.pause()) {
    }
    echo_.store(round + 1, std::memory_order_relaxed);
  }
}

}  // namespace unrolled
