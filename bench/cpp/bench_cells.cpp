// Microbenchmarks over all cells of the library and named sizes:
//
//   cmake -S . -B build/bench -DUNROLLED_BUILD_BENCH=ON && cmake --build build/bench &&
//   build/bench/bench/cpp/bench_cells bench_cells --benchmark_filter='lstm/.*/large' --threads=1
//
// Every case is cell/job/size: `infer` runs a sequence, `train` runs it forward and backward, `step` is one streaming
// step. The rate GFLOP/s counts the matrix products only (2 per multiply-add; a backward pass counts as two forward
// passes).
#include <benchmark/benchmark.h>
#include <unrolled/recurrent.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

using unrolled::Recurrent;
using Values = std::vector<float>;

struct Size {
  const char* name;
  std::ptrdiff_t T, B, I, H;
};
constexpr Size sizes[] = {
    {"smallest", 1, 1, 64, 64},    // one step of a small model
    {"stream", 100, 1, 128, 128},  // one sequence, small model
    {"stream_large", 100, 1, 512, 512}, {"batch", 100, 32, 128, 256},
    {"batch_wide", 50, 64, 256, 512},   {"words", 35, 20, 650, 650},  // word language model of medium size
    {"large", 20, 128, 1024, 1024},     {"pixels", 784, 64, 1, 128},  // a picture read pixel by pixel
};

Values random_values(std::ptrdiff_t size, float scale) {
  Values values(static_cast<std::size_t>(size));
  std::uint32_t state = 12345;
  for (float& value : values) {
    state = state * 1664525u + 1013904223u;
    value = scale * (static_cast<float>(state >> 8) / 8388608.0f - 1.0f);
  }
  return values;
}

/// A cell with random parameters, and arrays for one call.
struct Call {
  Call(const std::string& cell, const Size& size) : size(size), net(cell, size.I, size.H) {
    const std::ptrdiff_t T = size.T, B = size.B, I = size.I, H = size.H, rows = net.weight_rows();
    const float scale = 1 / std::sqrt(static_cast<float>(H));
    W_ih = random_values(rows * I, scale);
    W_hh = random_values(rows * H, scale);
    b = random_values(rows, scale);
    dW_ih.resize(W_ih.size());
    dW_hh.resize(W_hh.size());
    db.resize(b.size());
    unit = random_values(H, scale);
    x = random_values(T * B * I, 1);
    dx.resize(x.size());
    y.resize(static_cast<std::size_t>(T * B * H));
    dy = random_values(T * B * H, 1);
    weights = {W_ih.data(), W_hh.data(), b.data(), {}};
    gradients.x = dx.data();
    gradients.W_ih = dW_ih.data();
    gradients.W_hh = dW_hh.data();
    gradients.b = db.data();
    for (int k = 0; k < net.unit_vectors(); ++k) weights.vectors[static_cast<std::size_t>(k)] = unit.data();
    for (int k = 0; k < net.states(); ++k) states.emplace_back(static_cast<std::size_t>(B * H), 0.0f);
    net.set_parameters(weights);
  }
  /// Floating-point operations of the products of one forward pass.
  double operations() const {
    return 2.0 * double(size.T * size.B) * double(net.weight_rows()) * double(size.I + size.H);
  }

  Size size;
  Recurrent<float> net;
  Values W_ih, W_hh, b, unit, x, y, dy, dW_ih, dW_hh, db, dx;
  std::vector<Values> states;
  Recurrent<float>::Weights weights;
  Recurrent<float>::Gradients gradients;
};

void count(benchmark::State& state, double operations, std::ptrdiff_t steps) {
  const double runs = static_cast<double>(state.iterations());
  state.counters["GFLOP/s"] = benchmark::Counter(operations * runs * 1e-9, benchmark::Counter::kIsRate);
  state.counters["steps/s"] = benchmark::Counter(static_cast<double>(steps) * runs, benchmark::Counter::kIsRate);
}

void infer(benchmark::State& state, const std::string& cell, const Size& size) {
  Call call(cell, size);
  for (auto _ : state) {
    call.net.forward({size.T, size.B, call.x.data()}, {call.y.data(), {}});
    benchmark::ClobberMemory();
  }
  count(state, call.operations(), size.T);
}

void train(benchmark::State& state, const std::string& cell, const Size& size) {
  Call call(cell, size);
  for (auto _ : state) {
    call.net.set_parameters(call.weights);  // an optimizer has changed them
    call.net.forward_for_training({size.T, size.B, call.x.data()}, {call.y.data(), {}});
    call.net.backward({call.dy.data(), {}}, call.gradients);
    benchmark::ClobberMemory();
  }
  count(state, 3 * call.operations(), size.T);
}

void step(benchmark::State& state, const std::string& cell, const Size& size) {
  Call call(cell, {size.name, 1, size.B, size.I, size.H});
  std::array<const float*, unrolled::max_states> from{};
  std::array<float*, unrolled::max_states> to{};
  for (std::size_t k = 0; k < call.states.size(); ++k) from[k] = to[k] = call.states[k].data();
  for (auto _ : state) {
    call.net.step(size.B, call.x.data(), from, to, call.y.data());
    benchmark::ClobberMemory();
  }
  count(state, call.operations(), 1);
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i)
    if (std::strncmp(argv[i], "--threads=", 10) == 0) {
      unrolled::set_num_threads(std::atoi(argv[i] + 10));
      for (int rest = i; rest + 1 < argc; ++rest) argv[rest] = argv[rest + 1];
      --argc;
      --i;
    }
  benchmark::AddCustomContext("threads", std::to_string(unrolled::get_num_threads()));
  const struct {
    const char* name;
    void (*run)(benchmark::State&, const std::string&, const Size&);
  } jobs[] = {{"infer", infer}, {"train", train}, {"step", step}};
  for (const std::string& cell : unrolled::cell_names())
    for (const auto& job : jobs)
      for (const Size& size : sizes)
        benchmark::RegisterBenchmark((cell + "/" + job.name + "/" + size.name).c_str(), [=](benchmark::State& state) {
          job.run(state, cell, size);
        })->UseRealTime();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
