// NumPy arrays as pointers, checked.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <initializer_list>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace unrolled::bindings {

namespace py = pybind11;

inline py::array array_of(const py::object& object, const char* who) {
  if (!py::isinstance<py::array>(object)) throw std::invalid_argument(std::string(who) + ": an array is expected");
  return py::reinterpret_borrow<py::array>(object);
}

/// The data of a C-contiguous array of exactly this dtype and shape.
template <class S>
const S* data_of(const py::array& array, std::initializer_list<Index> shape, const char* who) {
  const auto wrong = [&](const char* what) { return std::invalid_argument(std::string(who) + ": " + what); };
  if (!array.dtype().equal(py::dtype::of<S>())) throw wrong("unexpected dtype");
  if (array.ndim() != static_cast<py::ssize_t>(shape.size())) throw wrong("unexpected number of dimensions");
  py::ssize_t axis = 0;
  for (const Index size : shape)
    if (array.shape(axis++) != size) throw wrong("unexpected shape");
  if ((array.flags() & py::array::c_style) == 0) throw wrong("a C-contiguous array is expected");
  return static_cast<const S*>(array.data());
}

/// The same, or null for None.
template <class S>
const S* optional_data(const py::object& object, std::initializer_list<Index> shape, const char* who) {
  if (object.is_none()) return nullptr;
  return data_of<S>(array_of(object, who), shape, who);
}

template <class S>
py::array new_array(std::initializer_list<Index> shape, S** data) {
  py::array_t<S> array(std::vector<py::ssize_t>(shape.begin(), shape.end()));
  *data = array.mutable_data();
  return std::move(array);
}

/// Calls use(S()) for the scalar type of a dtype.
template <class F>
auto dispatch(const py::dtype& dtype, F&& use) {
  if (dtype.equal(py::dtype::of<float>())) return use(float());
  if (dtype.equal(py::dtype::of<double>())) return use(double());
  throw py::type_error("float32 or float64 is expected");
}

/// A cell's parameter arrays, checked, kept alive.
template <class S>
struct CellArrays {
  Parameters<S> pointers;
  Sizes sizes;
  std::vector<py::object> arrays;

  CellArrays() = default;
  CellArrays(const CellInfo& info, const py::object& W_ih, const py::object& W_hh, const py::object& b,
             const std::vector<py::object>& vectors)
      : arrays(vectors) {
    arrays.insert(arrays.end(), {W_ih, W_hh, b});
    const py::array input = array_of(W_ih, "W_ih");
    if (input.ndim() != 2 || input.shape(0) % info.input_gates != 0)
      throw std::invalid_argument("W_ih: unexpected shape");
    sizes = {input.shape(1), input.shape(0) / info.input_gates};
    const Index H = sizes.hidden;
    if (H == 0 || sizes.input == 0) throw std::invalid_argument("sizes of at least 1 are expected");
    pointers.W_ih = data_of<S>(input, {info.input_gates * H, sizes.input}, "W_ih");
    pointers.W_hh = data_of<S>(array_of(W_hh, "W_hh"), {info.weight_gates * H, H}, "W_hh");
    pointers.b = optional_data<S>(b, {info.input_gates * H}, "b");
    if (static_cast<int>(vectors.size()) != info.vectors) throw std::invalid_argument("vectors: unexpected number");
    for (int k = 0; k < info.vectors; ++k)
      pointers.vector[k] = optional_data<S>(vectors[std::size_t(k)], {H}, "vector");
  }
};

/// Weights packed once for many calls; read by any number of threads.
class PackedWeights {
 public:
  virtual ~PackedWeights() = default;
  template <class S>
  ForwardWeights<S>& of(const CellKernel<S>& cell, Sizes sizes);
};

template <class S>
class PackedWeightsOf final : public PackedWeights {
 public:
  PackedWeightsOf(const CellKernel<S>& kernel, const CellArrays<S>& from) : cell(&kernel), sizes(from.sizes) {
    weights.prepare(kernel.info, sizes);
    weights.pack_share(kernel.info, sizes, from.pointers, 0, 1);
  }
  const CellKernel<S>* cell;
  Sizes sizes;
  ForwardWeights<S> weights;
};

template <class S>
ForwardWeights<S>& PackedWeights::of(const CellKernel<S>& cell, Sizes sizes) {
  auto* const mine = dynamic_cast<PackedWeightsOf<S>*>(this);
  if (mine == nullptr || mine->cell != &cell || mine->sizes.input != sizes.input || mine->sizes.hidden != sizes.hidden)
    throw std::invalid_argument("packed weights of another cell, size or dtype");
  return mine->weights;
}

}  // namespace unrolled::bindings
