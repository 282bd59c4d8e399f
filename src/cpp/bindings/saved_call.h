// What one forward call of a cell leaves for its backward.
#pragma once

#include <pybind11/numpy.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "bindings/cell_arrays.h"
#include "bindings/spare_runs.h"
#include "bindings/task.h"
#include "engine/segments.h"

namespace unrolled::bindings {

/// The way back through a call, whole, or, if it `has_parts`, in parts of the steps on the threads that call them:
/// `begin`, `part` of the steps from the last to the first, `finish`.
struct WayBack {
  Task whole;
  std::function<void()> begin;
  std::function<void(Index, Index)> part;
  std::function<void()> finish;
};

/// A forward call that backward may follow: everything its pointers point to is kept alive here.
class Saved {
 public:
  virtual ~Saved() = default;
  /// `wanted_of`: x, the states, then the weights in their order, whose gradients are None where it is false; those of
  /// the starts come for free. The result is there before the work is done, but not filled.
  virtual WayBack backward(const py::object& dy, const std::vector<py::object>& dlast,
                           const std::vector<bool>& wanted_of, bool wanted_scalar) = 0;
  /// Number of states, and of weights, given or not.
  virtual std::size_t states() const = 0;
  virtual std::size_t weights() const = 0;
  virtual Index steps() const = 0;
  virtual Index rows() const = 0;
  virtual bool has_parts() const = 0;
  virtual double multiply_adds() const = 0;
  virtual double recurrent_weights() const = 0;
  virtual py::array slot(int k) = 0;
  virtual py::array stream(int k) = 0;
};

template <class S>
class SavedCall final : public Saved {
 public:
  std::unique_ptr<Run<S>> run = SpareRuns<S>::take();  // of a call that keeps everything,
  std::unique_ptr<Segments<S>> segments;               // or of one that keeps segment_steps > 0 at a time
  Index segment_steps = 0;
  CellArrays<S> parameters;
  Inputs<S> in;
  py::array x, y;
  Index y_first = 0;             // of `in.y_step` columns of y, if its output is a part of them
  std::vector<py::object> kept;  // initial states, starts, ids, lengths, resets
  const CellKernel<S>* cell = nullptr;
  bool used = false;

  py::array slot(int k) override {
    if (used || segment_steps > 0 || k < 0 || k >= cell->info.slots)
      throw std::invalid_argument("slot: out of range, or after backward");
    S* data = nullptr;
    py::array values = new_array<S>({in.T, in.B, parameters.sizes.hidden}, &data);
    std::fill_n(data, values.size(), S(0));
    run->copy_slot(k, data);
    return values;
  }
  py::array stream(int k) override {
    if (used || segment_steps > 0 || k < 0 || k >= cell->info.streams)
      throw std::invalid_argument("stream: out of range, or after backward");
    S* data = nullptr;
    py::array values = new_array<S>({in.T, in.B, parameters.sizes.width(cell->info.stream_space[k])}, &data);
    std::fill_n(data, values.size(), S(0));
    run->copy_stream(k, data);
    return values;
  }

  WayBack backward(const py::object& dy, const std::vector<py::object>& dlast, const std::vector<bool>& wanted_of,
                   bool wanted_scalar) override {
    if (used) throw std::runtime_error("backward through this call has run already: its memory is freed after use");
    const Sizes& sizes = parameters.sizes;
    const Index T = in.T, B = in.B;
    const CellInfo& info = cell->info;
    OutputGradients<S> given;
    given.dy = optional_data<S>(dy, {T, B, in.y_step > 0 ? in.y_step : sizes.output}, "dy");
    if (given.dy) given.dy += y_first;
    if (static_cast<int>(dlast.size()) != info.carried())
      throw std::invalid_argument("dlast: one gradient per state expected");
    for (int k = 0; k < info.carried(); ++k)
      state_of(info, given.dh_last, given.dstate_last, k) =
          optional_data<S>(dlast[std::size_t(k)], parameters.state_shape(info, k, B), "dlast");

    if (static_cast<int>(wanted_of.size()) != 3 + info.carried() + info.matrices + info.vector_groups)
      throw std::invalid_argument("wanted: one flag for x, each state and each weight expected");
    InputGradients<S> wanted;
    py::object dx = py::none(), dscalar = py::none();
    if (wanted_of[0]) dx = new_array<S>(in.ids ? Shape{in.symbols, sizes.input} : Shape{T, B, sizes.input}, &wanted.dx);
    if (wanted_scalar) dscalar = new_array<S>({T, B}, &wanted.dscalar);
    py::list dstates, dstarts;
    for (int k = 0; k < info.carried(); ++k) {
      S** const dstate = &state_of(info, wanted.dh0, wanted.dstate0, k);
      dstates.append(wanted_of[std::size_t(1 + k)]
                         ? py::object(new_array<S>(parameters.state_shape(info, k, B), dstate))
                         : py::object(py::none()));
      if (in.start[k]) dstarts.append(new_array<S>({state_width(info, sizes, k)}, &wanted.dstart[k]));
    }
    const py::list dweights = make_weight_gradients(wanted, wanted_of);
    used = true;
    const auto whole = [this, given, wanted] {
      if (segment_steps > 0) {
        segments->backward(parameters.pointers, given, wanted);
        segments = nullptr;
      } else {
        run->backward(parameters.pointers, in, y_data(), given, wanted);
        SpareRuns<S>::give(std::move(run));
      }
    };
    const auto result = [=] { return py::make_tuple(dx, dstates, dweights, dscalar, dstarts); };
    const Task task{2 * multiply_adds(), whole, result};
    return {task, [=] { run->begin_backward(parameters.pointers, in, given, wanted); },
            [=](Index begin, Index end) { run->backward_part(in, y_data(), given, wanted, begin, end); },
            [=] {
              run->finish_backward(in, y_data(), wanted);
              SpareRuns<S>::give(std::move(run));
            }};
  }

  std::size_t states() const override { return static_cast<std::size_t>(cell->info.carried()); }
  std::size_t weights() const override { return parameters.arrays.size(); }
  Index steps() const override { return in.T; }
  Index rows() const override { return in.B; }
  bool has_parts() const override { return segment_steps == 0 && !in.ids && !in.scalar && !cell->make_input; }
  double multiply_adds() const override { return multiply_adds_of(cell->info, parameters.sizes, in.T, in.B); }
  double recurrent_weights() const override { return recurrent_weights_of(cell->info, parameters.sizes); }

 private:
  const S* y_data() const { return static_cast<const S*>(y.data()) + y_first; }

  /// Arrays for the gradients of the weights, in the order of the weights; None where they are not wanted.
  py::list make_weight_gradients(InputGradients<S>& wanted, const std::vector<bool>& wanted_of) const {
    const CellInfo& info = cell->info;
    const Sizes& sizes = parameters.sizes;
    py::list made;
    const auto add = [&](bool present, const Shape& shape, S** data) {
      const bool make = present && wanted_of[1 + std::size_t(info.carried()) + made.size()];
      made.append(make ? py::object(new_array<S>(shape, data)) : py::object(py::none()));
    };
    add(true, {info.input_gates * sizes.hidden, sizes.row}, &wanted.dW_ih);
    for (int m = 0; m < info.matrices; ++m) add(true, parameters.matrix_shape(info, m), &wanted.dmatrix[m]);
    add(parameters.pointers.b != nullptr, {info.input_gates * sizes.hidden}, &wanted.db);
    each_vector_group(info, sizes, [&](int, int first, int count, Index width) {
      S* data = nullptr;
      add(parameters.pointers.vector[first] != nullptr, {count * width}, &data);
      for (int n = 0; data && n < count; ++n) wanted.dvector[first + n] = data + n * width;
    });
    return made;
  }
};

}  // namespace unrolled::bindings
