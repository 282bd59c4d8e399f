// One cell's weights, packed once for many calls: those without a tape run here, those with one ask for them.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <stdexcept>
#include <utility>

#include "bindings/quick_arguments.h"
#include "bindings/quick_call.h"
#include "bindings/tape_record.h"
#include "bindings/watch.h"

namespace unrolled::bindings {

class PackedWeights;

/// A call without a tape.
class SteppedCall : public QuickCall {
 public:
  virtual py::object state() = 0;  // the last one, as a named tuple
};

class Stepper {
 public:
  virtual ~Stepper() = default;
  bool unchanged() { return watch_.unchanged(); }
  const std::shared_ptr<PackedWeights>& packed() const { return packed_; }
  /// (the Tensors, packed) for a call with a tape, as long as they are known to be the cell's, unchanged; else null.
  py::object kept() {
    if (kept_ && !unchanged()) kept_ = {};
    return kept_;
  }
  /// (y, state) of one step, x (B, I), as arrays; null if a parameter may have changed, or x, a state or the scalar of
  /// every row, (1, B) or null, is not an array of the right kind: the caller then packs anew or says what is wrong.
  virtual py::object step(PyObject* x, PyObject* state, PyObject* scalar) = 0;
  /// (y, state) of a sequence, x (T, B, I), as constants; x and states may be Tensors. Null for the same reasons.
  virtual py::object sequence(PyObject* x, PyObject* state, bool reverse) = 0;
  /// Such a call that has not run yet, of arrays; null for the same reasons. `joint`: where y goes, or null.
  virtual std::unique_ptr<SteppedCall> prepare(PyObject* x, PyObject* state, bool reverse,
                                               JointOutput* joint = nullptr) = 0;
  /// (y, state) of a call that has run, as constants.
  py::object constants(SteppedCall& call) const {
    const Wrapper& wrapper = tape_->wrapper();
    const py::object y = wrapper.wrap(call.y().ptr()), state = wrapper.wrap_all(call.state().ptr());
    return py::reinterpret_steal<py::object>(checked(PyTuple_Pack(2, y.ptr(), state.ptr())));
  }
  const TapeRecord& tape() const { return *tape_; }

 protected:
  Stepper(std::shared_ptr<TapeRecord> tape, Watch watch, py::object state_type)
      : tape_(std::move(tape)), watch_(std::move(watch)), state_type_(std::move(state_type)) {
    if (tape_ == nullptr) throw std::invalid_argument("a tape is expected");
    check_tuple_type(state_type_);
  }
  std::shared_ptr<TapeRecord> tape_;
  Watch watch_;
  py::object state_type_;
  std::shared_ptr<PackedWeights> packed_;
  py::object kept_;
};

void bind_stepper(pybind11::module_& m);

}  // namespace unrolled::bindings
