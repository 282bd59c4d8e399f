#include "bindings/tape_record.h"

#include <algorithm>
#include <utility>

#include "bindings/grad_mode.h"
#include "bindings/memory.h"
#include "bindings/quick_function.h"

namespace unrolled::bindings {
namespace {

/// The items of a list or a tuple, or of another sequence made one.
class Items {
 public:
  explicit Items(PyObject* sequence)
      : fast_(py::reinterpret_steal<py::object>(checked(PySequence_Fast(sequence, "a sequence expected")))) {}
  Py_ssize_t size() const { return PySequence_Fast_GET_SIZE(fast_.ptr()); }
  PyObject* operator[](Py_ssize_t k) const { return PySequence_Fast_GET_ITEM(fast_.ptr(), k); }

 private:
  py::object fast_;
};

bool is_view(PyObject* array) {
  return py::detail::array_proxy(array)->base != nullptr && owner_of(array).ptr() != array;
}

/// (shape, dtype)
py::object spec(const py::detail::PyArray_Proxy* array) {
  py::tuple shape(array->nd);
  for (int k = 0; k < array->nd; ++k)
    PyTuple_SET_ITEM(shape.ptr(), k, checked(PyLong_FromSsize_t(array->dimensions[k])));
  return py::reinterpret_steal<py::object>(checked(PyTuple_Pack(2, shape.ptr(), array->descr)));
}

}  // namespace

TapeRecord::TapeRecord(py::type tensor, const py::type& node, std::shared_ptr<Wrapper> wrapper, py::object numbers,
                       py::object note_view)
    : tensor_(std::move(tensor)),
      node_(node),
      data_(tensor_, "_data"),
      requires_grad_(tensor_, "requires_grad"),
      made_by_(tensor_, "_node"),
      index_(tensor_, "_index"),
      lookup_(tensor_, "_lookup"),
      wrapper_(std::move(wrapper)),
      numbers_(std::move(numbers)),
      note_view_(std::move(note_view)) {}

py::tuple TapeRecord::record(PyObject* name, PyObject* inputs, PyObject* outputs, PyObject* vjp,
                             PyObject* reads) const {
  py::tuple tensors = wrapper_->wrap_all(py::tuple(py::reinterpret_borrow<py::object>(outputs)).ptr());
  put(name, inputs, &PyTuple_GET_ITEM(tensors.ptr(), 0), PyTuple_GET_SIZE(tensors.ptr()), vjp, reads);
  return tensors;
}

py::object TapeRecord::record_one(PyObject* name, PyObject* inputs, PyObject* output, PyObject* vjp,
                                  PyObject* reads) const {
  py::object tensor = wrapper_->wrap(output);
  PyObject* const made = tensor.ptr();
  put(name, inputs, &made, 1, vjp, reads);
  return tensor;
}

void TapeRecord::put(PyObject* name, PyObject* inputs, PyObject* const* outputs, Py_ssize_t count, PyObject* vjp,
                     PyObject* reads) const {
  for (Py_ssize_t k = 0; k < count; ++k)
    if (is_view(data_.get(outputs[k]))) note_view_(py::handle(outputs[k]), py::handle(inputs));
  const Items from(inputs);
  bool any = false;
  for (Py_ssize_t k = 0; k < from.size(); ++k) any = wanted(from[k]) || any;
  if (!any || !is_grad_enabled()) return;
  const py::object node = make_empty(node_.type);
  py::tuple edges(from.size()), specs(count);
  for (Py_ssize_t k = 0; k < from.size(); ++k) PyTuple_SET_ITEM(edges.ptr(), k, edge_to(from[k]).release().ptr());
  for (Py_ssize_t k = 0; k < count; ++k) PyTuple_SET_ITEM(specs.ptr(), k, spec(array(outputs[k])).release().ptr());
  node_.name.set(node.ptr(), name);
  node_.edges.set(node.ptr(), edges.ptr());
  node_.outputs.set(node.ptr(), specs.ptr());
  node_.vjp.set(node.ptr(), vjp);
  node_.reads.set(node.ptr(), py::tuple(py::reinterpret_borrow<py::object>(reads ? reads : inputs)).ptr());
  node_.number.set(node.ptr(), py::reinterpret_steal<py::object>(checked(PyIter_Next(numbers_.ptr()))).ptr());
  for (Py_ssize_t k = 0; k < count; ++k) {
    if (py::detail::array_descriptor_proxy(array(outputs[k])->descr)->kind != 'f') continue;
    made_by_.set(outputs[k], node.ptr());
    index_.set(outputs[k], py::int_(k).ptr());
    requires_grad_.set(outputs[k], Py_True);
  }
}

const py::detail::PyArray_Proxy* TapeRecord::array(PyObject* tensor) const {
  return py::detail::array_proxy(data_.get(tensor));
}

bool TapeRecord::wanted(PyObject* input) const {
  if (input == Py_None) return false;
  if (!is_a(input, tensor_)) throw py::type_error("an input is neither a Tensor nor None");
  const int answer = PyObject_IsTrue(requires_grad_.get(input));
  if (answer < 0) throw py::error_already_set();
  return answer == 1;
}

/// Where an input came from, as in `Node.edges`.
py::object TapeRecord::edge_to(PyObject* input) const {
  if (!wanted(input)) return py::none();
  PyObject* const node = made_by_.get(input);
  if (node == Py_None) return py::reinterpret_borrow<py::object>(input);
  return py::reinterpret_steal<py::object>(checked(PyTuple_Pack(2, node, index_.get(input))));
}

py::object TapeRecord::data(PyObject* tensor) const {
  if (tensor == Py_None) return py::none();
  if (!is_a(tensor, tensor_)) throw py::type_error("a weight is neither a Tensor nor None");
  return py::reinterpret_borrow<py::object>(data_.get(tensor));
}

py::object TapeRecord::bare(PyObject* object) const {
  const bool plain = py::type::handle_of(object).is(tensor_) && !lookup_.is_set(object);
  return py::reinterpret_borrow<py::object>(plain ? data_.get(object) : object);
}

py::object TapeRecord::bare_items(PyObject* objects) const {
  if (!PyTuple_Check(objects)) return py::reinterpret_borrow<py::object>(objects);
  py::tuple all(PyTuple_GET_SIZE(objects));
  for (std::size_t k = 0; k < all.size(); ++k) all[k] = bare(PyTuple_GET_ITEM(objects, Py_ssize_t(k)));
  return std::move(all);
}

py::object TapeInputs::add(PyObject* object) {
  append(is_a(object, tape_.tensor_) ? object : Py_None);
  return tape_.bare(object);
}

py::object TapeInputs::add_items(PyObject* objects, int size) {
  const bool given = PyTuple_Check(objects);
  if (!given && objects != Py_None) return {};
  for (Py_ssize_t k = 0, end = given ? PyTuple_GET_SIZE(objects) : size; k < end; ++k) {
    PyObject* const object = given ? PyTuple_GET_ITEM(objects, k) : Py_None;
    append(is_a(object, tape_.tensor_) ? object : Py_None);
  }
  return tape_.bare_items(objects);
}

void TapeInputs::add_weights(const py::list& weights) {
  for (const py::handle weight : weights) append(weight.ptr());
}

bool TapeInputs::any() const { return std::find(wanted_.begin(), wanted_.end(), true) != wanted_.end(); }

void TapeInputs::append(PyObject* tensor) {
  wanted_.push_back(tape_.wanted(tensor));
  tensors_.append(py::handle(tensor));
}

namespace {

template <auto record>
PyObject* call(TapeRecord& tape, PyObject* const* arguments, Py_ssize_t count) {
  if (count != 5) throw py::type_error("expected: name, inputs, outputs, vjp, reads");
  PyObject* const reads = arguments[4] == Py_None ? nullptr : arguments[4];
  return (tape.*record)(arguments[0], arguments[1], arguments[2], arguments[3], reads).release().ptr();
}

py::tuple functions(const std::shared_ptr<TapeRecord>& tape) {
  static PyMethodDef all = quick_method<TapeRecord, call<&TapeRecord::record>>("record", "Tensors around the outputs.");
  static PyMethodDef one = quick_method<TapeRecord, call<&TapeRecord::record_one>>("record_one", "The one output.");
  return py::make_tuple(quick_function(tape, all), quick_function(tape, one));
}

}  // namespace

void bind_tape_record(py::module_& m) {
  py::class_<TapeRecord, std::shared_ptr<TapeRecord>>(m, "TapeRecord", "Puts ops on the tape.")
      .def(py::init<py::type, const py::type&, std::shared_ptr<Wrapper>, py::object, py::object>(), py::arg("tensor"),
           py::arg("node"), py::arg("wrapper"), py::arg("numbers"), py::arg("note_view"))
      .def("functions", &functions, "`record` and `record_one` of (name, inputs, outputs or output, vjp, reads).");
}

}  // namespace unrolled::bindings
