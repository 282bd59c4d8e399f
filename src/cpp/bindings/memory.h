// Whose memory an array lies in.
#pragma once

#include <pybind11/pybind11.h>

#include <vector>

namespace unrolled::bindings {

namespace py = pybind11;

/// Whether it is an array of NumPy, of whatever kind.
bool is_array(py::handle object);

/// The object whose memory an array lies in: itself, where it is no view. Whatever is no array owns itself.
py::handle owner_of(py::handle object);

/// Of each given object whether it is an array whose memory is its own to write to: it is no view, lies in the memory
/// of no incoming one, and is not given twice. Of none where one of them lies in memory of which this cannot be told.
std::vector<bool> own_memory(const std::vector<py::object>& given, const py::list& incoming);

void bind_memory(py::module_& m);

}  // namespace unrolled::bindings
