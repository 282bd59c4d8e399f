// Nonlinearities as an option of a cell: chosen by a number, so that one kernel serves all of them.
#pragma once

#include "core/math.h"

namespace unrolled {

/// In the order of ACTIVATIONS in unrolled/cells/activations.py.
enum class Activation { Sigmoid, HardSigmoid, Tanh, Relu, Identity, Softsign };

template <class V>
V activate(int kind, V x) {
  const V one(1), half(typename V::Scalar(0.5)), fifth(typename V::Scalar(0.2));
  switch (static_cast<Activation>(kind)) {
    case Activation::Sigmoid:
      return sigmoid(x);
    case Activation::HardSigmoid:
      return min(max(fma(x, fifth, half), V::zero()), one);
    case Activation::Tanh:
      return tanh(x);
    case Activation::Relu:
      return max(x, V::zero());
    case Activation::Softsign:
      return x / (one + abs(x));
    default:
      return x;
  }
}

/// The derivative, from the value y of the nonlinearity.
template <class V>
V slope(int kind, V y) {
  const V one(1), fifth(typename V::Scalar(0.2));
  switch (static_cast<Activation>(kind)) {
    case Activation::Sigmoid:
      return y * (one - y);
    case Activation::HardSigmoid:
      return select(less(V::zero(), y), select(less(y, one), fifth, V::zero()), V::zero());
    case Activation::Tanh:
      return one - y * y;
    case Activation::Relu:
      return select(less(V::zero(), y), one, V::zero());
    case Activation::Softsign:
      return (one - abs(y)) * (one - abs(y));
    default:
      return one;
  }
}

}  // namespace unrolled
