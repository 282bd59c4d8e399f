// Steps and short sequences in inference: weights packed once, scratch used again.
#include "bindings/stepper.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/quick_arrays.h"
#include "bindings/watch.h"
#include "core/slab.h"
#include "engine/registry.h"

namespace unrolled::bindings {
namespace {

/// Multiply-adds of a call from which other Python threads should run meanwhile.
constexpr double release_from = 4e5;
/// Steps x rows up to which the scratch of a call is kept for the next one.
constexpr Index most_kept_places = 1024;

class Stepper {
 public:
  virtual ~Stepper() = default;
  bool unchanged() { return watch_.unchanged(); }
  const std::shared_ptr<PackedWeights>& packed() const { return packed_; }
  /// New reference to (y, state) of one step, x (B, I), or of a sequence, x (T, B, I), as `dimensions` of x tells; null
  /// if a parameter may have changed, or x or a state is not an array of the right kind: the caller then packs anew or
  /// says what is wrong.
  virtual PyObject* run(PyObject* x, PyObject* state, int dimensions) = 0;

 protected:
  Stepper(Watch watch, py::object state_type) : watch_(std::move(watch)), state_type_(std::move(state_type)) {}
  Watch watch_;
  py::object state_type_;
  std::shared_ptr<PackedWeights> packed_;
};

template <class S>
class StepperOf final : public Stepper {
 public:
  StepperOf(const std::string& name, Watch watch, const py::object& state_type, const CellArrays<S>& from,
            const std::vector<double>& numbers, const std::vector<double>& regular)
      : Stepper(std::move(watch), state_type) {
    set_numbers(in_, numbers);
    set_regular(in_, cells().find<S>(name), regular);
    auto packed = std::make_shared<PackedWeightsOf<S>>(cells().find<S>(name), from);
    weights_ = packed.get();
    packed_ = std::move(packed);
    slab::make();
  }

  PyObject* run(PyObject* x, PyObject* state, int dimensions) override {
    const CellInfo& info = weights_->cell->info;
    const Sizes& sizes = weights_->sizes;
    const int states = info.carried();
    const auto* const sequence = arrays_.array(x, dimensions, sizes.input);
    if (sequence == nullptr || !unchanged()) return nullptr;
    Inputs<S> in = in_;
    in.x = reinterpret_cast<const S*>(sequence->data);
    in.T = dimensions == 3 ? sequence->dimensions[0] : 1;
    in.B = sequence->dimensions[dimensions - 2];
    if (state != Py_None) {
      if (!PyTuple_Check(state) || PyTuple_GET_SIZE(state) != states) return nullptr;
      for (int k = 0; k < states; ++k) {
        const S* const data = arrays_.data(PyTuple_GET_ITEM(state, k), in.B, state_width(info, sizes, k));
        if (data == nullptr) return nullptr;
        state_of(info, in.h0, in.state0, k) = data;
      }
    }
    Outputs<S> out;
    const Index shape[3] = {in.T, in.B, sizes.output};
    const py::object y = py::reinterpret_steal<py::object>(arrays_.make(dimensions, shape + 3 - dimensions, &out.y));
    py::tuple last(states);
    for (int k = 0; k < states; ++k) {
      const Index of_state[2] = {in.B, state_width(info, sizes, k)};
      PyTuple_SET_ITEM(last.ptr(), k, arrays_.make(2, of_state, &state_of(info, out.h_last, out.state_last, k)));
    }

    std::unique_ptr<Run<S>> run = take();
    const auto forward = [&] {
      run->forward(*weights_->cell, weights_->sizes, weights_->weights, nullptr, in, out, false);
    };
    const double places = double(in.T) * double(in.B), gates = std::max(info.input_gates, info.weight_gates());
    if (places * gates * double(sizes.hidden) * double(sizes.hidden + sizes.row) >= release_from) {
      py::gil_scoped_release release;
      forward();
    } else {
      forward();
    }
    if (places <= most_kept_places) runs_.push_back(std::move(run));
    // A named tuple is a tuple of its own type: made as one, without its Python constructor.
    const py::object content = py::reinterpret_steal<py::object>(checked(PyTuple_Pack(1, last.ptr())));
    auto* const type = reinterpret_cast<PyTypeObject*>(state_type_.ptr());
    const py::object named =
        py::reinterpret_steal<py::object>(checked(PyTuple_Type.tp_new(type, content.ptr(), nullptr)));
    return checked(PyTuple_Pack(2, y.ptr(), named.ptr()));
  }

 private:
  /// Scratch of a finished step, or new: as many as threads ever stepped at once. Called with the GIL held.
  std::unique_ptr<Run<S>> take() {
    if (runs_.empty()) return std::make_unique<Run<S>>();
    std::unique_ptr<Run<S>> run = std::move(runs_.back());
    runs_.pop_back();
    return run;
  }

  QuickArrays<S> arrays_;
  Inputs<S> in_;  // the options of the cell
  PackedWeightsOf<S>* weights_ = nullptr;
  std::vector<std::unique_ptr<Run<S>>> runs_;
};

/// step(x, state) and sequence(x, state) as plain C functions of Python: pybind11's own call costs as much as a small
/// step.
template <int dimensions>
PyObject* call(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
  if (count != 2) {
    PyErr_SetString(PyExc_TypeError, "two arguments are expected: x, state");
    return nullptr;
  }
  auto* const stepper = static_cast<Stepper*>(PyCapsule_GetPointer(self, nullptr));
  try {
    PyObject* const result = stepper->run(arguments[0], arguments[1], dimensions);
    return result ? result : py::none().release().ptr();
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const std::bad_alloc& error) {
    PyErr_SetString(PyExc_MemoryError, error.what());
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

template <int dimensions>
PyMethodDef method(const char* name) {
  const auto function = reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(call<dimensions>));
  return {name, function, METH_FASTCALL,
          "(y, state); None if the weights must be packed anew or an argument converted."};
}
PyMethodDef step_method = method<2>("step"), sequence_method = method<3>("sequence");

/// Such a function for one stepper, which it keeps alive.
py::object function_of(const std::shared_ptr<Stepper>& stepper, PyMethodDef& method) {
  const auto drop = [](PyObject* capsule) {
    delete static_cast<std::shared_ptr<Stepper>*>(PyCapsule_GetContext(capsule));
  };
  const py::object capsule = py::reinterpret_steal<py::object>(checked(PyCapsule_New(stepper.get(), nullptr, drop)));
  PyCapsule_SetContext(capsule.ptr(), new std::shared_ptr<Stepper>(stepper));
  return py::reinterpret_steal<py::object>(checked(PyCFunction_New(&method, capsule.ptr())));
}

std::shared_ptr<Stepper> make_stepper(const std::string& name, const py::list& tensors, const py::object& state_type,
                                      const std::vector<double>& numbers, const std::vector<double>& regular,
                                      const py::object& cell) {
  Watch watch(tensors, cell);  // before anything here refers to the arrays
  std::vector<py::object> weights;
  for (const py::handle tensor : tensors)
    weights.push_back(tensor.is_none() ? py::object(py::none()) : py::object(tensor.attr("_data")));
  return dispatch(array_of(weights.at(0), "W_ih").dtype(), [&](auto scalar) -> std::shared_ptr<Stepper> {
    using S = decltype(scalar);
    const CellArrays<S> arrays(cells().find<S>(name).info, weights, numbers);
    return std::make_shared<StepperOf<S>>(name, std::move(watch), state_type, arrays, numbers, regular);
  });
}

}  // namespace

void bind_stepper(py::module_& m) {
  py::class_<PackedWeights, std::shared_ptr<PackedWeights>>(m, "PackedWeights", "A cell's weights in kernel layout.");
  py::class_<Stepper, std::shared_ptr<Stepper>>(m, "Stepper", "Inference of one cell with its weights as they are now.")
      .def(py::init(&make_stepper), py::arg("name"), py::arg("tensors"), py::arg("state_type"), py::arg("numbers"),
           py::arg("regular"), py::arg("cell"), "`cell`: whose attributes the tensors are, or None.")
      .def("unchanged", &Stepper::unchanged, "True if no parameter can have changed since packing.")
      .def_property_readonly("packed", &Stepper::packed)
      .def_property_readonly("step", [](const std::shared_ptr<Stepper>& s) { return function_of(s, step_method); })
      .def_property_readonly("sequence",
                             [](const std::shared_ptr<Stepper>& s) { return function_of(s, sequence_method); });
}

}  // namespace unrolled::bindings
