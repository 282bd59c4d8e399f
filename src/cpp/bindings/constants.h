// Tensors around results.
#pragma once

#include <pybind11/pybind11.h>

namespace unrolled::bindings {

void bind_constants(pybind11::module_& m);

}  // namespace unrolled::bindings
