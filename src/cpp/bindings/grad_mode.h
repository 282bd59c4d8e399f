// Whether ops are recorded in this thread.
#pragma once

#include <pybind11/pybind11.h>

namespace unrolled::bindings {

bool is_grad_enabled();

void bind_grad_mode(pybind11::module_& m);

}  // namespace unrolled::bindings
