// Runs that have ended, for the next call: to allocate all that a new one needs takes as long as a short call.
#pragma once

#include <atomic>
#include <memory>

#include "engine/engine.h"

namespace unrolled::bindings {

/// Without a lock: a fork may come at any time. (A stepper keeps those of its cell, so that no step allocates.)
template <class S>
class SpareRuns {
 public:
  static std::unique_ptr<Run<S>> take() {
    for (std::atomic<Run<S>*>& place : places_)
      if (Run<S>* const run = place.exchange(nullptr)) return std::unique_ptr<Run<S>>(run);
    return std::make_unique<Run<S>>();
  }
  /// A run whose call has ended as it should; a large one is not kept.
  static void give(std::unique_ptr<Run<S>> run) {
    if (run->scratch() > most_scratch) return;
    for (std::atomic<Run<S>*>& place : places_) {
      Run<S>* none = nullptr;
      if (place.compare_exchange_strong(none, run.get())) return void(run.release());
    }
  }

 private:
  static constexpr Index most_scratch = Index(1) << 16;
  static inline std::atomic<Run<S>*> places_[4] = {};
};

}  // namespace unrolled::bindings
