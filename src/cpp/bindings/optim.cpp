// Optimizer updates for Python: in place on C-contiguous, aligned float32 or float64 arrays.
#include "bindings/optim.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <functional>
#include <string>
#include <vector>

#include "bindings/quick_arrays.h"
#include "optim/update.h"

namespace py = pybind11;

namespace unrolled::bindings {
namespace {

template <class S>
using Given = py::array_t<S, py::array::c_style>;

/// Whether an array is of this type and laid out for kernels.
template <class S>
bool is_given(const py::array& array) {
  return py::isinstance<Given<S>>(array) && is_laid_out(array.flags());
}

/// The memory of an array that is of this type, C-contiguous, aligned, writeable and of this size; anything else is an
/// error, never a copy.
template <class S>
S* memory(const py::array& array, Index size, const char* what) {
  if (!is_given<S>(array)) throw py::type_error(std::string(what) + ": wrong dtype, or not C-contiguous and aligned");
  if (array.size() != size) throw py::value_error(std::string(what) + ": wrong size");
  return static_cast<S*>(py::reinterpret_borrow<Given<S>>(array).mutable_data());
}

/// A parameter, its gradient and its state arrays, of one type.
using ArrayList = std::vector<py::array>;
using Loop = std::function<void()>;  // over memory that has been checked, for when Python may go on

template <class S>
Loop update_of(const std::string& rule, const ArrayList& arrays, const optim::Coefficients& coefficients) {
  const Index size = arrays[0].size();
  S* const parameter = memory<S>(arrays[0], size, "parameter");
  if (!is_given<S>(arrays[1]) || arrays[1].size() != size)
    throw py::type_error("gradient: wrong dtype, layout or size");
  const S* const gradient = static_cast<const S*>(arrays[1].data());
  std::vector<S*> states;
  for (std::size_t k = 2; k < arrays.size(); ++k) states.push_back(memory<S>(arrays[k], size, "state"));
  return [=, &rule, &coefficients] { optim::update<S>(rule, size, parameter, gradient, states, coefficients); };
}

/// All or none where an array does not fit.
void update(const std::string& rule, const std::vector<ArrayList>& parameters,
            const optim::Coefficients& coefficients) {
  std::vector<Loop> loops;
  for (const ArrayList& arrays : parameters) {
    if (arrays.size() < 2) throw py::value_error("a parameter needs a gradient");
    loops.push_back(is_given<float>(arrays[0]) ? update_of<float>(rule, arrays, coefficients)
                                               : update_of<double>(rule, arrays, coefficients));
  }
  const py::gil_scoped_release release;
  for (const Loop& run : loops) run();
}

template <class S>
Loop sum_of(const py::array& values, double& sum) {
  if (!is_given<S>(values)) throw py::type_error("expected C-contiguous and aligned float32 or float64 arrays");
  const S* const data = static_cast<const S*>(values.data());
  return [data, size = values.size(), &sum] { sum = optim::sum_of_squares<S>(data, size); };
}

std::vector<double> sums_of_squares(const ArrayList& arrays) {
  std::vector<double> sums(arrays.size());
  std::vector<Loop> loops;
  for (std::size_t k = 0; k < arrays.size(); ++k)
    loops.push_back(is_given<float>(arrays[k]) ? sum_of<float>(arrays[k], sums[k])
                                               : sum_of<double>(arrays[k], sums[k]));
  const py::gil_scoped_release release;
  for (const Loop& run : loops) run();
  return sums;
}

}  // namespace

void bind_optim(py::module_& m) {
  m.def("optimizer_update", &update, py::arg("rule"), py::arg("parameters"), py::arg("coefficients"),
        "One update in place of each parameter, given as (parameter, gradient, state arrays ..); see optim/update.h.");
  m.def("sums_of_squares", &sums_of_squares, py::arg("arrays"), "Of each array, in float64, in a fixed order.");
}

}  // namespace unrolled::bindings
