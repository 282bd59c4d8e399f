// What a step needs of NumPy, without pybind11's conversions: they would cost more than a step.
#pragma once

#include <pybind11/numpy.h>

#include <algorithm>
#include <memory>

#include "bindings/trace.h"
#include "core/buffer.h"
#include "core/slab.h"

namespace unrolled::bindings {

namespace py = pybind11;

/// A new reference, or Python's error as an exception.
inline PyObject* checked(PyObject* object) {
  if (object == nullptr) throw py::error_already_set();
  return object;
}

/// Whether elements lie one after the other, each where its type may: what kernels read and write.
inline bool is_laid_out(int flags) {
  constexpr int wanted = py::array::c_style | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
  return (flags & wanted) == wanted;
}

/// Bytes from which an array lies in memory of earlier calls: touching fresh memory takes longer than a short call.
constexpr std::size_t least_reused = slab::granule;

/// Owner of the memory of one such array: its `base`, which no other array has.
class ResultMemory {
 public:
  explicit ResultMemory(Index bytes) : bytes_(bytes) { trace(data(), static_cast<std::size_t>(bytes)); }
  ~ResultMemory() { forget_trace(data()); }
  ResultMemory(const ResultMemory&) = delete;
  ResultMemory& operator=(const ResultMemory&) = delete;
  char* data() { return bytes_.data(); }

 private:
  Buffer<char> bytes_;
};

/// A new array of S, not filled.
template <class S>
PyObject* make_array(const py::dtype& dtype, int dimensions, const Py_intptr_t* shape, S** data) {
  const py::detail::npy_api& api = py::detail::npy_api::get();
  const auto make = [&](void* memory, int flags) {
    return checked(api.PyArray_NewFromDescr_(api.PyArray_Type_, py::dtype(dtype).release().ptr(), dimensions, shape,
                                             nullptr, memory, flags, nullptr));
  };
  double size = sizeof(S);
  for (int k = 0; k < dimensions; ++k) size *= double(shape[k]);
  if (size < double(least_reused)) {
    PyObject* const array = make(nullptr, 0);
    *data = reinterpret_cast<S*>(py::detail::array_proxy(array)->data);
    return array;
  }
  if (size > double(PTRDIFF_MAX / 2)) throw std::bad_alloc();
  auto memory = std::make_unique<ResultMemory>(static_cast<Index>(size));
  *data = reinterpret_cast<S*>(memory->data());
  py::object owner = py::cast(std::move(memory));
  py::object array = py::reinterpret_steal<py::object>(make(*data, py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ |
                                                                       py::detail::npy_api::NPY_ARRAY_ALIGNED_ |
                                                                       py::detail::npy_api::NPY_ARRAY_WRITEABLE_));
  if (api.PyArray_SetBaseObject_(array.ptr(), owner.release().ptr()) < 0) throw py::error_already_set();
  return array.release().ptr();
}

/// Arrays of S, seen and made.
template <class S>
class QuickArrays {
 public:
  static constexpr int most_dimensions = 3;
  /// An array of S in native byte order, laid out for kernels, with so many dimensions; null if it is anything else.
  const py::detail::PyArray_Proxy* array(PyObject* object, int dimensions) const {
    if (Py_TYPE(object) != api_.PyArray_Type_) return nullptr;
    const auto* const array = py::detail::array_proxy(object);
    const bool fits = array->nd == dimensions && array->descr == dtype_.ptr();
    return fits && is_laid_out(array->flags) ? array : nullptr;
  }
  /// The same with `columns` in the last dimension.
  const py::detail::PyArray_Proxy* array(PyObject* object, int dimensions, Index columns) const {
    const auto* const found = array(object, dimensions);
    return found && found->dimensions[dimensions - 1] == columns ? found : nullptr;
  }
  /// Data of such an array of shape (rows, columns).
  const S* data(PyObject* object, Index rows, Index columns) const {
    const auto* const found = array(object, 2, columns);
    return found && found->dimensions[0] == rows ? reinterpret_cast<const S*>(found->data) : nullptr;
  }
  PyObject* make(int dimensions, const Index* sizes, S** data) const {
    Py_intptr_t shape[most_dimensions];
    std::copy_n(sizes, dimensions, shape);
    return make_array(dtype_, dimensions, shape, data);
  }

 private:
  py::detail::npy_api& api_ = py::detail::npy_api::get();
  py::dtype dtype_ = py::dtype::of<S>();  // the one object NumPy uses for it
};

}  // namespace unrolled::bindings
