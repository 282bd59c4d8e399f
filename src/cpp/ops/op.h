// The op table: what an op is. One file per op (or family) defines its shapes, forward and vector-Jacobian product and
// registers it under a name; the Python tape, traced programs and C++ programs all find it there.
#pragma once

#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "core/packet.h"

namespace unrolled::ops {

enum class Type { f32, f64, i64 };
using Shape = std::vector<Index>;

inline Index element_count(const Shape& shape) {
  Index count = 1;
  for (Index size : shape) count *= size;
  return count;
}

/// Type and shape of an array that may not exist yet.
struct Spec {
  Type type;
  Shape shape;
};

/// A C-contiguous array in memory that someone else owns. Without data it is absent: an optional input that was not
/// given, a gradient that is zero (of an output) or not wanted (of an input).
struct Array {
  Spec spec{Type::f32, {}};
  void* data = nullptr;
  bool present = false;

  explicit operator bool() const { return present; }
  template <class S>
  S* as() const {
    return static_cast<S*>(data);
  }
  const Shape& shape() const { return spec.shape; }
  int ndim() const { return static_cast<int>(spec.shape.size()); }
  Index size() const { return element_count(spec.shape); }
  Index last() const { return spec.shape.back(); }
  /// Number of rows when the last axis is the row.
  Index rows() const {
    Index count = 1;
    for (std::size_t axis = 0; axis + 1 < spec.shape.size(); ++axis) count *= spec.shape[axis];
    return count;
  }
};
using Arrays = std::vector<Array>;

/// Named constants of one call of an op: whole numbers and real numbers.
class Attributes {
 public:
  using Value = std::variant<std::int64_t, double>;
  void set(const std::string& name, Value value) { values_[name] = value; }
  std::int64_t integer(const std::string& name) const {
    const Value& value = get(name);
    if (!std::holds_alternative<std::int64_t>(value))
      throw std::invalid_argument("attribute " + name + " must be an integer");
    return std::get<std::int64_t>(value);
  }
  double real(const std::string& name) const {
    const Value& value = get(name);
    return std::holds_alternative<double>(value) ? std::get<double>(value)
                                                 : static_cast<double>(std::get<std::int64_t>(value));
  }

 private:
  const Value& get(const std::string& name) const {
    const auto found = values_.find(name);
    if (found == values_.end()) throw std::invalid_argument("attribute " + name + " is missing");
    return found->second;
  }
  std::map<std::string, Value> values_;
};

/// What forward makes of one input alone, such as packed weights, for calls between which that does not change.
struct Preparation {
  int input = -1;  // none
  std::shared_ptr<const void> (*make)(const Arrays& inputs, const Attributes& attributes) = nullptr;
  /// Forward with what `make` made of the same input.
  void (*forward)(const Arrays& inputs, const Attributes& attributes, const Arrays& outputs,
                  const void* made) = nullptr;
};

struct Op {
  const char* name;
  int least_inputs;  // inputs beyond these are optional
  int most_inputs;
  int results;  // how many outputs are results; the others are kept for vjp only

  /// Checks the inputs (throws std::invalid_argument) and gives type and shape of every output.
  std::vector<Spec> (*shapes)(const Arrays& inputs, const Attributes& attributes);
  /// Overwrites every output.
  void (*forward)(const Arrays& inputs, const Attributes& attributes, const Arrays& outputs);
  /// Overwrites dx of every wanted input, given dy of every result. dx has the shape of its input.
  void (*vjp)(const Arrays& inputs, const Attributes& attributes, const Arrays& outputs, const Arrays& dy,
              const Arrays& dx);

  /// Whether outputs that are kept for vjp only may be absent in forward, where nothing will go back.
  bool keeps_if_asked = false;
  Preparation preparation = {};
};

/// Throws std::invalid_argument for an unknown name.
const Op& find_op(const std::string& name);
std::vector<std::string> op_names();

/// A constant of this type at namespace scope puts an op into the table.
struct Registration {
  explicit Registration(const Op& op);
};

/// Calls f(S()) with the scalar of `type`: float or double.
template <class F>
void dispatch(Type type, F&& f) {
  if (type == Type::f32) return f(float());
  if (type == Type::f64) return f(double());
  throw std::invalid_argument("expected a float32 or float64 array");
}

/// Throws std::invalid_argument unless `condition`.
inline void require(bool condition, const char* otherwise) {
  if (!condition) throw std::invalid_argument(otherwise);
}
inline void require_float(const Array& array, const char* otherwise) {
  require(array && (array.spec.type == Type::f32 || array.spec.type == Type::f64), otherwise);
}

}  // namespace unrolled::ops
