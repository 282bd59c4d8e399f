#include "core/buffer.h"

#include <sys/mman.h>

namespace unrolled {

void* detail::acquire(std::size_t bytes) {
  // Large blocks lie on huge pages: touching fresh small ones would cost more than the arithmetic done on them once.
  constexpr std::size_t huge_page = std::size_t(2) << 20;
  const std::size_t alignment = bytes >= 2 * huge_page ? huge_page : 64;
  bytes = (bytes + alignment - 1) / alignment * alignment;
  void* const data = std::aligned_alloc(alignment, bytes);
  if (data == nullptr) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
  if (alignment == huge_page) madvise(data, bytes, MADV_HUGEPAGE);
#endif
  return data;
}

}  // namespace unrolled
