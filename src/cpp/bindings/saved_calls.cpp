#include "bindings/saved_calls.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <stdexcept>

#include "bindings/quick_call.h"
#include "bindings/quick_function.h"
#include "engine/pipeline.h"

namespace unrolled::bindings {
namespace {

/// The gradients laid out for kernels, which must outlive the way back.
std::vector<py::object> dense(const std::vector<py::object>& gradients) {
  std::vector<py::object> arrays;
  for (const py::object& gradient : gradients)
    arrays.push_back(gradient.is_none() ? gradient : py::object(laid_out(array_of(gradient, "gradient"))));
  return arrays;
}

/// Whether there is a gradient among them.
bool any(std::vector<py::object>::const_iterator first, std::vector<py::object>::const_iterator last) {
  return std::any_of(first, last, [](const py::object& gradient) { return !gradient.is_none(); });
}

/// What one call gives back: the gradients of x, if asked for, of the states and the weights.
void append_gradients(py::list& all, const py::tuple& made, bool with_x) {
  if (with_x) all.append(made[0]);
  for (const std::size_t part : {1, 2})
    for (const py::handle gradient : py::reinterpret_borrow<py::list>(made[part])) all.append(gradient);
}

}  // namespace

py::list SavedStack::vjp(const std::vector<py::object>& gradients) const {
  std::size_t results = 1;
  for (const auto& call : calls_) results += call->states();
  if (gradients.size() != results) throw std::invalid_argument("gradients: one of y and of every last state expected");
  const std::vector<py::object> given = dense(gradients);
  std::vector<WayBack> ways;  // those of the last call first, without those above the first one that is reached
  py::object dy = given[0];
  auto state = given.end();
  auto flag = wanted_.end();
  for (std::size_t k = calls_.size(); k-- > 0;) {
    const Index states = Index(calls_[k]->states()), inputs = states + Index(calls_[k]->weights());
    std::vector<bool> flags{k > 0 || wanted_[0]};
    flags.insert(flags.end(), flag - inputs, flag);
    if (!dy.is_none() || any(state - states, state)) {
      ways.push_back(calls_[k]->backward(dy, {state - states, state}, flags, false));
      dy = ways.back().whole.result()[0];
    }
    state -= states;
    flag -= inputs;
  }
  go(ways);
  py::list all;
  for (std::size_t k = ways.size(); k-- > 0;) append_gradients(all, ways[k].whole.result(), k + 1 == ways.size());
  while (all.size() < wanted_.size()) all.append(py::none());
  return all;
}

/// The last call first, or all at the same time, each a part of the steps before the one after it.
void SavedStack::go(const std::vector<WayBack>& ways) const {
  const Index T = calls_[0]->steps(), steps = part_steps(calls_.data(), ways.size(), 2);
  if (steps == 0) {
    const py::gil_scoped_release release;
    for (const WayBack& way : ways) way.whole.run();
    return;
  }
  std::vector<Task> begins;
  for (const WayBack& way : ways) begins.push_back({way.whole.work, way.begin, {}});
  run(begins);
  const py::gil_scoped_release release;
  run_pipeline(static_cast<int>(ways.size()), static_cast<int>((T + steps - 1) / steps), [&](int way, int k) {
    ways[std::size_t(way)].part(std::max<Index>(0, T - (k + 1) * steps), T - k * steps);
  });
  for (const WayBack& way : ways) way.finish();
}

py::list SavedBeside::vjp(const std::vector<py::object>& gradients) const {
  std::size_t results = joint_ ? 1 : calls_.size();
  for (const auto& call : calls_) results += call->states();
  if (gradients.size() != results) throw std::invalid_argument("gradients: one of every y and last state expected");
  const std::vector<py::object> given = dense(gradients);
  std::vector<Task> tasks;
  std::vector<bool> reached;
  auto state = given.begin() + (joint_ ? 1 : 0);
  auto flag = wanted_.begin();
  for (const auto& call : calls_) {
    const py::object dy = joint_ ? given[0] : *state++;
    const auto states_end = state + Index(call->states());
    const auto flags_end = flag + Index(1 + call->states() + call->weights());
    reached.push_back(!dy.is_none() || any(state, states_end));
    if (reached.back()) tasks.push_back(call->backward(dy, {state, states_end}, {flag, flags_end}, false).whole);
    state = states_end;
    flag = flags_end;
  }
  run(tasks);
  py::list all;
  auto task = tasks.begin();
  for (std::size_t k = 0; k < calls_.size(); ++k)
    if (reached[k])
      append_gradients(all, (task++)->result(), true);
    else
      for (std::size_t n = 0; n < 1 + calls_[k]->states() + calls_[k]->weights(); ++n) all.append(py::none());
  return all;
}

namespace {

PyObject* vjp(SavedCalls& calls, PyObject* const* arguments, Py_ssize_t count) {
  if (count != 1 || !PyList_Check(arguments[0])) throw py::type_error("expected: a list of gradients");
  return calls.vjp(py::cast<std::vector<py::object>>(arguments[0])).release().ptr();
}

}  // namespace

py::object vjp_function(const std::shared_ptr<SavedCalls>& calls) {
  static PyMethodDef method =
      quick_method<SavedCalls, vjp>("vjp", "From the gradients of results to those of what was read.");
  return quick_function(calls, method);
}

}  // namespace unrolled::bindings
