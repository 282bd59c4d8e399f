// Whose memory an array lies in: what the tape asks before it makes a gradient its own.
#include "bindings/memory.h"

#include <algorithm>

#include "bindings/arrays.h"

namespace unrolled::bindings {
namespace {

bool is_writeable(py::handle object) {
  return is_array(object) &&
         (py::detail::array_proxy(object.ptr())->flags & py::detail::npy_api::NPY_ARRAY_WRITEABLE_) != 0;
}

}  // namespace

bool is_array(py::handle object) { return py::detail::npy_api::get().PyArray_Check_(object.ptr()); }

py::handle owner_of(py::handle object) {
  while (is_array(object)) {
    PyObject* const base = py::detail::array_proxy(object.ptr())->base;
    if (base == nullptr || py::isinstance<ResultMemory>(base)) break;
    object = base;
  }
  return object;
}

std::vector<bool> own_memory(const std::vector<py::object>& given, const py::list& incoming) {
  std::vector<PyObject*> owners, taken;
  bool all_known = true;
  for (const py::object& object : given) {
    owners.push_back(owner_of(object).ptr());
    all_known = all_known && (owners.back() == object.ptr() || is_array(owners.back()));
  }
  for (const py::handle object : incoming) taken.push_back(object.ptr());
  taken.insert(taken.end(), owners.begin(), owners.end());
  std::sort(taken.begin(), taken.end());
  std::vector<bool> own(given.size());
  for (std::size_t k = 0; k < own.size(); ++k) {
    const auto [first, last] = std::equal_range(taken.begin(), taken.end(), owners[k]);
    own[k] = all_known && owners[k] == given[k].ptr() && last - first == 1 && is_writeable(owners[k]);
  }
  return own;
}

void bind_memory(py::module_& m) {
  py::class_<ResultMemory>(m, "ResultMemory", "Memory of the array of one large result, which has it as its base.");
  m.def("empty", &empty_array, py::arg("shape"), py::arg("dtype"),
        "A new array, not filled; of floats, in memory of earlier calls where it is large.");
  m.def("owner_of", &owner_of, py::arg("array"), "The object whose memory an array lies in: itself, if it is no view.");
}

}  // namespace unrolled::bindings
