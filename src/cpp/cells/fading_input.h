// Inputs with missing values (Che et al. 2018): an element of x that is NaN is missing, and what was seen last of its
// feature fades to a mean with the time since then. For every feature:
//
//   gap   = dt[t] + age[t-1]                             time since it was seen
//   gamma = exp(-max(0, w_gx * gap + b_gx))
//   xhat  = x[t] where seen, else mean + gamma * e[t-1]
//   e[t]  = x[t] - mean where seen, else e[t-1];         age[t] = 0 where seen, else gap
//
// A state of zeros is one that has seen nothing: xhat is the mean. The row that W_ih multiplies is xhat or, with the
// mask, [xhat; m], m: 1 where seen, else 0.
//
// backward, where missing:
//   dmean += dxhat,   ds = -dxhat * e[t-1] * gamma where gamma < 1,   dw_gx += ds * gap,   db_gx += ds
//   de[t-1] = de + dxhat * gamma,   dgap += ds * w_gx + dage
// where seen: dx = dxhat + de,   dmean -= de.   dage[t-1] = dgap,   ddt += sum of dgap
#pragma once

#include <cmath>

#include "engine/cell.h"

namespace unrolled {

/// The part of a cell that makes its input so; the cell's first streams and vectors are these.
template <bool with_mask>
struct FadingInput {
  enum KeptStream { e, age, gap, kept_streams };
  enum FeatureVector { w_gx, b_gx, mean, feature_vectors };

  template <class S>
  static S faded(const InputStep<S>& at, Index k) {
    const S sum = at.vectors[w_gx][k] * at.kept[gap][k] + at.vectors[b_gx][k];
    return sum > 0 ? std::exp(-sum) : S(1);
  }

  template <class S>
  static void make_input(const InputStep<S>& at) {
    for (Index k = 0; k < at.features; ++k) {
      const bool seen = !std::isnan(at.x[k]);
      const S center = at.vectors[mean][k], since = at.scalar + at.kept_prev[age][k];
      at.kept[gap][k] = since;
      at.kept[age][k] = seen ? S(0) : since;
      at.kept[e][k] = seen ? at.x[k] - center : at.kept_prev[e][k];
      at.row[k] = seen ? at.x[k] : center + faded(at, k) * at.kept_prev[e][k];
      if (with_mask) at.row[at.features + k] = seen ? S(1) : S(0);
    }
  }

  template <class S>
  static void input_backward(InputStepGradient<S>& of) {
    const InputStep<S>& at = of.at;
    const auto dvector = [&](int vector, Index k) -> S& { return of.dvectors[vector * of.vector_step + k]; };
    for (Index k = 0; k < at.features; ++k) {
      const bool seen = !std::isnan(at.x[k]);
      const S dxhat = of.drow[k], de = of.dkept[e][k];
      S dgap = of.dkept[gap][k];
      if (seen) {
        dvector(mean, k) -= de;
        of.dkept[e][k] = 0;
      } else {
        const S gamma = faded(at, k), dsum = gamma < 1 ? -(dxhat * at.kept_prev[e][k] * gamma) : S(0);
        dvector(mean, k) += dxhat;
        dvector(w_gx, k) += dsum * at.kept[gap][k];
        dvector(b_gx, k) += dsum;
        dgap += dsum * at.vectors[w_gx][k] + of.dkept[age][k];
        of.dkept[e][k] = de + dxhat * gamma;
      }
      if (of.dx) of.dx[k] = seen ? dxhat + de : S(0);
      of.dkept[age][k] = dgap;
      of.dscalar += dgap;
    }
  }

  /// What the cell's info has of it.
  static constexpr void add_to(CellInfo& cell) {
    cell.states += 2;
    cell.streams += kept_streams;
    for (int stream : {e, age, gap}) cell.stream_space[stream] = Space::Kept;
    cell.input.row = with_mask ? 2 : 1;
    cell.input.kept = 1;
    for (int vector = 0; vector < feature_vectors; ++vector) cell.add_vectors(1, Space::Kept);
  }
};

}  // namespace unrolled
