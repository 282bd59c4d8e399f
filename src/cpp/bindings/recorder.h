// Calls of one cell with a tape, the quick way.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>

#include "bindings/quick_call.h"
#include "bindings/saved_call.h"

namespace unrolled::bindings {

class PackedWeights;

/// A call that backward may follow.
class RecordedCall : public QuickCall {
 public:
  virtual const py::tuple& last() const = 0;
  virtual const std::shared_ptr<Saved>& saved() const = 0;
};

class Recorder {
 public:
  virtual ~Recorder() = default;
  /// A call that has not run yet; null if x, (T, B, I), or a state is not an array of the right kind. `tensors`: the
  /// parameters, or None for those not there; `packed`: weights packed as they are now, or null.
  virtual std::unique_ptr<RecordedCall> prepare(PyObject* x, PyObject* state, const py::list& tensors, bool reverse,
                                                PackedWeights* packed) = 0;
};

/// Appends y and the last states.
void append_results(py::list& results, const RecordedCall& call);

void bind_recorder(pybind11::module_& m);

}  // namespace unrolled::bindings
