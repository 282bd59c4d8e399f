// exp, sigmoid and tanh of a packet. Error bounds over the whole range are asserted by tests/test_math (C++): see each
// function.
#pragma once

#include "core/packet.h"

namespace unrolled {

/// e^-x = scale * (rest - 1), x between -88.37 and 87.33: `scale` is -2^n and `rest` 1 - e^r, where -x = n ln 2 + r
/// and |r| <= ln 2 / 2 (Cody-Waite). e^r is the degree-6 minimax polynomial of Cephes' expf, in pairs of terms that do
/// not wait for one another.
struct ExpOfMinus {
  Vec<float> scale, rest;

  explicit ExpOfMinus(Vec<float> x) {
    using V = Vec<float>;
    x = max(min(x, V(87.3365478515625f)), V(-88.3762626647950f));
    // At this size a float has no fraction, so the sum rounds -x / ln 2 to n; its last nine bits are those of -2^n
    // above the mantissa: n + 127 and a sign. It is odd, so that 127.5, a tie at the lower bound, goes to 127 and not
    // to the bits of infinity.
    const V whole(12582912.0f + 127.0f + 256.0f);
    const V shifted = fma(x, V(-1.44269504088896341f), whole);
    scale = shift_to_exponent(shifted);
    const V n = shifted - whole;
    V d = fma(n, V(0.693359375f), x);
    d = fma(n, V(-2.12194440e-4f), d);  // -r
    const V d2 = d * d;
    const V low = fma(V(1.6666665459e-1f), d, V(-5.0000001201e-1f));
    const V middle = fma(V(8.3334519073e-3f), d, V(-4.1665795894e-2f));
    const V high = fma(V(1.9875691500e-4f), d, V(-1.3981999507e-3f));
    rest = fma(fma(fma(high, d2, middle), d2, low), d2, d);
  }
};

/// e^x for float, at most 1.1 ULP where |x| <= 87.3; beyond the bounds of ExpOfMinus what they give.
inline Vec<float> exp_saturated(Vec<float> x) {
  const ExpOfMinus e(-x);
  return fma(e.scale, e.rest, -e.scale);
}
inline Vec<double> exp_saturated(Vec<double> x) {
  using V = Vec<double>;
  return exp_of_eigen(max(min(x, V(709.0)), V(-708.0)));
}

/// 1 / (1 + e^-x). Relative error stays bounded for very negative x, where 1/2 + tanh(x/2)/2 would lose every digit.
inline Vec<float> sigmoid(Vec<float> x) {
  const Vec<float> one(1.0f);
  const ExpOfMinus e(x);
  return one / fma(e.scale, e.rest, one - e.scale);
}
inline Vec<double> sigmoid(Vec<double> x) {
  const Vec<double> one(1.0);
  return one / (one + exp_saturated(-x));
}

/// tanh for float: odd rational approximation of degree 13/6 on |x| <= 7.9, and what that gives beyond: 2.4e-7 short of
/// +-1. Coefficients: the minimax fit used by Eigen's and XLA's tanh.
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
