// A call of one cell that has its arrays and is ready to run.
#pragma once

#include <pybind11/pybind11.h>

#include <algorithm>
#include <vector>

#include "core/packet.h"
#include "engine/partition.h"

namespace unrolled::bindings {

/// Made and ended with the GIL held.
class QuickCall {
 public:
  virtual ~QuickCall() = default;
  virtual double multiply_adds() const = 0;
  virtual double recurrent_weights() const = 0;
  virtual Index steps() const = 0;
  virtual Index rows() const = 0;
  virtual bool has_parts() const = 0;  // whether it can be run in parts
  /// The whole call; or, on the thread that calls them, its steps from `begin` to `end` after those before, the first
  /// of them at 0 and the last to `steps()`. Neither touches a Python object.
  virtual void run() = 0;
  virtual void run_part(Index begin, Index end) = 0;
  virtual const pybind11::object& y() const = 0;
};

/// Runs a piece of work; a long one without the GIL, so that other Python threads run meanwhile.
template <class F>
void run(double multiply_adds, F&& f) {
  constexpr double release_from = 4e5;
  if (multiply_adds < release_from) return f();
  const pybind11::gil_scoped_release release;
  f();
}
inline void run(QuickCall& call) {
  run(call.multiply_adds(), [&] { call.run(); });
}

/// Steps of a part in which calls run as a pipeline, each of them behind or before its neighbour; 0: one after the
/// other. `passes`: how often a call's multiply-adds are done.
template <class Call>
Index part_steps(const Call* calls, std::size_t count, double passes) {
  double work = 0, weights = 0;
  for (const Call* call = calls; call != calls + count; ++call) {
    if (!(*call)->has_parts()) return 0;
    work += passes * (*call)->multiply_adds();
    weights = std::max(weights, (*call)->recurrent_weights());
  }
  return pipeline_steps(static_cast<Index>(count), calls[0]->steps(), calls[0]->rows(), weights, work);
}

/// Runs calls of which each reads the y of the one before it, at the same time where that is faster: each a part of the
/// sequence behind the one before.
void run_stack(const std::vector<QuickCall*>& calls);

}  // namespace unrolled::bindings
