// Cells by name. The engine and the bindings only look up; registry.cpp has one line per cell.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/regular.h"

namespace unrolled {

class Registry {
 public:
  /// Adds a cell for both scalar types under info.name; a cell of that name is replaced.
  template <class Cell>
  void add(const CellInfo& info) {
    entries_[info.name] = Entry{make_kernel<Cell, float>(info), make_kernel<Cell, double>(info)};
  }
  /// The same for a gated cell, which takes regularisation.
  template <class Cell>
  void add_gated(const CellInfo& info) {
    entries_[info.name] = Entry{make_regular_kernel<Cell, float>(info), make_regular_kernel<Cell, double>(info)};
  }
  /// The kernel of the cell of that name. Throws std::invalid_argument with the names there are.
  template <class S>
  const CellKernel<S>& find(const std::string& name) const;
  /// Names of all cells, sorted.
  std::vector<std::string> names() const;

 private:
  struct Entry {
    CellKernel<float> single;
    CellKernel<double> twice;
  };
  std::map<std::string, Entry> entries_;
};

/// All cells of the library. Adding to it is not meant for use beside running calls.
Registry& cells();

}  // namespace unrolled
