#include <pybind11/pybind11.h>

#include "core/threads.h"

namespace py = pybind11;

PYBIND11_MODULE(_core_native, m) {
  m.def("get_num_threads", &unrolled::get_num_threads);
  m.def("set_num_threads", &unrolled::set_num_threads);
}
