// Compiled without Python.h, whose declarations of these functions lack extern "C" up to Python 3.12.
#include "bindings/trace.h"

#include <cstdint>

extern "C" {
int PyTraceMalloc_Track(unsigned domain, std::uintptr_t pointer, std::size_t size);
int PyTraceMalloc_Untrack(unsigned domain, std::uintptr_t pointer);
}

namespace unrolled::bindings {
namespace {

constexpr unsigned numpy = 389047;

}  // namespace

void trace(const void* data, std::size_t bytes) {
  PyTraceMalloc_Track(numpy, reinterpret_cast<std::uintptr_t>(data), bytes);
}
void forget_trace(const void* data) { PyTraceMalloc_Untrack(numpy, reinterpret_cast<std::uintptr_t>(data)); }

}  // namespace unrolled::bindings
