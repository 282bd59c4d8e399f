// Optimizer updates for Python: in place on C-contiguous, aligned float32 or float64 arrays.
#include "bindings/optim.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

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

template <class S>
void update_as(const std::string& rule, const py::array& p, const py::array& g, const std::vector<py::array>& slots,
               const optim::Coefficients& coefficients) {
  const Index size = p.size();
  S* const parameter = memory<S>(p, size, "parameter");
  if (!is_given<S>(g) || g.size() != size) throw py::type_error("gradient: wrong dtype, layout or size");
  const S* const gradient = static_cast<const S*>(g.data());
  std::vector<S*> states;
  for (const py::array& slot : slots) states.push_back(memory<S>(slot, size, "state"));
  const py::gil_scoped_release release;
  optim::update<S>(rule, size, parameter, gradient, states, coefficients);
}

void update(const std::string& rule, const py::array& p, const py::array& g, const std::vector<py::array>& slots,
            const optim::Coefficients& coefficients) {
  if (is_given<float>(p)) return update_as<float>(rule, p, g, slots, coefficients);
  update_as<double>(rule, p, g, slots, coefficients);
}

template <class S>
double sum_of_squares_as(const py::array& values) {
  const S* const data = static_cast<const S*>(values.data());
  const Index size = values.size();
  const py::gil_scoped_release release;
  return optim::sum_of_squares<S>(data, size);
}

double sum_of_squares(const py::array& values) {
  if (is_given<float>(values)) return sum_of_squares_as<float>(values);
  if (is_given<double>(values)) return sum_of_squares_as<double>(values);
  throw py::type_error("expected a C-contiguous and aligned float32 or float64 array");
}

}  // namespace

void bind_optim(py::module_& m) {
  m.def("optimizer_update", &update, py::arg("rule"), py::arg("parameter"), py::arg("gradient"), py::arg("state"),
        py::arg("coefficients"), "One update in place; see optim/update.h.");
  m.def("sum_of_squares", &sum_of_squares, py::arg("values"), "In float64, in a fixed order.");
}

}  // namespace unrolled::bindings
