// One step of a cell for streaming: weights packed once, scratch used again, and a cheap proof that no parameter has
// changed.
#include "bindings/stepper.h"

#include <memory>
#include <vector>

#include "bindings/arrays.h"
#include "engine/registry.h"

namespace unrolled::bindings {
namespace {

/// Multiply-adds of a step from which other Python threads should run meanwhile.
constexpr double release_from = 4e5;

/// Watches the arrays behind a cell's parameters. They are unchanged for certain if each Tensor still holds the same
/// array, its version is the one seen, and nobody but the Tensor (and this object) refers to the array: whoever could
/// write to it must hold it.
class Watch {
 public:
  explicit Watch(const py::list& tensors) {
    for (const py::handle tensor : tensors) {
      if (tensor.is_none()) continue;
      py::array data = py::cast<py::array>(tensor.attr("_data"));
      owned_ = owned_ && data.owndata() && data.base().is_none();
      tensors_.push_back(py::reinterpret_borrow<py::object>(tensor));
      versions_.push_back(py::cast<long long>(tensor.attr("_version")));
      arrays_.push_back(std::move(data));
    }
  }
  bool unchanged() const {
    if (!owned_) return false;
    static PyObject* const data_name = PyUnicode_InternFromString("_data");
    static PyObject* const version_name = PyUnicode_InternFromString("_version");
    for (std::size_t k = 0; k < tensors_.size(); ++k) {
      PyObject* const data = PyObject_GetAttr(tensors_[k].ptr(), data_name);
      PyObject* const version = data ? PyObject_GetAttr(tensors_[k].ptr(), version_name) : nullptr;
      if (version == nullptr) {
        Py_XDECREF(data);
        throw py::error_already_set();
      }
      constexpr Py_ssize_t ours = 3;  // the Tensor, arrays_, and `data` just now
      const bool same =
          data == arrays_[k].ptr() && Py_REFCNT(data) <= ours && PyLong_AsLongLong(version) == versions_[k];
      Py_DECREF(data);
      Py_DECREF(version);
      if (!same) return false;
    }
    return true;
  }

 private:
  bool owned_ = true;
  std::vector<py::object> tensors_;
  std::vector<py::array> arrays_;
  std::vector<long long> versions_;
};

class Stepper {
 public:
  virtual ~Stepper() = default;
  bool unchanged() const { return watch_.unchanged(); }
  const std::shared_ptr<PackedWeights>& packed() const { return packed_; }
  /// (y, state) of one step, or None if x or a state is not an array of the right kind: the caller then says what is
  /// wrong.
  virtual py::object step(const py::handle& x, const py::handle& state) = 0;

 protected:
  Stepper(const py::list& tensors, py::object state_type) : watch_(tensors), state_type_(std::move(state_type)) {}
  Watch watch_;
  py::object state_type_;
  std::shared_ptr<PackedWeights> packed_;
};

template <class S>
class StepperOf final : public Stepper {
 public:
  StepperOf(const std::string& name, const py::list& tensors, const py::object& state_type, const CellArrays<S>& from)
      : Stepper(tensors, state_type) {
    auto packed = std::make_shared<PackedWeightsOf<S>>(cells().find<S>(name), from);
    weights_ = packed.get();
    packed_ = std::move(packed);
  }

  py::object step(const py::handle& x, const py::handle& state) override {
    const Index H = weights_->sizes.hidden, I = weights_->sizes.input;
    const int states = 1 + weights_->cell->info.states;
    const S* const x_data = rows_of(x, -1, I);
    if (x_data == nullptr) return py::none();
    const Index B = py::reinterpret_borrow<py::array>(x).shape(0);
    Inputs<S> in;
    in.T = 1;
    in.B = B;
    in.x = x_data;
    if (!state.is_none()) {
      if (!PyTuple_Check(state.ptr()) || PyTuple_GET_SIZE(state.ptr()) != states) return py::none();
      for (int k = 0; k < states; ++k) {
        const S* const data = rows_of(PyTuple_GET_ITEM(state.ptr(), k), B, H);
        if (data == nullptr) return py::none();
        (k == 0 ? in.h0 : in.state0[k - 1]) = data;
      }
    }
    Outputs<S> out;
    py::tuple last(states);
    const py::array y = new_rows(B, &out.y);
    last[0] = new_rows(B, &out.h_last);
    for (int k = 1; k < states; ++k) last[std::size_t(k)] = new_rows(B, &out.state_last[k - 1]);

    std::unique_ptr<Run<S>> run = take();
    const double work = double(B) * double(weights_->cell->info.weight_gates) * double(H) * double(H + I);
    if (work >= release_from) {
      py::gil_scoped_release release;
      run->forward(*weights_->cell, weights_->sizes, weights_->weights, nullptr, in, out, false);
    } else {
      run->forward(*weights_->cell, weights_->sizes, weights_->weights, nullptr, in, out, false);
    }
    runs_.push_back(std::move(run));
    return py::make_tuple(
        y, py::reinterpret_steal<py::object>(checked(PyObject_CallObject(state_type_.ptr(), last.ptr()))));
  }

 private:
  static PyObject* checked(PyObject* object) {
    if (object == nullptr) throw py::error_already_set();
    return object;
  }
  /// Data of a (rows, columns) C-contiguous array of S; null if it is anything else. rows < 0: any.
  static const S* rows_of(py::handle object, Index rows, Index columns) {
    if (!py::isinstance<py::array>(object)) return nullptr;
    const py::array array = py::reinterpret_borrow<py::array>(object);
    static const int wanted = py::dtype::of<S>().num();
    if (array.ndim() != 2 || array.shape(1) != columns || (rows >= 0 && array.shape(0) != rows)) return nullptr;
    if (array.dtype().num() != wanted || array.dtype().byteorder() == '>' || (array.flags() & py::array::c_style) == 0)
      return nullptr;
    return static_cast<const S*>(array.data());
  }
  py::array new_rows(Index B, S** data) const { return new_array<S>({B, weights_->sizes.hidden}, data); }
  /// Scratch of a finished step, or new: as many as threads ever stepped at once. Called with the GIL held.
  std::unique_ptr<Run<S>> take() {
    if (runs_.empty()) return std::make_unique<Run<S>>();
    std::unique_ptr<Run<S>> run = std::move(runs_.back());
    runs_.pop_back();
    return run;
  }

  PackedWeightsOf<S>* weights_ = nullptr;
  std::vector<std::unique_ptr<Run<S>>> runs_;
};

std::shared_ptr<Stepper> make_stepper(const std::string& name, const py::list& tensors, const py::object& state_type) {
  // tensors: W_ih, W_hh, b or None, then the per-unit vectors
  const auto data = [&](std::size_t k) -> py::object {
    return tensors[k].is_none() ? py::object(py::none()) : py::object(tensors[k].attr("_data"));
  };
  std::vector<py::object> vectors;
  for (std::size_t k = 3; k < tensors.size(); ++k) vectors.push_back(data(k));
  return dispatch(py::cast<py::array>(data(0)).dtype(), [&](auto scalar) -> std::shared_ptr<Stepper> {
    using S = decltype(scalar);
    const CellArrays<S> arrays(cells().find<S>(name).info, data(0), data(1), data(2), vectors);
    return std::make_shared<StepperOf<S>>(name, tensors, state_type, arrays);
  });
}

}  // namespace

void bind_stepper(py::module_& m) {
  py::class_<PackedWeights, std::shared_ptr<PackedWeights>>(m, "PackedWeights", "A cell's weights in kernel layout.");
  py::class_<Stepper, std::shared_ptr<Stepper>>(m, "Stepper",
                                                "Streaming steps of one cell with its weights as they are now.")
      .def(py::init(&make_stepper), py::arg("name"), py::arg("tensors"), py::arg("state_type"))
      .def("unchanged", &Stepper::unchanged, "True if no parameter can have changed since packing.")
      .def_property_readonly("packed", &Stepper::packed)
      .def("step", &Stepper::step, py::arg("x"), py::arg("state"));
}

}  // namespace unrolled::bindings
