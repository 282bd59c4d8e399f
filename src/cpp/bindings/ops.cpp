// The op table for Python: an op takes a sequence of C-contiguous, aligned arrays (None = absent) and a dict of
// attributes.
#include "bindings/ops.h"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>

#include "bindings/arrays.h"
#include "bindings/watch.h"
#include "ops/op.h"

namespace py = pybind11;

namespace unrolled::bindings {
namespace {

using ops::Array;
using ops::Arrays;
using ops::Attributes;
using ops::Op;
using ops::Spec;
using ops::Type;

Type type_of(const py::array& array) {
  const py::dtype dtype = array.dtype();
  if (dtype.byteorder() != '>' && dtype.kind() == 'f' && dtype.itemsize() == 4) return Type::f32;
  if (dtype.byteorder() != '>' && dtype.kind() == 'f' && dtype.itemsize() == 8) return Type::f64;
  if (dtype.byteorder() != '>' && dtype.kind() == 'i' && dtype.itemsize() == 8) return Type::i64;
  throw py::type_error("expected float32, float64 or int64, received " + std::string(py::str(dtype)));
}

py::array allocate(const Spec& spec) {
  return empty_array(spec.shape, spec.type == Type::f32   ? py::dtype::of<float>()
                                 : spec.type == Type::f64 ? py::dtype::of<double>()
                                                          : py::dtype::of<std::int64_t>());
}

Array view(py::handle object) {
  if (object.is_none()) return {};
  if (!py::isinstance<py::array>(object)) throw py::type_error("expected a NumPy array or None");
  const auto array = py::reinterpret_borrow<py::array>(object);
  if (!is_laid_out(array.flags())) throw py::value_error("expected a C-contiguous and aligned array");
  return {
      {type_of(array), ops::Shape(array.shape(), array.shape() + array.ndim())}, const_cast<void*>(array.data()), true};
}

/// As many entries as `count`: what is not given is absent.
Arrays views(const py::sequence& objects, std::size_t count, const char* what) {
  if (objects.size() > count) throw py::value_error(std::string("too many ") + what);
  Arrays arrays(count);
  for (std::size_t i = 0; i < objects.size(); ++i) arrays[i] = view(objects[i]);
  return arrays;
}

Arrays input_views(const Op& op, const py::sequence& objects) {
  Arrays inputs = views(objects, static_cast<std::size_t>(op.most_inputs), "inputs");
  for (int i = 0; i < op.least_inputs; ++i)
    if (!inputs[static_cast<std::size_t>(i)]) throw py::value_error(std::string(op.name) + ": an input is missing");
  return inputs;
}

Attributes attributes_of(const py::dict& given) {
  Attributes attributes;
  for (const auto& [name, value] : given) {
    if (py::isinstance<py::float_>(value))
      attributes.set(py::cast<std::string>(name), py::cast<double>(value));
    else
      attributes.set(py::cast<std::string>(name), py::cast<std::int64_t>(value));
  }
  return attributes;
}

/// What an op has made of an input, until the Tensor behind that changes.
class PreparedOp {
 public:
  PreparedOp(const Op& op, const py::sequence& tensors, const py::dict& attributes)
      : op_(op), source_(source_of(op, tensors)), watch_(py::make_tuple(source_)) {
    py::list arrays;
    for (const py::handle tensor : tensors)
      arrays.append(tensor.is_none() ? py::object(py::none()) : py::object(tensor.attr("_data")));
    const Arrays in = input_views(op, arrays);
    const Attributes constants = attributes_of(attributes);
    op.shapes(in, constants);  // checks them
    data_ = in[std::size_t(op.preparation.input)].data;
    py::gil_scoped_release release;
    made_ = op.preparation.make(in, constants);
  }
  /// Whether it is good for a call with these inputs.
  bool serves(const py::sequence& tensors) {
    return py::object(tensors[std::size_t(op_.preparation.input)]).is(source_) && watch_.unchanged();
  }
  void forward(const Op& op, const Arrays& in, const Attributes& attributes, const Arrays& out) const {
    if (&op != &op_ || in[std::size_t(op.preparation.input)].data != data_)
      throw std::invalid_argument("prepared for another op or input");
    op.preparation.forward(in, attributes, out, made_.get());
  }

 private:
  static py::object source_of(const Op& op, const py::sequence& tensors) {
    if (op.preparation.make == nullptr || tensors.size() <= std::size_t(op.preparation.input))
      throw std::invalid_argument(std::string(op.name) + ": nothing can be prepared");
    return tensors[std::size_t(op.preparation.input)];
  }

  const Op& op_;
  py::object source_;
  Watch watch_;
  const void* data_ = nullptr;
  std::shared_ptr<const void> made_;
};

/// The results, and with `keep` what vjp needs beside them.
py::tuple forward(const Op& op, const py::sequence& inputs, const py::dict& attributes, bool keep,
                  const PreparedOp* prepared) {
  const Arrays in = input_views(op, inputs);
  const Attributes constants = attributes_of(attributes);
  const std::vector<Spec> specs = op.shapes(in, constants);
  const std::size_t made = keep || !op.keeps_if_asked ? specs.size() : static_cast<std::size_t>(op.results);
  py::tuple results(made);
  Arrays out(specs.size());
  for (std::size_t i = 0; i < made; ++i) {
    py::array array = allocate(specs[i]);
    out[i] = {specs[i], array.mutable_data(), true};
    results[i] = std::move(array);
  }
  py::gil_scoped_release release;
  if (prepared)
    prepared->forward(op, in, constants, out);
  else
    op.forward(in, constants, out);
  return results;
}

py::tuple vjp(const Op& op, const py::sequence& inputs, const py::dict& attributes, const py::sequence& outputs,
              const py::sequence& gradients, const py::sequence& wanted) {
  const Arrays in = input_views(op, inputs);
  const Attributes constants = attributes_of(attributes);
  const std::vector<Spec> specs = op.shapes(in, constants);
  const Arrays out = views(outputs, specs.size(), "outputs"), dy = views(gradients, specs.size(), "gradients");
  for (std::size_t i = 0; i < specs.size(); ++i) {
    if (!out[i] || out[i].spec.type != specs[i].type || out[i].shape() != specs[i].shape)
      throw py::value_error(std::string(op.name) + ": an output is not what forward gave");
    if (i < static_cast<std::size_t>(op.results) &&
        (!dy[i] || dy[i].spec.type != specs[i].type || dy[i].shape() != specs[i].shape))
      throw py::value_error(std::string(op.name) +
                            ": the gradient of a result must have the type and shape of the result");
  }
  py::tuple results(inputs.size());
  Arrays dx(in.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    results[i] = py::none();
    if (!in[i] || i >= wanted.size() || !py::cast<bool>(wanted[i])) continue;
    py::array array = allocate(in[i].spec);
    dx[i] = {in[i].spec, array.mutable_data(), true};
    results[i] = std::move(array);
  }
  if (std::none_of(dx.begin(), dx.end(), [](const Array& array) { return bool(array); })) return results;
  py::gil_scoped_release release;
  op.vjp(in, constants, out, dy, dx);
  return results;
}

}  // namespace

void bind_ops(py::module_& m) {
  py::class_<Op>(m, "Op", "One op of the table: shapes, forward and vector-Jacobian product.")
      .def_property_readonly("name", [](const Op& op) { return op.name; })
      .def_readonly("results", &Op::results)
      .def("forward", &forward, py::arg("inputs"), py::arg("attributes"), py::arg("keep") = true,
           py::arg("prepared") = py::none())
      .def("vjp", &vjp, py::arg("inputs"), py::arg("attributes"), py::arg("outputs"), py::arg("gradients"),
           py::arg("wanted"));
  py::class_<PreparedOp>(m, "PreparedOp", "What an op has made of one input, such as packed weights, for many calls.")
      .def(py::init<const Op&, const py::sequence&, const py::dict&>(), py::arg("op"), py::arg("tensors"),
           py::arg("attributes"))
      .def("serves", &PreparedOp::serves, py::arg("tensors"), "Whether a call with these inputs may use it.");
  m.def("op", &ops::find_op, py::return_value_policy::reference, py::arg("name"));
  m.def("op_names", &ops::op_names);
}

}  // namespace unrolled::bindings
