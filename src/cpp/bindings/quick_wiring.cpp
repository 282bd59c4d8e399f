// Several cells in one call from Python, without and with a tape: side by side as in two directions, or on top of each
// other.
#include "bindings/quick_wiring.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <utility>
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
using Recorders = std::vector<std::shared_ptr<Recorder>>;
using Calls = std::vector<std::unique_ptr<SteppedCall>>;

/// Python may give None for any of them.
template <class Pointers>
void require_all(const Pointers& cells) {
  if (cells.empty()) throw std::invalid_argument("at least one cell is expected");
  for (const auto& cell : cells)
    if (cell == nullptr) throw std::invalid_argument("a cell is None");
}

/// ([y of each], states), which all read x, or ([y], states) if they have `columns` of a y together; None if one of
/// them is not up to it.
py::object side_by_side(const py::object& x, const Steppers& steppers, const std::vector<py::object>& states,
                        const std::vector<bool>& reverse, Index columns) {
  require_all(steppers);
  Calls calls;
  JointOutput joint{columns};
  std::vector<Task> tasks;
  for (std::size_t k = 0; k < steppers.size(); ++k) {
    const TapeRecord& tape = steppers[k]->tape();
    const py::object state = tape.bare_items(states.at(k).ptr());
    calls.push_back(
        steppers[k]->prepare(tape.bare(x.ptr()).ptr(), state.ptr(), reverse.at(k), columns > 0 ? &joint : nullptr));
    if (calls.back() == nullptr) return py::none();
    SteppedCall* const call = calls.back().get();
    tasks.push_back({call->multiply_adds(), [call] { call->run(); }, {}});
  }
  if (columns != 0) joint.check();
  run(tasks);
  py::list ys, last;
  for (std::size_t k = 0; k < calls.size(); ++k) {
    const Wrapper& wrapper = steppers[k]->tape().wrapper();
    if (columns == 0 || k == 0) ys.append(wrapper.wrap(calls[k]->y().ptr()));
    last.append(wrapper.wrap_all(calls[k]->state().ptr()));
  }
  return py::make_tuple(ys, last);
}

/// y of the top layer and the states of all, each of which reads what the one below it makes; None if one of them is
/// not up to it.
py::object stacked(const py::object& x, const Steppers& steppers, const std::vector<py::object>& states) {
  require_all(steppers);
  Calls calls;
  const TapeRecord& tape = steppers[0]->tape();
  py::object below = tape.bare(x.ptr());
  for (std::size_t k = 0; k < steppers.size(); ++k) {
    const py::object state = tape.bare_items(states.at(k).ptr());
    calls.push_back(steppers[k]->prepare(below.ptr(), state.ptr(), false));
    if (calls.back() == nullptr) return py::none();
    below = calls.back()->y();
  }
  std::vector<QuickCall*> all;
  for (const auto& call : calls) all.push_back(call.get());
  run_stack(all);
  py::tuple last(calls.size());
  for (std::size_t k = 0; k < calls.size(); ++k) last[k] = tape.wrapper().wrap_all(calls[k]->state().ptr());
  return py::make_tuple(tape.wrapper().wrap(below.ptr()), last);
}

/// Calls with a tape that are one op on it.
class RecordedCalls {
 public:
  explicit RecordedCalls(const Recorders& recorders) : recorders_(recorders), inputs_(tape()) {}

  /// The op reads this, too; gives its array.
  py::object add(const py::object& x) { return inputs_.add(x.ptr()); }
  /// The next recorder's call; false if it is not up to it.
  bool add(const py::object& x, const py::object& state, const py::list& tensors, bool reverse,
           const py::object& packed, JointOutput* joint = nullptr) {
    Recorder& recorder = *recorders_.at(calls_.size());
    const py::object bare = inputs_.add_items(state.ptr(), recorder.states());
    inputs_.add_weights(tensors);
    if (!bare) return false;
    calls_.push_back(recorder.prepare(x.ptr(), bare.ptr(), tensors, reverse, packed, joint));
    return calls_.back() != nullptr;
  }
  bool any_gradient() const { return inputs_.any(); }
  const std::vector<std::unique_ptr<RecordedCall>>& calls() const { return calls_; }

  /// The results as Tensors. `of_saved`: what else Saved is made of.
  template <class Saved, class... OfSaved>
  py::tuple record(const py::str& name, const py::list& results, OfSaved... of_saved) const {
    SavedList saved;
    for (const auto& call : calls_) saved.push_back(call->saved());
    const py::object vjp = vjp_function(std::make_shared<Saved>(std::move(saved), inputs_.wanted(), of_saved...));
    return tape().record(name.ptr(), inputs_.tensors().ptr(), results.ptr(), vjp.ptr(), nullptr);
  }

 private:
  const TapeRecord& tape() const {
    require_all(recorders_);
    return recorders_[0]->tape();
  }
  const Recorders& recorders_;
  TapeInputs inputs_;
  std::vector<std::unique_ptr<RecordedCall>> calls_;
};

py::object record_stack(const py::object& x, const Recorders& recorders, const std::vector<py::object>& states,
                        const std::vector<py::list>& tensors, const std::vector<py::object>& packed) {
  RecordedCalls recorded(recorders);
  py::object below = recorded.add(x);
  for (std::size_t k = 0; k < recorders.size(); ++k) {
    if (!recorded.add(below, states.at(k), tensors.at(k), false, packed.at(k))) return py::none();
    below = recorded.calls().back()->y();
  }
  if (!recorded.any_gradient()) return py::none();
  std::vector<QuickCall*> all;
  for (const auto& call : recorded.calls()) all.push_back(call.get());
  run_stack(all);
  py::list results;
  results.append(below);
  for (const auto& call : recorded.calls())
    for (const py::handle state : call->last()) results.append(state);
  const py::tuple made = recorded.record<SavedStack>("Stack", results);
  py::tuple last(recorders.size());
  std::size_t at = 1;
  for (std::size_t k = 0; k < recorders.size(); ++k) last[k] = recorders[k]->state_from(made, at);
  return py::make_tuple(made[0], last);
}

py::object record_beside(const py::object& x, const Recorders& recorders, const std::vector<py::object>& states,
                         const std::vector<py::list>& tensors, const std::vector<bool>& reverse,
                         const std::vector<py::object>& packed, Index columns) {
  RecordedCalls recorded(recorders);
  JointOutput joint{columns};
  for (std::size_t k = 0; k < recorders.size(); ++k) {
    const py::object bare = recorded.add(x);
    JointOutput* const to = columns > 0 ? &joint : nullptr;
    if (!recorded.add(bare, states.at(k), tensors.at(k), reverse.at(k), packed.at(k), to)) return py::none();
  }
  if (!recorded.any_gradient()) return py::none();
  if (columns != 0) joint.check();
  std::vector<Task> tasks;
  for (const auto& call : recorded.calls())
    tasks.push_back({call->multiply_adds(), [call = call.get()] { call->run(); }, {}});
  run(tasks);
  py::list results, names, ys, last;
  if (columns > 0) results.append(joint.array);
  for (const auto& call : recorded.calls()) {
    if (columns == 0) results.append(call->y());
    for (const py::handle state : call->last()) results.append(state);
  }
  for (const auto& recorder : recorders) names.append(recorder->name());
  const py::tuple made = recorded.record<SavedBeside>(py::str(" and ").attr("join")(names), results, columns > 0);
  std::size_t at = 0;
  for (const auto& recorder : recorders) {
    if (columns == 0 || at == 0) ys.append(made[at++]);
    last.append(recorder->state_from(made, at));
  }
  return py::make_tuple(ys, last);
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
  m.def("side_by_side", &side_by_side, py::arg("x"), py::arg("steppers"), py::arg("states"), py::arg("reverse"),
        py::arg("columns"),
        "([y, ...], [state, ...]) of cells that read the same x, at the same time where it pays; None if one of "
        "them must pack its weights anew or convert an argument. With `columns`, which must be as many as all have, "
        "theirs lie side by side in one y.");
  m.def("stacked", &stacked, py::arg("x"), py::arg("steppers"), py::arg("states"),
        "(y, states) of cells of which each reads what the one before it makes, a part of the sequence behind it where "
        "that is faster; None as above.");
  m.def("record_stack", &record_stack, py::arg("x"), py::arg("recorders"), py::arg("states"), py::arg("tensors"),
        py::arg("packed"),
        "(y, last states) of cells of which each reads what the one before it makes; None as of `record`.");
  m.def("record_beside", &record_beside, py::arg("x"), py::arg("recorders"), py::arg("states"), py::arg("tensors"),
        py::arg("reverse"), py::arg("packed"), py::arg("columns"), "The same with a tape; None as of `record`.");
}

}  // namespace unrolled::bindings
