// Microbenchmarks over all cells of the library and named sizes:
//
//   cmake -S . -B build/bench -DUNROLLED_BUILD_BENCH=ON && cmake --build build/bench &&
//   build/bench/bench/cpp/bench_cells --benchmark_filter='^lstm/.*/large/float32' --threads=1
//
// Every case is cell/job/size/type: `infer` runs a sequence, `train` runs it forward and backward, `step` is one
// streaming step of one row. What is reported:
//
//   GFLOP/s    of the matrix products only: 2 per multiply-add; a backward pass counts as two forward passes
//   of_peak    that rate over the one of multiply-adds that never leave the registers, measured at the start on the
//              same number of threads
//   B/step     bytes that one time step has to read, counted once however often the caches give them:
//                infer  R + s * B * slots
//                train  2 R + 5 s * B * slots
//                step   R + s * B * slots + s * (rows of W_ih) * I
//              where R = s * (all recurrent matrices), s = 4 or 8 bytes and `slots` are the numbers per row and step in
//              which a cell keeps its sums and gates. They are read by the forward point function, and in training by
//              the backward point function and by the products for dh, dx and the weight gradients. W_ih serves many
//              steps of a sequence at once and is left out there; so are x, y and the states, which are small beside.
//   of_bound   of `step`: the least time that its processor needs, over the time it takes. The least time is the
//              larger of its multiply-adds at the peak rate, and of its weights read through multiply-adds from where
//              they lie between two steps; on one thread or on all, whichever is less.
#include <benchmark/benchmark.h>
#include <unrolled/recurrent.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include "engine/registry.h"
#include "engine/weights.h"
#include "limits.h"

namespace {

using unrolled::CellInfo;
using unrolled::Index;
using unrolled::Recurrent;

struct Size {
  const char* name;
  Index T, B, I, H;
};
constexpr Size sequences[] = {
    {"smallest", 1, 1, 64, 64},    // one step of a small model
    {"stream", 100, 1, 128, 128},  // one sequence, small model
    {"stream_large", 100, 1, 512, 512}, {"batch", 100, 32, 128, 256},
    {"batch_wide", 50, 64, 256, 512},   {"words", 35, 20, 650, 650},  // word language model of medium size
    {"large", 20, 128, 1024, 1024},     {"pixels", 784, 64, 1, 128},  // a picture read pixel by pixel
};
constexpr Size steps[] = {{"32", 1, 1, 32, 32}, {"64", 1, 1, 64, 64}, {"128", 1, 1, 128, 128}, {"256", 1, 1, 256, 256}};

template <class S>
std::vector<S> random_values(Index size, S scale) {
  std::vector<S> values(static_cast<std::size_t>(size));
  std::uint32_t state = 12345;
  for (S& value : values) {
    state = state * 1664525u + 1013904223u;
    value = scale * (static_cast<S>(state >> 8) / S(8388608) - 1);
  }
  return values;
}

/// A cell with random parameters, and arrays for one call. The parameters of the public interface have the shapes that
/// the cell's description gives them.
template <class S>
struct Call {
  using Values = std::vector<S>;

  Call(const std::string& cell, const Size& size)
      : size(size), info(unrolled::cells().find<S>(cell).info), sizes(size.I, size.H), net(cell, size.I, size.H) {
    const auto [name, T, B, I, H] = size;
    const S scale = 1 / std::sqrt(static_cast<S>(H));
    input_numbers = net.input_rows() * I;
    W_ih = random_values(input_numbers, scale);
    b = random_values(net.input_rows(), scale);
    unit = random_values(std::max(H, net.output_size()), scale);
    x = random_values(T * B * I, S(1));
    y.resize(static_cast<std::size_t>(T * B * net.output_size()));
    dy = random_values(T * B * net.output_size(), S(1));
    dW_ih.resize(W_ih.size());
    db.resize(b.size());
    dx.resize(x.size());
    weights.W_ih = W_ih.data();
    weights.b = b.data();
    gradients.x = dx.data();
    gradients.W_ih = dW_ih.data();
    gradients.b = db.data();
    for (int m = 0; m < info.matrices; ++m) {
      const unrolled::Matrix& of = info.matrix[m];
      matrices.push_back(random_values(of.gates * sizes.width(of.rows) * sizes.width(of.columns), scale));
      dmatrices.emplace_back(matrices.back().size());
      recurrent_numbers += static_cast<Index>(matrices.back().size());
      (m == 0 ? weights.W_hh : weights.matrices[static_cast<std::size_t>(m - 1)]) = matrices.back().data();
      (m == 0 ? gradients.W_hh : gradients.matrices[static_cast<std::size_t>(m - 1)]) = dmatrices.back().data();
    }
    for (int k = 0; k < net.unit_vectors(); ++k) weights.vectors[static_cast<std::size_t>(k)] = unit.data();
    for (int k = 0; k < net.states(); ++k) states.emplace_back(static_cast<std::size_t>(B * unit.size()), S(0));
    net.set_parameters(weights);
  }
  /// Floating-point operations of the products of one forward pass.
  double operations() const {
    double products = double(input_numbers);
    for (int p = 0; p < info.phases; ++p) {
      const unrolled::Phase& phase = info.phase[p];
      if (phase.operand != unrolled::Operand::None && phase.matrix >= 0)
        products += double(phase.gates * sizes.width(phase.space)) * double(sizes.width(info.operand_space(phase)));
    }
    return 2.0 * double(size.T * size.B) * products;
  }
  double recurrent_bytes() const { return double(sizeof(S)) * double(recurrent_numbers); }
  double input_bytes() const { return double(sizeof(S)) * double(input_numbers); }
  double slot_bytes() const {
    using unrolled::Space;
    const Index numbers = info.slots * sizes.width(Space::Hidden) + info.output_slots * sizes.width(Space::Output);
    return double(sizeof(S)) * double(size.B * numbers);
  }

  Size size;
  CellInfo info;
  unrolled::Sizes sizes;
  Recurrent<S> net;
  Index input_numbers = 0, recurrent_numbers = 0;
  Values W_ih, b, unit, x, y, dy, dW_ih, db, dx;
  std::vector<Values> matrices, dmatrices, states;
  typename Recurrent<S>::Weights weights;
  typename Recurrent<S>::Gradients gradients;
};

/// Runs a case and counts. `operations` and `least` seconds (where known) are those of one run.
template <class F>
void measure(benchmark::State& state, double operations, Index steps, double step_bytes, double peak, double least,
             F&& run) {
  using benchmark::Counter;
  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  for (auto _ : state) {
    run();
    benchmark::ClobberMemory();
  }
  const double runs = static_cast<double>(state.iterations());
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count() / runs;
  state.counters["GFLOP/s"] = operations / seconds * 1e-9;
  state.counters["of_peak"] = operations / seconds / peak;
  state.counters["steps/s"] = Counter(static_cast<double>(steps) * runs, Counter::kIsRate);
  state.counters["B/step"] = step_bytes;
  if (least > 0) state.counters["of_bound"] = least / seconds;
}

template <class S>
double peak() {
  static const double rate = unrolled::bench::peak_rate<S>(unrolled::get_num_threads());
  return rate;
}

template <class S>
void infer(benchmark::State& state, const std::string& cell, const Size& size) {
  Call<S> call(cell, size);
  const double bytes = call.recurrent_bytes() + call.slot_bytes();
  measure(state, call.operations(), size.T, bytes, peak<S>(), 0,
          [&] { call.net.forward({size.T, size.B, call.x.data()}, {call.y.data(), {}}); });
}

template <class S>
void train(benchmark::State& state, const std::string& cell, const Size& size) {
  Call<S> call(cell, size);
  const double bytes = 2 * call.recurrent_bytes() + 5 * call.slot_bytes();
  measure(state, 3 * call.operations(), size.T, bytes, peak<S>(), 0, [&] {
    call.net.set_parameters(call.weights);  // an optimizer has changed them
    call.net.forward_for_training({size.T, size.B, call.x.data()}, {call.y.data(), {}});
    call.net.backward({call.dy.data(), {}}, call.gradients);
  });
}

/// Seconds that a step needs at least.
template <class S>
double least_time(const Call<S>& call) {
  const Index bytes = static_cast<Index>(call.recurrent_bytes() + call.input_bytes());
  const int all = unrolled::get_num_threads();
  static const double one_peak = unrolled::bench::peak_rate<S>(1);
  const double one = std::max(call.operations() / one_peak, unrolled::bench::read_time<S>(bytes, 1));
  if (all == 1) return one;
  return std::min(one, std::max(call.operations() / peak<S>(), unrolled::bench::read_time<S>(bytes, all)));
}

template <class S>
void step(benchmark::State& state, const std::string& cell, const Size& size) {
  Call<S> call(cell, size);
  std::array<const S*, unrolled::max_states> from{};
  std::array<S*, unrolled::max_states> to{};
  for (std::size_t k = 0; k < call.states.size(); ++k) from[k] = to[k] = call.states[k].data();
  const double bytes = call.recurrent_bytes() + call.slot_bytes() + call.input_bytes();
  measure(state, call.operations(), 1, bytes, peak<S>(), least_time(call),
          [&] { call.net.step(size.B, call.x.data(), from, to, call.y.data()); });
}

using Job = void (*)(benchmark::State&, const std::string&, const Size&);

void add(const std::string& cell, const char* job, const Size& size, const char* type, Job run) {
  const auto body = [=](benchmark::State& state) {
    try {
      run(state, cell, size);
    } catch (const std::exception& error) {
      state.SkipWithError(error.what());
    }
  };
  benchmark::RegisterBenchmark((cell + "/" + job + "/" + size.name + "/" + type).c_str(), body)->UseRealTime();
}

template <class S>
void add_all(const std::string& cell, const char* type) {
  for (const Size& size : sequences) add(cell, "infer", size, type, infer<S>);
  for (const Size& size : sequences) add(cell, "train", size, type, train<S>);
  for (const Size& size : steps) add(cell, "step", size, type, step<S>);
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
  for (const std::string& cell : unrolled::cell_names()) {
    add_all<float>(cell, "float32");
    add_all<double>(cell, "float64");
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  const auto gflops = [](double rate) { return std::to_string(rate * 1e-9); };
  benchmark::AddCustomContext("peak GFLOP/s, float32", gflops(peak<float>()));
  benchmark::AddCustomContext("peak GFLOP/s, float64", gflops(peak<double>()));
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
