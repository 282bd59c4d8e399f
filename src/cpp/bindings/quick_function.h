// Plain C functions of Python: pybind11's own call costs as much as a small step.
#pragma once

#include <pybind11/pybind11.h>

#include <exception>
#include <memory>
#include <new>
#include <stdexcept>

#include "bindings/quick_arrays.h"

namespace unrolled::bindings {

/// What `function` does to the object behind a capsule, with its exceptions made Python's.
template <class Self, PyObject* (*function)(Self&, PyObject* const*, Py_ssize_t)>
PyObject* guarded(PyObject* capsule, PyObject* const* arguments, Py_ssize_t count) {
  try {
    return function(*static_cast<Self*>(PyCapsule_GetPointer(capsule, nullptr)), arguments, count);
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const py::builtin_exception& error) {
    error.set_error();
  } catch (const std::invalid_argument& error) {
    PyErr_SetString(PyExc_ValueError, error.what());
  } catch (const std::bad_alloc& error) {
    PyErr_SetString(PyExc_MemoryError, error.what());
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

template <class Self, PyObject* (*function)(Self&, PyObject* const*, Py_ssize_t)>
PyMethodDef quick_method(const char* name, const char* text) {
  const auto call = reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(guarded<Self, function>));
  return {name, call, METH_FASTCALL, text};
}

/// The method as a function of one object, which it keeps alive.
template <class Self>
py::object quick_function(const std::shared_ptr<Self>& self, PyMethodDef& method) {
  const auto drop = [](PyObject* capsule) {
    delete static_cast<std::shared_ptr<Self>*>(PyCapsule_GetContext(capsule));
  };
  const auto capsule = py::reinterpret_steal<py::object>(checked(PyCapsule_New(self.get(), nullptr, drop)));
  PyCapsule_SetContext(capsule.ptr(), new std::shared_ptr<Self>(self));
  return py::reinterpret_steal<py::object>(checked(PyCFunction_New(&method, capsule.ptr())));
}

}  // namespace unrolled::bindings
