#pragma once

#include <pybind11/pybind11.h>

namespace unrolled::bindings {

/// `optimizer_update` and `sums_of_squares`.
void bind_optim(pybind11::module_& m);

}  // namespace unrolled::bindings
