#include "limits.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/buffer.h"
#include "core/packet.h"
#include "core/threads.h"

namespace unrolled::bench {
namespace {

// Independent sums, which hide the latency of a multiply-add: 4 cycles, two of them per cycle.
constexpr Index sums = 10;
using Each = std::make_index_sequence<sums>;
constexpr int samples = 7;
constexpr double sample_seconds = 0.005;

/// Seconds of one of the repeats that body(repeats, id, count) makes on every thread: the best of a few samples.
template <class F>
double best_time(int threads, F body) {
  const auto time = [&](Index repeats) {
    const std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
    parallel(threads, [&](int id, int count) { body(repeats, id, count); });
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  Index repeats = 1;
  double best = time(repeats);
  while (best < sample_seconds) best = time(repeats *= 2);
  for (int sample = 1; sample < samples; ++sample) best = std::min(best, time(repeats));
  return best / static_cast<double>(repeats);
}

// The indices k are constants everywhere: the compiler would keep an array with variable ones in memory.
template <class S, std::size_t... k>
void use(const Vec<S> (&sum)[sums], std::index_sequence<k...>) {
  Vec<S> all = Vec<S>::zero();
  ((all += sum[k]), ...);
  [[maybe_unused]] volatile S sink = sum_lanes(all);  // somebody wants to know
}

template <class S, std::size_t... k>
void multiply(Index rounds, std::index_sequence<k...> each) {
  const Vec<S> half(S(0.5)), one(S(1));
  Vec<S> sum[sums] = {((void)k, Vec<S>::zero())...};
  for (Index n = 0; n < rounds; ++n) ((sum[k] = fma(sum[k], half, one), hold(sum[k])), ...);
  use(sum, each);
}

template <class S, std::size_t... k>
void read(Index repeats, const S* begin, const S* end, std::index_sequence<k...> each) {
  const Vec<S> half(S(0.5));
  Vec<S> sum[sums] = {((void)k, Vec<S>::zero())...};
  for (Index n = 0; n < repeats; ++n)
    for (const S* at = begin; at < end; at += sums * lanes<S>)
      ((sum[k] = fma(Vec<S>::load(at + k * lanes<S>), half, sum[k]), hold(sum[k])), ...);
  use(sum, each);
}

}  // namespace

template <class S>
double peak_rate(int threads) {
  constexpr Index rounds = 1000;
  int granted = 1;
  const double seconds = best_time(threads, [&](Index repeats, int id, int count) {
    if (id == 0) granted = count;
    multiply<S>(repeats * rounds, Each());
  });
  return 2.0 * double(sums * rounds * lanes<S> * granted) / seconds;
}

template <class S>
double read_time(std::ptrdiff_t bytes, int threads) {
  constexpr Index run = sums * lanes<S>;
  const Index runs = std::max<Index>(threads, bytes / Index(sizeof(S)) / run);
  Buffer<S> buffer(runs * run);
  std::fill_n(buffer.data(), runs * run, S(0.5));
  const double seconds = best_time(threads, [&](Index repeats, int id, int count) {
    const Index first = share_begin<Index>(runs, id, count), last = share_begin<Index>(runs, id + 1, count);
    read<S>(repeats, buffer.data() + first * run, buffer.data() + last * run, Each());
  });
  return seconds * double(bytes) / double(runs * run * Index(sizeof(S)));
}

template double peak_rate<float>(int);
template double peak_rate<double>(int);
template double read_time<float>(std::ptrdiff_t, int);
template double read_time<double>(std::ptrdiff_t, int);

}  // namespace unrolled::bench
