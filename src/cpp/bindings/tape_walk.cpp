// The way back along the tape, from one output to every leaf.
#include "bindings/tape_walk.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "bindings/gradient_sum.h"
#include "bindings/memory.h"
#include "bindings/quick_function.h"
#include "bindings/tape_node.h"

namespace unrolled::bindings {
namespace {

[[noreturn]] void refuse_freed() {
  throw std::runtime_error(
      "backward: this graph has been freed by an earlier backward, or by one that failed on its way; "
      "compute the result again, or sum the losses and call backward once");
}

class TapeWalk {
 public:
  TapeWalk(py::type leaf, const py::type& node, py::object refuse_what_is_written, py::object with_partial)
      : leaf_(std::move(leaf)),
        data_(leaf_, "_data"),
        grad_(leaf_, "_grad"),
        node_(node),
        refuse_what_is_written_(std::move(refuse_what_is_written)),
        with_partial_(std::move(with_partial)) {}

  /// Sends `gradient` of output `index` of `root` back to every leaf, and frees the graph as it goes, also where it
  /// fails: then no leaf has got anything. `last_write`: of any tensor; `delivery`: the lock for leaves.
  void run(PyObject* root, Py_ssize_t index, PyObject* gradient, long long last_write, py::handle delivery) const {
    std::vector<Place> order = reachable(root, last_write);
    std::unordered_map<PyObject*, std::size_t> place_of;
    for (std::size_t k = 0; k < order.size(); ++k) place_of[order[k].node.ptr()] = k;
    std::vector<Leaf> leaves;
    std::unordered_map<PyObject*, std::size_t> leaf_of;
    sum_of(order[0], index).add(py::reinterpret_borrow<py::object>(gradient), false, py::str("this call"));
    for (Place& place : order) {
      const Given given = go_through(place);
      for (std::size_t k = 0; k < given.parts.size(); ++k) {
        PyObject* const edge = PyTuple_GET_ITEM(given.edges.ptr(), Py_ssize_t(k));
        const py::object& part = given.parts[k];
        if (edge == Py_None || part.is_none()) continue;
        if (PyTuple_CheckExact(edge)) {
          Place& before = order[place_of.at(PyTuple_GET_ITEM(edge, 0))];
          sum_of(before, py::cast<Py_ssize_t>(PyTuple_GET_ITEM(edge, 1))).add(part, given.owned[k], given.name);
          continue;
        }
        const auto [found, is_new] = leaf_of.try_emplace(edge, leaves.size());
        if (is_new) leaves.push_back({py::reinterpret_borrow<py::object>(edge), GradientSum(), {}});
        leaves[found->second].sum.add(part, given.owned[k], given.name);
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
    py::object made;  // what its `grad` becomes
  };
  /// What the vjp of a node gave for its edges.
  struct Given {
    py::object name, edges;
    std::vector<py::object> parts;
    std::vector<bool> owned;
  };

  /// Every node that the root depends on, itself included, last made first; throws if one cannot go backward.
  std::vector<Place> reachable(PyObject* root, long long last_write) const {
    std::vector<Place> all;
    std::unordered_set<PyObject*> seen{root};
    const auto find = [&](PyObject* node) {
      if (!is_a(node, node_.type)) throw py::type_error("backward: an edge leads to no node");
      all.push_back(
          {py::reinterpret_borrow<py::object>(node), py::cast<long long>(py::handle(node_.number.get(node))), {}});
    };
    find(root);
    for (std::size_t next = 0; next < all.size(); ++next) {
      const auto edges = py::reinterpret_borrow<py::object>(node_.edges.get(all[next].node.ptr()));
      if (node_.vjp.get(all[next].node.ptr()) == Py_None) refuse_freed();
      for (Py_ssize_t k = 0; k < PyTuple_Size(edges.ptr()); ++k) {
        PyObject* const edge = PyTuple_GET_ITEM(edges.ptr(), k);
        if (PyTuple_CheckExact(edge) && seen.insert(PyTuple_GET_ITEM(edge, 0)).second) find(PyTuple_GET_ITEM(edge, 0));
      }
    }
    // Only now: this runs Python, and so perhaps another thread's walk.
    for (const Place& place : all)
      if (place.number < last_write) refuse_what_is_written_(place.node);
    std::sort(all.begin(), all.end(), [](const Place& a, const Place& b) { return a.number > b.number; });
    return all;
  }

  GradientSum& sum_of(Place& place, Py_ssize_t index) const {
    if (place.sums.empty()) place.sums.resize(std::size_t(PyTuple_Size(node_.outputs.get(place.node.ptr()))));
    return place.sums.at(std::size_t(index));
  }

  /// Frees the node and calls its vjp, if a gradient has come here.
  Given go_through(Place& place) const {
    PyObject* const node = place.node.ptr();
    const auto vjp = py::reinterpret_borrow<py::object>(node_.vjp.get(node));
    Given given{py::reinterpret_borrow<py::object>(node_.name.get(node)),
                py::reinterpret_borrow<py::object>(node_.edges.get(node)),
                {},
                {}};
    const auto specs = py::reinterpret_borrow<py::tuple>(node_.outputs.get(node));
    node_.vjp.set(node, Py_None);
    node_.edges.set(node, py::tuple().ptr());
    node_.reads.set(node, py::tuple().ptr());
    std::vector<GradientSum> sums = std::move(place.sums);
    if (sums.empty()) return given;
    if (vjp.is_none()) refuse_freed();  // by another walk, since this one has begun
    py::list incoming(sums.size());
    for (std::size_t k = 0; k < sums.size(); ++k) {
      const py::tuple spec = specs[k];
      incoming[k] = sums[k].is_empty() ? py::none() : sums[k].value(spec[0], spec[1], with_partial_);
    }
    sums.clear();
    const auto made = py::reinterpret_steal<py::object>(
        checked(PySequence_Fast(vjp(incoming).ptr(), "a vjp gives a sequence of gradients")));
    const std::size_t count = std::size_t(PySequence_Fast_GET_SIZE(made.ptr()));
    if (count != std::size_t(PyTuple_GET_SIZE(given.edges.ptr())))
      throw std::runtime_error(
          py::str("{}: vjp gave {} gradients for {} inputs").format(given.name, count, py::len(given.edges)));
    for (std::size_t k = 0; k < count; ++k)
      given.parts.push_back(py::reinterpret_borrow<py::object>(PySequence_Fast_GET_ITEM(made.ptr(), Py_ssize_t(k))));
    given.owned = own_memory(given.parts, incoming);
    return given;
  }

  /// Adds the finished gradients to `grad` of the leaves: to all, or where that fails to none.
  void deliver(std::vector<Leaf>& leaves, py::handle delivery) const {
    const Held held(delivery);
    for (Leaf& leaf : leaves) leaf.made = new_grad(leaf);
    for (const Leaf& leaf : leaves) grad_.set(leaf.tensor.ptr(), leaf.made.ptr());
  }

  py::object new_grad(const Leaf& leaf) const {
    const GradientSum& sum = leaf.sum;
    if (!is_a(leaf.tensor.ptr(), leaf_)) throw py::type_error("backward: an edge is neither a node nor a tensor");
    if (sum.dense()) check_gradient(sum.dense(), py::reinterpret_borrow<py::object>(data_.get(leaf.tensor.ptr())));
    if (grad_.get(leaf.tensor.ptr()) == Py_None && sum.is_dense())
      return sum.owned() ? sum.dense() : sum.dense().attr("copy")();
    return leaf.tensor.attr("_with")(sum.dense() ? sum.dense() : py::none(), sum.owned(), py::cast(sum.partial()));
  }

  class Held {
   public:
    explicit Held(py::handle lock) : lock_(lock) { lock_.attr("acquire")(); }
    ~Held() {
      if (!py::reinterpret_steal<py::object>(PyObject_CallMethod(lock_.ptr(), "release", nullptr)))
        PyErr_WriteUnraisable(lock_.ptr());
    }
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;

   private:
    py::handle lock_;
  };

  py::type leaf_;
  Slot data_, grad_;
  NodeSlots node_;
  py::object refuse_what_is_written_, with_partial_;
};

/// backward(root, index, gradient, last_write, delivery)
PyObject* backward(TapeWalk& walk, PyObject* const* arguments, Py_ssize_t count) {
  if (count != 5) throw py::type_error("expected: root, index, gradient, last write, lock");
  walk.run(arguments[0], py::cast<Py_ssize_t>(arguments[1]), arguments[2], py::cast<long long>(arguments[3]),
           arguments[4]);
  return py::none().release().ptr();
}

/// is_like(object, array)
PyObject* is_like_array(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
  if (count == 2) return PyBool_FromLong(is_like(arguments[0], arguments[1]) ? 1 : 0);
  PyErr_SetString(PyExc_TypeError, "expected: object, array");
  return nullptr;
}

py::object backward_function(const std::shared_ptr<TapeWalk>& walk) {
  static PyMethodDef method = quick_method<TapeWalk, backward>("backward", "From one output to every leaf.");
  return quick_function(walk, method);
}

}  // namespace

void bind_tape_walk(py::module_& m) {
  py::class_<TapeWalk, std::shared_ptr<TapeWalk>>(m, "TapeWalk", "The way back along the tape.")
      .def(py::init<py::type, const py::type&, py::object, py::object>(), py::arg("leaf"), py::arg("node"),
           py::arg("refuse_what_is_written"), py::arg("with_partial"))
      .def("function", &backward_function, "(root, index, gradient, last write, lock of the leaves).");
  static PyMethodDef method = {"is_like", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(is_like_array)),
                               METH_FASTCALL,
                               "is_like(object, array)\n--\n\nWhether it is a plain array of that shape and dtype."};
  m.attr("is_like") = py::reinterpret_steal<py::object>(checked(PyCFunction_New(&method, nullptr)));
}

}  // namespace unrolled::bindings
