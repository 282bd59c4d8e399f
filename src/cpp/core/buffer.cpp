#include "core/buffer.h"

#include <sys/mman.h>

#include <mutex>
#include <vector>

namespace unrolled {
namespace {

// Fresh pages cost more than the arithmetic done on them once: large blocks that were freed are kept for the next call.
struct Pool {
  struct Block {
    void* data;
    std::size_t bytes;
  };
  std::mutex mutex;
  std::vector<Block> blocks;
  std::size_t kept = 0;
};

constexpr std::size_t pooled_from = std::size_t(1) << 16;
constexpr std::size_t most_kept = std::size_t(512) << 20;
constexpr std::size_t most_blocks = 32;
constexpr std::size_t huge_page = std::size_t(2) << 20;

Pool& pool() {
  static Pool* const p = new Pool;  // never destroyed: buffers of static objects may outlive it
  return *p;
}

}  // namespace

void* detail::acquire(std::size_t& bytes) {
  bytes = (bytes + 63) / 64 * 64;
  if (bytes >= pooled_from) {
    Pool& p = pool();
    const std::lock_guard<std::mutex> lock(p.mutex);
    std::size_t best = p.blocks.size();
    for (std::size_t i = 0; i < p.blocks.size(); ++i) {
      const std::size_t have = p.blocks[i].bytes;
      const bool fits = have >= bytes && have <= bytes + bytes / 2;
      if (fits && (best == p.blocks.size() || have < p.blocks[best].bytes)) best = i;
    }
    if (best < p.blocks.size()) {
      const Pool::Block block = p.blocks[best];
      p.blocks[best] = p.blocks.back();
      p.blocks.pop_back();
      p.kept -= block.bytes;
      bytes = block.bytes;
      return block.data;
    }
  }
  const bool huge = bytes >= 2 * huge_page;
  if (huge) bytes = (bytes + huge_page - 1) / huge_page * huge_page;
  void* const data = std::aligned_alloc(huge ? huge_page : 64, bytes);
  if (data == nullptr) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
  if (huge) madvise(data, bytes, MADV_HUGEPAGE);
#endif
  return data;
}

void detail::release(void* data, std::size_t bytes) noexcept {
  if (bytes >= pooled_from && bytes <= most_kept / 2) {
    Pool& p = pool();
    const std::lock_guard<std::mutex> lock(p.mutex);
    while (!p.blocks.empty() && (p.kept + bytes > most_kept || p.blocks.size() >= most_blocks)) {
      p.kept -= p.blocks.front().bytes;
      std::free(p.blocks.front().data);
      p.blocks.erase(p.blocks.begin());
    }
    try {
      p.blocks.push_back({data, bytes});
      p.kept += bytes;
      return;
    } catch (const std::bad_alloc&) {
    }
  }
  std::free(data);
}

}  // namespace unrolled
