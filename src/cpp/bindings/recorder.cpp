// Calls of one cell with a tape, the quick way: whole sequences, arrays of the right kind, no regularisation.
#include "bindings/recorder.h"

#include <pybind11/stl.h>

#include <memory>
#include <vector>

#include "bindings/quick_arguments.h"
#include "bindings/quick_function.h"
#include "bindings/saved_call.h"
#include "bindings/saved_calls.h"
#include "engine/registry.h"

namespace unrolled::bindings {
namespace {

template <class S>
class RecorderOf final : public Recorder {
 public:
  RecorderOf(const std::string& kernel, std::vector<double> numbers, std::shared_ptr<TapeRecord> tape, py::str name,
             py::type state_type)
      : Recorder(std::move(tape), std::move(name), std::move(state_type)),
        cell_(cells().find<S>(kernel)),
        numbers_(std::move(numbers)) {}

  int states() const override { return cell_.info.carried(); }

  std::unique_ptr<RecordedCall> prepare(PyObject* x, PyObject* state, const py::list& tensors, bool reverse,
                                        const py::object& packed, JointOutput* joint) override {
    auto call = std::make_unique<Call>();
    return call->prepare(*this, x, state, tensors, reverse, packed, joint) ? std::move(call) : nullptr;
  }

 private:
  class Call final : public RecordedCall {
   public:
    /// False if the recorder is not up to it.
    bool prepare(const RecorderOf& of, PyObject* x, PyObject* state, const py::list& tensors, bool reverse,
                 const py::object& packed, JointOutput* joint) {
      if (of.arrays_.array(x, 3) == nullptr) return false;
      packed_ = PyCallable_Check(packed.ptr()) ? packed() : packed;  // before the weights have one more owner
      if (!packed_.is_none() && !py::isinstance<PackedWeights>(packed_))
        throw py::type_error("expected: packed weights, a function that gives them, or None");
      auto* const ready = py::cast<PackedWeights*>(packed_);
      call_->cell = &of.cell_;
      call_->parameters = CellArrays<S>(of.cell_.info, of.arrays_of(tensors), of.numbers_);
      const Sizes& sizes = call_->parameters.sizes;
      set_numbers(at_.in, of.numbers_);
      if (!at_.take(of.arrays_, of.cell_.info, sizes, x, state, 3, reverse)) return false;
      at_.make(of.arrays_, of.cell_.info, sizes, 3, joint);
      call_->in = at_.in;
      call_->x = py::reinterpret_borrow<py::array>(x);
      call_->y = py::reinterpret_borrow<py::array>(at_.y);
      call_->y_first = at_.y_first;
      call_->kept.push_back(py::reinterpret_borrow<py::object>(state));
      weights_ = ready ? &ready->of<S>(of.cell_, sizes) : &own_;
      pack_from_ = ready ? nullptr : &call_->parameters.pointers;
      return true;
    }

    double multiply_adds() const override { return call_->multiply_adds(); }
    double recurrent_weights() const override { return call_->recurrent_weights(); }
    Index steps() const override { return at_.in.T; }
    Index rows() const override { return at_.in.B; }
    bool has_parts() const override { return call_->has_parts(); }
    void run() override {
      call_->run->forward(*call_->cell, call_->parameters.sizes, *weights_, pack_from_, at_.in, at_.out, true);
    }
    void run_part(Index begin, Index end) override {
      if (begin == 0)
        call_->run->begin_forward(*call_->cell, call_->parameters.sizes, *weights_, pack_from_, at_.in, at_.out);
      call_->run->forward_part(*weights_, at_.in, at_.out.y, begin, end);
      if (end == steps()) call_->run->finish_forward(*weights_, at_.out);
    }
    const py::object& y() const override { return at_.y; }
    const py::tuple& last() const override { return at_.last; }
    const std::shared_ptr<Saved>& saved() const override { return saved_; }

   private:
    std::shared_ptr<SavedCall<S>> call_ = std::make_shared<SavedCall<S>>();
    std::shared_ptr<Saved> saved_ = call_;
    QuickArguments<S> at_;
    py::object packed_;  // alive as long as the call runs
    ForwardWeights<S> own_;
    ForwardWeights<S>* weights_ = nullptr;
    const Parameters<S>* pack_from_ = nullptr;
  };

  std::vector<py::object> arrays_of(const py::list& tensors) const {
    std::vector<py::object> arrays;
    for (const py::handle tensor : tensors) arrays.push_back(tape().data(tensor.ptr()));
    return arrays;
  }

  const CellKernel<S>& cell_;
  std::vector<double> numbers_;  // options of the cell
  QuickArrays<S> arrays_;
};

/// record(x, state, tensors, reverse, packed)
PyObject* record(Recorder& recorder, PyObject* const* arguments, Py_ssize_t count) {
  if (count != 5 || !PyList_Check(arguments[2]))
    throw py::type_error("expected: x, state, a list of Tensors, reverse, packed weights, a function or None");
  const auto packed = py::reinterpret_borrow<py::object>(arguments[4]);
  const auto tensors = py::reinterpret_borrow<py::list>(arguments[2]);
  TapeInputs inputs(recorder.tape());
  const py::object x = inputs.add(arguments[0]), state = inputs.add_items(arguments[1], recorder.states());
  inputs.add_weights(tensors);
  if (!state || !inputs.any()) return py::none().release().ptr();
  const auto call = recorder.prepare(x.ptr(), state.ptr(), tensors, arguments[3] == Py_True, packed);
  if (call == nullptr) return py::none().release().ptr();
  run(*call);
  py::list results;
  results.append(call->y());
  for (const py::handle state : call->last()) results.append(state);
  const py::object vjp = vjp_function(std::make_shared<SavedStack>(SavedList{call->saved()}, inputs.wanted()));
  const py::tuple made =
      recorder.tape().record(recorder.name().ptr(), inputs.tensors().ptr(), results.ptr(), vjp.ptr(), nullptr);
  std::size_t at = 1;
  return py::make_tuple(made[0], recorder.state_from(made, at)).release().ptr();
}
PyMethodDef record_method = quick_method<Recorder, record>(
    "record", "(y, last state); None if an argument must be converted or no gradient is wanted.");

std::shared_ptr<Recorder> make_recorder(const std::string& kernel, const py::dtype& dtype,
                                        const std::vector<double>& numbers, const std::shared_ptr<TapeRecord>& tape,
                                        const py::str& name, const py::type& state_type) {
  return dispatch(dtype, [&](auto scalar) -> std::shared_ptr<Recorder> {
    return std::make_shared<RecorderOf<decltype(scalar)>>(kernel, numbers, tape, name, state_type);
  });
}

}  // namespace

py::object Recorder::state_from(const py::tuple& results, std::size_t& at) const {
  py::tuple state(static_cast<std::size_t>(states()));
  for (std::size_t k = 0; k < state.size(); ++k) state[k] = results[at++];
  return tuple_of_type(state_type_, state);
}

void bind_recorder(py::module_& m) {
  py::class_<Recorder, std::shared_ptr<Recorder>>(m, "Recorder", "Calls with a tape of a cell with these options.")
      .def(py::init(&make_recorder), py::arg("kernel"), py::arg("dtype"), py::arg("numbers"), py::arg("tape"),
           py::arg("name"), py::arg("state_type"))
      .def_property_readonly("record",
                             [](const std::shared_ptr<Recorder>& r) { return quick_function(r, record_method); });
}

}  // namespace unrolled::bindings
