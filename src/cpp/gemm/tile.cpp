#include "gemm/tile.h"

#include <utility>

#include "core/count.h"

namespace unrolled {
namespace {

// Packets that the processor holds at once: more would be spilled in the middle of the sums.
#if defined(__AVX512F__)
constexpr int registers = 32;
#else
constexpr int registers = 16;
#endif

template <class S, int rows, int vectors>
void tile_kernel(const Tile<S>& t) {
  constexpr int P = lanes<S>;
  alignas(64) static constexpr S zeros[P] = {};
  const S* const from = t.start == Start::Bias ? t.bias : zeros;
  const Index from_step = t.start == Start::Continue ? t.out_step : t.start == Start::Bias ? P : 0;
  Vec<S> acc[rows][vectors];
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
    const S* const start = t.start == Start::Continue ? t.out[r] + t.out_first : from;
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) acc[r][v] = Vec<S>::load(start + v * from_step);
  }

  const S* a[rows];
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) a[r] = t.a[r];
  const S* panel = t.panel;
  const Index a_step = t.depth.a_step, length = t.depth.length;
  Ahead ahead = t.ahead;
  for (Index segment = 0; segment < t.depth.segments; ++segment) {
    Index at = segment * t.depth.a_jump;
    for (Index k = 0; k < length; ++k, at += a_step, panel += vectors * P) {
      if (ahead.begin != ahead.end) __builtin_prefetch(*ahead.begin++);
      if constexpr (rows * vectors + vectors + 1 <= registers) {  // the packets of the panel stay, the rows pass
        Vec<S> w[vectors];
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) {
          w[v] = Vec<S>::load(panel + v * P);
          if (rows > 1) hold(w[v]);
        }
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r) {
          const Vec<S> x(a[r][at]);
#pragma GCC unroll 8
          for (int v = 0; v < vectors; ++v) acc[r][v] = fma(x, w[v], acc[r][v]);
        }
      } else {  // the rows stay, the packets pass
        Vec<S> x[rows];
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r) hold(x[r] = Vec<S>(a[r][at]));
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) {
          Vec<S> w = Vec<S>::load(panel + v * P);
          hold(w);
#pragma GCC unroll 8
          for (int r = 0; r < rows; ++r) acc[r][v] = fma(x[r], w, acc[r][v]);
        }
      }
    }
  }
  while (ahead.begin != ahead.end) __builtin_prefetch(*ahead.begin++);  // of a sum of few steps
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) acc[r][v].store(t.out[r] + t.out_first + v * t.out_step);
}

template <class S, int panels, int vectors>
void row_kernel(const Tile<S>& t) {
  constexpr int P = lanes<S>;
  const Index length = t.depth.length, panel_step = t.panel_step;
  Vec<S> acc[panels][vectors];
#pragma GCC unroll 4
  for (int q = 0; q < panels; ++q)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v)
      acc[q][v] = t.start == Start::Zero   ? Vec<S>::zero()
                  : t.start == Start::Bias ? Vec<S>::load(t.bias + (q * vectors + v) * P)
                                           : Vec<S>::load(t.out[0] + q * t.out_panel_step + v * t.out_step);
  const S* panel = t.panel;
  for (Index segment = 0; segment < t.depth.segments; ++segment) {
    const S* a = t.a[0] + segment * t.depth.a_jump;
    for (Index k = 0; k < length; ++k, a += t.depth.a_step, panel += vectors * P) {
      const Vec<S> x(*a);
#pragma GCC unroll 4
      for (int q = 0; q < panels; ++q)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) acc[q][v] = fma(x, Vec<S>::load(panel + q * panel_step + v * P), acc[q][v]);
    }
  }
#pragma GCC unroll 4
  for (int q = 0; q < panels; ++q)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) acc[q][v].store(t.out[0] + q * t.out_panel_step + v * t.out_step);
}

template <class S, int vectors>
void row_of(int panels, const Tile<S>& tile) {
  if constexpr (most_panels == 4)
    if (panels == 4) return row_kernel<S, 4, vectors>(tile);
  if (panels == 2) return row_kernel<S, 2, vectors>(tile);
  row_kernel<S, 1, vectors>(tile);
}

template <class S>
using Kernel = void (*)(const Tile<S>&);

// kernels[vectors - 1][rows - 1]; shapes beyond the register file are never asked for and not instantiated.
template <class S, int rows, int vectors>
constexpr Kernel<S> kernel_or_null() {
  if constexpr (rows <= tile_rows<S>(vectors))
    return tile_kernel<S, rows, vectors>;
  else
    return nullptr;
}

template <class S, int vectors, int... row>
Kernel<S> kernel_for(int rows, std::integer_sequence<int, row...>) {
  static constexpr Kernel<S> kernels[] = {kernel_or_null<S, row + 1, vectors>()...};
  return kernels[rows - 1];
}

}  // namespace

template <class S>
void run_tile(int rows, int vectors, const Tile<S>& tile) {
  constexpr std::make_integer_sequence<int, max_tile_rows> all_rows{};
  with_count(vectors, [&](auto width) { kernel_for<S, width>(rows, all_rows)(tile); });
}

template <class S>
void run_row(int panels, int vectors, const Tile<S>& tile) {
  with_count(vectors, [&](auto width) { row_of<S, width>(panels, tile); });
}

template void run_row<float>(int, int, const Tile<float>&);
template void run_row<double>(int, int, const Tile<double>&);
template void run_tile<float>(int, int, const Tile<float>&);
template void run_tile<double>(int, int, const Tile<double>&);

}  // namespace unrolled
