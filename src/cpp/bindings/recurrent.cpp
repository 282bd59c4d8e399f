// Cells for Python: convert, release the GIL, call. Arguments come checked from cells/base.py; sizes are checked again
// here, since a wrong one would be a wild read.
#include "bindings/recurrent.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <memory>
#include <stdexcept>

#include "bindings/arrays.h"
#include "bindings/stepper.h"
#include "engine/registry.h"

namespace py = pybind11;

namespace unrolled::bindings {
namespace {

/// A forward call that backward may follow: everything its pointers point to is kept alive here.
class Saved {
 public:
  virtual ~Saved() = default;
  virtual py::tuple backward(const py::object& dy, const std::vector<py::object>& dlast,
                             const std::vector<bool>& wanted_of) = 0;
};

template <class S>
class SavedCall final : public Saved {
 public:
  Run<S> run;
  CellArrays<S> parameters;
  Inputs<S> in;
  py::array x, y;
  std::vector<py::object> kept;  // initial states, lengths, resets
  const CellKernel<S>* cell = nullptr;
  bool used = false;

  /// `wanted_of`: x, W_ih, W_hh, b and the vectors, whose gradients are None where it is false; those of the states
  /// come for free.
  py::tuple backward(const py::object& dy, const std::vector<py::object>& dlast,
                     const std::vector<bool>& wanted_of) override {
    if (used) throw std::runtime_error("backward through this call has run already: its memory is freed after use");
    const Index T = in.T, B = in.B, I = parameters.sizes.input, H = parameters.sizes.hidden;
    const CellInfo& info = cell->info;
    OutputGradients<S> given;
    given.dy = optional_data<S>(dy, {T, B, H}, "dy");
    if (static_cast<int>(dlast.size()) != 1 + info.states)
      throw std::invalid_argument("dlast: one gradient per state expected");
    given.dh_last = optional_data<S>(dlast[0], {B, H}, "dh_last");
    for (int k = 0; k < info.states; ++k)
      given.dstate_last[k] = optional_data<S>(dlast[std::size_t(k + 1)], {B, H}, "dstate_last");

    if (static_cast<int>(wanted_of.size()) != 4 + info.vectors)
      throw std::invalid_argument("wanted: one flag for x, W_ih, W_hh, b and each vector expected");
    InputGradients<S> wanted;
    const auto array_if = [](bool condition, std::initializer_list<Index> shape, S** data) -> py::object {
      return condition ? py::object(new_array<S>(shape, data)) : py::object(py::none());
    };
    py::list dstates, dvectors;
    dstates.append(new_array<S>({B, H}, &wanted.dh0));
    for (int k = 0; k < info.states; ++k) dstates.append(new_array<S>({B, H}, &wanted.dstate0[k]));
    const py::object dx = array_if(wanted_of[0], {T, B, I}, &wanted.dx);
    const py::object dW_ih = array_if(wanted_of[1], {info.input_gates * H, I}, &wanted.dW_ih);
    const py::object dW_hh = array_if(wanted_of[2], {info.weight_gates * H, H}, &wanted.dW_hh);
    const py::object db = array_if(wanted_of[3] && parameters.pointers.b, {info.input_gates * H}, &wanted.db);
    for (int k = 0; k < info.vectors; ++k)
      dvectors.append(
          array_if(wanted_of[std::size_t(4 + k)] && parameters.pointers.vector[k], {H}, &wanted.dvector[k]));
    used = true;
    {
      py::gil_scoped_release release;
      run.backward(parameters.pointers, in, static_cast<const S*>(y.data()), given, wanted);
      run = Run<S>();
    }
    return py::make_tuple(dx, dstates, dW_ih, dW_hh, db, dvectors);
  }
};

template <class S>
py::tuple forward(const std::string& name, const py::array& x, const py::object& W_ih, const py::object& W_hh,
                  const py::object& b, const std::vector<py::object>& vectors, const std::vector<py::object>& states,
                  const py::object& lengths, const py::object& reset, bool reverse, bool keep, PackedWeights* packed) {
  auto call = std::make_shared<SavedCall<S>>();
  call->cell = &cells().find<S>(name);
  const CellInfo& info = call->cell->info;
  call->parameters = CellArrays<S>(info, W_ih, W_hh, b, vectors);
  const Sizes sizes = call->parameters.sizes;
  if (x.ndim() != 3) throw std::invalid_argument("x: three dimensions expected");
  const Index T = x.shape(0), B = x.shape(1), H = sizes.hidden;
  Inputs<S>& in = call->in;
  in.T = T;
  in.B = B;
  in.reverse = reverse;
  in.x = data_of<S>(x, {T, B, sizes.input}, "x");
  if (static_cast<int>(states.size()) != 1 + info.states)
    throw std::invalid_argument("states: one array (or None) per state expected");
  in.h0 = optional_data<S>(states[0], {B, H}, "h0");
  for (int k = 0; k < info.states; ++k) in.state0[k] = optional_data<S>(states[std::size_t(k + 1)], {B, H}, "state0");
  in.lengths = optional_data<std::int64_t>(lengths, {B}, "lengths");
  for (Index row = 0; in.lengths && row < B; ++row)
    if (in.lengths[row] < 0 || in.lengths[row] > T) throw std::invalid_argument("lengths: 0 .. T expected");
  in.reset = reinterpret_cast<const std::uint8_t*>(optional_data<bool>(reset, {T, B}, "reset"));

  Outputs<S> out;
  py::array y = new_array<S>({T, B, H}, &out.y);
  py::list last;
  last.append(new_array<S>({B, H}, &out.h_last));
  for (int k = 0; k < info.states; ++k) last.append(new_array<S>({B, H}, &out.state_last[k]));
  {
    py::gil_scoped_release release;
    if (packed != nullptr) {
      call->run.forward(*call->cell, sizes, packed->of<S>(*call->cell, sizes), nullptr, in, out, keep);
    } else {
      ForwardWeights<S> weights;
      call->run.forward(*call->cell, sizes, weights, &call->parameters.pointers, in, out, keep);
    }
  }
  if (!keep) return py::make_tuple(y, last, py::none());
  call->x = x;
  call->y = y;
  call->kept = states;
  call->kept.push_back(lengths);
  call->kept.push_back(reset);
  return py::make_tuple(y, last, std::static_pointer_cast<Saved>(call));
}

py::dict describe(const std::string& name) {
  const CellInfo& info = cells().find<float>(name).info;
  py::dict d;
  d["input_gates"] = info.input_gates;
  d["weight_gates"] = info.weight_gates;
  d["states"] = 1 + info.states;
  d["vectors"] = info.vectors;
  return d;
}

}  // namespace

void bind_recurrent(py::module_& m) {
  m.def("cell_names", [] { return cells().names(); }, "Names of all cells.");
  m.def("describe_cell", &describe, py::arg("name"), "Numbers of gates, states and per-unit vectors of a cell.");
  py::class_<Saved, std::shared_ptr<Saved>>(m, "SavedCall", "What one forward call left for its backward.")
      .def("backward", &Saved::backward, py::arg("dy"), py::arg("dlast"), py::arg("wanted"));
  bind_stepper(m);
  m.def(
      "cell_forward",
      [](const std::string& name, const py::array& x, const py::object& W_ih, const py::object& W_hh,
         const py::object& b, const std::vector<py::object>& vectors, const std::vector<py::object>& states,
         const py::object& lengths, const py::object& reset, bool reverse, bool keep, PackedWeights* packed) {
        return dispatch(x.dtype(), [&](auto scalar) {
          return forward<decltype(scalar)>(name, x, W_ih, W_hh, b, vectors, states, lengths, reset, reverse, keep,
                                           packed);
        });
      },
      py::arg("name"), py::arg("x"), py::arg("W_ih"), py::arg("W_hh"), py::arg("b"), py::arg("vectors"),
      py::arg("states"), py::arg("lengths"), py::arg("reset"), py::arg("reverse"), py::arg("keep"), py::arg("packed"),
      "Runs a cell over a sequence; gives y, the last states, and a SavedCall if keep.");
}

}  // namespace unrolled::bindings
