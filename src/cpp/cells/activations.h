// Nonlinearities and their derivatives: known to the compiler, or as an option of a cell, chosen by a number, so that
// one kernel serves all of them.
#pragma once

#include <type_traits>

#include "core/math.h"

namespace unrolled {

/// In the order of ACTIVATIONS in unrolled/cells/activations.py.
enum class Activation { Sigmoid, HardSigmoid, Tanh, Relu, Identity, Softsign };

template <Activation kind, class V>
V activate(V x) {
  if constexpr (kind == Activation::Sigmoid) return sigmoid(x);
  if constexpr (kind == Activation::HardSigmoid) {
    const V half(typename V::Scalar(0.5)), fifth(typename V::Scalar(0.2));
    return min(max(fma(x, fifth, half), V::zero()), V(1));
  }
  if constexpr (kind == Activation::Tanh) return tanh(x);
  if constexpr (kind == Activation::Relu) return max(x, V::zero());
  if constexpr (kind == Activation::Softsign) return x / (V(1) + abs(x));
  if constexpr (kind == Activation::Identity) return x;
}

/// The derivative, from the value y of the nonlinearity.
template <Activation kind, class V>
V slope(V y) {
  const V one(1);
  if constexpr (kind == Activation::Sigmoid) return y * (one - y);
  if constexpr (kind == Activation::HardSigmoid) {
    const V fifth(typename V::Scalar(0.2));
    return select(less(V::zero(), y), select(less(y, one), fifth, V::zero()), V::zero());
  }
  if constexpr (kind == Activation::Tanh) return one - y * y;
  if constexpr (kind == Activation::Relu) return select(less(V::zero(), y), one, V::zero());
  if constexpr (kind == Activation::Softsign) return (one - abs(y)) * (one - abs(y));
  if constexpr (kind == Activation::Identity) return one;
}

/// Calls use(constant) with the nonlinearity of this number as a constant.
template <class F>
auto with_activation(int kind, F&& use) {
  switch (static_cast<Activation>(kind)) {
    case Activation::Sigmoid:
      return use(std::integral_constant<Activation, Activation::Sigmoid>());
    case Activation::HardSigmoid:
      return use(std::integral_constant<Activation, Activation::HardSigmoid>());
    case Activation::Tanh:
      return use(std::integral_constant<Activation, Activation::Tanh>());
    case Activation::Relu:
      return use(std::integral_constant<Activation, Activation::Relu>());
    case Activation::Softsign:
      return use(std::integral_constant<Activation, Activation::Softsign>());
    default:
      return use(std::integral_constant<Activation, Activation::Identity>());
  }
}

template <class V>
V activate(int kind, V x) {
  return with_activation(kind, [x](auto constant) { return activate<constant()>(x); });
}
template <class V>
V slope(int kind, V y) {
  return with_activation(kind, [y](auto constant) { return slope<constant()>(y); });
}

}  // namespace unrolled
