// Regularisation around any gated cell: the points of point.h with zoneout (Krueger et al. 2017) and bounded gradients
// (Graves 2013). A cell's point functions do not change.
//
//   h[t] = k * h[t-1] + (1 - k) * (h of the cell)
//   c[t] = k * c[t-1] + (1 - k) * (c of the cell), while the cell's own h is made of its own c; other states as c
//
// k: 1 where the unit is kept, 0 where not; their mean in inference. A cell whose states are not all of one scale mixes
// them itself (`mixes_states`).
#pragma once

#include "engine/point.h"

namespace unrolled {
namespace detail {

template <class S>
Vec<S> kept_share(const RegularTile<S>& regular, Index row, Index unit) {
  return regular.zone_c ? Vec<S>::load(regular.zone_c[row] + unit) : Vec<S>::zero();
}

template <class S>
Vec<S> recurrent_mask(const RegularTile<S>& regular, Index row, Index unit) {
  return regular.mask ? Vec<S>::load(regular.mask[row] + unit) : Vec<S>(S(1));
}

}  // namespace detail

template <class S>
class RegularForwardPoint : public ForwardPoint<S> {
 public:
  using V = Vec<S>;
  static constexpr bool regularised = true;
  using ForwardPoint<S>::ForwardPoint;

  void set_output(V h) {
    ForwardPoint<S>::set_output(zoned(this->t_.regular.zone_h, h, [&] { return this->h_prev(); }));
  }
  void set_stream(int stream, V value) {
    if (stream < most_states && stream < this->t_.regular.zoned)
      value = zoned(this->t_.regular.zone_c, value, [&] { return this->state_prev(stream); });
    ForwardPoint<S>::set_stream(stream, value);
  }
  /// How much zoneout keeps of the states beside h, for a cell that mixes them itself.
  V kept_share() const { return detail::kept_share(this->t_.regular, this->row_, this->unit_); }
  V recurrent_mask() const { return detail::recurrent_mask(this->t_.regular, this->row_, this->unit_); }

 private:
  template <class Before>
  V zoned(const S* const* zone, V value, Before&& before) const {
    if (zone == nullptr) return value;
    const V keep = V::load(zone[this->row_] + this->unit_);
    return fma(keep, before(), (V(S(1)) - keep) * value);
  }
};

template <class S>
class RegularBackwardPoint : public BackwardPoint<S> {
 public:
  using V = Vec<S>;
  static constexpr bool regularised = true;
  using Plain = BackwardPoint<S>;
  using Plain::Plain;

  /// Gradient of the cell's own h; what goes past it to h[t-1] follows in set_dh_prev.
  V dh() { return split(this->t_.regular.zone_h, Plain::dh(), past_h_); }
  void set_dh_prev(V value) { Plain::set_dh_prev(value + past_h_); }
  V dstream(int stream) {
    const V d = Plain::dstream(stream);
    return stream < most_states && stream < this->t_.regular.zoned ? split(this->t_.regular.zone_c, d, past_[stream])
                                                                   : d;
  }
  void set_dstate_prev(int state, V value) {
    Plain::set_dstate_prev(state, state < this->t_.regular.zoned ? value + past_[state] : value);
  }
  V set_delta(int slot, V value) {
    const V bound(this->t_.regular.clip);
    return Plain::set_delta(slot, this->t_.regular.clip > 0 ? min(max(value, -bound), bound) : value);
  }
  V kept_share() const { return detail::kept_share(this->t_.regular, this->row_, this->unit_); }
  V recurrent_mask() const { return detail::recurrent_mask(this->t_.regular, this->row_, this->unit_); }

 private:
  V split(const S* const* zone, V d, V& past) const {
    if (zone == nullptr) return d;
    past = d * V::load(zone[this->row_] + this->unit_);
    return d - past;
  }
  V past_h_ = V::zero(), past_[most_states] = {V::zero(), V::zero(), V::zero()};
};

/// Adds the regularised functions of a cell to its table.
template <class Cell, class S>
CellKernel<S> make_regular_kernel(const CellInfo& info) {
  CellKernel<S> kernel = make_kernel<Cell, S>(info);
  detail::set_phases<Cell, RegularForwardPoint<S>, RegularBackwardPoint<S>>(
      kernel.regularised_forward, kernel.regularised_backward, std::make_integer_sequence<int, Cell::phases>{});
  return kernel;
}

}  // namespace unrolled
