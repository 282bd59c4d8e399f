#include "bindings/constants.h"

#include <memory>

#include "bindings/arrays.h"
#include "bindings/quick_function.h"

namespace unrolled::bindings {
namespace {

PyObject* wrap(Wrapper& wrapper, PyObject* const* arguments, Py_ssize_t count) {
  if (count != 1) throw py::type_error("one argument expected");
  return wrapper.wrap(arguments[0]).release().ptr();
}

py::object wrap_function(const std::shared_ptr<Wrapper>& wrapper) {
  static PyMethodDef method = quick_method<Wrapper, wrap>("wrap", "A constant around an array.");
  return quick_function(wrapper, method);
}

}  // namespace

Wrapper::Wrapper(py::type type, const py::dict& rest) : type_(std::move(type)), data_(type_, "_data") {
  for (const auto& [name, value] : rest)
    rest_.emplace_back(Slot(type_, py::str(name)), py::reinterpret_borrow<py::object>(value));
  asarray_ = py::module_::import("numpy").attr("asarray");
}

py::object Wrapper::wrap(PyObject* array) const {
  if (Py_TYPE(array) == reinterpret_cast<PyTypeObject*>(py::detail::npy_api::get().PyArray_Type_) &&
      is_laid_out(py::detail::array_proxy(array)->flags))
    return filled(array);
  return filled(laid_out(asarray_(py::handle(array), py::arg("order") = "C")).ptr());
}

py::object Wrapper::wrap_all(PyObject* arrays) const {
  if (!PyTuple_Check(arrays)) throw py::type_error("a tuple of arrays expected");
  PyTypeObject* const type = Py_TYPE(arrays);
  const Py_ssize_t size = PyTuple_GET_SIZE(arrays);
  auto all = py::reinterpret_steal<py::object>(checked(type->tp_alloc(type, size)));
  for (Py_ssize_t k = 0; k < size; ++k)
    PyTuple_SET_ITEM(all.ptr(), k, wrap(PyTuple_GET_ITEM(arrays, k)).release().ptr());
  return all;
}

py::object Wrapper::filled(PyObject* array) const {
  py::object made = make_empty(type_);
  data_.set(made.ptr(), array);
  for (const auto& [slot, value] : rest_) slot.set(made.ptr(), value.ptr());
  return made;
}

void bind_constants(py::module_& m) {
  py::class_<Wrapper, std::shared_ptr<Wrapper>>(m, "Wrapper", "Makes constants of a type with slots around arrays.")
      .def(py::init<py::type, const py::dict&>(), py::arg("type"), py::arg("rest"))
      .def("function", &wrap_function, "Gives a constant around an array.");
}

}  // namespace unrolled::bindings
