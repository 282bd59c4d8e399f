// Gradients being added up on the way back along the tape.
#pragma once

#include <pybind11/pybind11.h>

#include <vector>

namespace unrolled::bindings {

namespace py = pybind11;

/// Whether an object is a C-contiguous, aligned plain array of the shape and dtype of another array.
bool is_like(PyObject* object, PyObject* array);
/// Throws if a gradient has not the shape and dtype of another array.
void check_gradient(const py::object& dense, const py::object& like);

/// Dense parts are added at once, partial ones (objects with `add_to(dense)`) when the sum is asked for.
class GradientSum {
 public:
  /// `owned`: nobody else has the memory of the part. `who`: the op that gave it, for messages.
  void add(py::object part, bool owned, py::handle who);
  /// The sum; `with_partial`: as in tape.py.
  py::object value(py::handle shape, py::handle dtype, const py::object& with_partial);

  bool is_empty() const { return !dense_ && partial_.empty(); }
  bool is_dense() const { return dense_ && partial_.empty(); }
  /// The dense parts, or null; and whether nobody else has their memory.
  const py::object& dense() const { return dense_; }
  bool owned() const { return owned_; }
  const std::vector<py::object>& partial() const { return partial_; }

 private:
  py::object dense_;
  bool owned_ = false;
  std::vector<py::object> partial_;
};

}  // namespace unrolled::bindings
