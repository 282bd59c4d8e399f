// Putting an op on the tape.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <vector>

#include "bindings/constants.h"
#include "bindings/tape_node.h"

namespace unrolled::bindings {

class TapeRecord {
 public:
  /// `numbers`: of nodes; `note_view`: told of every output that is a view.
  TapeRecord(py::type tensor, const py::type& node, std::shared_ptr<Wrapper> wrapper, py::object numbers,
             py::object note_view);

  /// Tensors around the outputs of an op, which are its node's if a gradient is wanted; `reads` null: all inputs.
  py::tuple record(PyObject* name, PyObject* inputs, PyObject* outputs, PyObject* vjp, PyObject* reads) const;
  /// The same of an op with one output.
  py::object record_one(PyObject* name, PyObject* inputs, PyObject* output, PyObject* vjp, PyObject* reads) const;

  /// The array of any Tensor; None of None.
  py::object data(PyObject* tensor) const;
  /// The array of a Tensor; whatever else it is, as it is. So are rows of a table, which are better looked up.
  py::object bare(PyObject* object) const;
  /// The same of the items of a tuple; whatever else it is, as it is.
  py::object bare_items(PyObject* objects) const;
  const Wrapper& wrapper() const { return *wrapper_; }

 private:
  friend class TapeInputs;
  void put(PyObject* name, PyObject* inputs, PyObject* const* outputs, Py_ssize_t count, PyObject* vjp,
           PyObject* reads) const;
  const py::detail::PyArray_Proxy* array(PyObject* tensor) const;
  bool wanted(PyObject* input) const;
  py::object edge_to(PyObject* input) const;

  py::type tensor_;
  NodeSlots node_;
  Slot data_, requires_grad_, made_by_, index_, lookup_;
  std::shared_ptr<Wrapper> wrapper_;
  py::object numbers_, note_view_;
};

/// What a native op is about to read: Tensors that are inputs of it on the tape, and their arrays.
class TapeInputs {
 public:
  explicit TapeInputs(const TapeRecord& tape) : tape_(tape) {}
  /// As `bare`.
  py::object add(PyObject* object);
  /// As `bare_items` of a tuple, or of None, which stands for `size` of them; of all else null.
  py::object add_items(PyObject* objects, int size);
  /// Tensors, and None for those not there.
  void add_weights(const py::list& weights);
  /// Of each input whether a gradient is wanted; and whether of any.
  const std::vector<bool>& wanted() const { return wanted_; }
  bool any() const;
  const py::list& tensors() const { return tensors_; }

 private:
  void append(PyObject* tensor);
  const TapeRecord& tape_;
  py::list tensors_;
  std::vector<bool> wanted_;
};

void bind_tape_record(py::module_& m);

}  // namespace unrolled::bindings
