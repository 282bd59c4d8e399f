// Quasi-recurrent network (Bradbury et al. 2016): a convolution over the last inputs makes all gates, and the
// recurrence ("pooling") is elementwise. With X = [x[t-p]; ...; x[t]], zeros before the start of the sequence:
//
//   z = tanh(W_z X + b_z)                             candidate
//   f = sigmoid(W_f X + b_f)                          forget gate: keeps the past
//   o = sigmoid(W_o X + b_o)                          output gate
//   i = sigmoid(W_i X + b_i)                          input gate
//   qrnn_f:    c[t] = f * c[t-1] + (1 - f) * z,    h[t] = c[t]
//   qrnn_fo:   the same c[t],                      h[t] = o * c[t]
//   qrnn_ifo:  c[t] = f * c[t-1] + i * z,          h[t] = o * c[t]
//
// Option: p, how many steps before this one the convolution sees. The last p inputs are a state, so that a sequence may
// be cut anywhere. The output is no state.
//
// backward, given dh[t] and dc[t]:
//   do = dh * c[t]                        da_o = do * o (1 - o)
//   dc = dc + dh * o                      (dh itself without o)
//   df = dc * (c[t-1] - z)  or dc * c[t-1], da_f = df * f (1 - f)
//   dz = dc * (1 - f)       or dc * i,      da_z = dz * (1 - z^2)
//   di = dc * z                           da_i = di * i (1 - i)
//   dc[t-1] = dc * f
#include <algorithm>

#include "engine/point.h"
#include "engine/registry.h"

namespace unrolled {
namespace {

/// gates: 2 (f), 3 (fo) or 4 (ifo).
template <int gates>
struct Qrnn {
  enum Slot { z, f, o, i };
  enum Stream { c, past };
  enum Number { steps_before };
  static constexpr int phases = 1;
  static constexpr bool has_output_gate = gates > 2, has_input_gate = gates > 3;

  template <class V>
  static V pooled(V before, V candidate, V forget, V in) {
    return has_input_gate ? fma(forget, before, in * candidate) : fma(forget, before - candidate, candidate);
  }

  template <int, class Point>
  static void forward(Point& at) {
    using V = typename Point::V;
    const V candidate = tanh(at.a(z)), forget = sigmoid(at.a(f));
    V in = V::zero(), out = V::zero();
    if constexpr (has_input_gate) at.save(i, in = sigmoid(at.a(i)));
    if constexpr (has_output_gate) at.save(o, out = sigmoid(at.a(o)));
    const V cell = pooled(at.state_prev(c), candidate, forget, in);
    at.set_stream(c, cell);
    at.set_output(has_output_gate ? out * cell : cell);
    at.save(z, candidate);
    at.save(f, forget);
  }

  template <int, class Point>
  static void backward(Point& at) {
    using V = typename Point::V;
    const V one(1);
    const V candidate = at.saved(z), forget = at.saved(f), before = at.state_prev(c), dh = at.dh();
    V in = V::zero(), dc = at.dstream(c);
    if constexpr (has_input_gate) in = at.saved(i);
    if constexpr (has_output_gate) {
      const V out = at.saved(o);
      at.set_delta(o, dh * pooled(before, candidate, forget, in) * out * (one - out));
      dc = fma(dh, out, dc);
    } else {
      dc = dc + dh;
    }
    if constexpr (has_input_gate) at.set_delta(i, dc * candidate * in * (one - in));
    at.set_delta(z, dc * (has_input_gate ? in : one - forget) * (one - candidate * candidate));
    at.set_delta(f, dc * (has_input_gate ? before : before - candidate) * forget * (one - forget));
    at.set_dstate_prev(c, dc * forget);
    at.set_dh_prev(V::zero());
  }

  /// X = [past[t-1]; x[t]], past[t] = X without its first step.
  template <class S>
  static void make_input(const InputStep<S>& at) {
    const Index I = at.features, kept = static_cast<Index>(at.numbers[steps_before]) * I;
    std::copy_n(at.kept_prev[past], kept, at.row);
    std::copy_n(at.x, I, at.row + kept);
    std::copy_n(at.row + I, kept, at.kept[past]);
  }

  template <class S>
  static void input_backward(InputStepGradient<S>& of) {
    const Index I = of.at.features, kept = static_cast<Index>(of.at.numbers[steps_before]) * I;
    S* const dpast = of.dkept[past];
    for (Index k = kept + I; k-- > 0;) {  // from the end, since what is read lies I before what is written
      const S dX = k >= I ? of.drow[k] + dpast[k - I] : of.drow[k];
      if (k < kept)
        dpast[k] = dX;
      else if (of.dx)
        of.dx[k - kept] = dX;
    }
  }
};

constexpr CellInfo info(const char* name, int gates) {
  using Cell = Qrnn<4>;
  CellInfo cell(name);
  cell.slots = gates;
  cell.output_is_state = false;
  cell.states = cell.streams = 2;
  cell.stream_space[Cell::past] = Space::Kept;
  cell.input.more_option = Cell::steps_before;
  cell.input_first = Cell::z;
  for (int gate = 0; gate < gates; ++gate) cell.input_gate[cell.input_gates++] = gate;
  cell.elementwise();
  return cell;
}

}  // namespace

void register_qrnn(Registry& registry) {
  registry.add_gated<Qrnn<2>>(info("qrnn_f", 2));
  registry.add_gated<Qrnn<3>>(info("qrnn_fo", 3));
  registry.add_gated<Qrnn<4>>(info("qrnn_ifo", 4));
}

}  // namespace unrolled
