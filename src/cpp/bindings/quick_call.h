// A call of one cell that has its arrays and is ready to run.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <vector>

#include "core/packet.h"

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

/// Runs calls of which each reads the y of the one before it, at the same time where that is faster: each a part of the
/// sequence behind the one before.
void run_stack(const std::vector<QuickCall*>& calls);

}  // namespace unrolled::bindings
