// Optimizer updates on odd sizes in buffers of exact size (the sanitizers watch their ends): every size against an
// update of each element alone, results at several numbers of threads, refusals.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>

#include "core/threads.h"
#include "optim/update.h"

namespace {

using namespace unrolled;
using optim::Coefficients;

struct Row {
  const char* rule;
  int slots;
  Coefficients coefficients;
};

const std::vector<Row> table = {
    {"sgd", 0, {{"rate", 0.1}, {"decay", 0.01}}},
    {"momentum", 1, {{"rate", 0.1}, {"decay", 0.0}, {"momentum", 0.9}, {"nesterov", 1}}},
    {"rmsprop",
     1,
     {{"rate", 0.1}, {"decay", 0}, {"alpha", 0.9}, {"eps", 1e-3}, {"momentum", 0}, {"centred", 0}, {"eps_inside", 0}}},
    {"rmsprop",
     2,
     {{"rate", 0.1}, {"decay", 0}, {"alpha", 0.9}, {"eps", 1e-3}, {"momentum", 0}, {"centred", 1}, {"eps_inside", 0}}},
    {"rmsprop",
     3,
     {{"rate", 0.1},
      {"decay", 0},
      {"alpha", 0.9},
      {"eps", 1e-3},
      {"momentum", 0.9},
      {"centred", 1},
      {"eps_inside", 1}}},
    {"adam",
     2,
     {{"rate", 0.1}, {"decay", 0}, {"keep", 0.9}, {"beta1", 0.9}, {"beta2", 0.99}, {"root", 0.1}, {"eps", 1e-8}}},
    {"adagrad", 1, {{"rate", 0.1}, {"decay", 0}, {"eps", 1e-8}}},
};

template <class S>
using Buffer = std::unique_ptr<S[]>;

/// Parameter, gradient and slots; positive, as running squares are.
template <class S>
std::vector<Buffer<S>> make(Index size, int slots) {
  std::mt19937 generator(3);
  std::uniform_real_distribution<double> draw(0.5, 1.5);
  std::vector<Buffer<S>> buffers;
  for (int k = 0; k < 2 + slots; ++k) {
    buffers.emplace_back(new S[static_cast<std::size_t>(size)]);
    for (Index i = 0; i < size; ++i) buffers.back()[i] = S(draw(generator));
  }
  return buffers;
}

template <class S>
void run(const Row& row, std::vector<Buffer<S>>& buffers, Index first, Index count) {
  std::vector<S*> slots;
  for (std::size_t k = 2; k < buffers.size(); ++k) slots.push_back(buffers[k].get() + first);
  optim::update<S>(row.rule, count, buffers[0].get() + first, buffers[1].get() + first, slots, row.coefficients);
}

template <class S>
void require_same(const std::vector<Buffer<S>>& a, const std::vector<Buffer<S>>& b, Index size) {
  for (std::size_t k = 0; k < a.size(); ++k) REQUIRE(std::equal(a[k].get(), a[k].get() + size, b[k].get()));
}

}  // namespace

TEST_CASE_TEMPLATE("an element depends on its own numbers alone", S, float, double) {
  for (const Row& row : table) {
    for (const Index size : {Index(0), Index(1), Index(7), Index(33), Index(5000)}) {
      auto whole = make<S>(size, row.slots), single = make<S>(size, row.slots), before = make<S>(size, row.slots);
      run(row, whole, 0, size);
      for (Index i = 0; i < size; ++i) run(row, single, i, 1);
      require_same(whole, single, size);
      for (Index i = 0; i < size; ++i) {
        REQUIRE(std::isfinite(whole[0][i]));
        REQUIRE(whole[0][i] != before[0][i]);
        REQUIRE(whole[1][i] == before[1][i]);
      }
    }
  }
}

TEST_CASE_TEMPLATE("rows of a table are updated as if they were alone", S, float, double) {
  const int before = get_num_threads();
  set_num_threads(3);
  for (const Row& row : table)
    for (const Index width : {Index(1), Index(7), Index(30011)}) {
      const std::vector<std::int64_t> rows = {0, 2, 3, 8};
      const Index size = 9 * width;
      auto whole = make<S>(size, row.slots), single = make<S>(size, row.slots);
      std::vector<S*> slots;
      for (std::size_t k = 2; k < whole.size(); ++k) slots.push_back(whole[k].get());
      optim::update_rows(row.rule, Index(rows.size()), rows.data(), width, whole[0].get(), whole[1].get(), slots,
                         row.coefficients);
      std::vector<S> gradient(single[1].get(), single[1].get() + size);
      for (std::size_t n = 0; n < rows.size(); ++n) {
        std::copy_n(gradient.data() + Index(n) * width, width, single[1].get() + rows[n] * width);
        run(row, single, rows[n] * width, width);
      }
      std::copy(gradient.begin(), gradient.end(), single[1].get());
      require_same(whole, single, size);
    }
  set_num_threads(before);
}

TEST_CASE_TEMPLATE("the number of threads changes nothing", S, float, double) {
  const Index size = (Index(1) << 18) + 4099;
  const int before = get_num_threads();
  for (const Row& row : table) {
    set_num_threads(1);
    auto one = make<S>(size, row.slots), many = make<S>(size, row.slots);
    run(row, one, 0, size);
    const double sum = optim::sum_of_squares(one[0].get(), size);
    set_num_threads(3);
    run(row, many, 0, size);
    REQUIRE(optim::sum_of_squares(many[0].get(), size) == sum);
    require_same(one, many, size);
  }
  set_num_threads(before);
}

TEST_CASE("sums of squares are exact where they can be, and do not overflow in float") {
  for (const Index size : {Index(0), Index(1), Index(15), Index(16), Index(4097), Index(100000)}) {
    const Buffer<float> values(new float[static_cast<std::size_t>(size)]);
    for (Index i = 0; i < size; ++i) values[i] = float(i % 8);
    double expected = 0;
    for (Index i = 0; i < size; ++i) expected += double(i % 8) * double(i % 8);
    CHECK(optim::sum_of_squares(values.get(), size) == expected);
  }
  const float large[] = {1e30f, 1e30f};
  CHECK(optim::sum_of_squares(large, 2) == doctest::Approx(2e60));
}

TEST_CASE("what does not fit a rule is refused") {
  float p[1] = {}, g[1] = {}, n[1] = {};
  CHECK_THROWS_AS(optim::update<float>("magic", 1, p, g, {}, {}), std::invalid_argument);
  CHECK_THROWS_AS(optim::update<float>("sgd", 1, p, g, {}, {{"rate", 1}}), std::invalid_argument);
  CHECK_THROWS_AS(optim::update<float>("sgd", 1, p, g, {n}, table[0].coefficients), std::invalid_argument);
  CHECK_THROWS_AS(optim::update<float>("adagrad", 1, p, g, {}, table[6].coefficients), std::invalid_argument);
}
