// Matrix products against the definition: every element is one sum over k in order, so they agree bit for bit.
#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <vector>

#include "core/threads.h"
#include "gemm/gemm.h"
#include "gemm/packed_matrix.h"
#include "ops/rows.h"

namespace {

using namespace unrolled;

template <class S>
S multiply_add(S a, S b, S c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  return std::fma(a, b, c);
#else
  return a * b + c;
#endif
}

template <class S>
std::vector<S> random_values(Index size, unsigned seed) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<S> distribution(-1, 1);
  std::vector<S> values(static_cast<std::size_t>(size));
  for (S& value : values) value = distribution(engine);
  return values;
}

struct Sizes {
  Index M, N, K;
};
// Odd sizes around packets and tiles, one row, one column, nothing to sum, large enough for threads, for sums in runs,
// and for blocks of rows.
const Sizes all_sizes[] = {{1, 1, 1},   {1, 64, 64},  {3, 17, 5},     {7, 33, 0},    {8, 16, 1},    {5, 70, 31},
                           {16, 15, 9}, {37, 129, 3}, {65, 100, 67},  {130, 48, 96}, {2, 257, 200}, {0, 4, 4},
                           {4, 0, 4},   {33, 20, 0},  {48, 21, 4200}, {48, 1600, 9}, {901, 20, 660}};

/// Rows of C are `spare` longer than N, to see that nothing is written beside it.
template <class S>
struct Problem {
  Problem(Sizes sizes, Trans ta, Trans tb, bool bias)
      : M(sizes.M),
        N(sizes.N),
        K(sizes.K),
        ta(ta),
        tb(tb),
        with_bias(bias),
        a(random_values<S>(M * K + 3 * std::max(M, K), 1)),
        b(random_values<S>(K * N + 2 * std::max(K, N), 2)),
        bias(random_values<S>(N, 3)),
        c(random_values<S>(M * (N + spare), 4)) {}

  Index lda() const { return (ta == Trans::No ? K : M) + 3; }
  Index ldb() const { return (tb == Trans::No ? N : K) + 2; }
  S at_a(Index m, Index k) const { return a[std::size_t(ta == Trans::No ? m * lda() + k : k * lda() + m)]; }
  S at_b(Index k, Index n) const { return b[std::size_t(tb == Trans::No ? k * ldb() + n : n * ldb() + k)]; }

  std::vector<S> expected() const {
    std::vector<S> result = c;
    for (Index m = 0; m < M; ++m)
      for (Index n = 0; n < N; ++n) {
        S& sum = result[std::size_t(m * (N + spare) + n)];
        sum = with_bias ? bias[std::size_t(n)] : 0;
        for (Index k = 0; k < K; ++k) sum = multiply_add(at_a(m, k), at_b(k, n), sum);
      }
    return result;
  }
  std::vector<S> computed() const {
    std::vector<S> result = c;
    gemm<S>(M, N, K, {a.data(), lda(), ta}, {b.data(), ldb(), tb}, result.data(), N + spare,
            with_bias ? bias.data() : nullptr);
    return result;
  }

  static constexpr Index spare = 5;
  Index M, N, K;
  Trans ta, tb;
  bool with_bias;
  std::vector<S> a, b, bias, c;
};

template <class S>
bool same_bits(const std::vector<S>& x, const std::vector<S>& y) {
  return x.size() == y.size() && (x.empty() || std::memcmp(x.data(), y.data(), x.size() * sizeof(S)) == 0);
}

}  // namespace

TEST_CASE_TEMPLATE("products equal their definition at any number of threads", S, float, double) {
  const int before = get_num_threads();
  for (const Sizes& sizes : all_sizes)
    for (Trans ta : {Trans::No, Trans::Yes})
      for (Trans tb : {Trans::No, Trans::Yes})
        for (bool bias : {false, true}) {
          CAPTURE(sizes.M);
          CAPTURE(sizes.N);
          CAPTURE(sizes.K);
          CAPTURE((ta == Trans::Yes));
          CAPTURE((tb == Trans::Yes));
          CAPTURE(bias);
          const Problem<S> problem(sizes, ta, tb, bias);
          const std::vector<S> expected = problem.expected();
          for (int threads : {1, 2, 3}) {
            CAPTURE(threads);
            set_num_threads(threads);
            CHECK(same_bits(problem.computed(), expected));
          }
        }
  set_num_threads(before);
}

TEST_CASE_TEMPLATE("NaN and infinity go where the definition puts them", S, float, double) {
  Problem<S> problem({9, 20, 6}, Trans::No, Trans::Yes, true);
  problem.a[std::size_t(2 * problem.lda() + 1)] = std::numeric_limits<S>::quiet_NaN();
  problem.b[std::size_t(4 * problem.ldb() + 3)] = std::numeric_limits<S>::infinity();
  const std::vector<S> got = problem.computed();
  for (Index m = 0; m < problem.M; ++m)
    for (Index n = 0; n < problem.N; ++n) {
      const S value = got[std::size_t(m * (problem.N + problem.spare) + n)];
      CHECK(std::isnan(value) == (m == 2));
      CHECK(std::isinf(value) == (m != 2 && n == 4));
    }
}

TEST_CASE_TEMPLATE("a matrix that stays packed gives the bits of a product", S, float, double) {
  const int before = get_num_threads();
  for (const Sizes& sizes : {Sizes{1, 1, 1},
                             {1, 70, 31},
                             {1, 257, 300},
                             {2, 64, 16},
                             {7, 33, 40},
                             {48, 100, 67},
                             {1, 900, 300},
                             {3, 2000, 400}})
    for (Trans trans : {Trans::No, Trans::Yes})
      for (bool with_bias : {false, true}) {
        const auto [M, N, K] = sizes;
        CAPTURE(M);
        CAPTURE(N);
        CAPTURE(with_bias);
        const std::vector<S> A = random_values<S>(M * K, 1), B = random_values<S>(K * N, 2), b = random_values<S>(N, 3);
        const S* const bias = with_bias ? b.data() : nullptr;
        const ConstMatrix<S> stored{B.data(), trans == Trans::No ? N : K, trans};
        std::vector<S> expected(std::size_t(M * N)), got(std::size_t(M * N));
        gemm<S>(M, N, K, {A.data(), K}, stored, expected.data(), N, bias);
        const PackedMatrix<S> packed(N, K, stored, bias);
        for (int threads : {1, 2, 3})
          for (int call = 0; call < 20; ++call) {  // threads on standby come after a while
            set_num_threads(threads);
            std::fill(got.begin(), got.end(), S(7));
            packed.multiply(M, A.data(), got.data());
            CHECK(same_bits(got, expected));
          }
      }
  set_num_threads(before);
}

TEST_CASE_TEMPLATE("gradients of a linear layer from one reading", S, float, double) {
  const int before = get_num_threads();
  for (const Sizes& sizes : {Sizes{3, 40, 17}, {1, 16, 1}, {90, 64, 2}, {90, 70, 2}, {700, 901, 20}, {0, 5, 4}}) {
    const auto [rows, outputs, inputs] = sizes;
    CAPTURE(rows);
    CAPTURE(outputs);
    const std::vector<S> dy = random_values<S>(rows * outputs, 1), x = random_values<S>(rows * inputs, 2);
    std::vector<S> product(std::size_t(outputs * inputs));
    gemm<S>(outputs, inputs, rows, {dy.data(), outputs, Trans::Yes}, {x.data(), inputs}, product.data(), inputs);
    std::vector<S> sums;
    for (int threads : {1, 2, 3}) {
      CAPTURE(threads);
      set_num_threads(threads);
      std::vector<S> dW(product.size(), S(7)), db(std::size_t(outputs), S(7));
      linear_gradients<S>(rows, outputs, inputs, dy.data(), x.data(), dW.data(), db.data());
      CHECK(same_bits(dW, product));
      if (threads == 1) sums = db;
      CHECK(same_bits(db, sums));
    }
    std::vector<S> expected(sums.size());
    ops::sum_rows(rows, outputs, expected.data(), [&](Index row, S* partial) {
      for (Index n = 0; n < outputs; ++n) partial[n] += dy[std::size_t(row * outputs + n)];
    });
    CHECK(same_bits(sums, expected));
    for (Index n = 0; n < outputs; ++n) {
      double sum = 0;
      for (Index row = 0; row < rows; ++row) sum += double(dy[std::size_t(row * outputs + n)]);
      CHECK(double(sums[std::size_t(n)]) == doctest::Approx(sum).epsilon(1e-5));
    }
  }
  set_num_threads(before);
}
