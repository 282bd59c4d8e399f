// The number of threads for the time of one test.
#pragma once

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

}  // namespace unrolled::testing
