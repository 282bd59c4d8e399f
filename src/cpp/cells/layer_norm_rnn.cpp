// Elman network with layer normalisation of both sums (Ba, Kiros & Hinton 2016); the engine normalises.
//
//   h[t] = tanh(LN(W_ih x[t]; g_ih) + b + LN(W_hh h[t-1]; g_hh))
//   LN(r; g) = g * (r - mean) / deviation, over the row
//
// backward, given dh[t]:
//   ds = dh * (1 - h^2), the gradient of both normalised sums
#include "cells/elman.h"
#include "engine/point.h"
#include "engine/registry.h"

namespace unrolled {
namespace {

using LayerNormRnn = Elman<Activation::Tanh>;

constexpr CellInfo info() {
  CellInfo cell("layer_norm_rnn");
  cell.slots = 1;
  cell.feed(LayerNormRnn::sum, 0);
  Phase& phase = cell.multiply(Operand::PreviousOutput, cell.add_matrix(1), LayerNormRnn::sum, 0);
  const int g_ih = cell.add_vectors(1), g_hh = cell.add_vectors(1);
  cell.normalise_input(LayerNormRnn::sum, 1, g_ih);
  phase.normalised = true;
  phase.gain = g_hh;
  return cell;
}

}  // namespace

void register_layer_norm_rnn(Registry& registry) { registry.add<LayerNormRnn>(info()); }

}  // namespace unrolled
