// Scratch memory: alignment, the slab of middle blocks, and the reserve of large ones between calls.
#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "core/buffer.h"
#include "core/slab.h"

namespace {

using namespace unrolled;

constexpr Index MB = Index(1) << 20;
using Bytes = Buffer<unsigned char>;

std::atomic<long> allocations{0};
std::atomic<bool> memory_is_short{false};

/// New blocks that `use` takes from the system.
template <class F>
long allocations_of(F&& use) {
  const long before = allocations;
  use();
  return allocations - before;
}

}  // namespace

// The memory of Buffer (the linker sends aligned_alloc here, see CMakeLists.txt).
extern "C" void* __real_aligned_alloc(std::size_t alignment, std::size_t size);
extern "C" void* __wrap_aligned_alloc(std::size_t alignment, std::size_t size) {
  ++allocations;
  return memory_is_short ? nullptr : __real_aligned_alloc(alignment, size);
}

TEST_CASE("blocks are aligned for every packet, and an empty one needs no memory") {
  for (Index size : {Index(1), Index(63), Index(1000), MB / 2, 5 * MB}) {
    Bytes buffer(size);
    CHECK(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64 == 0);
    buffer[size - 1] = 1;
  }
  CHECK(allocations_of([] { Bytes buffer(0); }) == 0);
}

TEST_CASE("a large block is used again for one as large or little smaller, and only there") {
  const Index size = 13 * MB;
  {
    Bytes buffer(size);
  }
  for (Index again : {size, size - size / 8, size}) CHECK(allocations_of([&] { Bytes buffer(again); }) == 0);
  for (Index other : {size / 2, 2 * size}) CHECK(allocations_of([&] { Bytes buffer(other); }) == 1);
  CHECK(allocations_of([&] { Bytes one(size), two(size); }) == 1);
}

TEST_CASE("whatever its size, a large block serves the next call of the same size") {
  for (Index size : {MB + 1, 2 * MB + 12345, 4 * MB + 8192, 5 * MB - 1, 6 * MB + 64}) {
    {
      Bytes buffer(size);
    }
    CAPTURE(size);
    CHECK(allocations_of([&] { Bytes buffer(size); }) == 0);
  }
}

TEST_CASE("small blocks are not kept") {
  for (int round = 0; round < 3; ++round) CHECK(allocations_of([] { Bytes buffer(1000); }) == 1);
}

TEST_CASE("blocks of middle size come from one run of huge pages, and the system helps out" *
          doctest::skip(!slab::in_use)) {
  slab::make();
  const Index size = 3 * MB / 4 - 5;
  {
    std::vector<Bytes> blocks;
    CHECK(allocations_of([&] {
            for (int k = 0; k < 5; ++k) blocks.emplace_back(size);
          }) == 0);
    CHECK(allocations_of([&] { blocks.emplace_back(size); }) == 1);  // all of it is taken
    blocks.erase(blocks.begin() + 1);
    CHECK(allocations_of([&] {
            for (int k = 0; k < 16; ++k) blocks.emplace_back(MB / 16);  // in the gaps
          }) == 0);
    for (Bytes& block : blocks) std::memset(block.data(), 1, MB / 16);
  }
  CHECK(allocations_of([&] { Bytes one(size), two(MB / 2), three(size), four(size); }) == 0);
  const auto more_than_there_is = [&] { Bytes one(size), two(size), three(size), four(size), five(size), six(size); };
  more_than_there_is();
  CHECK(allocations_of(more_than_there_is) == 0);  // those of the system were kept
}

TEST_CASE("what is kept has a limit, and the oldest leave first") {
  const Index size = 90 * MB;  // not touched: no memory behind it
  const auto three = [&] { Bytes one(size), two(size), three(size); };
  three();
  CHECK(allocations_of(three) == 1);  // two of them were kept, of 256 MB
  const auto too_large = [] { Bytes buffer(300 * MB); };
  too_large();
  CHECK(allocations_of(too_large) == 1);
  for (Index k = 0; k < 100; ++k) Bytes buffer(2 * MB + k * MB);  // more than there are places
  CHECK(allocations_of([] { Bytes buffer(101 * MB); }) == 0);
}

TEST_CASE("where the system has no memory, what is kept is given back before a call fails") {
  {
    Bytes kept(50 * MB);
  }
  memory_is_short = true;
  std::string message;
  try {
    Bytes buffer(200 * MB);
  } catch (const std::bad_alloc& error) {
    message = error.what();
  }
  memory_is_short = false;
  CHECK(message.find("memory is short") != std::string::npos);
  CHECK(message.find("209.7 MB") != std::string::npos);
  CHECK(allocations_of([] { Bytes buffer(50 * MB); }) == 1);  // the kept one had gone
}

TEST_CASE("no block has two owners") {
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int id = 0; id < 4; ++id)
    callers.emplace_back([&wrong, id] {
      for (int round = 0; round < 300; ++round) {
        const Index size = MB / 8 + round % 5 * MB;
        Bytes one(size), two(size);
        for (Index at : {Index(0), size - 1}) one[at] = two[at] = static_cast<unsigned char>(id);
        std::this_thread::yield();
        for (Index at : {Index(0), size - 1})
          if (one[at] != id || two[at] != id) ++wrong;
        if (one.data() == two.data()) ++wrong;
      }
    });
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong == 0);
}
