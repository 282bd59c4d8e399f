// Calls of cells with a tape, the quick way: whole sequences, arrays of the right kind, no regularisation; one cell, or
// several on top of each other.
#include "bindings/recorder.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "bindings/quick_arguments.h"
#include "bindings/quick_call.h"
#include "bindings/quick_function.h"
#include "bindings/saved_call.h"
#include "bindings/watch.h"
#include "engine/partition.h"
#include "engine/pipeline.h"
#include "engine/registry.h"

namespace unrolled::bindings {
namespace {

class RecordedCall : public QuickCall {
 public:
  virtual const py::tuple& last() const = 0;
  virtual const std::shared_ptr<Saved>& saved() const = 0;
};

class Recorder {
 public:
  virtual ~Recorder() = default;
  /// A call that has not run yet; null if a parameter is another Tensor by now, or x, (T, B, I), or a state is not an
  /// array of the right kind. `packed`: weights packed as they are now, or null.
  virtual std::unique_ptr<RecordedCall> prepare(PyObject* x, PyObject* state, bool reverse, PackedWeights* packed) = 0;
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

  std::unique_ptr<RecordedCall> prepare(PyObject* x, PyObject* state, bool reverse, PackedWeights* packed) override {
    if (!attributes_.unchanged()) return nullptr;
    auto call = std::make_unique<Call>();
    return call->prepare(*this, x, state, reverse, packed) ? std::move(call) : nullptr;
  }

 private:
  class Call final : public RecordedCall {
   public:
    /// False if the recorder is not up to it.
    bool prepare(const RecorderOf& of, PyObject* x, PyObject* state, bool reverse, PackedWeights* packed) {
      call_->cell = &of.cell_;
      call_->parameters = CellArrays<S>(of.cell_.info, of.weights(), of.numbers_);
      const Sizes& sizes = call_->parameters.sizes;
      set_numbers(at_.in, of.numbers_);
      if (!at_.take(of.arrays_, of.cell_.info, sizes, x, state, 3, reverse)) return false;
      at_.make(of.arrays_, of.cell_.info, sizes, 3);
      call_->in = at_.in;
      call_->x = py::reinterpret_borrow<py::array>(x);
      call_->y = py::reinterpret_borrow<py::array>(at_.y);
      call_->kept.push_back(py::reinterpret_borrow<py::object>(state));
      weights_ = packed ? &packed->of<S>(of.cell_, sizes) : &own_;
      pack_from_ = packed ? nullptr : &call_->parameters.pointers;
      return true;
    }

    double multiply_adds() const override { return call_->multiply_adds(); }
    double recurrent_weights() const override { return call_->recurrent_weights(); }
    Index steps() const override { return at_.in.T; }
    Index rows() const override { return at_.in.B; }
    bool has_parts() const override { return call_->has_parts(); }
    void run() override {
      call_->run.forward(*call_->cell, call_->parameters.sizes, *weights_, pack_from_, at_.in, at_.out, true);
    }
    void run_part(Index begin, Index end) override {
      if (begin == 0)
        call_->run.begin_forward(*call_->cell, call_->parameters.sizes, *weights_, pack_from_, at_.in, at_.out);
      call_->run.forward_part(*weights_, at_.in, at_.out.y, begin, end);
      if (end == steps()) call_->run.finish_forward(*weights_, at_.out);
    }
    const py::object& y() const override { return at_.y; }
    const py::tuple& last() const override { return at_.last; }
    const std::shared_ptr<Saved>& saved() const override { return saved_; }

   private:
    std::shared_ptr<SavedCall<S>> call_ = std::make_shared<SavedCall<S>>();
    std::shared_ptr<Saved> saved_ = call_;
    QuickArguments<S> at_;
    ForwardWeights<S> own_;
    ForwardWeights<S>* weights_ = nullptr;
    const Parameters<S>* pack_from_ = nullptr;
  };

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

/// What calls of which each read the y of the one before left for their backward; often there is but one.
class SavedCalls {
 public:
  explicit SavedCalls(std::vector<std::shared_ptr<Saved>> calls) : calls_(std::move(calls)) {}

  /// From the gradients of the last y and of every last state to those of the first x and, of each call, of its states
  /// and weights; `wanted`: which of them.
  py::list vjp(const std::vector<py::object>& gradients, const std::vector<bool>& wanted) const {
    check(gradients.size(), wanted.size());
    std::vector<WayBack> ways;  // those of the last call first
    py::object dy = dense(gradients[0]);
    std::size_t state = gradients.size(), flag = wanted.size();
    for (std::size_t k = calls_.size(); k-- > 0;) {
      const Saved& call = *calls_[k];
      state -= call.states();
      flag -= call.states() + call.weights();
      std::vector<py::object> dlast;
      for (std::size_t n = 0; n < call.states(); ++n) dlast.push_back(dense(gradients[state + n]));
      std::vector<bool> flags{k > 0 || wanted[0]};
      flags.insert(flags.end(), wanted.begin() + Index(flag),
                   wanted.begin() + Index(flag + call.states() + call.weights()));
      ways.push_back(calls_[k]->backward(dy, dlast, flags, false));
      dy = ways.back().whole.result()[0];
    }
    go(ways);
    py::list all;
    all.append(dy);
    for (std::size_t k = ways.size(); k-- > 0;) {
      const py::tuple made = ways[k].whole.result();  // of x, the states, the weights
      for (const std::size_t part : {1, 2})
        for (const py::handle gradient : py::reinterpret_borrow<py::list>(made[part])) all.append(gradient);
    }
    return all;
  }

 private:
  void check(std::size_t gradients, std::size_t wanted) const {
    std::size_t states = 0, weights = 0;
    for (const auto& call : calls_) {
      states += call->states();
      weights += call->weights();
    }
    if (gradients != 1 + states) throw std::invalid_argument("gradients: one of y and of every last state expected");
    if (wanted != 1 + states + weights)
      throw std::invalid_argument("wanted: one flag for x, and each state and weight, expected");
  }

  static py::object dense(const py::object& gradient) {
    return gradient.is_none() ? gradient : py::object(py::array::ensure(gradient, py::array::c_style));
  }

  /// The last call first, or all at the same time, each a part of the steps before the one after it.
  void go(const std::vector<WayBack>& ways) const {
    const py::gil_scoped_release release;
    double work = 0, weights = 0;
    for (const auto& call : calls_) {
      work += 2 * call->multiply_adds();
      weights = std::max(weights, call->recurrent_weights());
    }
    const Index T = calls_[0]->steps();
    const Index steps = pipeline_steps(static_cast<Index>(ways.size()), T, calls_[0]->rows(), weights, work);
    const bool parts = std::all_of(calls_.begin(), calls_.end(), [](const auto& call) { return call->has_parts(); });
    if (steps == 0 || !parts) {
      for (const WayBack& way : ways) way.whole.run();
      return;
    }
    parallel(static_cast<int>(ways.size()), [&](int id, int count) {
      for (std::size_t k = std::size_t(id); k < ways.size(); k += std::size_t(count)) ways[k].begin();
    });
    run_pipeline(static_cast<int>(ways.size()), static_cast<int>((T + steps - 1) / steps), [&](int way, int k) {
      ways[std::size_t(way)].part(std::max<Index>(0, T - (k + 1) * steps), T - k * steps);
    });
    for (const WayBack& way : ways) way.finish();
  }

  std::vector<std::shared_ptr<Saved>> calls_;
};

/// ((y, *last states), SavedCalls)
py::tuple results_of(const std::vector<std::unique_ptr<RecordedCall>>& calls) {
  std::vector<std::shared_ptr<Saved>> saved;
  py::list results;
  results.append(calls.back()->y());
  for (const auto& call : calls) {
    for (const py::handle state : call->last()) results.append(state);
    saved.push_back(call->saved());
  }
  return py::make_tuple(py::tuple(results), std::make_shared<SavedCalls>(std::move(saved)));
}

/// record(x, state, reverse, packed)
PyObject* record(Recorder& recorder, PyObject* const* arguments, Py_ssize_t count) {
  if (count != 4) throw py::type_error("expected: x, state, reverse, packed");
  auto* const packed = py::cast<PackedWeights*>(py::handle(arguments[3]));
  std::vector<std::unique_ptr<RecordedCall>> calls;
  calls.push_back(recorder.prepare(arguments[0], arguments[1], arguments[2] == Py_True, packed));
  if (calls[0] == nullptr) return py::none().release().ptr();
  if (calls[0]->multiply_adds() >= release_from) {
    const py::gil_scoped_release release;
    calls[0]->run();
  } else {
    calls[0]->run();
  }
  return results_of(calls).release().ptr();
}
PyMethodDef record_method = quick_method<Recorder, record>(
    "record",
    "((y, *last state), SavedCalls); None if a parameter is another Tensor or an argument must be converted.");

py::object record_stack(const py::object& x, const std::vector<std::shared_ptr<Recorder>>& recorders,
                        const std::vector<py::object>& states, const std::vector<PackedWeights*>& packed) {
  if (recorders.empty()) throw std::invalid_argument("record_stack: at least one cell is expected");
  std::vector<std::unique_ptr<RecordedCall>> calls;
  py::object below = x;
  for (std::size_t k = 0; k < recorders.size(); ++k) {
    if (recorders[k] == nullptr) throw std::invalid_argument("record_stack: a recorder is None");
    calls.push_back(recorders[k]->prepare(below.ptr(), states.at(k).ptr(), false, packed.at(k)));
    if (calls.back() == nullptr) return py::none();
    below = calls.back()->y();
  }
  std::vector<QuickCall*> all;
  for (const auto& call : calls) all.push_back(call.get());
  run_stack(all);
  return results_of(calls);
}

/// `tensors`: the parameters of `cell`, whose dtype is that of the first.
std::shared_ptr<Recorder> make_recorder(const std::string& name, const std::vector<py::object>& tensors,
                                        const std::vector<double>& numbers, const py::object& cell) {
  const auto first = py::cast<py::array>(tensors.at(0).attr("_data"));
  return dispatch(first.dtype(), [&](auto scalar) -> std::shared_ptr<Recorder> {
    return std::make_shared<RecorderOf<decltype(scalar)>>(name, tensors, numbers, cell);
  });
}

}  // namespace

void bind_recorder(py::module_& m) {
  py::class_<SavedCalls, std::shared_ptr<SavedCalls>>(m, "SavedCalls",
                                                      "What calls on top of each other left for their backward.")
      .def("vjp", &SavedCalls::vjp, py::arg("gradients"), py::arg("wanted"),
           "From the gradients of the last y and of every last state to those of the first x and, of each call, of its "
           "states and weights.");
  py::class_<Recorder, std::shared_ptr<Recorder>>(m, "Recorder", "Calls of one cell with a tape.")
      .def(py::init(&make_recorder), py::arg("name"), py::arg("tensors"), py::arg("numbers"), py::arg("cell"))
      .def_property_readonly("record",
                             [](const std::shared_ptr<Recorder>& r) { return quick_function(r, record_method); });
  m.def("record_stack", &record_stack, py::arg("x"), py::arg("recorders"), py::arg("states"), py::arg("packed"),
        "((y, *last states of all), SavedCalls) of cells of which each reads what the one before it makes; None as of "
        "`record`.");
}

}  // namespace unrolled::bindings
