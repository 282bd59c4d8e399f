// What several calls leave for their backward.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <vector>

#include "bindings/saved_call.h"

namespace unrolled::bindings {

using SavedList = std::vector<std::shared_ptr<Saved>>;

/// Of calls of which each read the y of the one before; often there is but one.
class SavedStack {
 public:
  explicit SavedStack(SavedList calls) : calls_(std::move(calls)) {}
  /// From the gradients of the last y and of every last state to those of the first x and, of each call, of its states
  /// and weights; `wanted`: which of them. None of a call that no gradient reaches.
  py::list vjp(const std::vector<py::object>& gradients, const std::vector<bool>& wanted) const;

 private:
  void check(std::size_t gradients, std::size_t wanted) const;
  void go(const std::vector<WayBack>& ways) const;
  SavedList calls_;
};

/// Of calls beside each other.
class SavedBeside {
 public:
  explicit SavedBeside(SavedList calls) : calls_(std::move(calls)) {}
  /// From the gradients of y and the last states of every call in turn to those of its x, states and weights; `wanted`:
  /// which of them. None of a call whose results have no gradient.
  py::list vjp(const std::vector<py::object>& gradients, const std::vector<bool>& wanted) const;

 private:
  SavedList calls_;
};

void bind_saved_calls(pybind11::module_& m);

}  // namespace unrolled::bindings
