// A cheap proof that no parameter has changed.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "bindings/quick_arrays.h"

namespace unrolled::bindings {

namespace py = pybind11;

/// Watches the arrays behind some Tensors. They are unchanged for certain if each Tensor still holds the same array,
/// its version is the one seen, and nobody but the Tensor (and this object) refers to the array, now or when it was
/// first seen: whoever could write to it must hold it. The version counts how often the array was handed out.
///
/// Of an owner it also watches that these Tensors are still its attributes, however another may have come there, or one
/// to where none was. It does not keep the owner alive.
class Watch {
 public:
  /// None stands for a Tensor that is not there, or for no owner. `names`: of the attributes that the Tensors are,
  /// where they are no others; else they are looked for.
  explicit Watch(const py::sequence& tensors, const py::object& owner = py::none(),
                 const py::sequence& names = py::tuple()) {
    for (const py::object tensor : tensors) {
      if (tensor.is_none()) continue;
      py::array data = py::cast<py::array>(tensor.attr("_data"));
      sole_ = sole_ && (data.owndata() || py::isinstance<ResultMemory>(data.base()));
      tensors_.push_back(py::reinterpret_borrow<py::object>(tensor));
      versions_.push_back(py::cast<long long>(tensor.attr("_version")));
      arrays_.push_back(std::move(data));
    }
    if (!owner.is_none()) watch_attributes(tensors, owner, names);
    unchanged();  // else whoever holds an array now may write to it and let it go before the next look
  }
  /// Once they have changed it lets go of them: the next Watch of the same arrays must not count this one.
  bool unchanged() {
    sole_ = sole_ && still_attributes() && still_same();
    if (sole_) return true;
    // What goes with the last reference to an array may call Python, and Python this.
    const auto arrays = std::exchange(arrays_, {});
    const auto tensors = std::exchange(tensors_, {});
    const auto attributes = std::exchange(attributes_, {});
    return false;
  }
  /// Whether every Tensor is an attribute of the owner: a change of one would be seen.
  bool sees_all() const {
    return sole_ && std::all_of(tensors_.begin(), tensors_.end(), [&](const py::object& tensor) {
             return std::any_of(attributes_.begin(), attributes_.end(),
                                [&](const Attribute& a) { return a.tensor.is(tensor); });
           });
  }

 private:
  bool still_same() const {
    static PyObject* const data_name = PyUnicode_InternFromString("_data");
    static PyObject* const version_name = PyUnicode_InternFromString("_version");
    for (std::size_t k = 0; k < tensors_.size(); ++k) {
      PyObject* const data = PyObject_GetAttr(tensors_[k].ptr(), data_name);
      PyObject* const version = data ? PyObject_GetAttr(tensors_[k].ptr(), version_name) : nullptr;
      if (version == nullptr) {
        Py_XDECREF(data);
        throw py::error_already_set();
      }
      constexpr Py_ssize_t ours = 3;  // the Tensor, arrays_, and `data` just now
      const bool same =
          data == arrays_[k].ptr() && Py_REFCNT(data) <= ours && PyLong_AsLongLong(version) == versions_[k];
      Py_DECREF(data);
      Py_DECREF(version);
      if (!same) return false;
    }
    return true;
  }

  void watch_attributes(const py::sequence& tensors, const py::object& owner, const py::sequence& names) {
    owner_ = py::weakref(owner);
    if (names.size() > 0) {
      for (std::size_t k = 0; k < names.size(); ++k) attributes_.push_back({names[k], tensors[k]});
      return;
    }
    const py::dict attributes = owner.attr("__dict__");
    for (const auto& [name, value] : attributes)
      for (const py::object& tensor : tensors_)
        if (value.is(tensor)) attributes_.push_back({py::reinterpret_borrow<py::object>(name), tensor});
    bool absent = false;
    for (const py::object tensor : tensors) absent = absent || tensor.is_none();
    if (!absent || tensors_.empty()) return;
    for (const auto& [name, value] : attributes)
      if (value.is_none()) empty_.push_back(py::reinterpret_borrow<py::object>(name));
  }
  bool still_attributes() const {
    if (attributes_.empty()) return true;
    const py::object owner = alive(owner_.ptr());
    if (!owner) return true;
    const auto now = py::reinterpret_steal<py::object>(PyObject_GenericGetDict(owner.ptr(), nullptr));
    if (!now) throw py::error_already_set();
    for (const Attribute& attribute : attributes_)
      if (PyDict_GetItemWithError(now.ptr(), attribute.name.ptr()) != attribute.tensor.ptr()) return false;
    for (const py::object& name : empty_) {
      PyObject* const value = PyDict_GetItemWithError(now.ptr(), name.ptr());
      if (value != nullptr && Py_TYPE(value) == Py_TYPE(tensors_[0].ptr())) return false;
    }
    return true;
  }
  /// What a weak reference refers to, or null.
  static py::object alive(PyObject* reference) {
#if PY_VERSION_HEX >= 0x030D0000
    PyObject* object = nullptr;
    if (PyWeakref_GetRef(reference, &object) < 0) throw py::error_already_set();
    return py::reinterpret_steal<py::object>(object);
#else
    PyObject* const object = PyWeakref_GetObject(reference);
    return object == Py_None ? py::object() : py::reinterpret_borrow<py::object>(object);
#endif
  }

  struct Attribute {
    py::object name, tensor;
  };
  bool sole_ = true;
  py::object owner_;  // a weak reference
  std::vector<Attribute> attributes_;
  std::vector<py::object> empty_;  // names of those that held no Tensor, where one may come
  std::vector<py::object> tensors_;
  std::vector<py::array> arrays_;
  std::vector<long long> versions_;
};

}  // namespace unrolled::bindings
