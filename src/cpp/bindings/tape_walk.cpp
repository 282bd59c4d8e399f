// The way back along the tape, from one output to every leaf.
#include "bindings/tape_walk.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "bindings/memory.h"
#include "bindings/quick_function.h"
#include "bindings/tape_node.h"

namespace unrolled::bindings {
namespace {

const py::detail::npy_api& numpy() { return py::detail::npy_api::get(); }
bool is_array(py::handle object) { return numpy().PyArray_Check_(object.ptr()); }

/// A gradient being added up: dense parts at once, partial ones when the sum is asked for.
struct GradientSum {
  py::object dense;
  bool owned = false;  // nobody else has the memory of `dense`
  std::vector<py::object> partial;
  explicit operator bool() const { return dense || !partial.empty(); }
};

class TapeWalk {
 public:
  TapeWalk(py::type leaf, const py::type& node, py::object refuse_what_is_written, py::object with_partial)
      : leaf_(std::move(leaf)),
        data_(leaf_, "_data"),
        grad_(leaf_, "_grad"),
        node_(node),
        refuse_what_is_written_(std::move(refuse_what_is_written)),
        with_partial_(std::move(with_partial)),
        generic_(py::module_::import("numpy").attr("generic")),
        asarray_(py::module_::import("numpy").attr("asarray")) {}

  /// Sends `gradient` of output `index` of `root` back to every leaf, and frees the graph as it goes, also where it
  /// fails: then no leaf has got anything. `last_write`: of any tensor; `delivery`: the lock for leaves.
  void run(PyObject* root, Py_ssize_t index, PyObject* gradient, long long last_write, py::handle delivery) const {
    std::vector<Place> order = reachable(root, last_write);
    std::unordered_map<PyObject*, std::size_t> place_of;
    for (std::size_t k = 0; k < order.size(); ++k) place_of[order[k].node.ptr()] = k;
    std::vector<Leaf> leaves;
    std::unordered_map<PyObject*, std::size_t> leaf_of;
    add(sum_of(order[0], index), gradient, false);
    for (Place& place : order) {
      const Given given = go_through(place);
      for (std::size_t k = 0; k < given.parts.size(); ++k) {
        PyObject* const edge = PyTuple_GET_ITEM(given.edges.ptr(), Py_ssize_t(k));
        const py::object& part = given.parts[k];
        if (edge == Py_None || part.is_none()) continue;
        if (PyTuple_CheckExact(edge)) {
          Place& before = order[place_of.at(PyTuple_GET_ITEM(edge, 0))];
          add(sum_of(before, py::cast<Py_ssize_t>(PyTuple_GET_ITEM(edge, 1))), part, given.owned[k]);
          continue;
        }
        const auto [found, is_new] = leaf_of.try_emplace(edge, leaves.size());
        if (is_new) leaves.push_back({py::reinterpret_borrow<py::object>(edge), GradientSum()});
        add(leaves[found->second].sum, part, given.owned[k]);
      }
    }
    deliver(leaves, delivery);
  }

 private:
  struct Place {
    py::object node;
    long long number;
    std::vector<GradientSum> sums;  // of its outputs, empty if none is reached
  };
  struct Leaf {
    py::object tensor;
    GradientSum sum;
  };
  /// What the vjp of a node gave for its edges.
  struct Given {
    py::object edges;
    std::vector<py::object> parts;
    std::vector<bool> owned;
  };

  /// Every node that the root depends on, itself included, last made first; throws if one cannot go backward.
  std::vector<Place> reachable(PyObject* root, long long last_write) const {
    if (!is_a(root, node_.type)) throw py::type_error("backward: a node expected");
    std::vector<Place> all;
    std::unordered_set<PyObject*> seen{root};
    std::vector<PyObject*> stack{root};
    while (!stack.empty()) {
      PyObject* const node = stack.back();
      stack.pop_back();
      all.push_back({py::reinterpret_borrow<py::object>(node), PyLong_AsLongLong(node_.number.get(node)), {}});
      if (node_.vjp.get(node) == Py_None)
        throw std::runtime_error(
            "backward: this graph has been freed by an earlier backward, or by one that failed on its way; "
            "compute the result again, or sum the losses and call backward once");
      if (all.back().number < last_write) refuse_what_is_written_(all.back().node);
      PyObject* const edges = node_.edges.get(node);
      for (Py_ssize_t k = 0; k < PyTuple_Size(edges); ++k) {
        PyObject* const edge = PyTuple_GET_ITEM(edges, k);
        if (!PyTuple_CheckExact(edge)) continue;
        PyObject* const before = PyTuple_GET_ITEM(edge, 0);
        if (!is_a(before, node_.type)) throw py::type_error("backward: an edge leads to no node");
        if (seen.insert(before).second) stack.push_back(before);
      }
    }
    std::sort(all.begin(), all.end(), [](const Place& a, const Place& b) { return a.number > b.number; });
    return all;
  }

  GradientSum& sum_of(Place& place, Py_ssize_t index) const {
    if (place.sums.empty()) place.sums.resize(std::size_t(PyTuple_Size(node_.outputs.get(place.node.ptr()))));
    return place.sums.at(std::size_t(index));
  }

  void add(GradientSum& sum, py::handle part, bool owned) const {
    py::object gradient = py::reinterpret_borrow<py::object>(part);
    if (!is_array(gradient)) {
      if (!py::isinstance(gradient, generic_)) return sum.partial.push_back(std::move(gradient));
      gradient = asarray_(gradient);  // NumPy's arithmetic on arrays without axes
    }
    if (!sum.dense) {
      sum.dense = std::move(gradient);
      sum.owned = owned;
    } else if (sum.owned) {
      sum.dense = py::reinterpret_steal<py::object>(checked(PyNumber_InPlaceAdd(sum.dense.ptr(), gradient.ptr())));
    } else {
      sum.dense = asarray_(sum.dense + gradient);
      sum.owned = true;
    }
  }

  /// Frees the node and calls its vjp, if a gradient has come here.
  Given go_through(Place& place) const {
    PyObject* const node = place.node.ptr();
    const auto vjp = py::reinterpret_borrow<py::object>(node_.vjp.get(node));
    Given given{py::reinterpret_borrow<py::object>(node_.edges.get(node)), {}, {}};
    const auto specs = py::reinterpret_borrow<py::tuple>(node_.outputs.get(node));
    node_.vjp.set(node, Py_None);
    node_.edges.set(node, py::tuple().ptr());
    node_.reads.set(node, py::tuple().ptr());
    std::vector<GradientSum> sums = std::move(place.sums);
    if (sums.empty() || vjp.is_none()) return given;
    py::list incoming(sums.size());
    for (std::size_t k = 0; k < sums.size(); ++k) {
      const py::tuple spec = specs[k];
      incoming[k] = sums[k] ? value(sums[k], spec[0], spec[1]) : py::none();
    }
    sums.clear();
    const auto made = py::reinterpret_steal<py::object>(
        checked(PySequence_Fast(vjp(incoming).ptr(), "a vjp gives a sequence of gradients")));
    const std::size_t count = std::size_t(PySequence_Fast_GET_SIZE(made.ptr()));
    if (count != std::size_t(PyTuple_GET_SIZE(given.edges.ptr())))
      throw std::runtime_error(py::str("{}: vjp gave {} gradients for {} inputs")
                                   .format(py::handle(node_.name.get(node)), count, py::len(given.edges)));
    for (std::size_t k = 0; k < count; ++k)
      given.parts.push_back(py::reinterpret_borrow<py::object>(PySequence_Fast_GET_ITEM(made.ptr(), Py_ssize_t(k))));
    given.owned = own_memory(given.parts, incoming);
    return given;
  }

  py::object value(GradientSum& sum, const py::object& shape, const py::object& dtype) const {
    if (!sum.partial.empty()) {
      sum.dense = with_partial_(sum.dense ? sum.dense : py::none(), sum.owned, py::cast(sum.partial), shape, dtype);
      sum.owned = true;
      sum.partial.clear();
    }
    const auto* const dense = py::detail::array_proxy(sum.dense.ptr());
    bool fits = dense->nd == PyTuple_Size(shape.ptr()) && same(dense->descr, dtype.ptr());
    for (int k = 0; fits && k < dense->nd; ++k)
      fits = dense->dimensions[k] == PyLong_AsSsize_t(PyTuple_GET_ITEM(shape.ptr(), k));
    if (!fits) refuse(sum.dense, shape, dtype);
    return sum.dense;
  }
  static bool same(PyObject* type, PyObject* other) {
    return type == other || numpy().PyArray_EquivTypes_(type, other) != 0;
  }

  [[noreturn]] static void refuse(const py::object& dense, const py::object& shape, const py::object& dtype) {
    throw std::runtime_error(
        py::str("backward: a gradient has shape {} and dtype {}, expected {} and {}; the vjp of an op is wrong")
            .format(dense.attr("shape"), dense.attr("dtype"), shape, dtype));
  }

  /// Adds the finished gradients to `grad` of the leaves.
  void deliver(std::vector<Leaf>& leaves, py::handle delivery) const {
    for (const Leaf& leaf : leaves) check(leaf);
    const Held held(delivery);
    for (Leaf& leaf : leaves) {
      PyObject* const tensor = leaf.tensor.ptr();
      GradientSum& sum = leaf.sum;
      if (grad_.get(tensor) == Py_None && sum.partial.empty())
        grad_.set(tensor, (sum.owned ? sum.dense : sum.dense.attr("copy")()).ptr());
      else
        leaf.tensor.attr("_receive")(sum.dense ? sum.dense : py::none(), sum.owned, py::cast(sum.partial));
    }
  }

  void check(const Leaf& leaf) const {
    if (!is_a(leaf.tensor.ptr(), leaf_)) throw py::type_error("backward: an edge is neither a node nor a tensor");
    if (!leaf.sum.dense) return;
    const auto data = py::reinterpret_borrow<py::object>(data_.get(leaf.tensor.ptr()));
    const auto* const to = py::detail::array_proxy(data.ptr());
    const auto* const from = py::detail::array_proxy(leaf.sum.dense.ptr());
    if (from->nd != to->nd || !std::equal(from->dimensions, from->dimensions + from->nd, to->dimensions) ||
        !same(from->descr, to->descr))
      refuse(leaf.sum.dense, data.attr("shape"), data.attr("dtype"));
  }

  class Held {
   public:
    explicit Held(py::handle lock) : lock_(lock) { lock_.attr("acquire")(); }
    ~Held() { lock_.attr("release")(); }
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;

   private:
    py::handle lock_;
  };

  py::type leaf_;
  Slot data_, grad_;
  NodeSlots node_;
  py::object refuse_what_is_written_, with_partial_, generic_, asarray_;
};

/// backward(root, index, gradient, last_write, delivery)
PyObject* backward(TapeWalk& walk, PyObject* const* arguments, Py_ssize_t count) {
  if (count != 5) throw py::type_error("expected: root, index, gradient, last write, lock");
  walk.run(arguments[0], py::cast<Py_ssize_t>(arguments[1]), arguments[2], py::cast<long long>(arguments[3]),
           arguments[4]);
  return py::none().release().ptr();
}

py::object function(const std::shared_ptr<TapeWalk>& walk) {
  static PyMethodDef method = quick_method<TapeWalk, backward>("backward", "From one output to every leaf.");
  return quick_function(walk, method);
}

}  // namespace

void bind_tape_walk(py::module_& m) {
  py::class_<TapeWalk, std::shared_ptr<TapeWalk>>(m, "TapeWalk", "The way back along the tape.")
      .def(py::init<py::type, const py::type&, py::object, py::object>(), py::arg("leaf"), py::arg("node"),
           py::arg("refuse_what_is_written"), py::arg("with_partial"))
      .def("function", &function, "(root, index, gradient, last write, lock of the leaves).");
}

}  // namespace unrolled::bindings
