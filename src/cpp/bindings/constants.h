// Tensors around results.
#pragma once

#include <pybind11/pybind11.h>

#include <utility>
#include <vector>

#include "bindings/slots.h"

namespace unrolled::bindings {

/// Makes constants around arrays of the library's own making: to fill the slots of a Tensor in Python takes as long as
/// a small kernel.
class Wrapper {
 public:
  /// `rest`: what the slots other than `_data` hold, as far as they are set.
  Wrapper(py::type type, const py::dict& rest);
  py::object wrap(PyObject* array) const;
  /// A tuple, of whatever kind, with constants for arrays.
  py::object wrap_all(PyObject* arrays) const;

 private:
  py::object filled(PyObject* array) const;
  py::type type_;
  Slot data_;
  std::vector<std::pair<Slot, py::object>> rest_;
  py::object asarray_;
};

void bind_constants(pybind11::module_& m);

}  // namespace unrolled::bindings
