// Phases that normalise their rows, by a cell made for this test: an Elman network whose recurrent part is
// layer-normalised,
//   v = (U h[t-1] - mean) / sqrt(variance + 1e-5),   h[t] = tanh(W x + b + gain * v).
// Values against plain loops, gradients against finite differences.
#include <doctest/doctest.h>

#include <cmath>

#include "cell_call.h"
#include "core/threads.h"

namespace {

using namespace unrolled;
using namespace unrolled::testing;

struct NormalisedRnn {
  enum Slot { a, v };
  static constexpr int phases = 1;

  template <int, class Point>
  static void forward(Point& at) {
    at.set_output(unrolled::tanh(at.u(v) + at.a(a)));
  }
  template <int, class Point>
  static void backward(Point& at) {
    using V = typename Point::V;
    const V h = at.output(), da = at.dh() * (V(1) - h * h);
    at.set_delta(a, da);
    at.set_delta(v, da);
    at.set_dh_prev(V::zero());
  }
};

std::string register_cell() {
  CellInfo cell("normalised_rnn");
  cell.slots = 2;
  cell.feed(NormalisedRnn::a, 0);
  Phase& phase = cell.multiply(Operand::PreviousOutput, cell.add_matrix(1), NormalisedRnn::v, 0);
  phase.normalised = true;
  phase.gain = cell.add_vectors(1);
  cells().add<NormalisedRnn>(cell);
  return cell.name;
}

const Shape all_shapes[] = {{1, 1, 3, 5}, {4, 3, 2, 17}, {3, 2, 5, 70}, {3, 40, 30, 150}, {4, 1, 60, 300}};

/// y by the equations, in plain loops.
std::vector<double> plain_outputs(const CellCall<double>& call) {
  const auto [T, B, I, H] = call.shape;
  std::vector<double> y(std::size_t(T * B * H)), u(static_cast<std::size_t>(H));
  for (Index t = 0; t < T; ++t)
    for (Index row = 0; row < B; ++row) {
      const double* const previous =
          t == 0 ? &call.states[0][std::size_t(row * H)] : &y[std::size_t(((t - 1) * B + row) * H)];
      double mean = 0, variance = 0;
      for (Index j = 0; j < H; ++j) {
        double& sum = u[std::size_t(j)] = 0;
        for (Index k = 0; k < H; ++k) sum += call.matrices[0][std::size_t(j * H + k)] * previous[k];
        mean += sum / double(H);
      }
      for (const double value : u) variance += (value - mean) * (value - mean) / double(H);
      for (Index j = 0; j < H; ++j) {
        double a = call.b[std::size_t(j)];
        for (Index k = 0; k < I; ++k)
          a += call.W_ih[std::size_t(j * I + k)] * call.x[std::size_t((t * B + row) * I + k)];
        const double normal = (u[std::size_t(j)] - mean) / std::sqrt(variance + 1e-5);
        y[std::size_t((t * B + row) * H + j)] = std::tanh(a + call.vectors[0][std::size_t(j)] * normal);
      }
    }
  return y;
}

/// sum(y dy) + sum(h_last dh_last): a random projection of all outputs.
double loss(const CellCall<double>& call) {
  Run<double> run;
  const Results<double> out = call.forward(run, false);
  double sum = 0;
  for (std::size_t i = 0; i < call.dy.size(); ++i) sum += out[0][i] * call.dy[i];
  for (std::size_t i = 0; i < call.dlast[0].size(); ++i) sum += out[1][i] * call.dlast[0][i];
  return sum;
}

}  // namespace

TEST_CASE("values equal the equations") {
  const std::string name = register_cell();
  for (const Shape& shape : all_shapes) {
    const CellCall<double> call(name, shape);
    Run<double> run;
    const std::vector<double> got = call.forward(run, true)[0], expected = plain_outputs(call);
    double worst = 0;
    for (std::size_t i = 0; i < got.size(); ++i) worst = std::max(worst, std::fabs(got[i] - expected[i]));
    CHECK(worst < 1e-10);  // the layers' own bound for float64
  }
}

TEST_CASE("gradients equal finite differences along random directions") {
  const std::string name = register_cell();
  for (const Shape& shape : {all_shapes[0], all_shapes[1], all_shapes[2]}) {
    CellCall<double> call(name, shape);
    const Results<double> results = call.forward_and_backward();
    std::vector<double>* const parameters[] = {&call.x,           &call.W_ih,       &call.b,         &call.scalar,
                                               &call.matrices[0], &call.vectors[0], &call.starts[0], &call.states[0]};
    Random<double> random;
    for (std::size_t k = 0; k < std::size(parameters); ++k) {
      std::vector<double>& p = *parameters[k];
      const std::vector<double>& gradient = results[2 + k];  // behind y and h_last
      const std::vector<double> before = p, direction = random.values(Index(p.size()));
      const double step = 1e-6;
      double slope = 0;
      for (std::size_t i = 0; i < p.size(); ++i) slope += gradient[i] * direction[i];
      for (std::size_t i = 0; i < p.size(); ++i) p[i] = before[i] + step * direction[i];
      const double above = loss(call);
      for (std::size_t i = 0; i < p.size(); ++i) p[i] = before[i] - step * direction[i];
      const double below = loss(call);
      p = before;
      CAPTURE(k);
      // Central differences: the third derivative times step^2, and rounding of the loss over the step.
      CHECK(slope == doctest::Approx((above - below) / (2 * step)).epsilon(1e-6));
    }
  }
}

TEST_CASE_TEMPLATE("one thread equals many, bit for bit", S, float, double) {
  const std::string name = register_cell();
  const int before = get_num_threads();
  for (const Shape& shape : all_shapes)
    for (int options = 0; options < 8; ++options) {
      const CellCall<S> call(name, shape, options & 1, options & 2, options & 4);
      set_num_threads(1);
      const Results<S> expected = call.forward_and_backward();
      for (int count : {2, 3}) {
        set_num_threads(count);
        CAPTURE(shape.H);
        CAPTURE(options);
        CAPTURE(count);
        CHECK(same_bits(call.forward_and_backward(), expected));
      }
    }
  set_num_threads(before);
}
