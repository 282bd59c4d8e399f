// Steps and short sequences in inference: weights packed once, scratch used again.
#include "bindings/stepper.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "bindings/cell_arrays.h"
#include "bindings/quick_arguments.h"
#include "bindings/quick_function.h"
#include "bindings/watch.h"
#include "core/slab.h"
#include "engine/registry.h"

namespace unrolled::bindings {
namespace {

/// Steps x rows up to which the scratch of a call is kept for the next one.
constexpr Index most_kept_places = 1024;

template <class S>
class StepperOf final : public Stepper {
 public:
  StepperOf(const std::string& name, std::shared_ptr<TapeRecord> tape, Watch watch, const py::list& tensors,
            const py::object& state_type, const CellArrays<S>& from, const std::vector<double>& numbers,
            const std::vector<double>& regular)
      : Stepper(std::move(tape), std::move(watch), state_type) {
    set_numbers(in_, numbers);
    set_regular(in_, cells().find<S>(name), regular);
    auto packed = std::make_shared<PackedWeightsOf<S>>(cells().find<S>(name), from);
    weights_ = packed.get();
    packed_ = std::move(packed);
    if (watch_.sees_all()) kept_ = py::make_tuple(tensors, packed_);
    slab::make();
  }

  py::object step(PyObject* x, PyObject* state, PyObject* scalar) override {
    Call call(*this);
    if (!call.prepare(x, state, 2, false) || !call.set_scalar(scalar)) return {};
    run(call);
    return py::reinterpret_steal<py::object>(checked(PyTuple_Pack(2, call.y().ptr(), call.state().ptr())));
  }

  py::object sequence(PyObject* x, PyObject* state, bool reverse) override {
    Call call(*this);
    if (!call.prepare(tape_->bare(x).ptr(), tape_->bare_items(state).ptr(), 3, reverse)) return {};
    run(call);
    return constants(call);
  }

  std::unique_ptr<SteppedCall> prepare(PyObject* x, PyObject* state, bool reverse, JointOutput* joint) override {
    auto call = std::make_unique<Call>(*this);
    return call->prepare(x, state, 3, reverse, joint) ? std::move(call) : nullptr;
  }

 private:
  class Call final : public SteppedCall {
   public:
    explicit Call(StepperOf& of) : of_(of) {}

    /// False if the stepper is not up to it.
    bool prepare(PyObject* x, PyObject* state, int dimensions, bool reverse, JointOutput* joint = nullptr) {
      const CellInfo& info = of_.weights_->cell->info;
      const Sizes& sizes = of_.weights_->sizes;
      x_ = py::reinterpret_borrow<py::object>(x);  // another thread may put other arrays in their places
      state_ = py::reinterpret_borrow<py::object>(state);
      at_.in = of_.in_;
      if (!at_.take(of_.arrays_, info, sizes, x, state, dimensions, reverse) || !of_.unchanged()) return false;
      at_.make(of_.arrays_, info, sizes, dimensions, joint);
      run_ = of_.take();
      return true;
    }

    /// False if it is not one number for each row.
    bool set_scalar(PyObject* scalar) {
      Inputs<S>& in = at_.in;
      if (scalar != nullptr) in.scalar = of_.arrays_.data(scalar, in.T, in.B);
      return scalar == nullptr || in.scalar != nullptr;
    }

    double multiply_adds() const override {
      return multiply_adds_of(of_.weights_->cell->info, of_.weights_->sizes, at_.in.T, at_.in.B);
    }
    double recurrent_weights() const override {
      return recurrent_weights_of(of_.weights_->cell->info, of_.weights_->sizes);
    }
    Index steps() const override { return at_.in.T; }
    Index rows() const override { return at_.in.B; }
    bool has_parts() const override { return true; }

    void run() override { forward(at_.in, at_.out); }
    void run_part(Index begin, Index end) override {
      const CellInfo& info = of_.weights_->cell->info;
      const Sizes& sizes = of_.weights_->sizes;
      Inputs<S> in = at_.in;
      Outputs<S> out = at_.out;
      in.T = end - begin;
      in.first_time += begin;
      in.x += begin * in.B * sizes.input;
      if (in.scalar) in.scalar += begin * in.B;
      out.y += begin * in.B * (in.y_step > 0 ? in.y_step : sizes.output);
      if (begin > 0)
        for (int k = 0; k < info.carried(); ++k)
          state_of(info, in.h0, in.state0, k) = state_of(info, out.h_last, out.state_last, k);
      forward(in, out);
    }

    const py::object& y() const override { return at_.y; }
    py::object state() override {
      if (at_.in.T * at_.in.B <= most_kept_places) of_.runs_.push_back(std::move(run_));
      return at_.state(of_.state_type_);
    }

   private:
    void forward(const Inputs<S>& in, const Outputs<S>& out) {
      run_->forward(*of_.weights_->cell, of_.weights_->sizes, of_.weights_->weights, nullptr, in, out, false);
    }

    StepperOf& of_;
    py::object x_, state_;
    QuickArguments<S> at_;
    std::unique_ptr<Run<S>> run_;
  };

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

/// step(x, state) and step(x, state, scalar)
PyObject* step(Stepper& stepper, PyObject* const* arguments, Py_ssize_t count) {
  if (count != 2 && count != 3) throw py::type_error("expected: x, state, and perhaps a scalar");
  py::object made = stepper.step(arguments[0], arguments[1], count == 3 ? arguments[2] : nullptr);
  return (made ? std::move(made) : py::none()).release().ptr();
}

/// sequence(x, state, reverse)
PyObject* sequence(Stepper& stepper, PyObject* const* arguments, Py_ssize_t count) {
  if (count != 3) throw py::type_error("expected: x, state, reverse");
  py::object made = stepper.sequence(arguments[0], arguments[1], arguments[2] == Py_True);
  return (made ? std::move(made) : py::none()).release().ptr();
}

/// kept()
PyObject* kept(Stepper& stepper, PyObject* const*, Py_ssize_t count) {
  if (count != 0) throw py::type_error("no argument is expected");
  py::object found = stepper.kept();
  return (found ? std::move(found) : py::none()).release().ptr();
}

constexpr const char* gives = "(y, state); None if the weights must be packed anew or an argument converted.";
PyMethodDef step_method = quick_method<Stepper, step>("step", gives);
PyMethodDef sequence_method = quick_method<Stepper, sequence>("sequence", gives);
PyMethodDef kept_method = quick_method<Stepper, kept>("kept", "(Tensors, packed); None if they may have changed.");

std::shared_ptr<Stepper> make_stepper(const std::string& name, const py::list& tensors, const py::object& state_type,
                                      const std::vector<double>& numbers, const std::vector<double>& regular,
                                      const py::object& cell, const std::shared_ptr<TapeRecord>& tape) {
  Watch watch(tensors, cell);  // before anything here refers to the arrays
  std::vector<py::object> weights;
  for (const py::handle tensor : tensors)
    weights.push_back(tensor.is_none() ? py::object(py::none()) : py::object(tensor.attr("_data")));
  return dispatch(array_of(weights.at(0), "W_ih").dtype(), [&](auto scalar) -> std::shared_ptr<Stepper> {
    using S = decltype(scalar);
    const CellArrays<S> arrays(cells().find<S>(name).info, weights, numbers);
    return std::make_shared<StepperOf<S>>(name, tape, std::move(watch), tensors, state_type, arrays, numbers, regular);
  });
}

}  // namespace

void bind_stepper(py::module_& m) {
  py::class_<PackedWeights, std::shared_ptr<PackedWeights>>(m, "PackedWeights", "A cell's weights in kernel layout.");
  py::class_<Stepper, std::shared_ptr<Stepper>>(m, "Stepper", "Inference of one cell with its weights as they are now.")
      .def(py::init(&make_stepper), py::arg("name"), py::arg("tensors"), py::arg("state_type"), py::arg("numbers"),
           py::arg("regular"), py::arg("cell"), py::arg("tape"), "`cell`: whose attributes the tensors are, or None.")
      .def("unchanged", &Stepper::unchanged, "True if no parameter can have changed since packing.")
      .def_property_readonly("packed", &Stepper::packed)
      .def_property_readonly("step", [](const std::shared_ptr<Stepper>& s) { return quick_function(s, step_method); })
      .def_property_readonly("sequence",
                             [](const std::shared_ptr<Stepper>& s) { return quick_function(s, sequence_method); })
      .def_property_readonly("kept", [](const std::shared_ptr<Stepper>& s) { return quick_function(s, kept_method); });
}

}  // namespace unrolled::bindings
