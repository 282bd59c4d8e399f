// The extension module of one ISA level: threads, how it was built, and the functions of every part.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <Eigen/Core>

#include "bindings/constants.h"
#include "bindings/grad_mode.h"
#include "bindings/memory.h"
#include "bindings/ops.h"
#include "bindings/optim.h"
#include "bindings/packed_linear.h"
#include "bindings/quick_wiring.h"
#include "bindings/recurrent.h"
#include "bindings/tape_record.h"
#include "bindings/tape_walk.h"
#include "core/packet.h"
#include "core/threads.h"
#include "init/orthogonal.h"

namespace py = pybind11;

namespace {

py::dict build_config() {
  py::dict config;
  config["version"] = UNROLLED_VERSION;
  config["isa"] = UNROLLED_ISA;
  config["float32_lanes"] = unrolled::lanes<float>;
  config["float64_lanes"] = unrolled::lanes<double>;
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  config["fma"] = true;
#else
  config["fma"] = false;
#endif
  config["compiler"] = UNROLLED_COMPILER;
  config["flags"] = UNROLLED_FLAGS;
  config["build_type"] = UNROLLED_BUILD_TYPE;
  config["eigen"] = py::str("{}.{}.{}").format(EIGEN_WORLD_VERSION, EIGEN_MAJOR_VERSION, EIGEN_MINOR_VERSION);
#if defined(_OPENMP)
  config["openmp"] = _OPENMP;
#else
  config["openmp"] = py::none();
#endif
  return config;
}

void orthonormal_columns(py::array_t<double, py::array::c_style> matrix) {
  if (matrix.ndim() != 2 || matrix.shape(0) < matrix.shape(1)) throw py::value_error("a tall matrix is expected");
  double* const data = matrix.mutable_data();
  const py::gil_scoped_release release;
  unrolled::orthonormal_columns(data, matrix.shape(0), matrix.shape(1));
}

}  // namespace

PYBIND11_MODULE(UNROLLED_MODULE, m) {
  m.doc() = "Native kernels of unrolled, compiled for ISA level " UNROLLED_ISA ".";
  m.attr("__isa__") = UNROLLED_ISA;
  m.def("get_num_threads", &unrolled::get_num_threads, "Most threads that a call uses.");
  m.def("set_num_threads", &unrolled::set_num_threads, py::arg("count"));
  unrolled::bindings::bind_memory(m);
  unrolled::bindings::bind_grad_mode(m);
  unrolled::bindings::bind_constants(m);
  unrolled::bindings::bind_tape_record(m);
  unrolled::bindings::bind_tape_walk(m);
  unrolled::bindings::bind_recurrent(m);
  unrolled::bindings::bind_quick_wiring(m);
  unrolled::bindings::bind_ops(m);
  unrolled::bindings::bind_packed_linear(m);
  unrolled::bindings::bind_optim(m);
  m.def("orthonormal_columns", &orthonormal_columns, py::arg("matrix").noconvert(),
        "Makes the columns of a float64 matrix orthonormal in place; see init/orthogonal.h.");
  m.def("build_config", &build_config, "How this module was built.");
}
