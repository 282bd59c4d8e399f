// Inverted dropout: y[i] = x[i] / (1 - p) where random number i of the stream (seed, counter) is at least p 2^32, else
// 0. The mask is not stored: vjp draws the same numbers again, dx = dy times the mask.
#include <cmath>

#include "core/random.h"
#include "ops/op.h"
#include "ops/rows.h"

namespace unrolled::ops {
namespace {

// input: x of any shape;   attributes: p in [0, 1], seed, counter
std::vector<Spec> shapes(const Arrays& inputs, const Attributes& attributes) {
  require_float(inputs[0], "dropout needs a float32 or float64 array");
  const double p = attributes.real("p");
  require(p >= 0 && p <= 1, "dropout needs 0 <= p <= 1");
  return {inputs[0].spec};
}

template <class S>
void apply_mask(Index size, const S* x, const Attributes& attributes, S* y) {
  constexpr Index numbers = RandomStream::numbers;
  const double p = attributes.real("p");
  const std::uint64_t threshold = static_cast<std::uint64_t>(std::floor(p * 4294967296.0));  // p = 1 drops every number
  const S scale = p < 1 ? static_cast<S>(1 / (1 - p)) : S(0);
  const RandomStream stream(static_cast<std::uint64_t>(attributes.integer("seed")),
                            static_cast<std::uint64_t>(attributes.integer("counter")));
  share((size + numbers - 1) / numbers, numbers * 8, [&](Index begin, Index end) {
    std::uint32_t random[numbers];
    for (Index chunk = begin; chunk < end; ++chunk) {
      stream.fill(static_cast<std::uint64_t>(chunk), random);
      const Index first = chunk * numbers, count = std::min(numbers, size - first);
      for (Index i = 0; i < count; ++i) y[first + i] = random[i] >= threshold ? x[first + i] * scale : S(0);
    }
  });
}

void forward(const Arrays& inputs, const Attributes& attributes, const Arrays& outputs) {
  dispatch(inputs[0].spec.type, [&](auto scalar) {
    using S = decltype(scalar);
    apply_mask<S>(inputs[0].size(), inputs[0].as<S>(), attributes, outputs[0].as<S>());
  });
}

void vjp(const Arrays& inputs, const Attributes& attributes, const Arrays&, const Arrays& dy, const Arrays& dx) {
  dispatch(inputs[0].spec.type, [&](auto scalar) {
    using S = decltype(scalar);
    apply_mask<S>(inputs[0].size(), dy[0].as<S>(), attributes, dx[0].as<S>());
  });
}

const Registration dropout_op({"dropout", 1, 1, 1, shapes, forward, vjp});

}  // namespace
}  // namespace unrolled::ops
