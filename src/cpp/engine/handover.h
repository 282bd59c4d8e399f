// Cores are not equally fast: some of a processor's are made so, others have a neighbour beside them for a while. A
// thread that has run its rows to the end takes over some of those of a thread that has not.
#pragma once

#include <atomic>

#include "core/packet.h"
#include "core/threads.h"

namespace unrolled {

class Handover {
 public:
  struct Rows {
    Index first, last, turn;  // as in Run::Shares
    Index step, chunk;        // the step from which on they are to be run, forwards or back, and the first of its chunk
  };
  /// Between threads of a team that all have rows.
  explicit Handover(int threads) : working_(threads) {}
  /// The same once more, when all of them are done and before any of them begins.
  void restart(int threads) {
    state_.store(Nobody, std::memory_order_relaxed);
    working_.store(threads, std::memory_order_relaxed);
  }

  /// Whether a thread waits for rows; to be asked often.
  bool asked() const { return state_.load(std::memory_order_relaxed) == Asked; }
  /// Gives rows, and all that has been written for them, to the thread that waits; false if another one has.
  bool give(const Rows& rows) {
    int state = Asked;
    if (!state_.compare_exchange_strong(state, Busy, std::memory_order_acquire)) return false;
    rows_ = rows;
    working_.fetch_add(1, std::memory_order_relaxed);  // the new owner, from now on
    state_.store(Given, std::memory_order_release);
    return true;
  }
  /// By a thread that is done with its rows, again with those that it has taken: waits for others. False: all are done.
  bool take(Rows* rows) {
    working_.fetch_sub(1, std::memory_order_acq_rel);
    bool asks = false;
    for (Patience patience;; patience.pause()) {
      int state = state_.load(std::memory_order_acquire);
      if (asks && state == Given) {
        *rows = rows_;
        state_.store(Nobody, std::memory_order_release);
        return true;
      }
      // Rows that have been given count as at work, so that nobody leaves while some are on their way to it.
      if (working_.load(std::memory_order_acquire) == 0) return false;
      if (!asks && state == Nobody) asks = state_.compare_exchange_strong(state, Asked);
    }
  }

 private:
  enum State { Nobody, Asked, Busy, Given };
  alignas(64) std::atomic<int> state_{Nobody};
  alignas(64) std::atomic<int> working_;
  Rows rows_{};
};

}  // namespace unrolled
