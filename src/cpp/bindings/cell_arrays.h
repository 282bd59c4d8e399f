// What a cell is given as NumPy arrays and numbers: parameters, options, packed weights.
#pragma once

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "bindings/arrays.h"
#include "engine/engine.h"

namespace unrolled::bindings {

/// Multiply-adds of a call over T steps of B rows, about.
inline double multiply_adds_of(const CellInfo& info, const Sizes& sizes, Index T, Index B) {
  const double gates = std::max(info.input_gates, info.weight_gates());
  return double(T) * double(B) * gates * double(sizes.hidden) * double(sizes.hidden + sizes.row);
}
inline double recurrent_weights_of(const CellInfo& info, const Sizes& sizes) {
  return double(info.weight_gates()) * double(sizes.hidden) * double(sizes.hidden);
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
    each_vector_group(info, sizes, [&](int group, int first, int count, Index width) {
      const S* const data =
          optional_data<S>(weights[std::size_t(2 + info.matrices + group)], {count * width}, "per-unit parameter");
      for (int n = 0; data && n < count; ++n) pointers.vector[first + n] = data + n * width;
    });
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
