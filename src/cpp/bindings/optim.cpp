// Optimizer updates for Python: in place on C-contiguous, aligned float32 or float64 arrays.
#include "bindings/optim.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <functional>
#include <string>
#include <tuple>
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

using ArrayList = std::vector<py::array>;
using Loop = std::function<void()>;  // over memory that has been checked: needs no Python

/// One parameter: the array, its gradient, the rows that the gradient is of (None: all), state arrays.
using Part = std::tuple<py::array, py::array, py::object, ArrayList>;

const std::int64_t* rows_of(const py::array& table, const py::object& given, Index& count) {
  if (table.ndim() != 2) throw py::value_error("rows: the parameter is no table");
  const auto rows = py::reinterpret_borrow<py::array>(given);
  if (!is_given<std::int64_t>(rows)) throw py::type_error("rows: expected C-contiguous and aligned int64");
  const auto* const data = static_cast<const std::int64_t*>(rows.data());
  count = rows.size();
  for (Index n = 0; n < count; ++n)
    if (data[n] < (n == 0 ? 0 : data[n - 1] + 1) || data[n] >= table.shape(0))
      throw py::value_error("rows: expected rows of the table, sorted, each once");
  return data;
}

template <class S>
Loop update_of(const std::string& rule, const Part& part, const optim::Coefficients& coefficients) {
  const auto& [p, g, rows, slots] = part;
  const Index size = p.size();
  S* const parameter = memory<S>(p, size, "parameter");
  std::vector<S*> states;
  for (const py::array& slot : slots) states.push_back(memory<S>(slot, size, "state"));
  Index count = 0;
  const std::int64_t* const taken = rows.is_none() ? nullptr : rows_of(p, rows, count);
  const Index width = taken ? p.shape(1) : size;
  if (!is_given<S>(g) || g.size() != (taken ? count * width : size))
    throw py::type_error("gradient: wrong dtype, layout or size");
  const S* const gradient = static_cast<const S*>(g.data());
  optim::update<S>(rule, 0, parameter, gradient, states, coefficients);  // throws now if they do not fit the rule
  return [=, &rule, &coefficients] {
    if (taken)
      optim::update_rows<S>(rule, count, taken, width, parameter, gradient, states, coefficients);
    else
      optim::update<S>(rule, size, parameter, gradient, states, coefficients);
  };
}

/// All or none where something does not fit.
void update(const std::string& rule, const std::vector<Part>& parts, const optim::Coefficients& coefficients) {
  std::vector<Loop> loops;
  for (const Part& part : parts)
    loops.push_back(is_given<float>(std::get<0>(part)) ? update_of<float>(rule, part, coefficients)
                                                       : update_of<double>(rule, part, coefficients));
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
  m.def("optimizer_update", &update, py::arg("rule"), py::arg("parts"), py::arg("coefficients"),
        "One update in place of each part (parameter, gradient, rows or None, state arrays); see optim/update.h.");
  m.def("sums_of_squares", &sums_of_squares, py::arg("arrays"), "Of each array, in float64, in a fixed order.");
}

}  // namespace unrolled::bindings
