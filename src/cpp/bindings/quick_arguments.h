// The arrays of one call of a cell, taken and made the quick way.
#pragma once

#include <pybind11/pybind11.h>

#include <stdexcept>
#include <utility>

#include "bindings/quick_arrays.h"
#include "engine/engine.h"

namespace unrolled::bindings {

inline void check_tuple_type(const py::object& type) {
  if (!PyType_Check(type.ptr()) || !PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(type.ptr()), &PyTuple_Type))
    throw py::type_error("a kind of tuple is expected");
}

/// A named tuple: a tuple of its own type, made without its Python constructor.
inline py::object tuple_of_type(const py::object& type, const py::tuple& items) {
  const auto content = py::reinterpret_steal<py::object>(checked(PyTuple_Pack(1, items.ptr())));
  auto* const made = reinterpret_cast<PyTypeObject*>(type.ptr());
  return py::reinterpret_steal<py::object>(checked(PyTuple_Type.tp_new(made, content.ptr(), nullptr)));
}

/// One array (T, B, columns) for the outputs of several calls side by side, made by the first of them.
struct JointOutput {
  Index columns;
  Index taken = 0;  // by the calls so far
  py::object array{};

  /// After the last call.
  void check() const {
    if (taken != columns) refuse();
  }
  [[noreturn]] static void refuse() {
    throw std::invalid_argument("the outputs of cells side by side do not fit one array");
  }
};

template <class S>
struct QuickArguments {
  Inputs<S> in;  // with the options of the cell already
  Outputs<S> out;
  py::object y;
  Index y_first = 0;  // its column where that of this call begins
  py::tuple last{0};  // one array for each state

  /// Takes x, of two `dimensions` for a step and three for a sequence, and a state, which may be None. False if any is
  /// not an array of the right kind.
  bool take(const QuickArrays<S>& arrays, const CellInfo& info, const Sizes& sizes, PyObject* x, PyObject* state,
            int dimensions, bool reverse) {
    const auto* const sequence = arrays.array(x, dimensions, sizes.input);
    if (sequence == nullptr) return false;
    in.x = reinterpret_cast<const S*>(sequence->data);
    in.T = dimensions == 3 ? sequence->dimensions[0] : 1;
    in.B = sequence->dimensions[dimensions - 2];
    in.reverse = reverse;
    if (state == Py_None) return true;
    const int states = info.carried();
    if (!PyTuple_Check(state) || PyTuple_GET_SIZE(state) != states) return false;
    for (int k = 0; k < states; ++k) {
      const S* const data = arrays.data(PyTuple_GET_ITEM(state, k), in.B, state_width(info, sizes, k));
      if (data == nullptr) return false;
      state_of(info, in.h0, in.state0, k) = data;
    }
    return true;
  }

  /// Makes the arrays of the results of what has been taken; y as the next columns of `joint`, if that is not null.
  void make(const QuickArrays<S>& arrays, const CellInfo& info, const Sizes& sizes, int dimensions,
            JointOutput* joint = nullptr) {
    const Index shape[3] = {in.T, in.B, joint ? joint->columns : sizes.output};
    if (joint == nullptr || !joint->array)
      y = py::reinterpret_steal<py::object>(arrays.make(dimensions, shape + 3 - dimensions, &out.y));
    if (joint) {
      if (!joint->array) joint->array = y;
      y = joint->array;
      const auto* const whole = arrays.array(y.ptr(), 3, joint->columns);
      y_first = std::exchange(joint->taken, joint->taken + sizes.output);
      if (!whole || whole->dimensions[0] != in.T || whole->dimensions[1] != in.B || joint->taken > joint->columns)
        JointOutput::refuse();
      out.y = reinterpret_cast<S*>(whole->data) + y_first;
      in.y_step = joint->columns;
    }
    last = py::tuple(static_cast<std::size_t>(info.carried()));
    for (int k = 0; k < info.carried(); ++k) {
      const Index of_state[2] = {in.B, state_width(info, sizes, k)};
      PyTuple_SET_ITEM(last.ptr(), k, arrays.make(2, of_state, &state_of(info, out.h_last, out.state_last, k)));
    }
  }

  /// The last state, as a named tuple.
  py::object state(const py::object& type) const { return tuple_of_type(type, last); }
};

}  // namespace unrolled::bindings
