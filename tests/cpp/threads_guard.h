// The number of threads for the time of one test, and what threads do in their own time.
#pragma once

#include <chrono>
#include <thread>

#include "core/threads.h"

namespace unrolled::testing {

/// Puts the number of threads back where it was. More than the machine has is fine.
class Threads {
 public:
  Threads() : before_(get_num_threads()) {}
  explicit Threads(int count) : Threads() { set_num_threads(count); }
  ~Threads() { set_num_threads(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  const int before_;
};

/// Whether `what()` becomes true within some seconds.
template <class F>
bool happens(F&& what) {
  using Clock = std::chrono::steady_clock;
  for (const auto end = Clock::now() + std::chrono::seconds(20); Clock::now() < end; std::this_thread::yield())
    if (what()) return true;
  return false;
}

}  // namespace unrolled::testing
