// Inference of one cell: its weights packed once for many calls.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>

#include "bindings/quick_call.h"
#include "bindings/watch.h"

namespace unrolled::bindings {

class PackedWeights;

/// A call without a tape.
class SteppedCall : public QuickCall {
 public:
  virtual pybind11::object state() = 0;  // the last one, as a named tuple
};

class Stepper {
 public:
  virtual ~Stepper() = default;
  bool unchanged() { return watch_.unchanged(); }
  const std::shared_ptr<PackedWeights>& packed() const { return packed_; }
  /// New reference to (y, state) of one step, x (B, I), or of a sequence, x (T, B, I), as `dimensions` of x tells; null
  /// if a parameter may have changed, or x, a state or the scalar of every row of a step, (1, B) or null, is not an
  /// array of the right kind: the caller then packs anew or says what is wrong.
  virtual PyObject* run(PyObject* x, PyObject* state, int dimensions, bool reverse, PyObject* scalar) = 0;
  /// Such a call over a sequence that has not run yet; null for the same reasons.
  virtual std::unique_ptr<SteppedCall> prepare(PyObject* x, PyObject* state, bool reverse) = 0;

 protected:
  Stepper(Watch watch, pybind11::object state_type) : watch_(std::move(watch)), state_type_(std::move(state_type)) {}
  Watch watch_;
  pybind11::object state_type_;
  std::shared_ptr<PackedWeights> packed_;
};

void bind_stepper(pybind11::module_& m);

}  // namespace unrolled::bindings
