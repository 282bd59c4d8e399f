// What forward and backward of the op "wavefront" share: the arrays of a call.
#pragma once

#include "core/buffer.h"
#include "ops/wavefront_plan.h"
#include "ops/wavefront_point.h"

namespace unrolled::ops {

template <class S>
struct WavefrontCall {
  WavefrontCall(const Geometry& g, const Arrays& in, const Arrays& out)
      : plan(make_plan(g, in[1].as<std::int64_t>())), zeros_(g.hidden), arrays(g, plan) {
    zeros_.fill_zero(g.hidden);
    arrays.W = in[2].as<S>();
    arrays.input = in[3].as<S>();
    arrays.bias = in[4].as<S>();
    for (std::size_t k = 0; k < std::size_t(most_operands); ++k) {
      arrays.start_h[k] = in[5 + 2 * k].as<S>();
      arrays.start_c[k] = in[6 + 2 * k].as<S>();
    }
    arrays.zeros = zeros_.data();
    arrays.h = out[0].as<S>();
    arrays.c = out[1].as<S>();
    arrays.gates = out[2].as<S>();
  }

  const Plan plan;

 private:
  Buffer<S> zeros_;

 public:
  WavefrontArrays<S> arrays;
};

void wavefront_vjp(const Arrays& inputs, const Attributes& attributes, const Arrays& outputs, const Arrays& dy,
                   const Arrays& dx);

}  // namespace unrolled::ops
