// What several calls leave for their backward.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <utility>
#include <vector>

#include "bindings/saved_call.h"

namespace unrolled::bindings {

using SavedList = std::vector<std::shared_ptr<Saved>>;

class SavedCalls {
 public:
  /// `wanted`: which of the gradients that `vjp` gives.
  SavedCalls(SavedList calls, std::vector<bool> wanted) : calls_(std::move(calls)), wanted_(std::move(wanted)) {}
  virtual ~SavedCalls() = default;
  virtual py::list vjp(const std::vector<py::object>& gradients) const = 0;

 protected:
  SavedList calls_;
  std::vector<bool> wanted_;
};

/// Of calls of which each read the y of the one before; often there is but one.
class SavedStack final : public SavedCalls {
 public:
  using SavedCalls::SavedCalls;
  /// From the gradients of the last y and of every last state to those of the first x and, of each call, of its states
  /// and weights. None of a call that no gradient reaches.
  py::list vjp(const std::vector<py::object>& gradients) const override;

 private:
  void go(const std::vector<WayBack>& ways) const;
};

/// Of calls beside each other. With `joint`, what they made of y is one array.
class SavedBeside final : public SavedCalls {
 public:
  SavedBeside(SavedList calls, std::vector<bool> wanted, bool joint)
      : SavedCalls(std::move(calls), std::move(wanted)), joint_(joint) {}
  /// From the gradients of y and the last states of every call in turn, or of the one y and then of all last states, to
  /// those of each x, states and weights. None of a call whose results have no gradient.
  py::list vjp(const std::vector<py::object>& gradients) const override;

 private:
  bool joint_;
};

/// The vjp as the tape calls it.
py::object vjp_function(const std::shared_ptr<SavedCalls>& calls);

}  // namespace unrolled::bindings
