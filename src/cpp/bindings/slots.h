// Members of Python objects whose type has __slots__, by where they lie: the interpreter's way there takes as long as a
// small kernel.
#pragma once

#include <pybind11/pybind11.h>
#include <structmember.h>

#include <string>

#include "bindings/quick_arrays.h"

namespace unrolled::bindings {

class Slot {
 public:
  Slot(py::handle type, const char* name) : Slot(type, py::str(name)) {}
  Slot(py::handle type, const py::str& name) : name_(name) {
    const py::object member = type.attr(name);
    if (Py_TYPE(member.ptr()) != &PyMemberDescr_Type) throw py::type_error("a slot expected");
    offset_ = reinterpret_cast<PyMemberDescrObject*>(member.ptr())->d_member->offset;
  }

  /// What the object, which must be of the type, holds there; a borrowed reference.
  PyObject* get(PyObject* object) const {
    PyObject* const value = at(object);
    if (value == nullptr) throw py::attribute_error(name_);
    return value;
  }
  bool is_set(PyObject* object) const { return at(object) != nullptr; }
  void set(PyObject* object, PyObject* value) const {
    PyObject*& member = at(object);
    PyObject* const before = member;
    Py_INCREF(value);
    member = value;
    Py_XDECREF(before);
  }

 private:
  PyObject*& at(PyObject* object) const {
    return *reinterpret_cast<PyObject**>(reinterpret_cast<char*>(object) + offset_);
  }
  std::string name_;
  Py_ssize_t offset_ = 0;
};

/// A new object of a type with slots, none of them set.
inline py::object make_empty(const py::type& type) {
  auto* const kind = reinterpret_cast<PyTypeObject*>(type.ptr());
  return py::reinterpret_steal<py::object>(checked(kind->tp_alloc(kind, 0)));
}

}  // namespace unrolled::bindings
