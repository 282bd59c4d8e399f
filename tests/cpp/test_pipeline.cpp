// Parts of layers in a pipeline: each after those it needs, and once.
#include <doctest/doctest.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/pipeline.h"
#include "threads_guard.h"

namespace {

using namespace unrolled;
using testing::Threads;

}  // namespace

TEST_CASE("every part runs once, after the same part of the stage before and the part before of its own") {
  for (int threads : {1, 2, 3, 8})
    for (int stages : {1, 2, 3, 5})
      for (int parts : {1, 2, 7, 40}) {
        Threads guard(threads);
        // value(stage, k) = value(stage - 1, k) + value(stage, k - 1): binomials, if nothing came too early.
        std::vector<long> value(static_cast<std::size_t>(stages * parts), 0);
        const auto at = [&](int stage, int k) -> long& { return value[static_cast<std::size_t>(stage * parts + k)]; };
        std::atomic<int> calls{0};
        run_pipeline(stages, parts, [&](int stage, int k) {
          ++calls;
          at(stage, k) = (stage > 0 ? at(stage - 1, k) : k == 0) + (k > 0 ? at(stage, k - 1) : 0);
        });
        CHECK(calls == stages * parts);
        double binomial = 1;
        for (int i = 1; i < stages; ++i) binomial = binomial * (parts - 1 + i) / i;
        CHECK(double(at(stages - 1, parts - 1)) == doctest::Approx(binomial));
      }
}

TEST_CASE("an exception ends the pipeline, and nobody waits for what will not come") {
  Threads guard(2);
  for (int failing : {0, 3, 9}) {
    std::string message;
    try {
      run_pipeline(3, 10, [&](int stage, int k) {
        if (stage == 1 && k == failing) throw std::runtime_error("no memory");
      });
    } catch (const std::runtime_error& error) {
      message = error.what();
    }
    CHECK(message == "no memory");
  }
}
