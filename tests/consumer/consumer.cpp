// Runs an LSTM over a sequence, backward through it, and step by step; checks that the numbers are those of the
// equations.
#include <unrolled/recurrent.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <vector>

namespace {

using Values = std::vector<float>;

constexpr std::ptrdiff_t T = 5, B = 2, I = 3, H = 8;

/// Small numbers, different in every place.
Values pattern(std::ptrdiff_t size, float phase) {
  Values values(static_cast<std::size_t>(size));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = 0.5f * std::sin(1.7f * static_cast<float>(i) + phase);
  return values;
}

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "wrong: %s\n", what);
  std::exit(1);
}

double logistic(double a) { return 1 / (1 + std::exp(-a)); }

/// y of an LSTM by its equations, in plain loops.
Values plain_lstm(const Values& x, const Values& W_ih, const Values& W_hh, const Values& b) {
  Values y(T * B * H);
  std::vector<double> h(B * H, 0.0), c(B * H, 0.0);
  for (std::ptrdiff_t t = 0; t < T; ++t)
    for (std::ptrdiff_t row = 0; row < B; ++row) {
      double gate[4 * H];
      for (std::ptrdiff_t g = 0; g < 4 * H; ++g) {
        gate[g] = b[std::size_t(g)];
        for (std::ptrdiff_t k = 0; k < I; ++k)
          gate[g] += W_ih[std::size_t(g * I + k)] * x[std::size_t((t * B + row) * I + k)];
        for (std::ptrdiff_t k = 0; k < H; ++k) gate[g] += W_hh[std::size_t(g * H + k)] * h[std::size_t(row * H + k)];
      }
      for (std::ptrdiff_t j = 0; j < H; ++j) {
        const std::size_t at = std::size_t(row * H + j);
        c[at] = logistic(gate[H + j]) * c[at] + logistic(gate[j]) * std::tanh(gate[2 * H + j]);
        h[at] = logistic(gate[3 * H + j]) * std::tanh(c[at]);
        y[std::size_t(t * B * H) + at] = static_cast<float>(h[at]);
      }
    }
  return y;
}

}  // namespace

int main() {
  const Values W_ih = pattern(4 * H * I, 0), W_hh = pattern(4 * H * H, 1), b = pattern(4 * H, 2),
               x = pattern(T * B * I, 3);
  unrolled::Recurrent<float> lstm("lstm", I, H);
  lstm.set_parameters({W_ih.data(), W_hh.data(), b.data(), {}});
  require(lstm.states() == 2 && lstm.weight_rows() == 4 * H, "sizes of an LSTM");

  Values y(T * B * H), h(B * H), c(B * H);
  lstm.forward({T, B, x.data()}, {y.data(), {h.data(), c.data()}});
  const Values expected = plain_lstm(x, W_ih, W_hh, b);
  for (std::size_t i = 0; i < y.size(); ++i) require(std::fabs(y[i] - expected[i]) < 1e-6f, "y of the sequence");

  Values h_step(B * H, 0.0f), c_step(B * H, 0.0f), y_step(B * H);
  for (std::ptrdiff_t t = 0; t < T; ++t) {
    lstm.step(B, x.data() + t * B * I, {h_step.data(), c_step.data()}, {h_step.data(), c_step.data()}, y_step.data());
    for (std::size_t i = 0; i < y_step.size(); ++i)
      require(y_step[i] == y[std::size_t(t * B * H) + i], "a step gives the bits of the sequence");
  }
  require(h_step == h && c_step == c, "states after the last step");

  const Values dy = pattern(T * B * H, 4);
  Values dx(T * B * I), dW_hh(W_hh.size());
  lstm.forward_for_training({T, B, x.data()}, {y.data(), {}});
  unrolled::Recurrent<float>::Gradients wanted;
  wanted.x = dx.data();
  wanted.W_hh = dW_hh.data();
  lstm.backward({dy.data(), {}}, wanted);
  // Along one direction, the loss sum(y dy) rises as the gradient says.
  const float step = 1e-2f;
  Values moved = x;
  const Values direction = pattern(T * B * I, 5);
  double slope = 0, above = 0, below = 0;
  for (std::size_t i = 0; i < x.size(); ++i) slope += double(dx[i]) * double(direction[i]);
  for (std::size_t i = 0; i < x.size(); ++i) moved[i] = x[i] + step * direction[i];
  const Values y_above = plain_lstm(moved, W_ih, W_hh, b);
  for (std::size_t i = 0; i < x.size(); ++i) moved[i] = x[i] - step * direction[i];
  const Values y_below = plain_lstm(moved, W_ih, W_hh, b);
  for (std::size_t i = 0; i < y.size(); ++i)
    above += double(y_above[i]) * double(dy[i]), below += double(y_below[i]) * double(dy[i]);
  require(std::fabs(slope - (above - below) / (2 * step)) < 1e-3 * (1 + std::fabs(slope)), "gradient of x");

  try {
    unrolled::Recurrent<float> unknown("no such cell", I, H);
    require(false, "an unknown cell throws");
  } catch (const std::invalid_argument& error) {
    std::printf("%s\n", error.what());
  }
  std::printf("LSTM: a sequence of %td steps, its backward, and %td single steps agree; h = %.6f ...\n", T, T,
              double(h[0]));
}
