// The public interface: what it asks for, and in which order. tests/consumer checks its numbers.
#include <doctest/doctest.h>
#include <unrolled/recurrent.h>

#include <stdexcept>
#include <vector>

namespace {

using unrolled::Recurrent;

TEST_CASE_TEMPLATE("options that change the columns of W_ih ask for the parameters again", S, float, double) {
  constexpr std::ptrdiff_t T = 6, B = 2, I = 4, H = 32;
  const std::vector<S> x(T * B * I, S(1)), dy(T * B * H, S(1));
  std::vector<S> W_ih, y(T * B * H), dx(T * B * I);
  const auto steps_before = [](int count) { return std::array<double, unrolled::max_options>{double(count)}; };
  Recurrent<S> cell("qrnn_fo", I, H);
  CHECK_THROWS_AS(cell.forward({T, B, x.data()}, {y.data(), {}}), std::logic_error);
  const auto prepare = [&](int before) {
    cell.set_options(steps_before(before));
    W_ih.assign(std::size_t(cell.input_rows() * (1 + before) * I), S(0.1));
    cell.set_parameters({W_ih.data()});
  };
  prepare(1);
  cell.forward_for_training({T, B, x.data()}, {y.data(), {}});
  cell.set_options(steps_before(500));
  CHECK_THROWS_AS(cell.forward({T, B, x.data()}, {y.data(), {}}), std::logic_error);
  typename Recurrent<S>::Gradients wanted;
  wanted.x = dx.data();
  CHECK_THROWS_AS(cell.backward({dy.data(), {}}, wanted), std::logic_error);
  const std::vector<S> narrow = y;
  prepare(2);
  cell.forward_for_training({T, B, x.data()}, {y.data(), {}});
  cell.backward({dy.data(), {}}, wanted);
  CHECK(y.back() > narrow.back());  // three steps of ones instead of two
  CHECK(dx.front() > 0);
}

TEST_CASE("what does not fit is refused") {
  CHECK_THROWS_AS(Recurrent<float>("no such cell", 1, 1), std::invalid_argument);
  CHECK_THROWS_AS(Recurrent<float>("lstm", 0, 1), std::invalid_argument);
  CHECK_THROWS_AS(Recurrent<float>("lstm", 1, 2, 3), std::invalid_argument);
  Recurrent<float> lstm("lstm", 1, 1);
  CHECK_THROWS_AS(lstm.set_parameters({}), std::invalid_argument);
  CHECK_THROWS_AS(lstm.backward({}, {}), std::logic_error);
}

}  // namespace
