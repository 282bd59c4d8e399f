// Every registered cell on the engine: the same bits at any number of threads and for any number of callers, and no
// allocation in a step after the first one. Values and gradients themselves are compared with NumPy and peers by the
// Python tests.
#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <thread>

#include "cell_call.h"
#include "core/buffer.h"
#include "gemm/gemm.h"
#include "threads_guard.h"

namespace {

using namespace unrolled;
using namespace unrolled::testing;

std::atomic<long> allocations{0}, allocations_in_team{0};
const std::thread::id main_thread = std::this_thread::get_id();

void count_allocation() {
  ++allocations;
  if (std::this_thread::get_id() != main_thread) ++allocations_in_team;
}

// Small enough for one thread, rows split, units split (one row, many units), both, and odd sizes.
const Shape all_shapes[] = {{0, 2, 3, 5},    {3, 0, 3, 5},    {1, 1, 3, 5},    {5, 3, 2, 17},
                            {6, 33, 24, 40}, {9, 1, 20, 200}, {4, 5, 31, 130}, {12, 64, 8, 33}};

}  // namespace

// operator new and the aligned memory of Buffer (the linker sends aligned_alloc here, see CMakeLists.txt).
[[gnu::noinline]] void* operator new(std::size_t size) {
  count_allocation();
  if (void* const memory = std::malloc(size ? size : 1)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  count_allocation();
  return std::malloc(size ? size : 1);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
extern "C" void* __real_aligned_alloc(std::size_t alignment, std::size_t size);
extern "C" void* __wrap_aligned_alloc(std::size_t alignment, std::size_t size) {
  count_allocation();
  return __real_aligned_alloc(alignment, size);
}

TEST_CASE_TEMPLATE("one thread equals many, forward and backward, bit for bit", S, float, double) {
  Threads threads;
  const std::vector<std::string> names = all_kernels();
  for (std::size_t place = 0; place < names.size(); ++place)
    for (std::size_t at = 0; at < std::size(all_shapes); ++at)
      for (int options : some_options(place, at)) {
        const std::string& name = names[place];
        const Shape& shape = all_shapes[at];
        const CellCall<S> call(name, shape, options & 1, options & 2, options & 4);
        set_num_threads(1);
        const Results<S> expected = call.forward_and_backward();
        for (int count : {2, 3}) {
          if (count == 3 && options != 0 && options != 7) continue;  // more threads than cores: slow
          set_num_threads(count);
          CAPTURE(name);
          CAPTURE(shape.T);
          CAPTURE(shape.B);
          CAPTURE(shape.H);
          CAPTURE(options);
          CAPTURE(count);
          CHECK(same_bits(call.forward_and_backward(), expected));
        }
      }
}

TEST_CASE_TEMPLATE("the threads of a team allocate nothing: there, short memory would end the program", S, float,
                   double) {
  Threads threads;
  set_num_threads(2);
  for (const std::string& name : all_kernels())
    for (const Shape& shape : {Shape{9, 1, 20, 200}, Shape{12, 64, 8, 33}}) {
      const CellCall<S> call(name, shape, true, true);
      const long before = allocations_in_team;
      call.forward_and_backward();
      CAPTURE(name);
      CHECK(allocations_in_team == before);
    }
  constexpr Index n = 160;
  Random<S> random;
  const std::vector<S> A = random.values(n * n), B = random.values(n * n);
  std::vector<S> C(A.size());
  for (Trans a : {Trans::No, Trans::Yes})
    for (Trans b : {Trans::No, Trans::Yes}) {
      const long before = allocations_in_team;
      gemm<S>(n, n, n, {A.data(), n, a}, {B.data(), n, b}, C.data(), n);
      CHECK(allocations_in_team == before);
    }
}

TEST_CASE_TEMPLATE("a size that no memory has is refused", S, float, double) {
  Buffer<S> buffer;
  // In bytes the first is 0 modulo 2^64.
  for (Index size : {Index(1) << 62, PTRDIFF_MAX, Index(1) << 50}) CHECK_THROWS_AS(buffer.resize(size), std::bad_alloc);
}

TEST_CASE_TEMPLATE("inference equals the forward pass of training", S, float, double) {
  for (const std::string& name : all_kernels())
    for (const Shape& shape : all_shapes) {
      const CellCall<S> call(name, shape, true, true);
      Run<S> keeping, forgetting;
      CAPTURE(name);
      CHECK(same_bits(call.forward(keeping, true), call.forward(forgetting, false)));
    }
}

TEST_CASE("many callers share packed weights") {
  Threads threads;
  set_num_threads(2);
  for (const std::string& name : all_kernels()) {
    const CellCall<float> call(name, {7, 20, 16, 48});
    ForwardWeights<float> packed;
    packed.prepare(call.kernel->info, call.sizes());
    packed.pack_share(call.kernel->info, call.sizes(), call.parameters(), 0, 1);
    Run<float> first;
    const Results<float> expected = call.forward(first, false, &packed);
    std::atomic<int> wrong{0};
    std::vector<std::thread> callers;
    for (int i = 0; i < 4; ++i)
      callers.emplace_back([&] {
        Run<float> run;
        for (int round = 0; round < 10; ++round)
          if (!same_bits(call.forward(run, false, &packed), expected)) ++wrong;
      });
    for (std::thread& caller : callers) caller.join();
    CAPTURE(name);
    CHECK(wrong == 0);
  }
}

TEST_CASE_TEMPLATE("a step allocates nothing after the first one", S, float, double) {
  const Threads threads(1);  // another, once it is on standby, gets its memory at its own first step
  for (const std::string& name : all_kernels())
    for (const Shape& shape : {Shape{1, 1, 64, 64}, Shape{1, 7, 33, 50}}) {
      const CellCall<S> call(name, shape);
      ForwardWeights<S> packed;
      packed.prepare(call.kernel->info, call.sizes());
      packed.pack_share(call.kernel->info, call.sizes(), call.parameters(), 0, 1);
      std::vector<S> y(std::size_t(shape.B * shape.H)), h(y), other_states[most_streams];
      const Inputs<S> in = call.inputs();
      Outputs<S> out;
      out.y = y.data();
      out.h_last = h.data();
      for (int k = 0; k < call.kernel->info.states; ++k) {
        other_states[k].resize(std::size_t(shape.B * call.sizes().width(call.kernel->info.stream_space[k])));
        out.state_last[k] = other_states[k].data();
      }
      Run<S> run;
      run.forward(*call.kernel, call.sizes(), packed, nullptr, in, out, false);
      const long before = allocations;
      CHECK(before > 0);
      for (int step = 0; step < 5; ++step) run.forward(*call.kernel, call.sizes(), packed, nullptr, in, out, false);
      CAPTURE(name);
      CHECK(allocations == before);
    }
}

TEST_CASE("an unknown cell is an error that names the known ones") {
  CHECK_THROWS_WITH_AS(cells().find<float>("lstn"), doctest::Contains("no cell is called 'lstn'; there are: "),
                       std::invalid_argument);
}
