// Cells for Python: convert, release the GIL, call. Arguments come checked from cells/base.py; sizes are checked again
// here, since a wrong one would be a wild read.
#include "bindings/recurrent.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <memory>
#include <stdexcept>

#include "bindings/cell_arrays.h"
#include "bindings/recorder.h"
#include "bindings/saved_call.h"
#include "bindings/stepper.h"
#include "engine/registry.h"

namespace py = pybind11;

namespace unrolled::bindings {
namespace {

/// What a call is given beside x, the weights and the states.
struct CallOptions {
  py::object ids, lengths, reset, scalar;
  std::vector<py::object> starts;  // of every state, or none
  std::vector<double> numbers, regular;
  bool reverse, keep;
  Index segment_steps;  // 0: keep all of them
};

template <class S>
Inputs<S> inputs_of(const SavedCall<S>& call, const py::array& x, const std::vector<py::object>& states,
                    const CallOptions& options) {
  const CellInfo& info = call.cell->info;
  Inputs<S> in;
  const Index I = call.parameters.sizes.input;
  if (options.ids.is_none()) {
    if (x.ndim() != 3) throw std::invalid_argument("x: three dimensions expected");
    in.T = x.shape(0);
    in.B = x.shape(1);
    in.x = data_of<S>(x, {in.T, in.B, I}, "x");
  } else {
    const py::array ids = array_of(options.ids, "ids");
    if (x.ndim() != 2 || ids.ndim() != 2) throw std::invalid_argument("x, ids: two dimensions expected");
    if (call.cell->make_input) throw std::invalid_argument("ids: not for a cell that makes what W_ih multiplies");
    if (options.segment_steps > 0) throw std::invalid_argument("ids: not for a call in segments");
    in.T = ids.shape(0);
    in.B = ids.shape(1);
    in.symbols = x.shape(0);
    in.x = data_of<S>(x, {in.symbols, I}, "x");
    in.ids = data_of<std::int64_t>(ids, {in.T, in.B}, "ids");
    for (Index place = 0; place < in.T * in.B; ++place)
      if (in.ids[place] < 0 || in.ids[place] >= in.symbols) throw std::invalid_argument("ids: rows of x expected");
  }
  const Index T = in.T, B = in.B;
  in.reverse = options.reverse;
  if (static_cast<int>(states.size()) != info.carried())
    throw std::invalid_argument("states: one array (or None) per state expected");
  for (int k = 0; k < info.carried(); ++k)
    state_of(info, in.h0, in.state0, k) =
        optional_data<S>(states[std::size_t(k)], call.parameters.state_shape(info, k, B), "state");
  in.lengths = optional_data<std::int64_t>(options.lengths, {B}, "lengths");
  for (Index row = 0; in.lengths && row < B; ++row)
    if (in.lengths[row] < 0 || in.lengths[row] > T) throw std::invalid_argument("lengths: 0 .. T expected");
  in.reset = reinterpret_cast<const std::uint8_t*>(optional_data<bool>(options.reset, {T, B}, "reset"));
  in.scalar = optional_data<S>(options.scalar, {T, B}, "scalar");
  if (!options.starts.empty() && options.starts.size() != states.size())
    throw std::invalid_argument("starts: one array per state, or none, expected");
  for (int k = 0; k < static_cast<int>(options.starts.size()); ++k)
    in.start[k] = data_of<S>(array_of(options.starts[std::size_t(k)], "start"),
                             {state_width(info, call.parameters.sizes, k)}, "start");
  set_numbers(in, options.numbers);
  set_regular(in, *call.cell, options.regular);
  return in;
}

template <class S>
Task forward(const std::string& name, const py::array& x, const std::vector<py::object>& weights,
             const std::vector<py::object>& states, const CallOptions& options, PackedWeights* packed) {
  auto call = std::make_shared<SavedCall<S>>();
  call->cell = &cells().find<S>(name);
  const CellInfo& info = call->cell->info;
  call->parameters = CellArrays<S>(info, weights, options.numbers);
  const Sizes sizes = call->parameters.sizes;
  call->in = inputs_of(*call, x, states, options);
  if (options.keep && options.segment_steps < call->in.T) call->segment_steps = options.segment_steps;

  Outputs<S> out;
  py::array y = new_array<S>({call->in.T, call->in.B, sizes.output}, &out.y);
  py::list last;
  for (int k = 0; k < info.carried(); ++k)
    last.append(new_array<S>(call->parameters.state_shape(info, k, call->in.B),
                             &state_of(info, out.h_last, out.state_last, k)));
  call->x = x;
  call->y = y;
  call->kept = states;
  call->kept.insert(call->kept.end(), options.starts.begin(), options.starts.end());
  call->kept.insert(call->kept.end(), {options.ids, options.lengths, options.reset, options.scalar});
  ForwardWeights<S>* const ready = packed ? &packed->of<S>(*call->cell, sizes) : nullptr;
  const bool keep = options.keep;
  const auto work = [call = call.get(), sizes, out, ready, keep] {
    ForwardWeights<S> own;
    if (call->segment_steps > 0) {
      call->segments = std::make_unique<Segments<S>>();
      call->segments->forward(*call->cell, sizes, call->parameters.pointers, call->in, out, call->segment_steps);
      return;
    }
    call->run->forward(*call->cell, sizes, ready ? *ready : own, ready ? nullptr : &call->parameters.pointers, call->in,
                       out, keep);
    if (!keep) SpareRuns<S>::give(std::move(call->run));
  };
  return {call->multiply_adds(), work, [=]() -> py::tuple {
            if (!keep) return py::make_tuple(y, last, py::none());
            return py::make_tuple(y, last, std::static_pointer_cast<Saved>(call));
          }};
}

/// What the pointers of tasks point to, beside what the tasks own: the caller may let go of it while they run without
/// the GIL.
using Alive = std::vector<py::object>;

/// A call from its arguments, which cells/call.py names.
Task forward_task(const py::handle& call, Alive& alive) {
  const auto x = py::cast<py::array>(call.attr("x"));
  const CallOptions options{call.attr("ids"),
                            call.attr("lengths"),
                            call.attr("reset"),
                            call.attr("scalar"),
                            py::cast<std::vector<py::object>>(call.attr("starts")),
                            py::cast<std::vector<double>>(call.attr("numbers")),
                            py::cast<std::vector<double>>(call.attr("regular")),
                            py::cast<bool>(call.attr("reverse")),
                            py::cast<bool>(call.attr("keep")),
                            py::cast<Index>(call.attr("segment_steps"))};
  const py::object& packed = alive.emplace_back(call.attr("packed"));
  return dispatch(x.dtype(), [&](auto type) {
    return forward<decltype(type)>(
        py::cast<std::string>(call.attr("name")), x, py::cast<std::vector<py::object>>(call.attr("weights")),
        py::cast<std::vector<py::object>>(call.attr("states")), options, py::cast<PackedWeights*>(packed));
  });
}

Task backward_task(const py::handle& call, Alive& alive) {
  const auto arguments = py::cast<py::tuple>(call);
  if (arguments.size() != 5) throw std::invalid_argument("a backward of a cell has 5 arguments");
  const auto dlast = py::cast<std::vector<py::object>>(arguments[2]);
  alive.push_back(arguments);
  alive.insert(alive.end(), dlast.begin(), dlast.end());
  return py::cast<Saved&>(arguments[0])
      .backward(arguments[1], dlast, py::cast<std::vector<bool>>(arguments[3]), py::cast<bool>(arguments[4]))
      .whole;
}

/// All calls, prepared one by one.
template <class Prepare>
py::list run_all(const py::sequence& calls, Prepare&& prepare) {
  std::vector<Task> tasks;
  Alive alive;
  for (const py::object call : calls) tasks.push_back(prepare(call, alive));
  run(tasks);
  py::list results;
  for (const Task& task : tasks) results.append(task.result());
  return results;
}

}  // namespace

void bind_recurrent(py::module_& m) {
  m.def("cell_names", [] { return cells().names(); }, "Names of all cells.");
  m.def(
      "has_cell", [](const std::string& name) { return cells().has(name); }, py::arg("name"),
      "Whether there is a cell of this name, which may end with +feedback.");
  py::class_<Saved, std::shared_ptr<Saved>>(m, "SavedCall", "What one forward call left for its backward.")
      .def("slot", &Saved::slot, py::arg("k"), "What the call has saved in a slot, (T, B, H); before backward.")
      .def("stream", &Saved::stream, py::arg("k"), "All values of a stream, (T, B, its width); before backward.");
  bind_stepper(m);
  bind_recorder(m);
  m.def(
      "cells_forward", [](const py::sequence& calls) { return run_all(calls, forward_task); }, py::arg("calls"),
      "Runs cells over sequences, at the same time where it pays. Each call has the attributes of cells/call.py's "
      "Arguments, and gives y, the last states, and a SavedCall if keep.");
  m.def(
      "cells_backward", [](const py::sequence& calls) { return run_all(calls, backward_task); }, py::arg("calls"),
      "Goes back through calls of cells, each (SavedCall, dy, dlast, wanted, scalar wanted); gives dx and the "
      "gradients of the states, the weights, the scalars and the starts.");
}

}  // namespace unrolled::bindings
