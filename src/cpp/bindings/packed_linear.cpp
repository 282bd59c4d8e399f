// y = x W' + b of few rows without a tape: W packed once, the arguments taken the quick way.
#include "bindings/packed_linear.h"

#include <memory>
#include <utility>

#include "bindings/arrays.h"
#include "bindings/quick_call.h"
#include "bindings/quick_function.h"
#include "bindings/tape_record.h"
#include "bindings/watch.h"
#include "gemm/packed_matrix.h"

namespace unrolled::bindings {
namespace {

class PackedLinear {
 public:
  virtual ~PackedLinear() = default;
  bool unchanged() { return watch_.unchanged(); }
  /// y as a constant; null if a parameter may have changed, or x is not an array or Tensor of few rows of the right
  /// kind.
  virtual py::object product(PyObject* x) = 0;

 protected:
  PackedLinear(std::shared_ptr<TapeRecord> tape, Watch watch) : tape_(std::move(tape)), watch_(std::move(watch)) {}
  std::shared_ptr<TapeRecord> tape_;
  Watch watch_;
};

template <class S>
class PackedLinearOf final : public PackedLinear {
 public:
  PackedLinearOf(std::shared_ptr<TapeRecord> tape, Watch watch, PyObject* W, PyObject* b)
      : PackedLinear(std::move(tape), std::move(watch)) {
    const auto* const weights = arrays_.array(W, 2);
    const auto* const bias = weights && b != Py_None ? arrays_.array(b, 1, weights->dimensions[0]) : nullptr;
    if (weights == nullptr || (b != Py_None && bias == nullptr)) return;  // the long way says what is wrong
    W_ = reinterpret_cast<const S*>(weights->data);
    b_ = bias ? reinterpret_cast<const S*>(bias->data) : nullptr;
    outputs_ = weights->dimensions[0];
    inputs_ = weights->dimensions[1];
  }

  py::object product(PyObject* given) override {
    if (!unchanged()) {  // for good
      packed_.reset();
      W_ = b_ = nullptr;
    }
    if (W_ == nullptr) return {};
    const py::object x = tape_->bare(given);  // another thread may exchange the one of the Tensor
    constexpr int most_dimensions = QuickArrays<S>::most_dimensions;
    const auto* found = arrays_.array(x.ptr(), 1, inputs_);
    int dimensions = 1;
    while (!found && dimensions < most_dimensions) found = arrays_.array(x.ptr(), ++dimensions, inputs_);
    if (!found) return {};
    Index rows = 1, sizes[most_dimensions];
    for (int k = 0; k < dimensions; ++k) sizes[k] = found->dimensions[k];
    for (int k = 0; k + 1 < dimensions; ++k) rows *= sizes[k];
    if (rows == 0 || rows > PackedMatrix<S>::most_rows) return {};
    if (!packed_)
      packed_ = std::make_shared<PackedMatrix<S>>(outputs_, inputs_, ConstMatrix<S>{W_, inputs_, Trans::Yes}, b_);
    const std::shared_ptr<const PackedMatrix<S>> packed = packed_;  // another call may find changed weights meanwhile
    sizes[dimensions - 1] = outputs_;
    S* y = nullptr;
    const auto result = py::reinterpret_steal<py::object>(arrays_.make(dimensions, sizes, &y));
    run(double(rows) * double(outputs_) * double(inputs_),
        [&] { packed->multiply(rows, reinterpret_cast<const S*>(found->data), y); });
    return tape_->wrapper().wrap(result.ptr());
  }

 private:
  QuickArrays<S> arrays_;
  const S *W_ = nullptr, *b_ = nullptr;  // of arrays that the watch keeps
  Index outputs_ = 0, inputs_ = 0;
  std::shared_ptr<const PackedMatrix<S>> packed_;
};

/// product(x)
PyObject* product(PackedLinear& linear, PyObject* const* arguments, Py_ssize_t count) {
  if (count != 1) throw py::type_error("expected: x");
  py::object made = linear.product(arguments[0]);
  return (made ? std::move(made) : py::none()).release().ptr();
}
PyMethodDef product_method =
    quick_method<PackedLinear, product>("product", "y; None if a parameter may have changed or x needs the long way.");

std::shared_ptr<PackedLinear> make_packed_linear(const py::object& W, const py::object& b, const py::object& layer,
                                                 const std::shared_ptr<TapeRecord>& tape) {
  if (tape == nullptr) throw std::invalid_argument("a tape is expected");
  Watch watch(py::make_tuple(W, b), layer, py::make_tuple("W", "b"));  // before anything here refers to the arrays
  const py::object weights = W.attr("_data"), bias = b.is_none() ? b : py::object(b.attr("_data"));
  return dispatch(array_of(weights, "W").dtype(), [&](auto scalar) -> std::shared_ptr<PackedLinear> {
    using S = decltype(scalar);
    return std::make_shared<PackedLinearOf<S>>(tape, std::move(watch), weights.ptr(), bias.ptr());
  });
}

}  // namespace

void bind_packed_linear(py::module_& m) {
  py::class_<PackedLinear, std::shared_ptr<PackedLinear>>(m, "PackedLinear", "A linear layer as it is now.")
      .def(py::init(&make_packed_linear), py::arg("W"), py::arg("b"), py::arg("layer"), py::arg("tape"),
           "`layer`: whose attributes W and b are.")
      .def("unchanged", &PackedLinear::unchanged, "True if no parameter can have changed.")
      .def_property_readonly("product", [](const std::shared_ptr<PackedLinear>& linear) {
        return quick_function(linear, product_method);
      });
}

}  // namespace unrolled::bindings
