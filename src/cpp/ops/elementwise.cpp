// relu, sigmoid, tanh, exp of every element. The vector-Jacobian product of each needs the result y alone.
//
//   relu     y = max(x, 0)          dx = dy where y > 0, else 0
//   sigmoid  y = 1 / (1 + e^-x)     dx = dy y (1 - y)
//   tanh     y = tanh(x)            dx = dy (1 - y^2)
//   exp      y = e^x                dx = dy y
#include "ops/op.h"
#include "ops/rows.h"

namespace unrolled::ops {
namespace {

std::vector<Spec> same_shape(const Arrays& inputs, const Attributes&) {
  require_float(inputs[0], "an activation needs a float32 or float64 array");
  return {inputs[0].spec};
}

struct Relu {
  template <class V>
  static V value(V x) {
    return max(x, V::zero());
  }
  template <class V>
  static V vjp(V dy, V y) {
    return select(less(V::zero(), y), dy, V::zero());
  }
};

struct Sigmoid {
  template <class V>
  static V value(V x) {
    return sigmoid(x);
  }
  template <class V>
  static V vjp(V dy, V y) {
    return dy * (y * (V(1) - y));
  }
};

struct Tanh {
  template <class V>
  static V value(V x) {
    return tanh(x);
  }
  template <class V>
  static V vjp(V dy, V y) {
    return dy * (V(1) - y * y);
  }
};

struct Exp {
  // exp_saturated stops short of infinity: take one e out where x is large.
  template <class V>
  static V value(V x) {
    using S = typename V::Scalar;
    const V large(std::is_same_v<S, float> ? S(88) : S(708));
    const V least(std::is_same_v<S, float> ? S(-87.3365478515625) : S(-708));
    const V shifted = exp_saturated(select(less(large, x), x - V(1), x));
    const V y = select(less(large, x), shifted * V(S(2.718281828459045235)), shifted);
    return select(less(x, least), V::zero(), y);
  }
  template <class V>
  static V vjp(V dy, V y) {
    return dy * y;
  }
};

template <class F>
void forward(const Arrays& inputs, const Attributes&, const Arrays& outputs) {
  dispatch(inputs[0].spec.type, [&](auto scalar) {
    using S = decltype(scalar);
    const auto f = [](Vec<S> x) { return F::value(x); };
    map(inputs[0].size(), outputs[0].as<S>(), f, static_cast<const S*>(inputs[0].as<S>()));
  });
}

template <class F>
void vjp(const Arrays& inputs, const Attributes&, const Arrays& outputs, const Arrays& dy, const Arrays& dx) {
  dispatch(inputs[0].spec.type, [&](auto scalar) {
    using S = decltype(scalar);
    const auto f = [](Vec<S> d, Vec<S> y) { return F::vjp(d, y); };
    map(inputs[0].size(), dx[0].as<S>(), f, static_cast<const S*>(dy[0].as<S>()),
        static_cast<const S*>(outputs[0].as<S>()));
  });
}

template <class F>
constexpr Op elementwise(const char* name) {
  return {name, 1, 1, 1, same_shape, forward<F>, vjp<F>};
}

const Registration relu_op(elementwise<Relu>("relu"));
const Registration sigmoid_op(elementwise<Sigmoid>("sigmoid"));
const Registration tanh_op(elementwise<Tanh>("tanh"));
const Registration exp_op(elementwise<Exp>("exp"));

}  // namespace
}  // namespace unrolled::ops
