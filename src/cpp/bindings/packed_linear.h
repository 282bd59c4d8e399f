// A linear layer without a tape.
#pragma once

#include <pybind11/pybind11.h>

namespace unrolled::bindings {

void bind_packed_linear(pybind11::module_& m);

}  // namespace unrolled::bindings
