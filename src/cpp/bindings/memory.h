// Whose memory an array lies in.
#pragma once

#include <pybind11/pybind11.h>

namespace unrolled::bindings {

void bind_memory(pybind11::module_& m);

}  // namespace unrolled::bindings
