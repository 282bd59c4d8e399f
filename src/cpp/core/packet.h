// One SIMD packet of scalars with value semantics: `Vec<float>` is 4, 8 or 16 floats, as the ISA level has it.
// This is the only file that names Eigen::internal; kernels above it read like scalar mathematics.
#pragma once

#include <Eigen/Core>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace unrolled {

using Index = std::ptrdiff_t;

template <class S>
using Packet = typename Eigen::internal::packet_traits<S>::type;

/// Scalars per packet. Every padded size is a multiple of it.
template <class S>
inline constexpr int lanes = Eigen::internal::unpacket_traits<Packet<S>>::size;

/// `n` rounded up to whole packets.
template <class S>
constexpr Index padded(Index n) {
  return (n + lanes<S> - 1) / lanes<S> * lanes<S>;
}

template <class S>
struct Vec {
  using Scalar = S;
  Packet<S> p;

  Vec() = default;
  Vec(Packet<S> packet) : p(packet) {}
  Vec(S scalar) : p(Eigen::internal::pset1<Packet<S>>(scalar)) {}

  static Vec zero() { return Eigen::internal::pzero(Packet<S>{}); }
  static Vec load(const S* from) { return Eigen::internal::ploadu<Packet<S>>(from); }
  void store(S* to) const { Eigen::internal::pstoreu(to, p); }
  /// A store past the caches, of what is not read again soon; `to` is a multiple of the packet's size. Threads that
  /// read it have met the writer after its `finish_past_caches`.
  void store_past_caches(S* to) const {
#if defined(__AVX512F__)
    _mm512_stream_si512(reinterpret_cast<__m512i*>(to), (__m512i)p);
#elif defined(__AVX__)
    _mm256_stream_si256(reinterpret_cast<__m256i*>(to), (__m256i)p);
#elif defined(__SSE2__)
    _mm_stream_si128(reinterpret_cast<__m128i*>(to), (__m128i)p);
#else
    store(to);
#endif
  }

  /// The first `count` lanes from memory, zeros behind them: the last packet of a row whose size is no multiple of it.
  static Vec load_partial(const S* from, Index count) {
    if (count >= lanes<S>) return load(from);
    alignas(64) S part[lanes<S>] = {};
    std::memcpy(part, from, static_cast<std::size_t>(count) * sizeof(S));
    return load(part);
  }
  void store_partial(S* to, Index count) const {
    if (count >= lanes<S>) return store(to);
    alignas(64) S part[lanes<S>];
    store(part);
    std::memcpy(to, part, static_cast<std::size_t>(count) * sizeof(S));
  }

  friend Vec operator+(Vec a, Vec b) { return Eigen::internal::padd(a.p, b.p); }
  friend Vec operator-(Vec a, Vec b) { return Eigen::internal::psub(a.p, b.p); }
  friend Vec operator*(Vec a, Vec b) { return Eigen::internal::pmul(a.p, b.p); }
  friend Vec operator/(Vec a, Vec b) { return Eigen::internal::pdiv(a.p, b.p); }
  friend Vec operator-(Vec a) { return Eigen::internal::pnegate(a.p); }
  Vec& operator+=(Vec b) { return *this = *this + b; }
  Vec& operator-=(Vec b) { return *this = *this - b; }
  Vec& operator*=(Vec b) { return *this = *this * b; }
};

/// Whatever the calling thread stores next comes after what it has stored past the caches.
inline void finish_past_caches() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

/// Makes the compiler load `a` into a register once, where it would rather read memory at every use.
template <class S>
inline void hold([[maybe_unused]] Vec<S>& a) {
#if defined(__GNUC__) && defined(__AVX__)
  asm("" : "+v"(a.p));
#endif
}

/// a * b + c, rounded once where the ISA level has FMA. The only source of fused multiply-adds: contraction is off.
template <class S>
Vec<S> fma(Vec<S> a, Vec<S> b, Vec<S> c) {
  return Eigen::internal::pmadd(a.p, b.p, c.p);
}
/// A NaN in `a` survives min and max.
template <class S>
Vec<S> min(Vec<S> a, Vec<S> b) {
  return Eigen::internal::pmin<Packet<S>>(a.p, b.p);
}
template <class S>
Vec<S> max(Vec<S> a, Vec<S> b) {
  return Eigen::internal::pmax<Packet<S>>(a.p, b.p);
}
template <class S>
Vec<S> abs(Vec<S> a) {
  return Eigen::internal::pabs(a.p);
}
template <class S>
Vec<S> sqrt(Vec<S> a) {
  return Eigen::internal::psqrt(a.p);
}
/// All bits set in the lanes where a < b; a NaN compares false.
template <class S>
Vec<S> less(Vec<S> a, Vec<S> b) {
  return Eigen::internal::pcmp_lt(a.p, b.p);
}
template <class S>
Vec<S> select(Vec<S> mask, Vec<S> if_set, Vec<S> if_clear) {
  return Eigen::internal::pselect(mask.p, if_set.p, if_clear.p);
}

/// `a` with zeros behind the first `count` lanes.
template <class S>
Vec<S> first_lanes(Vec<S> a, Index count) {
  if (count >= lanes<S>) return a;
  alignas(64) S part[lanes<S>];
  a.store(part);
  return Vec<S>::load_partial(part, count);
}

/// Sum over the lanes, in registers: the same order at every call.
template <class S>
S sum_lanes(Vec<S> a) {
  return Eigen::internal::predux(a.p);
}

/// Transposes lanes x lanes scalars held in `block` in place.
template <class S>
void transpose(Vec<S> (&block)[lanes<S>]) {
  Eigen::internal::PacketBlock<Packet<S>, lanes<S>> b;
  for (int i = 0; i < lanes<S>; ++i) b.packet[i] = block[i].p;
  Eigen::internal::ptranspose(b);
  for (int i = 0; i < lanes<S>; ++i) block[i] = b.packet[i];
}

/// The last nine bits of each lane where a float has its sign and its exponent.
inline Vec<float> shift_to_exponent(Vec<float> a) {
  using namespace Eigen::internal;
  using Integer = typename unpacket_traits<Packet<float>>::integer_packet;
  return Packet<float>(preinterpret<Packet<float>>(plogical_shift_left<23>(preinterpret<Integer>(a.p))));
}
inline Vec<double> exp_of_eigen(Vec<double> a) { return Eigen::internal::pexp(a.p); }

}  // namespace unrolled
