// Aligned scratch memory, not initialised unless asked. Sized once per call, never inside a time loop.
#pragma once

#include <cstdlib>
#include <new>
#include <utility>

#include "core/packet.h"

namespace unrolled {

namespace detail {
/// At least `bytes` of memory, aligned for any packet; std::free gives it back. Throws std::bad_alloc.
void* acquire(std::size_t bytes);
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
    if (static_cast<std::size_t>(size) * sizeof(S) <= bytes_) return;
    free();
    data_ = static_cast<S*>(detail::acquire(static_cast<std::size_t>(size) * sizeof(S)));
    bytes_ = static_cast<std::size_t>(size) * sizeof(S);
  }
  void fill_zero(Index size) {
    if (size > 0) std::memset(static_cast<void*>(data_), 0, static_cast<std::size_t>(size) * sizeof(S));
  }
  /// Gives the memory back.
  void free() {
    std::free(data_);
    data_ = nullptr;
    bytes_ = 0;
  }

  S* data() { return data_; }
  const S* data() const { return data_; }
  S& operator[](Index i) { return data_[i]; }
  const S& operator[](Index i) const { return data_[i]; }

 private:
  void swap(Buffer& other) {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
  }
  S* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace unrolled
