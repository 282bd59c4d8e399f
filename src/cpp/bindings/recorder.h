// Calls of one cell with a tape, the quick way.
#pragma once

#include <pybind11/pybind11.h>

namespace unrolled::bindings {

void bind_recorder(pybind11::module_& m);

}  // namespace unrolled::bindings
