// Inputs that are rows of a table: the bits of a call over the rows themselves, and gradients that differ in the order
// of their sums alone.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "cell_call.h"
#include "core/threads.h"

namespace {

using namespace unrolled;
using namespace unrolled::testing;

constexpr Index symbols = 5;

/// The same call twice: over a table, and over the rows that it looks up there.
std::pair<CellCall<double>, CellCall<double>> table_and_rows(const std::string& name, Shape shape, int options) {
  CellCall<double> table(name, shape, options & 1, options & 2, options & 4), rows = table;
  Random<double> random;
  table.x = random.values(symbols * shape.I);
  for (Index place = 0; place < shape.T * shape.B; ++place) {
    const Index id = place * 7 % 11 % (symbols - 1);  // the last one never
    table.ids.push_back(id);
    std::copy_n(table.x.data() + id * shape.I, shape.I, rows.x.data() + place * shape.I);
  }
  if (table.ids.empty()) table.ids.push_back(0);  // of no row, but a table all the same
  return {table, rows};
}

/// dx of the rows, summed over the places of every symbol.
std::vector<double> by_symbol(const CellCall<double>& table, const std::vector<double>& dx) {
  std::vector<double> sums(table.x.size());
  const std::size_t places = std::size_t(table.shape.T * table.shape.B);
  for (std::size_t place = 0; place < places; ++place)
    for (Index i = 0; i < table.shape.I; ++i)
      sums[std::size_t(table.ids[place] * table.shape.I + i)] +=
          dx[place * std::size_t(table.shape.I) + std::size_t(i)];
  return sums;
}

bool near(const std::vector<double>& one, const std::vector<double>& other) {
  double largest = 1, most = 0;
  for (std::size_t k = 0; k < one.size(); ++k) {
    most = std::max(most, std::abs(one[k] - other[k]));
    largest = std::max(largest, std::abs(other[k]));
  }
  return one.size() == other.size() && most <= 1e-12 * largest;
}

}  // namespace

TEST_CASE("a table gives the outputs of its rows, and their gradients summed by symbol") {
  const int before = get_num_threads();
  const Shape shapes[] = {{3, 0, 3, 5}, {9, 3, 2, 17}, {12, 33, 8, 33}};
  const std::vector<std::string> names = all_kernels();
  for (std::size_t place = 0; place < names.size(); ++place)
    for (std::size_t at = 0; at < std::size(shapes); ++at) {
      const std::string& name = names[place];
      const Shape& shape = shapes[at];
      if (cells().find<double>(name).make_input) continue;  // what W_ih multiplies is more than a row of the table
      for (int options : some_options(place, at)) {
        const auto [table, rows] = table_and_rows(name, shape, options);
        set_num_threads(1 + options % 2);
        const Results<double> ours = table.forward_and_backward(), wanted = rows.forward_and_backward();
        CAPTURE(name);
        CAPTURE(shape.B);
        CAPTURE(options);
        const std::size_t outputs = 1 + table.states.size();
        for (std::size_t k = 0; k < outputs; ++k) CHECK(ours[k] == wanted[k]);
        CHECK(near(ours[outputs], by_symbol(table, wanted[outputs])));
        for (std::size_t k = outputs + 1; k < ours.size(); ++k) CHECK(near(ours[k], wanted[k]));
      }
    }
  set_num_threads(before);
}
