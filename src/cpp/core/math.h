// exp, sigmoid and tanh of a packet. Error bounds over the whole range are asserted by tests/test_math (C++): see each
// function.
#pragma once

#include "core/packet.h"

namespace unrolled {

/// e^x for float, at most 2 ULP from -87.3 to 88.3; smaller x give 0 or the smallest normal number, larger x
/// infinity. Cody-Waite reduction x = n ln 2 + r, |r| <= ln 2 / 2, then the degree-6 minimax polynomial of Cephes'
/// expf.
inline Vec<float> exp_saturated(Vec<float> x) {
  using V = Vec<float>;
  x = max(min(x, V(88.3762626647950f)), V(-87.3365478515625f));
  const V n = round_to_whole(x * V(1.44269504088896341f));
  V r = fma(n, V(-0.693359375f), x);
  r = fma(n, V(2.12194440e-4f), r);
  V q(1.9875691500e-4f);
  q = fma(q, r, V(1.3981999507e-3f));
  q = fma(q, r, V(8.3334519073e-3f));
  q = fma(q, r, V(4.1665795894e-2f));
  q = fma(q, r, V(1.6666665459e-1f));
  q = fma(q, r, V(5.0000001201e-1f));
  const V e = fma(q, r * r, r) + V(1.0f);
  return e * exp2_whole(n);
}
inline Vec<double> exp_saturated(Vec<double> x) {
  using V = Vec<double>;
  return exp_of_eigen(max(min(x, V(709.0)), V(-708.0)));
}

/// 1 / (1 + e^-x). Relative error stays bounded for very negative x, where 1/2 + tanh(x/2)/2 would lose every digit.
template <class S>
Vec<S> sigmoid(Vec<S> x) {
  const Vec<S> one(S(1));
  return one / (one + exp_saturated(-x));
}

/// tanh for float: odd rational approximation of degree 13/6 on |x| <= 7.9, beyond which it rounds to +-1.
/// Coefficients: the minimax fit used by Eigen's and XLA's tanh.
inline Vec<float> tanh(Vec<float> x) {
  using V = Vec<float>;
  const V bound(7.90531110763549805f);
  const V c = max(min(x, bound), -bound);
  const V x2 = c * c;
  V p(-2.76076847742355e-16f);
  p = fma(p, x2, V(2.00018790482477e-13f));
  p = fma(p, x2, V(-8.60467152213735e-11f));
  p = fma(p, x2, V(5.12229709037114e-08f));
  p = fma(p, x2, V(1.48572235717979e-05f));
  p = fma(p, x2, V(6.37261928875436e-04f));
  p = fma(p, x2, V(4.89352455891786e-03f));
  V q(1.19825839466702e-06f);
  q = fma(q, x2, V(1.18534705686654e-04f));
  q = fma(q, x2, V(2.26843463243900e-03f));
  q = fma(q, x2, V(4.89352518554385e-03f));
  return (c * p) / q;
}

/// tanh for double (Cephes): a rational for |x| < 0.625, where 1 - 2 / (e^2x + 1) would cancel, and that formula
/// beyond.
inline Vec<double> tanh(Vec<double> x) {
  using V = Vec<double>;
  const V x2 = x * x;
  V p(-9.64399179425052238628e-1);
  p = fma(p, x2, V(-9.92877231001918586564e1));
  p = fma(p, x2, V(-1.61468768441708447952e3));
  V q = x2 + V(1.12811678491632931402e2);
  q = fma(q, x2, V(2.23548839060100448583e3));
  q = fma(q, x2, V(4.84406305325125486048e3));
  const V small = fma(x * x2, p / q, x);
  const V size = abs(x);
  const V large = V(1.0) - V(2.0) / (exp_saturated(size + size) + V(1.0));
  const V signed_large = select(less(x, V::zero()), -large, large);
  return select(less(size, V(0.625)), small, signed_large);
}

}  // namespace unrolled
