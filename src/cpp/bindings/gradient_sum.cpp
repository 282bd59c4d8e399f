#include "bindings/gradient_sum.h"

#include <pybind11/gil_safe_call_once.h>
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "bindings/memory.h"
#include "bindings/quick_arrays.h"

namespace unrolled::bindings {
namespace {

const py::detail::npy_api& numpy() { return py::detail::npy_api::get(); }

/// The object as a plain array, if it is one of NumPy's kinds; else null.
py::object plain_array(const py::object& object) {
  if (Py_TYPE(object.ptr()) == numpy().PyArray_Type_) return object;
  PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<py::module_> storage;
  const py::module_& module =
      storage.call_once_and_store_result([] { return py::module_::import("numpy"); }).get_stored();
  const bool array = is_array(object) || py::isinstance(object, module.attr("generic"));
  return array ? module.attr("asarray")(object) : py::object();
}

bool same_type(PyObject* type, PyObject* other) {
  return type == other || (py::isinstance<py::dtype>(other) && numpy().PyArray_EquivTypes_(type, other) != 0);
}

bool same_shape(const py::detail::PyArray_Proxy* a, const py::detail::PyArray_Proxy* b) {
  return a->nd == b->nd && std::equal(a->dimensions, a->dimensions + a->nd, b->dimensions);
}

bool same_kind(const py::object& a, const py::object& b) {
  const auto* const left = py::detail::array_proxy(a.ptr());
  const auto* const right = py::detail::array_proxy(b.ptr());
  return same_shape(left, right) && same_type(left->descr, right->descr);
}

[[noreturn]] void refuse(const py::object& dense, py::handle shape, py::handle dtype) {
  throw std::runtime_error(
      py::str("backward: a gradient has shape {} and dtype {}, expected {} and {}; the vjp of an op is wrong")
          .format(dense.attr("shape"), dense.attr("dtype"), shape, dtype));
}

}  // namespace

bool is_like(PyObject* object, PyObject* array) {
  if (Py_TYPE(object) != numpy().PyArray_Type_ || !is_array(array)) return false;
  const auto* const left = py::detail::array_proxy(object);
  const auto* const right = py::detail::array_proxy(array);
  return is_laid_out(left->flags) && left->descr == right->descr && same_shape(left, right);
}

void check_gradient(const py::object& dense, const py::object& like) {
  if (!same_kind(dense, like)) refuse(dense, like.attr("shape"), like.attr("dtype"));
}

void GradientSum::add(py::object part, bool owned, py::handle who) {
  const py::object array = plain_array(part);
  if (!array) {
    if (!py::hasattr(part, "add_to"))
      throw py::type_error(py::str("backward: the vjp of {} gave a {}, expected an array or None")
                               .format(who, py::type::handle_of(part).attr("__name__")));
    return partial_.push_back(std::move(part));
  }
  owned = owned && array.is(part);
  if (!dense_) {
    dense_ = array;
    owned_ = owned;
    return;
  }
  check_gradient(array, dense_);
  if (owned_) {
    dense_ = py::reinterpret_steal<py::object>(checked(PyNumber_InPlaceAdd(dense_.ptr(), array.ptr())));
  } else {
    dense_ = plain_array(dense_ + array);
    owned_ = true;
  }
}

py::object GradientSum::value(py::handle shape, py::handle dtype, const py::object& with_partial) {
  if (!partial_.empty()) {
    dense_ = with_partial(dense_ ? dense_ : py::none(), owned_, py::cast(partial_), shape, dtype);
    owned_ = true;
    partial_.clear();
  }
  const auto* const array = py::detail::array_proxy(dense_.ptr());
  bool fits = array->nd == PyTuple_Size(shape.ptr()) && same_type(array->descr, dtype.ptr());
  for (int k = 0; fits && k < array->nd; ++k)
    fits = array->dimensions[k] == PyLong_AsSsize_t(PyTuple_GET_ITEM(shape.ptr(), k));
  if (!fits) refuse(dense_, shape, dtype);
  return dense_;
}

}  // namespace unrolled::bindings
