// Layers of a stack at the same time: each a part of the sequence behind the one below it.
#pragma once

#include <algorithm>
#include <atomic>
#include <exception>
#include <vector>

#include "core/packet.h"
#include "core/threads.h"

namespace unrolled {

/// Calls part(stage, k) for every stage and every k in [0, parts): after part(stage - 1, k) and part(stage, k - 1),
/// else at any time and on any thread. The first exception is thrown on.
template <class F>
void run_pipeline(int stages, int parts, F&& part) {
  // Tickets go along the diagonals stage + k, so that whoever waits does so for one that has begun.
  struct Ticket {
    int stage, k;
  };
  std::vector<Ticket> tickets;
  for (int diagonal = 0; diagonal < stages + parts - 1; ++diagonal)
    for (int stage = std::max(0, diagonal - parts + 1); stage <= std::min(diagonal, stages - 1); ++stage)
      tickets.push_back({stage, diagonal - stage});
  std::vector<std::atomic<int>> done(static_cast<std::size_t>(stages));
  for (std::atomic<int>& count : done) count.store(0, std::memory_order_relaxed);
  std::atomic<std::size_t> next{0};
  std::atomic<bool> failed{false};
  std::exception_ptr error;
  const auto wait_for = [&](int stage, int count) {
    const std::atomic<int>& reached = done[static_cast<std::size_t>(stage)];
    for (Patience patience; reached.load(std::memory_order_acquire) < count && !failed.load(); patience.pause()) {
    }
  };
  parallel(stages, [&](int, int) {
    for (std::size_t at = next.fetch_add(1); at < tickets.size() && !failed.load(); at = next.fetch_add(1)) {
      const auto [stage, k] = tickets[at];
      if (stage > 0) wait_for(stage - 1, k + 1);
      wait_for(stage, k);
      if (failed.load()) return;
      try {
        part(stage, k);
      } catch (...) {
        if (!failed.exchange(true)) error = std::current_exception();
        return;
      }
      done[static_cast<std::size_t>(stage)].store(k + 1, std::memory_order_release);
    }
  });
  if (error) std::rethrow_exception(error);
}

}  // namespace unrolled
