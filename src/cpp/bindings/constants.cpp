// Constants around arrays of the library's own making: to fill the slots of a Tensor in Python takes as long as a small
// kernel.
#include "bindings/constants.h"

#include <structmember.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bindings/quick_function.h"

namespace unrolled::bindings {
namespace {

class Wrapper {
 public:
  /// `data`: the slot of the array; `rest`: what all other slots that are set hold.
  Wrapper(py::type type, const std::string& data, const py::dict& rest)
      : type_(std::move(type)), data_(offset(py::str(data))) {
    for (const auto& [name, value] : rest) rest_.push_back({offset(name), py::reinterpret_borrow<py::object>(value)});
    asarray_ = py::module_::import("numpy").attr("asarray");
  }

  PyObject* wrap(PyObject* array) const {
    if (Py_TYPE(array) == reinterpret_cast<PyTypeObject*>(py::detail::npy_api::get().PyArray_Type_) &&
        (py::detail::array_proxy(array)->flags & py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_) != 0)
      return filled(array);
    return filled(asarray_(py::handle(array), py::arg("order") = "C").ptr());
  }

  /// A tuple, of whatever kind, with constants for arrays.
  PyObject* wrap_all(PyObject* arrays) const {
    if (!PyTuple_Check(arrays)) throw py::type_error("a tuple of arrays expected");
    PyTypeObject* const type = Py_TYPE(arrays);
    const Py_ssize_t size = PyTuple_GET_SIZE(arrays);
    auto all = py::reinterpret_steal<py::object>(checked(type->tp_alloc(type, size)));
    for (Py_ssize_t k = 0; k < size; ++k) PyTuple_SET_ITEM(all.ptr(), k, wrap(PyTuple_GET_ITEM(arrays, k)));
    return all.release().ptr();
  }

 private:
  struct Slot {
    Py_ssize_t offset;
    py::object value;
  };

  Py_ssize_t offset(py::handle name) const {
    const py::object member = type_.attr(name);
    if (Py_TYPE(member.ptr()) != &PyMemberDescr_Type) throw py::type_error("a slot expected");
    return reinterpret_cast<PyMemberDescrObject*>(member.ptr())->d_member->offset;
  }

  PyObject* filled(PyObject* array) const {
    auto* const type = reinterpret_cast<PyTypeObject*>(type_.ptr());
    PyObject* const made = checked(type->tp_alloc(type, 0));
    const auto set = [made](Py_ssize_t offset, PyObject* value) {
      Py_INCREF(value);
      *reinterpret_cast<PyObject**>(reinterpret_cast<char*>(made) + offset) = value;
    };
    set(data_, array);
    for (const Slot& slot : rest_) set(slot.offset, slot.value.ptr());
    return made;
  }

  py::type type_;
  Py_ssize_t data_;
  std::vector<Slot> rest_;
  py::object asarray_;
};

PyObject* only(PyObject* const* arguments, Py_ssize_t count) {
  if (count != 1) throw py::type_error("one argument expected");
  return arguments[0];
}

PyObject* wrap(Wrapper& wrapper, PyObject* const* arguments, Py_ssize_t count) {
  return wrapper.wrap(only(arguments, count));
}

PyObject* wrap_all(Wrapper& wrapper, PyObject* const* arguments, Py_ssize_t count) {
  return wrapper.wrap_all(only(arguments, count));
}

py::tuple wrappers(py::type type, const std::string& data, const py::dict& rest) {
  static PyMethodDef one = quick_method<Wrapper, wrap>("wrap", "A constant around an array.");
  static PyMethodDef all = quick_method<Wrapper, wrap_all>("wrap_all", "A tuple with constants for arrays.");
  const auto wrapper = std::make_shared<Wrapper>(std::move(type), data, rest);
  return py::make_tuple(quick_function(wrapper, one), quick_function(wrapper, all));
}

}  // namespace

void bind_constants(py::module_& m) {
  m.def("wrappers", &wrappers, py::arg("type"), py::arg("data"), py::arg("rest"),
        "Functions that make an object with slots of an array, and of all arrays of a tuple.");
}

}  // namespace unrolled::bindings
