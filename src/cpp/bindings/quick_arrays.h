// What a step needs of NumPy, without pybind11's conversions: they would cost more than a step.
#pragma once

#include <pybind11/numpy.h>

#include <algorithm>

#include "core/packet.h"

namespace unrolled::bindings {

namespace py = pybind11;

/// A new reference, or Python's error as an exception.
inline PyObject* checked(PyObject* object) {
  if (object == nullptr) throw py::error_already_set();
  return object;
}

/// Arrays of S, seen and made.
template <class S>
class QuickArrays {
 public:
  /// A C-contiguous array of S in native byte order with `dimensions` dimensions, the last one `columns`; null if it is
  /// anything else.
  const py::detail::PyArray_Proxy* array(PyObject* object, int dimensions, Index columns) const {
    if (Py_TYPE(object) != api_.PyArray_Type_) return nullptr;
    const auto* const array = py::detail::array_proxy(object);
    const bool fits = array->nd == dimensions && array->dimensions[dimensions - 1] == columns;
    if (!fits || array->descr != dtype_.ptr() || (array->flags & py::array::c_style) == 0) return nullptr;
    return array;
  }
  /// Data of such an array of shape (rows, columns).
  const S* data(PyObject* object, Index rows, Index columns) const {
    const auto* const found = array(object, 2, columns);
    return found && found->dimensions[0] == rows ? reinterpret_cast<const S*>(found->data) : nullptr;
  }
  PyObject* make(int dimensions, const Index* sizes, S** data) const {
    Py_intptr_t shape[3];
    std::copy_n(sizes, dimensions, shape);
    PyObject* const array = checked(api_.PyArray_NewFromDescr_(api_.PyArray_Type_, dtype_.inc_ref().ptr(), dimensions,
                                                               shape, nullptr, nullptr, 0, nullptr));
    *data = reinterpret_cast<S*>(py::detail::array_proxy(array)->data);
    return array;
  }

 private:
  py::detail::npy_api& api_ = py::detail::npy_api::get();
  py::dtype dtype_ = py::dtype::of<S>();  // the one object NumPy uses for it
};

}  // namespace unrolled::bindings
