// Aligned scratch memory, not initialised unless asked. Sized once per call, never inside a time loop.
#pragma once

#include <cstdlib>
#include <new>
#include <utility>

#include "core/packet.h"

namespace unrolled {

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
  ~Buffer() { std::free(data_); }

  /// Room for at least `size` scalars; what was stored is lost if it has to grow. Throws std::bad_alloc when memory is short.
  void resize(Index size) {
    if (size <= capacity_) return;
    if (size > PTRDIFF_MAX / static_cast<Index>(sizeof(S)) - 64) throw std::bad_alloc();
    std::free(data_);
    data_ = nullptr;
    capacity_ = 0;
    const std::size_t bytes = (static_cast<std::size_t>(size) * sizeof(S) + 63) / 64 * 64;
    data_ = static_cast<S*>(std::aligned_alloc(64, bytes));
    if (data_ == nullptr) throw std::bad_alloc();
    capacity_ = size;
  }
  void fill_zero(Index size) { std::memset(static_cast<void*>(data_), 0, static_cast<std::size_t>(size) * sizeof(S)); }

  S* data() { return data_; }
  const S* data() const { return data_; }
  S& operator[](Index i) { return data_[i]; }
  const S& operator[](Index i) const { return data_[i]; }
  Index capacity() const { return capacity_; }

 private:
  void swap(Buffer& other) {
    std::swap(data_, other.data_);
    std::swap(capacity_, other.capacity_);
  }
  S* data_ = nullptr;
  Index capacity_ = 0;
};

}  // namespace unrolled
