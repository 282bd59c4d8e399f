#pragma once

#include <pybind11/pybind11.h>

namespace unrolled::bindings {

void bind_tape_record(pybind11::module_& m);

}  // namespace unrolled::bindings
