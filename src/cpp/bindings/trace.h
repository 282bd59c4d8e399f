// Memory of arrays, told to Python's tracemalloc.
#pragma once

#include <cstddef>

namespace unrolled::bindings {

/// In NumPy's domain, np.lib.tracemalloc_domain. Nothing where memory is not being traced. With the GIL held.
void trace(const void* data, std::size_t bytes);
void forget_trace(const void* data);

}  // namespace unrolled::bindings
