// Cells by name. The engine and the bindings only look up; registry.cpp declares and calls one function per file of
// cells.
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
    put(info.name, Entry{make_kernel<Cell, float>(info), make_kernel<Cell, double>(info)});
  }
  /// The same for a gated cell, which takes regularisation.
  template <class Cell>
  void add_gated(const CellInfo& info) {
    put(info.name, Entry{make_regular_kernel<Cell, float>(info), make_regular_kernel<Cell, double>(info)});
  }
  /// The kernel of the cell of that name, or of one fed back (see cells/feedback.h). Throws std::invalid_argument with
  /// the names there are.
  template <class S>
  const CellKernel<S>& find(const std::string& name) const;
  bool has(const std::string& name) const { return entries_.count(name) + fed_back_.count(name) > 0; }
  /// Names of all cells, sorted, without those that are fed back.
  std::vector<std::string> names() const;

 private:
  struct Entry {
    CellKernel<float> f32;
    CellKernel<double> f64;
  };
  void put(const std::string& name, const Entry& entry);

  std::map<std::string, Entry> entries_, fed_back_;
};

/// All cells of the library. Adding to it is not meant for use beside running calls.
Registry& cells();

}  // namespace unrolled
