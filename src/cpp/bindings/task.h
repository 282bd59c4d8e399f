// Native work between Python and Python: prepared with the GIL, run without it, alone or beside others.
#pragma once

#include <pybind11/pybind11.h>

#include <functional>
#include <vector>

namespace unrolled::bindings {

struct Task {
  double work;                              // multiply-adds, about
  std::function<void()> run;                // touches no Python object
  std::function<pybind11::tuple()> result;  // afterwards
};

/// Runs the tasks without the GIL, at the same time where that is faster than one after the other: two directions of a
/// layer on two cores need not meet at every step. The first exception is thrown on.
void run(const std::vector<Task>& tasks);

}  // namespace unrolled::bindings
