// Packed weights (layers, streams x gates x units, depth) for ops that multiply by them many times in a call.
#pragma once

#include <vector>

#include "core/buffer.h"
#include "gemm/outer.h"
#include "ops/rows.h"

namespace unrolled::ops {

/// For W operand: for each layer, stream and packet of units a panel with the packets of its gates side by side, so
/// that one product gives all that a point function needs.
template <class S>
class UnitPanels {
 public:
  static constexpr int most_gates = 6;

  UnitPanels(Index layers, Index streams, int gates, Index hidden, Index depth)
      : shape{gates * lanes<S>, depth, gates <= max_vectors ? gates : (gates + 1) / 2},
        blocks((hidden + lanes<S> - 1) / lanes<S>),
        units(streams * blocks),
        layers_(layers),
        gates_(gates),
        hidden_(hidden),
        data_(layers * units * shape.size()) {}

  void pack(const S* W) {
    share(layers_ * units, shape.size(), [&](Index begin, Index end) {
      for (Index panel = begin; panel < end; ++panel) {
        const Index stream = panel / blocks, block = panel % blocks;  // streams of all layers
        const S* rows[most_gates * lanes<S>];
        for (int gate = 0; gate < gates_; ++gate)
          for (int lane = 0; lane < lanes<S>; ++lane) {
            const Index unit = block * lanes<S> + lane, row = (stream * gates_ + gate) * hidden_ + unit;
            rows[gate * lanes<S> + lane] = unit < hidden_ ? W + row * shape.depth : nullptr;
          }
        for (Index group = 0; group < shape.groups(); ++group)
          pack_transposed(rows + shape.first_column(group), shape.vectors(group), shape.depth,
                          data_.data() + panel * shape.size() + shape.offset(group));
      }
    });
  }

  /// to[r][gate][lane] = from[r] . weights, for the packet of units `unit` (of streams x blocks).
  void multiply(Index layer, Index unit, Index rows, const S* const* from, S* const* to) const {
    multiply_part(layer, unit, 0, shape.depth, rows, from, to);
  }
  /// The same of `length` columns of the weights from column `first` on; where `first` is not 0, `to` is added to.
  void multiply_part(Index layer, Index unit, Index first, Index length, Index rows, const S* const* from,
                     S* const* to) const {
    const S* panel = data_.data() + (layer * units + unit) * shape.size();
    for (Index group = 0; group < shape.groups(); ++group)
      multiply_group(shape, panel + shape.offset(group) + first * shape.vectors(group) * lanes<S>, group,
                     Depth::contiguous(length), rows, from, to, first == 0 ? Start::Zero : Start::Continue,
                     static_cast<const S*>(nullptr));
  }

  const PanelShape<S> shape;  // of one panel
  const Index blocks;         // packets of units of a stream
  const Index units;          // streams x blocks

 private:
  Index layers_;
  int gates_;
  Index hidden_;
  Buffer<S> data_;
};

/// For gates W, backward: gates along the sum, operands along the columns.
template <class S>
class OperandPanels {
 public:
  OperandPanels(Index layers, Index gates, Index operands)
      : shape{operands, gates, max_vectors}, layers_(layers), data_(layers * shape.size()) {}

  void pack(const S* W) {
    std::vector<const S*> rows(static_cast<std::size_t>(layers_ * shape.depth));
    for (std::size_t row = 0; row < rows.size(); ++row) rows[row] = W + Index(row) * shape.columns;
    share(layers_ * shape.groups(), shape.depth * shape.width * lanes<S>, [&](Index begin, Index end) {
      for (Index panel = begin; panel < end; ++panel) {
        const Index layer = panel / shape.groups(), group = panel % shape.groups(), first = shape.first_column(group);
        pack_rows(rows.data() + layer * shape.depth, shape.depth, first, shape.columns - first, shape.vectors(group),
                  data_.data() + layer * shape.size() + shape.offset(group));
      }
    });
  }

  /// to[r] = from[r] . weights, or += where `start` is Continue, for the columns of one group.
  void multiply(Index layer, Index group, Index rows, const S* const* from, S* const* to, Start start) const {
    multiply_group(shape, data_.data() + layer * shape.size() + shape.offset(group), group,
                   Depth::contiguous(shape.depth), rows, from, to, start, static_cast<const S*>(nullptr));
  }

  const PanelShape<S> shape;  // of one layer

 private:
  Index layers_;
  Buffer<S> data_;
};

/// Gradients of weights and biases of one layer, either absent: sums over rows, in their order. The columns of the
/// weights are those of one or more operands of `operand_count` each, side by side.
template <class S>
void sum_layer_gradients(const std::vector<const S*>& gates, Index gate_count,
                         const std::vector<std::vector<const S*>>& operands, Index operand_count, S* dW, S* db) {
  const Index rows = static_cast<Index>(gates.size()), columns = static_cast<Index>(operands.size()) * operand_count;
  if (dW) {
    std::vector<std::vector<S*>> sums(operands.size());
    std::vector<OuterProduct<S>> products;
    for (std::size_t k = 0; k < operands.size(); ++k) {
      for (Index m = 0; m < gate_count; ++m) sums[k].push_back(dW + m * columns + Index(k) * operand_count);
      products.push_back({operands[k].data(), operand_count, sums[k].data()});
    }
    const OuterSum<S> sum{rows, gates.data(), gate_count, products.data(), static_cast<int>(products.size()), db};
    accumulate_outer(&sum, 1, false);
  } else if (db) {
    sum_rows(rows, gate_count, db, [&](Index row, S* partial) {
      for (Index i = 0; i < gate_count; ++i) partial[i] += gates[std::size_t(row)][i];
    });
  }
}

}  // namespace unrolled::ops
