// The engine's side of regular.h: masks of zoneout and of variational dropout of the recurrent operand (Gal &
// Ghahramani 2016), from a counter.
#include "engine/regular.h"

#include <algorithm>

#include "core/random.h"
#include "engine/engine.h"

namespace unrolled {
namespace {

/// to[unit - first] = value(number of that unit) for units first .. last of stream (seed, counter).
template <class S, class F>
void draw(std::uint64_t seed, std::uint64_t counter, Index first, Index last, S* to, F&& value) {
  const RandomStream stream(seed, counter);
  std::uint32_t numbers[RandomStream::numbers];
  for (Index chunk = first / RandomStream::numbers; chunk * RandomStream::numbers < last; ++chunk) {
    stream.fill(static_cast<std::uint64_t>(chunk), numbers);
    const Index begin = std::max(first, chunk * RandomStream::numbers),
                end = std::min(last, (chunk + 1) * RandomStream::numbers);
    for (Index unit = begin; unit < end; ++unit) to[unit - first] = value(numbers[unit % RandomStream::numbers]);
  }
}

/// True with this probability.
bool happens(std::uint32_t number, double probability) { return number < probability * 4294967296.0; }

}  // namespace

template <class S>
void Run<S>::plan_regular(const Inputs<S>& in) {
  regular_ = in.regular;
  first_place_ = in.first_time * in.B;
  regularised_ = regular_.on();
  masked_operand_ = regular_.training && regular_.recurrent_dropout > 0;
  if (!regularised_) return;
  plan_regular_threads();
  if (!masked_operand_) return;
  const Space space = kernel_->info.output;
  mask_.resize(in.B * units(space));
  masked_.resize((keep_ ? schedule_.places() : in.B) * units(space));
  const double p = regular_.recurrent_dropout;
  for (Index i = 0; i < in.B; ++i)
    draw(regular_.seed, static_cast<std::uint64_t>(schedule_.row(i)) * 4 + 2, 0, units(space),
         mask_.data() + i * units(space),
         [p](std::uint32_t number) { return happens(number, p) ? S(0) : static_cast<S>(1 / (1 - p)); });
}

/// Room for the masks of every thread: backward may have more of them than forward had.
template <class S>
void Run<S>::plan_regular_threads() {
  if (!regularised_) return;
  const Space space = kernel_->info.output;
  const Index widest = std::max(units_[0], units_[1]);
  for (ThreadRows<S>& at : threads_) {
    const Index rows = static_cast<Index>(at.h_prev.size());
    at.zone.resize(2 * rows * widest);
    for (auto& zones : at.zone_rows) zones.resize(static_cast<std::size_t>(rows));
    if (!masked_operand_) continue;
    at.masked.resize(rows * units(space));
    at.masked_rows.resize(static_cast<std::size_t>(rows));
    for (Index n = 0; n < rows; ++n) at.masked_rows[static_cast<std::size_t>(n)] = at.masked.data() + n * units(space);
  }
}

/// Masks of zoneout at step s for this thread's rows and units.
template <class S>
RegularTile<S> Run<S>::draw_zones(Index s, Index rows, const Shares& mine, ThreadRows<S>& at) {
  RegularTile<S> tile;
  tile.clip = static_cast<S>(regular_.clip);
  const auto zone = [&](int which, double rate, Space space) -> const S* const* {
    if (rate == 0) return nullptr;
    const Blocks own = mine.blocks(space);
    const Index first = own.first * lanes<S>, last = own.last * lanes<S>, step = std::max(units_[0], units_[1]);
    for (Index n = 0; n < rows; ++n) {
      S* const row = at.zone.data() + (which * rows + n) * step;
      at.zone_rows[which][static_cast<std::size_t>(n)] = row;
      const std::uint64_t counter =
          static_cast<std::uint64_t>(first_place_ + schedule_.at(s, mine.row(n))) * 4 + unsigned(which);
      if (regular_.training)
        draw(regular_.seed, counter, first, last, row + first,
             [rate](std::uint32_t number) { return happens(number, rate) ? S(1) : S(0); });
      else
        std::fill(row + first, row + last, static_cast<S>(rate));
    }
    return at.zone_rows[which].data();
  };
  const CellInfo& cell = kernel_->info;
  tile.zone_h = zone(0, regular_.zoneout_h, cell.output);
  int& zoned = tile.zoned;
  while (regular_.zoneout_c > 0 && zoned < cell.states && !cell.is_kept(zoned)) ++zoned;
  if (zoned > 0) tile.zone_c = zone(1, regular_.zoneout_c, cell.stream_space[0]);
  if (cell.mixes_states) zoned = 0;
  for (Index n = 0; masked_operand_ && n < rows; ++n)
    at.zone_rows[2][static_cast<std::size_t>(n)] = mask_.data() + mine.row(n) * units(cell.output);
  if (masked_operand_) tile.mask = at.zone_rows[2].data();
  return tile;
}

/// The operand h[t-1] times the mask of its row, of this thread's rows and units; all threads of these rows meet.
template <class S>
void Run<S>::mask_operand(Index s, Index rows, const Shares& mine, ThreadRows<S>& at) {
  using V = Vec<S>;
  const Space space = kernel_->info.output;
  const Blocks own = mine.blocks(space);
  const Index width = sizes_.width(space);
  for (Index n = 0; n < rows; ++n) {
    const Index i = mine.row(n);
    const S* const from = at.h_prev[static_cast<std::size_t>(n)];
    S* const to = masked_before(s, i);
    for (Index unit = own.first * lanes<S>; unit < own.last * lanes<S>; unit += lanes<S>)
      (V::load_partial(from + unit, width - unit) * V::load(mask_.data() + i * units(space) + unit)).store(to + unit);
  }
  mine.meet();
}

#define UNROLLED_REGULAR(S)                                                                \
  template void Run<S>::plan_regular(const Inputs<S>&);                                    \
  template void Run<S>::plan_regular_threads();                                            \
  template RegularTile<S> Run<S>::draw_zones(Index, Index, const Shares&, ThreadRows<S>&); \
  template void Run<S>::mask_operand(Index, Index, const Shares&, ThreadRows<S>&);
UNROLLED_REGULAR(float)
UNROLLED_REGULAR(double)

}  // namespace unrolled
