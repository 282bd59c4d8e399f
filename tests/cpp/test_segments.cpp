// A call in segments that are run again in backward: the same bits as the whole, but for the order of the sums that
// are the gradients of parameters.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "cell_call.h"
#include "threads_guard.h"

namespace {

using namespace unrolled;
using namespace unrolled::testing;

/// The largest difference, as a share of the largest number.
template <class S>
double furthest(const std::vector<S>& one, const std::vector<S>& other) {
  double most = 0, largest = 1;
  for (std::size_t k = 0; k < one.size(); ++k) {
    most = std::max(most, std::abs(double(one[k]) - double(other[k])));
    largest = std::max(largest, std::abs(double(other[k])));
  }
  return most / largest;
}

/// Results without the gradients of parameters, which come after y, the states and x.
template <class S>
Results<S> of_rows(const CellCall<S>& call, const Results<S>& all) {
  const std::size_t states = call.states.size();
  Results<S> rows(all.begin(), all.begin() + std::ptrdiff_t(2 + states));
  rows.insert(rows.end(), all.end() - std::ptrdiff_t(states), all.end());
  return rows;
}

}  // namespace

TEST_CASE("segments give the outputs and gradients of the whole") {
  Threads threads;
  const Shape shapes[] = {{3, 0, 3, 5}, {1, 2, 3, 5}, {7, 3, 2, 17}, {12, 33, 8, 33}};
  const std::vector<std::string> names = all_kernels();
  for (std::size_t place = 0; place < names.size(); ++place)
    for (std::size_t at = 0; at < std::size(shapes); ++at)
      for (int options : some_options(place, at)) {
        const std::string& name = names[place];
        const Shape& shape = shapes[at];
        const CellCall<double> call(name, shape, options & 1, options & 2, options & 4);
        const Results<double> whole = call.forward_and_backward();
        for (Index steps : {Index(1), Index(3), shape.T, shape.T + 5}) {
          set_num_threads(1 + int(steps % 2));
          const Results<double> cut = call.forward_and_backward(steps);
          CAPTURE(name);
          CAPTURE(shape.T);
          CAPTURE(options);
          CAPTURE(steps);
          CHECK(same_bits(of_rows(call, cut), of_rows(call, whole)));
          // Sums of at most 400 products.
          for (std::size_t k = 0; k < whole.size(); ++k) CHECK(furthest(cut[k], whole[k]) < 1e-11);
        }
      }
}

TEST_CASE_TEMPLATE("segments give the same bits at any number of threads", S, float, double) {
  Threads threads;
  for (const std::string& name : all_kernels())
    for (const Shape& shape : {Shape{9, 1, 20, 200}, Shape{12, 33, 24, 40}}) {
      const CellCall<S> call(name, shape, true, true, shape.B == 1);
      set_num_threads(1);
      const Results<S> expected = call.forward_and_backward(4);
      set_num_threads(2);
      CAPTURE(name);
      CHECK(same_bits(call.forward_and_backward(4), expected));
    }
}
