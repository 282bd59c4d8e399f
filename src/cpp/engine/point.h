// What a cell's point function sees: one row, one packet of units. Names are those of the equations; nothing here knows
// a cell.
#pragma once

#include <type_traits>
#include <utility>

#include "core/math.h"
#include "engine/cell.h"

namespace unrolled {

/// What points see in both directions: what the step was given, and what came before it.
template <class S, class Tile>
class Point {
 public:
  using V = Vec<S>;
  static constexpr bool regularised = false;
  Point(const Tile& tile, Index row, Index block)
      : t_(tile),
        row_(row),
        unit_((tile.first_block + block) * lanes<S>),
        valid_(tile.units - unit_),
        slots_(tile.slots[row] + unit_ * tile.slot_count) {}

  V h_prev() const { return V::load_partial(t_.h_prev[row_] + unit_, valid_); }
  V state_prev(int state) const { return V::load(t_.state_prev[state][row_] + unit_); }
  V stream(int stream) const { return V::load(t_.stream[stream][row_] + unit_); }
  V vector(int k) const { return V::load(t_.vectors[k] + unit_); }
  /// The scalar that the caller gave for this row and step; 1 if none.
  V scalar() const { return t_.scalar ? V(t_.scalar[row_]) : V(S(1)); }
  /// Option k of the cell.
  V number(int k) const { return V(static_cast<S>(t_.numbers[k])); }
  int choice(int k) const { return static_cast<int>(t_.numbers[k]); }
  /// What variational dropout multiplies h[t-1] by, for a cell that makes the operand of its matrices of it.
  V recurrent_mask() const { return V(S(1)); }

 protected:
  const Tile& t_;
  const Index row_, unit_, valid_;
  S* const slots_;
};

template <class S>
class ForwardPoint : public Point<S, ForwardTile<S>> {
  using Base = Point<S, ForwardTile<S>>;

 public:
  using V = Vec<S>;
  ForwardPoint(const ForwardTile<S>& tile, Index row, Index block)
      : Base(tile, row, block),
        saved_(tile.saved ? tile.saved[row] + unit_ * tile.slot_count : nullptr),
        u_(tile.u + row * tile.u_row + block * tile.u_block) {}

  /// Input part of the gate in `slot`, or what an earlier phase has set there.
  V a(int slot) const { return V::load(slots_ + slot * lanes<S>); }
  /// Recurrent part of the gate in `slot`.
  V u(int slot) const { return V::load(u_ + (slot - t_.first_slot) * lanes<S>); }

  void set_output(V h) { h.store_partial(t_.y[row_] + unit_, valid_); }
  void set_stream(int stream, V value) { value.store(t_.stream[stream][row_] + unit_); }
  /// For a later phase of this step, and for backward.
  void set(int slot, V value) {
    value.store(slots_ + slot * lanes<S>);
    if (saved_) value.store_past_caches(saved_ + slot * lanes<S>);
  }
  /// For backward alone: costs nothing in inference. Backward finds no more than what has been set or saved.
  void save(int slot, V value) {
    if (saved_)
      value.store_past_caches(saved_ + slot * lanes<S>);
    else if (t_.keep)
      value.store(slots_ + slot * lanes<S>);
  }

 protected:
  using Base::t_, Base::row_, Base::unit_, Base::valid_, Base::slots_;
  S* const saved_;
  const S* const u_;
};

template <class S>
class BackwardPoint : public Point<S, BackwardTile<S>> {
  using Base = Point<S, BackwardTile<S>>;

 public:
  using V = Vec<S>;
  using Base::Base;

  V saved(int slot) const { return V::load(slots_ + slot * lanes<S>); }
  V output() const { return V::load_partial(t_.y[row_] + unit_, valid_); }

  /// Gradient of the output h[t]: the loss's own and that of later steps. Read it before set_dh_prev.
  V dh() const {
    const V later = dh_prev();
    return t_.dy[row_] ? later + V::load_partial(t_.dy[row_] + unit_, valid_) : later;
  }
  /// Gradient of a state; of an intermediate stream, see take_dstream.
  V dstream(int stream) const { return V::load(t_.dstream[stream][row_] + unit_); }

  /// Gradient of the gate's sum a + u (or of u alone): what the products of backward read. Behind the last unit it is 0
  /// whatever the point function made there: an infinite input times a weight of 0 is NaN. Gives the gradient to go on
  /// with, for whatever else the sum is made of (peepholes, biases of a phase): a bound may have changed it.
  V set_delta(int slot, V value) {
    first_lanes(value, valid_).store(slots_ + slot * lanes<S>);
    return value;
  }
  /// Gradient of h[t-1] by ways other than products; the phase that reads dh() sets it, once; those that run after it
  /// in backward may add to it.
  void set_dh_prev(V value) { value.store(t_.dh[row_] + unit_); }
  V dh_prev() const { return V::load(t_.dh[row_] + unit_); }
  void set_dstate_prev(int state, V value) { value.store(t_.dstream[state][row_] + unit_); }
  /// For a phase that backward runs later.
  void set(int slot, V value) { value.store(slots_ + slot * lanes<S>); }
  /// Adds to the gradient of a stream for a phase that backward runs later.
  void add_dstream(int stream, V value) {
    S* const to = t_.dstream[stream][row_] + unit_;
    (V::load(to) + value).store(to);
  }
  /// Gradient of a stream of this step alone. Whoever reads it clears it for the step before.
  V take_dstream(int stream) {
    S* const from = t_.dstream[stream][row_] + unit_;
    const V value = V::load(from);
    V::zero().store(from);
    return value;
  }
  /// Gradient of the scalar by way of this unit.
  void set_dscalar(V value) {
    if (t_.dscalar) first_lanes(value, valid_).store(t_.dscalar[row_] + unit_);
  }
  /// Adds to the gradient of per-unit vector k.
  void add_dvector(int k, V value) {
    S* const to = t_.dvectors[row_] + k * t_.vector_step + unit_;
    (V::load(to) + value).store(to);
  }

 protected:
  using Base::t_, Base::row_, Base::unit_, Base::valid_, Base::slots_;
};

namespace detail {

template <class Cell, class Point, class Tile, int phase>
void forward_tile(const Tile& tile) {
  for (Index row = 0; row < tile.rows; ++row)
    for (Index block = 0; block < tile.blocks; ++block) {
      Point at(tile, row, block);
      Cell::template forward<phase>(at);
    }
}

template <class Cell, class Point, class Tile, int phase>
void backward_tile(const Tile& tile) {
  for (Index row = 0; row < tile.rows; ++row)
    for (Index block = 0; block < tile.blocks; ++block) {
      Point at(tile, row, block);
      Cell::template backward<phase>(at);
    }
}

template <class Cell, class Forward, class Backward, class S, int... phase>
void set_phases(ForwardFunction<S>* forward, BackwardFunction<S>* backward, std::integer_sequence<int, phase...>) {
  ((forward[phase] = forward_tile<Cell, Forward, ForwardTile<S>, phase>,
    backward[phase] = backward_tile<Cell, Backward, BackwardTile<S>, phase>),
   ...);
}

template <class Cell, class = void>
struct MakesInput : std::false_type {};
template <class Cell>
struct MakesInput<Cell, std::void_t<decltype(&Cell::template make_input<float>)>> : std::true_type {};

}  // namespace detail

/// The kernel table of a cell: what its file hands to the registry.
template <class Cell, class S>
CellKernel<S> make_kernel(const CellInfo& info) {
  CellKernel<S> kernel{};
  kernel.info = info;
  detail::set_phases<Cell, ForwardPoint<S>, BackwardPoint<S>>(kernel.forward, kernel.backward,
                                                              std::make_integer_sequence<int, Cell::phases>{});
  if constexpr (detail::MakesInput<Cell>::value) {
    kernel.make_input = Cell::template make_input<S>;
    kernel.input_backward = Cell::template input_backward<S>;
  }
  return kernel;
}

}  // namespace unrolled
