// NumPy arrays as pointers, checked.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "bindings/quick_arrays.h"
#include "engine/engine.h"

namespace unrolled::bindings {

namespace py = pybind11;

inline py::array array_of(const py::object& object, const char* who) {
  if (!py::isinstance<py::array>(object)) throw std::invalid_argument(std::string(who) + ": an array is expected");
  return py::reinterpret_borrow<py::array>(object);
}

using Shape = std::vector<Index>;

/// As Python writes a tuple.
inline std::string text_of(const Shape& shape) {
  std::string text = "(";
  for (std::size_t axis = 0; axis < shape.size(); ++axis) text += (axis ? ", " : "") + std::to_string(shape[axis]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

inline Shape shape_of(const py::array& array) { return Shape(array.shape(), array.shape() + array.ndim()); }

/// The data of a C-contiguous, aligned array of exactly this dtype and shape. A wrong dtype is a TypeError in Python.
template <class S>
const S* data_of(const py::array& array, const Shape& shape, const char* who) {
  const std::string name = who;
  const py::dtype wanted = py::dtype::of<S>();
  if (!array.dtype().equal(wanted))
    throw py::type_error(name + " has dtype " + std::string(py::str(array.dtype())) + ", expected " +
                         std::string(py::str(wanted)));
  if (shape_of(array) != shape)
    throw std::invalid_argument(name + " has shape " + text_of(shape_of(array)) + ", expected " + text_of(shape));
  if (!is_laid_out(array.flags())) throw std::invalid_argument(name + " is not C-contiguous and aligned");
  return static_cast<const S*>(array.data());
}

/// The same, or null for None.
template <class S>
const S* optional_data(const py::object& object, const Shape& shape, const char* who) {
  if (object.is_none()) return nullptr;
  return data_of<S>(array_of(object, who), shape, who);
}

template <class S>
py::array new_array(const Shape& shape, S** data) {
  const std::vector<Py_intptr_t> sizes(shape.begin(), shape.end());
  return py::reinterpret_steal<py::array>(
      make_array(py::dtype::of<S>(), static_cast<int>(shape.size()), sizes.data(), data));
}

/// Calls use(S()) for the scalar type of a dtype.
template <class F>
auto dispatch(const py::dtype& dtype, F&& use) {
  if (dtype.equal(py::dtype::of<float>())) return use(float());
  if (dtype.equal(py::dtype::of<double>())) return use(double());
  throw py::type_error("float32 or float64 is expected");
}

/// A new array, not filled; of floats, in memory of earlier calls where it is large.
inline py::array empty_array(const Shape& shape, const py::dtype& dtype) {
  const auto make = [&](auto scalar) {
    decltype(scalar)* data = nullptr;
    return new_array<decltype(scalar)>(shape, &data);
  };
  if (dtype.equal(py::dtype::of<float>())) return make(float());
  if (dtype.equal(py::dtype::of<double>())) return make(double());
  return py::array(dtype, shape);
}

/// Multiply-adds of a call over T steps of B rows, about.
inline double multiply_adds_of(const CellInfo& info, const Sizes& sizes, Index T, Index B) {
  const double gates = std::max(info.input_gates, info.weight_gates());
  return double(T) * double(B) * gates * double(sizes.hidden) * double(sizes.hidden + sizes.row);
}
inline double recurrent_weights_of(const CellInfo& info, const Sizes& sizes) {
  return double(info.weight_gates()) * double(sizes.hidden) * double(sizes.hidden);
}

/// The array itself, or a copy that is laid out for kernels.
inline py::array laid_out(const py::array& array) {
  if (is_laid_out(array.flags())) return array;
  py::array copy = empty_array(shape_of(array), array.dtype());
  if (py::detail::npy_api::get().PyArray_CopyInto_(copy.ptr(), array.ptr()) < 0) throw py::error_already_set();
  return copy;
}

/// The options of a cell, as numbers.
template <class S>
void set_numbers(Inputs<S>& in, const std::vector<double>& numbers) {
  if (numbers.size() > std::size_t(most_numbers)) throw std::invalid_argument("numbers: too many");
  std::copy(numbers.begin(), numbers.end(), in.numbers);
}

/// Regularisation, as numbers: zoneout of h and c, recurrent dropout, bound of gradients, seed, whether in training,
/// time of the first step; empty: none.
template <class S>
void set_regular(Inputs<S>& in, const CellKernel<S>& cell, const std::vector<double>& numbers) {
  if (numbers.empty()) return;
  if (numbers.size() != 7 || cell.regularised_forward[0] == nullptr)
    throw std::invalid_argument("regular: seven numbers, for a gated cell, are expected");
  in.regular = {numbers[0],     numbers[1], numbers[2], numbers[3], static_cast<std::uint64_t>(numbers[4]),
                numbers[5] != 0};
  in.first_time = static_cast<Index>(numbers[6]);
}

/// A cell's parameter arrays, checked, kept alive: W_ih, the matrices, b, the groups of per-unit vectors. b and vectors
/// may be None.
template <class S>
struct CellArrays {
  Parameters<S> pointers;
  Sizes sizes;
  std::vector<py::object> arrays;

  CellArrays() = default;
  CellArrays(const CellInfo& info, const std::vector<py::object>& weights, const std::vector<double>& numbers)
      : arrays(weights) {
    if (static_cast<int>(weights.size()) != 2 + info.matrices + info.vector_groups)
      throw std::invalid_argument("weights: unexpected number");
    const py::array input = array_of(weights[0], "W_ih");
    if (input.ndim() != 2 || input.shape(0) % info.input_gates != 0)
      throw std::invalid_argument("W_ih has shape " + text_of(shape_of(input)) + ", expected (" +
                                  std::to_string(info.input_gates) + " * hidden units, columns)");
    const Index hidden = input.shape(0) / info.input_gates;
    Inputs<S> options;
    set_numbers(options, numbers);
    const Index times = Sizes(info, options.numbers, 1, hidden).row;  // columns for every feature of x
    const Index second = second_size(info, hidden), output = info.output == Space::Hidden ? hidden : second;
    sizes = Sizes(info, options.numbers, input.shape(1) / times, hidden, output, second);
    if (sizes.hidden == 0 || sizes.input == 0) throw std::invalid_argument("sizes of at least 1 are expected");
    pointers.W_ih = data_of<S>(input, {info.input_gates * sizes.hidden, sizes.row}, "W_ih");
    for (int m = 0; m < info.matrices; ++m)
      pointers.matrix[m] =
          data_of<S>(array_of(weights[std::size_t(1 + m)], "matrix"), matrix_shape(info, m), "recurrent matrix");
    pointers.b = optional_data<S>(weights[std::size_t(1 + info.matrices)], {info.input_gates * sizes.hidden}, "b");
    for (int group = 0, k = 0; group < info.vector_groups; k += info.vector_group[group++].count) {
      const VectorGroup& of = info.vector_group[group];
      const Index width = of.shared ? 1 : sizes.width(of.space), count = of.count;
      const S* const data =
          optional_data<S>(weights[std::size_t(2 + info.matrices + group)], {count * width}, "per-unit parameter");
      for (Index n = 0; data && n < count; ++n) pointers.vector[k + n] = data + n * width;
    }
  }
  Shape matrix_shape(const CellInfo& info, int m) const {
    const Matrix& matrix = info.matrix[m];
    return {matrix.gates * sizes.width(matrix.rows), sizes.width(matrix.columns)};
  }
  /// Shape of a state of the caller, for `B` rows.
  Shape state_shape(const CellInfo& info, int k, Index B) const { return {B, state_width(info, sizes, k)}; }

 private:
  /// Width of the second space, from a matrix that has it; that of the hidden units if none has.
  Index second_size(const CellInfo& info, Index hidden) const {
    for (int m = 0; m < info.matrices; ++m) {
      const py::array array = array_of(arrays[std::size_t(1 + m)], "matrix");
      if (array.ndim() != 2) throw std::invalid_argument("matrix: unexpected number of dimensions");
      if (info.matrix[m].columns == Space::Output) return array.shape(1);
      if (info.matrix[m].rows == Space::Output) return array.shape(0) / info.matrix[m].gates;
    }
    return hidden;
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
  if (mine == nullptr || mine->cell != &cell || !(mine->sizes == sizes))
    throw std::invalid_argument("packed weights of another cell, size or dtype");
  return mine->weights;
}

}  // namespace unrolled::bindings
