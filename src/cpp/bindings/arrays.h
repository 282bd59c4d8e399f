// NumPy arrays as pointers, checked.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "bindings/quick_arrays.h"

namespace unrolled::bindings {

namespace py = pybind11;

inline py::array array_of(const py::object& object, const char* who) {
  if (!py::isinstance<py::array>(object)) throw std::invalid_argument(std::string(who) + ": an array is expected");
  return py::reinterpret_borrow<py::array>(object);
}

using Shape = std::vector<Index>;

/// As Python writes a tuple.
inline std::string text_of(const Shape& shape) {
  std::string text = "(";
  for (std::size_t axis = 0; axis < shape.size(); ++axis) text += (axis ? ", " : "") + std::to_string(shape[axis]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

inline Shape shape_of(const py::array& array) { return Shape(array.shape(), array.shape() + array.ndim()); }

/// The data of a C-contiguous, aligned array of exactly this dtype and shape. A wrong dtype is a TypeError in Python.
template <class S>
const S* data_of(const py::array& array, const Shape& shape, const char* who) {
  const std::string name = who;
  const py::dtype wanted = py::dtype::of<S>();
  if (!array.dtype().equal(wanted))
    throw py::type_error(name + " has dtype " + std::string(py::str(array.dtype())) + ", expected " +
                         std::string(py::str(wanted)));
  if (shape_of(array) != shape)
    throw std::invalid_argument(name + " has shape " + text_of(shape_of(array)) + ", expected " + text_of(shape));
  if (!is_laid_out(array.flags())) throw std::invalid_argument(name + " is not C-contiguous and aligned");
  return static_cast<const S*>(array.data());
}

/// The same, or null for None.
template <class S>
const S* optional_data(const py::object& object, const Shape& shape, const char* who) {
  if (object.is_none()) return nullptr;
  return data_of<S>(array_of(object, who), shape, who);
}

template <class S>
py::array new_array(const Shape& shape, S** data) {
  const std::vector<Py_intptr_t> sizes(shape.begin(), shape.end());
  return py::reinterpret_steal<py::array>(
      make_array(py::dtype::of<S>(), static_cast<int>(shape.size()), sizes.data(), data));
}

/// Calls use(S()) for the scalar type of a dtype.
template <class F>
auto dispatch(const py::dtype& dtype, F&& use) {
  if (dtype.equal(py::dtype::of<float>())) return use(float());
  if (dtype.equal(py::dtype::of<double>())) return use(double());
  throw py::type_error("float32 or float64 is expected");
}

/// A new array, not filled; of floats, in memory of earlier calls where it is large.
inline py::array empty_array(const Shape& shape, const py::dtype& dtype) {
  const auto make = [&](auto scalar) {
    decltype(scalar)* data = nullptr;
    return new_array<decltype(scalar)>(shape, &data);
  };
  if (dtype.equal(py::dtype::of<float>())) return make(float());
  if (dtype.equal(py::dtype::of<double>())) return make(double());
  return py::array(dtype, shape);
}

/// The array itself, or a copy that is laid out for kernels.
inline py::array laid_out(const py::array& array) {
  if (is_laid_out(array.flags())) return array;
  py::array copy = empty_array(shape_of(array), array.dtype());
  if (py::detail::npy_api::get().PyArray_CopyInto_(copy.ptr(), array.ptr()) < 0) throw py::error_already_set();
  return copy;
}

}  // namespace unrolled::bindings
