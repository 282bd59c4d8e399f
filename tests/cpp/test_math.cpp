// Error bounds of exp, sigmoid and tanh over the whole range of their argument, in units in the last place (ULP).
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/math.h"

namespace {

using namespace unrolled;

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
constexpr bool has_fma = true;
#else
constexpr bool has_fma = false;
#endif

/// A type in which libm's result has digits to spare.
template <class S>
struct Wider;
template <>
struct Wider<float> {
  using type = double;
};
template <>
struct Wider<double> {
  using type = long double;
};
template <class S>
using Wide = typename Wider<S>::type;

/// Numbers of both signs with sizes in [least, most], all exponents, about `count` of each sign, and the ends
/// themselves.
template <class S>
std::vector<S> samples(S least, S most, int count) {
  using Bits = std::conditional_t<sizeof(S) == 4, std::uint32_t, std::uint64_t>;
  const auto bits = [](S value) {
    Bits b;
    std::memcpy(&b, &value, sizeof b);
    return b;
  };
  const Bits first = bits(least), last = bits(most), step = (last - first) / static_cast<Bits>(count) | 1;
  std::vector<S> result{S(0), most, -most};
  for (Bits b = first; b <= last; b += step) {
    S value;
    std::memcpy(&value, &b, sizeof b);
    result.push_back(value);
    result.push_back(-value);
  }
  while (result.size() % lanes<S> != 0) result.push_back(S(1));
  return result;
}

template <class S>
double error_in_ulp(S got, Wide<S> expected) {
  int exponent;
  std::frexp(expected, &exponent);
  const int digits = std::numeric_limits<S>::digits;
  const int least = std::numeric_limits<S>::min_exponent;
  const Wide<S> ulp = std::ldexp(Wide<S>(1), std::max(exponent, least) - digits);
  return static_cast<double>(std::fabs(Wide<S>(got) - expected) / ulp);
}

template <class S>
struct Worst {
  double ulp = 0;
  S at = 0;
};

template <class S, class F, class Reference>
Worst<S> worst_error(const std::vector<S>& xs, F f, Reference reference) {
  Worst<S> worst;
  S y[lanes<S>];
  for (std::size_t i = 0; i < xs.size(); i += lanes<S>) {
    f(Vec<S>::load(&xs[i])).store(y);
    for (int lane = 0; lane < lanes<S>; ++lane) {
      const double error = error_in_ulp<S>(y[lane], reference(Wide<S>(xs[i + std::size_t(lane)])));
      if (!(error <= worst.ulp)) worst = {error, xs[i + std::size_t(lane)]};
    }
  }
  return worst;
}

template <class S>
S at(Vec<S> (*f)(Vec<S>), S x) {
  S y[lanes<S>];
  f(Vec<S>(x)).store(y);
  for (int lane = 1; lane < lanes<S>; ++lane)
    CHECK(std::memcmp(&y[0], &y[lane], sizeof(S)) == 0);  // a lane does not see its neighbours
  return y[0];
}

// Below `smallest_normal` arguments and results count as zero inside kernels; above `exp_range` results leave the
// normal numbers.
template <class S>
constexpr S smallest_normal = std::numeric_limits<S>::min();
template <class S>
constexpr S exp_range = sizeof(S) == 4 ? S(87.3) : S(708);
// tanh multiplies by a polynomial of about 0.005 (float) before it divides: below this the product leaves the normal
// numbers.
template <class S>
constexpr S tanh_least = 256 * smallest_normal<S>;
template <class S>
constexpr int sample_count = sizeof(S) == 4 ? 2000000 : 400000;

constexpr double exp_bound(float) { return 1.1; }
constexpr double exp_bound(double) { return 2.5; }
constexpr double sigmoid_bound(float) { return 2.5; }
constexpr double sigmoid_bound(double) { return 2.5; }
constexpr double tanh_bound(float) { return has_fma ? 5 : 7; }
constexpr double tanh_bound(double) { return 2.5; }

}  // namespace

TEST_CASE_TEMPLATE("exp", S, float, double) {
  const auto xs = samples<S>(smallest_normal<S>, exp_range<S>, sample_count<S>);
  const auto worst =
      worst_error<S>(xs, [](Vec<S> x) { return exp_saturated(x); }, [](Wide<S> x) { return std::exp(x); });
  MESSAGE("exp: ", worst.ulp, " ULP at ", worst.at);
  CHECK(worst.ulp <= exp_bound(S()));
}

TEST_CASE_TEMPLATE("sigmoid", S, float, double) {
  const auto xs = samples<S>(smallest_normal<S>, exp_range<S>, sample_count<S>);
  const auto worst =
      worst_error<S>(xs, [](Vec<S> x) { return sigmoid(x); }, [](Wide<S> x) { return 1 / (1 + std::exp(-x)); });
  MESSAGE("sigmoid: ", worst.ulp, " ULP at ", worst.at);
  CHECK(worst.ulp <= sigmoid_bound(S()));
}

TEST_CASE_TEMPLATE("tanh", S, float, double) {
  const auto xs = samples<S>(tanh_least<S>, std::numeric_limits<S>::max(), sample_count<S>);
  const auto worst =
      worst_error<S>(xs, [](Vec<S> x) { return unrolled::tanh(x); }, [](Wide<S> x) { return std::tanh(x); });
  MESSAGE("tanh: ", worst.ulp, " ULP at ", worst.at);
  CHECK(worst.ulp <= tanh_bound(S()));
}

TEST_CASE_TEMPLATE("values at the ends", S, float, double) {
  using Limits = std::numeric_limits<S>;
  for (const S big : {exp_range<S> * 2, Limits::max(), Limits::infinity()}) {
    CAPTURE(big);
    CHECK(at<S>(sigmoid, big) == 1);
    CHECK(at<S>(sigmoid, -big) >= 0);
    CHECK(at<S>(sigmoid, -big) <= 2 * Limits::min());
    CHECK(at<S>(unrolled::tanh, big) == doctest::Approx(1).epsilon(4 * Limits::epsilon()));
    CHECK(at<S>(unrolled::tanh, big) <= 1);
    CHECK(at<S>(unrolled::tanh, -big) == -at<S>(unrolled::tanh, big));
    CHECK(at<S>(exp_saturated, -big) <= 2 * Limits::min());
    CHECK(at<S>(exp_saturated, big) > Limits::max() / 4);
  }
  for (const S tiny : {smallest_normal<S>, tanh_least<S>}) {
    CHECK(at<S>(unrolled::tanh, tiny) <= S(1.02) * tiny);
    CHECK(at<S>(unrolled::tanh, tiny) >= 0);
  }
  CHECK(at<S>(sigmoid, 0) == S(0.5));
  CHECK(at<S>(unrolled::tanh, 0) == 0);
  CHECK(at<S>(exp_saturated, 0) == 1);
}

TEST_CASE_TEMPLATE("a NaN stays a NaN", S, float, double) {
  const S nan = std::numeric_limits<S>::quiet_NaN();
  CHECK(std::isnan(at<S>(sigmoid, nan)));
  CHECK(std::isnan(at<S>(unrolled::tanh, nan)));
  CHECK(std::isnan(at<S>(exp_saturated, nan)));
}

TEST_CASE_TEMPLATE("partial packets touch no neighbour", S, float, double) {
  for (Index count = 0; count <= lanes<S>; ++count) {
    std::vector<S> from(static_cast<std::size_t>(count) + 1, S(3)), to(lanes<S> + 1, S(-1));
    Vec<S>::load_partial(from.data(), count).store_partial(to.data(), count);
    for (Index i = 0; i <= lanes<S>; ++i) CHECK(to[std::size_t(i)] == (i < count ? S(3) : S(-1)));
  }
}

TEST_CASE_TEMPLATE("lanes: sum and transpose", S, float, double) {
  Vec<S> block[lanes<S>];
  S row[lanes<S>];
  for (int i = 0; i < lanes<S>; ++i) {
    for (int j = 0; j < lanes<S>; ++j) row[j] = S(i * lanes<S> + j);
    block[i] = Vec<S>::load(row);
  }
  const S first_row = S(lanes<S>) * (lanes<S> - 1) / 2;
  CHECK(sum_lanes(block[0]) == first_row);
  transpose<S>(block);
  CHECK(sum_lanes(block[0]) == first_row * lanes<S>);
  for (int i = 0; i < lanes<S>; ++i) {
    block[i].store(row);
    for (int j = 0; j < lanes<S>; ++j) CHECK(row[j] == S(j * lanes<S> + i));
  }
}
