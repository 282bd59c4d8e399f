// Calls of one cell with a tape, the quick way: whole sequences, arrays of the right kind, no regularisation.
#include "bindings/recorder.h"

#include <pybind11/stl.h>

#include <memory>
#include <vector>

#include "bindings/quick_arguments.h"
#include "bindings/quick_function.h"
#include "bindings/saved_call.h"
#include "bindings/watch.h"
#include "engine/registry.h"

namespace unrolled::bindings {
namespace {

class Recorder {
 public:
  virtual ~Recorder() = default;
  /// New reference to ((y, *last state), SavedCall); null if a parameter is another Tensor by now, or x, (T, B, I), or
  /// a state is not an array of the right kind. `packed`: weights packed as they are now, or null.
  virtual PyObject* run(PyObject* x, PyObject* state, bool reverse, PackedWeights* packed) = 0;
};

template <class S>
class RecorderOf final : public Recorder {
 public:
  RecorderOf(const std::string& name, std::vector<py::object> tensors, std::vector<double> numbers,
             const py::object& cell)
      : cell_(cells().find<S>(name)),
        tensors_(std::move(tensors)),
        attributes_(cell, tensors_),
        numbers_(std::move(numbers)) {}

  PyObject* run(PyObject* x, PyObject* state, bool reverse, PackedWeights* packed) override {
    if (!attributes_.unchanged()) return nullptr;
    auto call = std::make_shared<SavedCall<S>>();
    call->cell = &cell_;
    call->parameters = CellArrays<S>(cell_.info, weights(), numbers_);
    const Sizes sizes = call->parameters.sizes;
    QuickArguments<S> at;
    set_numbers(at.in, numbers_);
    if (!at.take(arrays_, cell_.info, sizes, x, state, 3, reverse)) return nullptr;
    at.make(arrays_, cell_.info, sizes, 3);
    call->in = at.in;
    call->x = py::reinterpret_borrow<py::array>(x);
    call->y = py::reinterpret_borrow<py::array>(at.y);
    call->kept.push_back(py::reinterpret_borrow<py::object>(state));

    ForwardWeights<S> own;
    ForwardWeights<S>* const ready = packed ? &packed->of<S>(cell_, sizes) : &own;
    const Parameters<S>* const pack_from = packed ? nullptr : &call->parameters.pointers;
    const auto forward = [&] { call->run.forward(cell_, sizes, *ready, pack_from, at.in, at.out, true); };
    if (call->multiply_adds() >= release_from) {
      const py::gil_scoped_release release;
      forward();
    } else {
      forward();
    }
    py::tuple results(1 + at.last.size());
    results[0] = at.y;
    for (std::size_t k = 0; k < at.last.size(); ++k) results[1 + k] = at.last[k];
    return py::make_tuple(results, std::static_pointer_cast<Saved>(call)).release().ptr();
  }

 private:
  std::vector<py::object> weights() const {
    static PyObject* const data_name = PyUnicode_InternFromString("_data");
    std::vector<py::object> arrays;
    for (const py::object& tensor : tensors_)
      arrays.push_back(tensor.is_none()
                           ? tensor
                           : py::reinterpret_steal<py::object>(checked(PyObject_GetAttr(tensor.ptr(), data_name))));
    return arrays;
  }

  const CellKernel<S>& cell_;
  std::vector<py::object> tensors_;  // the parameters, or None
  Attributes attributes_;
  std::vector<double> numbers_;
  QuickArrays<S> arrays_;
};

/// record(x, state, reverse, packed)
PyObject* call(Recorder& recorder, PyObject* const* arguments, Py_ssize_t count) {
  if (count != 4) throw py::type_error("expected: x, state, reverse, packed");
  auto* const packed = py::cast<PackedWeights*>(py::handle(arguments[3]));
  PyObject* const result = recorder.run(arguments[0], arguments[1], arguments[2] == Py_True, packed);
  return result ? result : py::none().release().ptr();
}
PyMethodDef record_method = quick_method<Recorder, call>(
    "record", "((y, *last state), SavedCall); None if a parameter is another Tensor or an argument must be converted.");

/// `tensors`: the parameters of `cell`, whose dtype is that of the first.
py::object record_function(const std::string& name, const std::vector<py::object>& tensors,
                           const std::vector<double>& numbers, const py::object& cell) {
  const auto make = [&](auto scalar) -> std::shared_ptr<Recorder> {
    return std::make_shared<RecorderOf<decltype(scalar)>>(name, tensors, numbers, cell);
  };
  const auto first = py::cast<py::array>(tensors.at(0).attr("_data"));
  return quick_function(dispatch(first.dtype(), make), record_method);
}

}  // namespace

void bind_recorder(py::module_& m) {
  m.def("record_function", &record_function, py::arg("name"), py::arg("tensors"), py::arg("numbers"), py::arg("cell"),
        "record(x, state, reverse, packed) of a cell whose parameters are these Tensors: its call with a tape, which "
        "gives ((y, *last state), SavedCall), or None if an argument must be converted.");
}

}  // namespace unrolled::bindings
