// A type of its own, not pybind11's: what it does takes a few nanoseconds, and it surrounds calls of a microsecond.
#include "bindings/grad_mode.h"

#include <structmember.h>

#include <cstddef>
#include <new>
#include <vector>

#include "bindings/quick_arrays.h"

namespace unrolled::bindings {
namespace {

thread_local bool enabled = true;

/// A context manager, as Python's memory holds it.
struct GradMode {
  PyObject_HEAD bool wanted;
  std::vector<bool> before;  // modes to go back to, the last one last: it may be entered again while it is
};

GradMode& as_mode(PyObject* self) { return *reinterpret_cast<GradMode*>(self); }

PyObject* make(PyTypeObject* type, PyObject* arguments, PyObject* options) {
  int wanted = 0;
  if (options != nullptr && PyDict_GET_SIZE(options) > 0) {
    PyErr_SetString(PyExc_TypeError, "GradMode takes no options");
    return nullptr;
  }
  if (!PyArg_ParseTuple(arguments, "p", &wanted)) return nullptr;
  PyObject* const self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  as_mode(self).wanted = wanted != 0;
  new (&as_mode(self).before) std::vector<bool>();
  return self;
}

void drop(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  as_mode(self).before.~vector();
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* enter(PyObject* self, PyObject*) {
  try {
    as_mode(self).before.push_back(enabled);
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
  enabled = as_mode(self).wanted;
  Py_RETURN_NONE;
}

PyObject* leave(PyObject* self, PyObject* const*, Py_ssize_t) {
  std::vector<bool>& before = as_mode(self).before;
  if (before.empty()) {
    PyErr_SetString(PyExc_RuntimeError, "this mode has not been entered");
    return nullptr;
  }
  enabled = before.back();
  before.pop_back();
  Py_RETURN_NONE;
}

PyObject* current(PyObject*, PyObject*) { return PyBool_FromLong(enabled ? 1 : 0); }

py::object make_type() {
  static PyMethodDef methods[] = {
      {"__enter__", enter, METH_NOARGS, nullptr},
      {"__exit__", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(leave)), METH_FASTCALL, nullptr},
      {nullptr, nullptr, 0, nullptr}};
  static PyMemberDef members[] = {{"wanted", T_BOOL, offsetof(GradMode, wanted), READONLY, nullptr},
                                  {nullptr, 0, 0, 0, nullptr}};
  static PyType_Slot slots[] = {{Py_tp_new, reinterpret_cast<void*>(make)},
                                {Py_tp_dealloc, reinterpret_cast<void*>(drop)},
                                {Py_tp_methods, methods},
                                {Py_tp_members, members},
                                {0, nullptr}};
  static PyType_Spec spec = {"unrolled._core.GradMode", sizeof(GradMode), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                             slots};
  return py::reinterpret_steal<py::object>(checked(PyType_FromSpec(&spec)));
}

}  // namespace

bool is_grad_enabled() { return enabled; }

void bind_grad_mode(py::module_& m) {
  m.attr("GradMode") = make_type();
  static PyMethodDef method = {"is_grad_enabled", current, METH_NOARGS,
                               "is_grad_enabled()\n--\n\nWhether ops are recorded in this thread."};
  m.attr("is_grad_enabled") = py::reinterpret_steal<py::object>(checked(PyCFunction_New(&method, nullptr)));
}

}  // namespace unrolled::bindings
