// Several cells in one call from Python, without and with a tape: side by side as in two directions, or on top of each
// other.
#include "bindings/quick_wiring.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "bindings/quick_arrays.h"
#include "bindings/recorder.h"
#include "bindings/saved_calls.h"
#include "bindings/stepper.h"
#include "bindings/task.h"
#include "engine/pipeline.h"

namespace unrolled::bindings {
namespace {

using Steppers = std::vector<std::shared_ptr<Stepper>>;
using Calls = std::vector<std::unique_ptr<SteppedCall>>;

/// [(y, state) of each], which all read x; None if one of them is not up to it.
py::object side_by_side(const py::object& x, const Steppers& steppers, const std::vector<py::object>& states,
                        const std::vector<bool>& reverse) {
  Calls calls;
  std::vector<Task> tasks;
  for (std::size_t k = 0; k < steppers.size(); ++k) {
    calls.push_back(steppers.at(k)->prepare(x.ptr(), states.at(k).ptr(), reverse.at(k)));
    if (calls.back() == nullptr) return py::none();
    SteppedCall* const call = calls.back().get();
    tasks.push_back({call->multiply_adds(), [call] { call->run(); }, {}});
  }
  run(tasks);
  py::list results;
  for (const auto& call : calls) results.append(py::make_tuple(call->y(), call->state()));
  return results;
}

/// y of the top layer and the states of all, each of which reads what the one below it makes; None if one of them is
/// not up to it.
py::object stacked(const py::object& x, const Steppers& steppers, const std::vector<py::object>& states) {
  if (steppers.empty()) throw std::invalid_argument("stacked: at least one cell is expected");
  Calls calls;
  py::object below = x;
  for (std::size_t k = 0; k < steppers.size(); ++k) {
    calls.push_back(steppers[k]->prepare(below.ptr(), states.at(k).ptr(), false));
    if (calls.back() == nullptr) return py::none();
    below = calls.back()->y();
  }
  std::vector<QuickCall*> all;
  for (const auto& call : calls) all.push_back(call.get());
  run_stack(all);
  py::tuple last(calls.size());
  for (std::size_t k = 0; k < calls.size(); ++k) last[k] = calls[k]->state();
  return py::make_tuple(below, last);
}

using RecordedCalls = std::vector<std::unique_ptr<RecordedCall>>;
using Recorders = std::vector<std::shared_ptr<Recorder>>;

SavedList saved_of(const RecordedCalls& calls) {
  SavedList saved;
  for (const auto& call : calls) saved.push_back(call->saved());
  return saved;
}

/// False if the recorder is not up to it.
bool prepare(RecordedCalls& calls, const std::shared_ptr<Recorder>& recorder, const py::object& x,
             const py::object& state, const py::list& tensors, bool reverse, PackedWeights* packed) {
  if (recorder == nullptr) throw std::invalid_argument("a recorder is None");
  calls.push_back(recorder->prepare(x.ptr(), state.ptr(), tensors, reverse, packed));
  return calls.back() != nullptr;
}

py::object record_stack(const py::object& x, const Recorders& recorders, const std::vector<py::object>& states,
                        const std::vector<py::list>& tensors, const std::vector<PackedWeights*>& packed) {
  if (recorders.empty()) throw std::invalid_argument("record_stack: at least one cell is expected");
  RecordedCalls calls;
  for (std::size_t k = 0; k < recorders.size(); ++k)
    if (!prepare(calls, recorders[k], k == 0 ? x : calls.back()->y(), states.at(k), tensors.at(k), false, packed.at(k)))
      return py::none();
  std::vector<QuickCall*> all;
  for (const auto& call : calls) all.push_back(call.get());
  run_stack(all);
  py::list results;
  results.append(calls.back()->y());
  for (const auto& call : calls)
    for (const py::handle state : call->last()) results.append(state);
  return py::make_tuple(py::tuple(results), std::make_shared<SavedStack>(saved_of(calls)));
}

py::object record_beside(const py::object& x, const Recorders& recorders, const std::vector<py::object>& states,
                         const std::vector<py::list>& tensors, const std::vector<bool>& reverse,
                         const std::vector<PackedWeights*>& packed) {
  RecordedCalls calls;
  std::vector<Task> tasks;
  for (std::size_t k = 0; k < recorders.size(); ++k) {
    if (!prepare(calls, recorders[k], x, states.at(k), tensors.at(k), reverse.at(k), packed.at(k))) return py::none();
    RecordedCall* const call = calls.back().get();
    tasks.push_back({call->multiply_adds(), [call] { call->run(); }, {}});
  }
  run(tasks);
  py::list results;
  for (const auto& call : calls) append_results(results, *call);
  return py::make_tuple(py::tuple(results), std::make_shared<SavedBeside>(saved_of(calls)));
}

}  // namespace

void run_stack(const std::vector<QuickCall*>& calls) {
  const py::gil_scoped_release release;
  const Index T = calls[0]->steps(), steps = part_steps(calls.data(), calls.size(), 1);
  if (steps == 0) {
    for (QuickCall* const call : calls) call->run();
    return;
  }
  run_pipeline(static_cast<int>(calls.size()), static_cast<int>((T + steps - 1) / steps),
               [&](int layer, int k) { calls[std::size_t(layer)]->run_part(k * steps, std::min(T, (k + 1) * steps)); });
}

void bind_quick_wiring(py::module_& m) {
  m.def(
      "side_by_side", &side_by_side, py::arg("x"), py::arg("steppers"), py::arg("states"), py::arg("reverse"),
      "[(y, state), ...] of cells that read the same x, at the same time where it pays; None if one of them must pack "
      "its weights anew or convert an argument.");
  m.def("stacked", &stacked, py::arg("x"), py::arg("steppers"), py::arg("states"),
        "(y, states) of cells of which each reads what the one before it makes, a part of the sequence behind it where "
        "that is faster; None as above.");
  m.def("record_stack", &record_stack, py::arg("x"), py::arg("recorders"), py::arg("states"), py::arg("tensors"),
        py::arg("packed"),
        "((y, *last states of all), SavedStack) of cells of which each reads what the one before it makes; None as of "
        "`record`.");
  m.def("record_beside", &record_beside, py::arg("x"), py::arg("recorders"), py::arg("states"), py::arg("tensors"),
        py::arg("reverse"), py::arg("packed"),
        "((y, *last states of every cell in turn), SavedBeside) of cells that read the same x, at the same time where "
        "it pays; None as of `record`.");
}

}  // namespace unrolled::bindings
