// Nodes of the tape as C++ reaches them; what they are is said in tape.py.
#pragma once

#include "bindings/slots.h"

namespace unrolled::bindings {

struct NodeSlots {
  explicit NodeSlots(py::type node)
      : type(node),
        name(node, "name"),
        edges(node, "edges"),
        outputs(node, "outputs"),
        vjp(node, "vjp"),
        reads(node, "reads"),
        number(node, "number") {}
  py::type type;
  Slot name, edges, outputs, vjp, reads, number;
};

/// Whether an object is of a type, so that its slots may be read.
inline bool is_a(PyObject* object, const py::type& type) {
  return PyObject_TypeCheck(object, reinterpret_cast<PyTypeObject*>(type.ptr())) != 0;
}

}  // namespace unrolled::bindings
