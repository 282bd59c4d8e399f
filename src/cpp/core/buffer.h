// Aligned scratch memory, not initialised unless asked. Sized once per call, never inside a time loop.
#pragma once

#include <new>
#include <utility>

#include "core/packet.h"

namespace unrolled {

namespace detail {
struct Block {
  void* data = nullptr;
  std::size_t bytes = 0;
};
/// At least `bytes` of memory, aligned for any packet. Large blocks that were released lately are used again. Throws
/// std::bad_alloc.
Block acquire(std::size_t bytes);
/// Gives a block back: to the next call that needs one as large, or to the system.
void release(Block block) noexcept;
}  // namespace detail

template <class S>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(Index size) { resize(size); }
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { free(); }

  /// Room for at least `size` scalars; what was stored is lost if it has to grow. Throws std::bad_alloc when memory is
  /// short.
  void resize(Index size) {
    if (size > PTRDIFF_MAX / static_cast<Index>(sizeof(S)) / 2) throw std::bad_alloc();
    if (static_cast<std::size_t>(size) * sizeof(S) <= block_.bytes) return;
    free();
    block_ = detail::acquire(static_cast<std::size_t>(size) * sizeof(S));
  }
  void fill_zero(Index size) {
    if (size > 0) std::memset(block_.data, 0, static_cast<std::size_t>(size) * sizeof(S));
  }
  /// Scalars that there is room for.
  Index size() const { return static_cast<Index>(block_.bytes / sizeof(S)); }
  S* data() { return static_cast<S*>(block_.data); }
  const S* data() const { return static_cast<const S*>(block_.data); }
  S& operator[](Index i) { return data()[i]; }
  const S& operator[](Index i) const { return data()[i]; }

 private:
  void swap(Buffer& other) { std::swap(block_, other.block_); }
  /// Gives the memory back.
  void free() {
    if (block_.data) detail::release(block_);
    block_ = {};
  }
  detail::Block block_;
};

}  // namespace unrolled
