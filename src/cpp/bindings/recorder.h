// Calls of one cell with a tape, the quick way.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <stdexcept>
#include <utility>

#include "bindings/quick_arguments.h"
#include "bindings/quick_call.h"
#include "bindings/saved_call.h"
#include "bindings/tape_record.h"

namespace unrolled::bindings {

/// A call that backward may follow.
class RecordedCall : public QuickCall {
 public:
  virtual const py::tuple& last() const = 0;
  virtual const std::shared_ptr<Saved>& saved() const = 0;
};

class Recorder {
 public:
  /// `name`: on the tape; `state_type`: of the last state.
  Recorder(std::shared_ptr<TapeRecord> tape, py::str name, py::type state_type)
      : tape_(std::move(tape)), name_(std::move(name)), state_type_(std::move(state_type)) {
    if (tape_ == nullptr) throw std::invalid_argument("a tape is expected");
    check_tuple_type(state_type_);
  }
  virtual ~Recorder() = default;
  /// A call that has not run yet; null if x, (T, B, I), or a state is not an array of the right kind. `tensors`: the
  /// parameters, or None for those not there; `packed`: weights packed as they are now or None, or a function that
  /// gives this, which is not called in vain; `joint`: where y goes, or null.
  virtual std::unique_ptr<RecordedCall> prepare(PyObject* x, PyObject* state, const py::list& tensors, bool reverse,
                                                const py::object& packed, JointOutput* joint = nullptr) = 0;
  virtual int states() const = 0;
  const TapeRecord& tape() const { return *tape_; }
  const py::str& name() const { return name_; }
  /// The state of the results from number `at` on, which goes behind it.
  py::object state_from(const py::tuple& results, std::size_t& at) const;

 private:
  std::shared_ptr<TapeRecord> tape_;
  py::str name_;
  py::type state_type_;
};

void bind_recorder(pybind11::module_& m);

}  // namespace unrolled::bindings
