// Every op of the table on odd sizes in buffers of exact size (the sanitizers watch their ends): gradients against
// differences, results at several numbers of threads, refusals.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <random>

#include "core/threads.h"
#include "ops/op.h"

namespace {

using namespace unrolled;
using namespace unrolled::ops;

struct Row {
  const char* name;
  std::vector<Shape> shapes;  // of the arrays of real numbers
  std::vector<std::int64_t> integers = {};
  std::map<std::string, Attributes::Value> attributes = {};
  std::vector<Shape> integer_shapes = {};  // none: one vector
  std::size_t integers_at = 1;             // the first of the inputs that hold integers
};

const std::vector<Row> table = {
    {"relu", {{3, 37}}},
    {"sigmoid", {{3, 37}}},
    {"tanh", {{1}}},
    {"exp", {{5, 5}}},
    {"softmax", {{7, 37}}},
    {"softmax", {{3, 1}}},
    {"log_softmax", {{7, 37}}},
    {"matmul", {{5, 7}, {7, 19}}},
    {"matmul", {{3, 5, 7}, {3, 7, 19}}},
    {"linear", {{3, 4, 7}, {19, 7}, {19}}},
    {"linear", {{130, 7}, {19, 7}}},
    {"embedding", {{5, 19}}, {4, 0, 4, 1}},
    {"layer_norm", {{70, 19}, {19}, {19}}, {}, {{"eps", 1e-5}}},
    {"layer_norm", {{2, 3}}, {}, {{"eps", 1e-5}}},
    {"dropout", {{3, 67}}, {}, {{"p", 0.3}, {"seed", std::int64_t{5}}, {"counter", std::int64_t{1}}}},
    {"cross_entropy", {{4, 37}, {4}}, {36, 0, 7, 7}},
    {"highway", {{3, 19}, {2, 38, 19}, {2, 38}}, {}, {{"depth", std::int64_t{2}}, {"relu", std::int64_t{0}}}},
    {"highway", {{40, 7}, {1, 14, 7}}, {}, {{"depth", std::int64_t{3}}, {"relu", std::int64_t{1}}}},
    // Grid LSTM: time 3, depth 2 with weights of its own, 2 rows, 5 units; places that are dead and that are reset.
    {"wavefront",
     {{2, 40, 10}, {3, 1, 2, 2, 40}, {2, 40}, {1, 1, 2, 2, 5}, {1, 1, 2, 2, 5}, {3, 1, 1, 2, 5}, {3, 1, 1, 2, 5}},
     {1, 0, 0, 0, 0, 1, 1, 0, 1, 1, 1, 1, 1, 1, 2, 1, 2, 0, 1, 0, 1},
     {{"streams", std::int64_t{2}}, {"memories", std::int64_t{1}}},
     {{3, 3}, {3, 1, 2, 2}},
     0},
    // Two-dimensional LSTM, 19 units, a row of one image missing.
    {"wavefront",
     {{1, 95, 38}, {2, 3, 1, 2, 95}},
     {1, 0, 0, 0, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 1, 0},
     {{"streams", std::int64_t{1}}, {"memories", std::int64_t{2}}},
     {{3, 3}, {2, 3, 1, 2}},
     0},
};

/// One op with arguments, results and gradients.
template <class S>
struct Problem {
  const Op& op;
  Attributes attributes;
  std::vector<std::unique_ptr<char[]>> memory;
  Arrays inputs, outputs;

  Array allocate(Type type, const Shape& shape) {
    const std::size_t size = static_cast<std::size_t>(element_count(shape)) * (type == Type::f32 ? 4 : 8);
    memory.push_back(std::make_unique<char[]>(size));
    return {{type, shape}, memory.back().get(), true};
  }

  Array random(const Shape& shape, unsigned seed) {
    std::mt19937 generator(seed);
    std::uniform_real_distribution<double> size(0.3, 2.0);
    Array array = allocate(sizeof(S) == 4 ? Type::f32 : Type::f64, shape);
    for (Index i = 0; i < array.size(); ++i)
      array.as<S>()[i] = static_cast<S>(size(generator) * (generator() % 2 ? 1 : -1));
    return array;
  }

  explicit Problem(const Row& row) : op(find_op(row.name)) {
    for (const auto& [name, value] : row.attributes) attributes.set(name, value);
    for (const Shape& shape : row.shapes) inputs.push_back(random(shape, 1 + static_cast<unsigned>(inputs.size())));
    std::vector<Shape> shapes = row.integer_shapes;
    if (shapes.empty() && !row.integers.empty()) shapes = {{static_cast<Index>(row.integers.size())}};
    const std::int64_t* from = row.integers.data();
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      const Array array = allocate(Type::i64, shapes[i]);
      std::copy_n(from, array.size(), array.as<std::int64_t>());
      from += array.size();
      inputs.insert(inputs.begin() + static_cast<std::ptrdiff_t>(row.integers_at + i), array);
    }
    inputs.resize(static_cast<std::size_t>(op.most_inputs));
    for (const Spec& spec : op.shapes(inputs, attributes)) outputs.push_back(allocate(spec.type, spec.shape));
  }

  bool differentiable(std::size_t i) const {
    return inputs[i] && inputs[i].spec.type != Type::i64 && !(i == 2 && std::string(op.name) == "cross_entropy");
  }

  /// Random numbers for every result.
  Arrays weights() {
    Arrays of_results(outputs.size());
    for (int r = 0; r < op.results; ++r) of_results[std::size_t(r)] = random(outputs[std::size_t(r)].shape(), 9);
    return of_results;
  }

  /// The results times `weights`, summed.
  double value(const Arrays& weights) {
    op.forward(inputs, attributes, outputs);
    double sum = 0;
    for (std::size_t r = 0; r < weights.size(); ++r)
      for (Index i = 0; weights[r] && i < weights[r].size(); ++i)
        sum += double(outputs[r].as<S>()[i]) * double(weights[r].as<S>()[i]);
    return sum;
  }

  Arrays gradients(const Arrays& dys) {
    Arrays dx(inputs.size());
    for (std::size_t i = 0; i < inputs.size(); ++i)
      if (differentiable(i)) dx[i] = allocate(inputs[i].spec.type, inputs[i].shape());
    op.forward(inputs, attributes, outputs);
    op.vjp(inputs, attributes, outputs, dys, dx);
    return dx;
  }
};

TEST_CASE("gradients are those of differences") {
  for (const Row& row : table) {
    CAPTURE(row.name);
    Problem<double> p(row);
    const Arrays weights = p.weights();
    const Arrays dx = p.gradients(weights);
    for (std::size_t i = 0; i < p.inputs.size(); ++i) {
      if (!dx[i]) continue;
      CAPTURE(i);
      const Array direction = p.random(p.inputs[i].shape(), 10);
      double* x = p.inputs[i].as<double>();
      const std::vector<double> before(x, x + direction.size());
      const auto moved = [&](double step) {
        for (Index k = 0; k < direction.size(); ++k) x[k] = before[std::size_t(k)] + step * direction.as<double>()[k];
        return p.value(weights);
      };
      const double step = 1e-5;  // truncation about step^2, rounding about 1e-14 / step
      const double difference = (moved(step) - moved(-step)) / (2 * step);
      moved(0);
      double slope = 0;
      for (Index k = 0; k < direction.size(); ++k) slope += dx[i].as<double>()[k] * direction.as<double>()[k];
      CHECK(slope == doctest::Approx(difference).epsilon(1e-6));
    }
  }
}

TEST_CASE("numbers do not depend on threads, float32 stays near float64") {
  for (const Row& row : table) {
    CAPTURE(row.name);
    Problem<float> p(row);
    Problem<double> wide(row);
    const Arrays dy = p.weights();
    const double expected = wide.value(wide.weights());
    CHECK(p.value(dy) == doctest::Approx(expected).epsilon(1e-4));
    Arrays first;
    for (int threads : {1, 2, 5}) {
      set_num_threads(threads);
      const Arrays dx = p.gradients(dy);
      if (threads == 1) first = dx;
      for (std::size_t i = 0; i < dx.size(); ++i)
        for (Index k = 0; dx[i] && k < dx[i].size(); ++k) REQUIRE(dx[i].as<float>()[k] == first[i].as<float>()[k]);
    }
  }
}

TEST_CASE("what is kept and what is prepared does not change the results") {
  int keeping = 0, preparing = 0;
  for (const Row& row : table) {
    CAPTURE(row.name);
    Problem<float> p(row), kept(row);
    kept.op.forward(kept.inputs, kept.attributes, kept.outputs);
    const auto same_results = [&] {
      for (std::size_t r = 0; r < std::size_t(p.op.results); ++r)
        for (Index i = 0; i < p.outputs[r].size(); ++i)
          REQUIRE(p.outputs[r].as<float>()[i] == kept.outputs[r].as<float>()[i]);
    };
    if (p.op.keeps_if_asked) {
      std::fill(p.outputs.begin() + p.op.results, p.outputs.end(), Array{});
      p.op.forward(p.inputs, p.attributes, p.outputs);
      same_results();
      ++keeping;
    }
    if (p.op.preparation.make) {
      const auto made = p.op.preparation.make(p.inputs, p.attributes);
      for (std::size_t r = 0; r < std::size_t(p.op.results); ++r)
        std::fill_n(p.outputs[r].as<float>(), p.outputs[r].size(), -1.0f);
      p.op.preparation.forward(p.inputs, p.attributes, p.outputs, made.get());
      same_results();
      ++preparing;
    }
  }
  CHECK(keeping >= 2);
  CHECK(preparing >= 1);
}

TEST_CASE("every op is tested and unknown ones are refused") {
  for (const std::string& name : op_names())
    CHECK(std::any_of(table.begin(), table.end(), [&](const Row& row) { return name == row.name; }));
  CHECK_THROWS_AS(find_op("nothing"), std::invalid_argument);
  CHECK_THROWS_AS(Problem<double>({"dropout", {{3}}}), std::invalid_argument);
  CHECK_THROWS_AS(Problem<double>({"matmul", {{2, 3}, {2, 3}}}), std::invalid_argument);
  CHECK_THROWS_AS(Problem<double>({"embedding", {{5, 2}}, {5}}), std::invalid_argument);
  CHECK_THROWS_AS(Problem<double>({"cross_entropy", {{1, 2}, {1}}, {-1}}), std::invalid_argument);
}

}  // namespace
