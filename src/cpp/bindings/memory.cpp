// Whose memory an array lies in: what the tape asks before it makes a gradient its own.
#include "bindings/memory.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <vector>

#include "bindings/arrays.h"

namespace unrolled::bindings {
namespace {

/// The object whose memory an array lies in: itself, where it is no view. Whatever is no array owns itself.
py::handle owner_of(py::handle object) {
  if (!py::detail::npy_api::get().PyArray_Check_(object.ptr())) return object;
  PyObject* const base = py::detail::array_proxy(object.ptr())->base;
  return base == nullptr || py::isinstance<ResultMemory>(base) ? object : py::handle(base);
}

/// Of each given object whether its memory is its own: it is no view, lies in the memory of no incoming one, and is not
/// given twice.
py::list own_memory(const py::sequence& given, const py::sequence& incoming) {
  std::vector<PyObject*> owners, taken;
  std::vector<bool> whole;
  for (const py::object object : given) {
    owners.push_back(owner_of(object).ptr());
    whole.push_back(owners.back() == object.ptr());
  }
  for (const py::object object : incoming) taken.push_back(object.ptr());
  taken.insert(taken.end(), owners.begin(), owners.end());
  std::sort(taken.begin(), taken.end());
  py::list own(owners.size());
  for (std::size_t k = 0; k < owners.size(); ++k) {
    const auto [first, last] = std::equal_range(taken.begin(), taken.end(), owners[k]);
    own[k] = py::bool_(whole[k] && last - first == 1);
  }
  return own;
}

}  // namespace

void bind_memory(py::module_& m) {
  py::class_<ResultMemory>(m, "ResultMemory", "Memory of the array of one large result, which has it as its base.");
  m.def("empty", &empty_array, py::arg("shape"), py::arg("dtype"),
        "A new array, not filled; of floats, in memory of earlier calls where it is large.");
  m.def("owner_of", &owner_of, py::arg("array"), "The object whose memory an array lies in: itself, if it is no view.");
  m.def(
      "own_memory", &own_memory, py::arg("given"), py::arg("incoming"),
      "Of each given object whether it is no view, shares no memory with those given beside it, and is not incoming.");
}

}  // namespace unrolled::bindings
