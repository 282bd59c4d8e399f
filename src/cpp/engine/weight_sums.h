// The products behind the weight gradients of a layer, as lists of the rows they are sums over.
#pragma once

#include <utility>
#include <vector>

#include "gemm/outer.h"

namespace unrolled {

/// Sums of outer products: some products that share their deltas, then their deltas, then others.
template <class S>
class WeightSums {
 public:
  /// dW of `columns` columns: row m, whose sum is of delta m times the operands, goes to targets[m], if that is not
  /// null.
  void add(std::vector<const S*> operands, Index columns, std::vector<S*> targets) {
    products_.push_back({std::move(operands), columns, std::move(targets)});
  }
  /// The deltas, `width` wide, of all products added since the last ones, if there are any.
  template <class F>
  void over(Index width, F&& deltas) {
    const int before = sums_.empty() ? 0 : sums_.back().end;
    const int end = static_cast<int>(products_.size());
    if (end > before) sums_.push_back({deltas(), width, end});
  }
  /// What has been added, to be read while this lives and nothing more is added.
  std::vector<OuterSum<S>> sums() {
    outer_.clear();
    for (const Product& product : products_)
      outer_.push_back({product.operands.data(), product.columns, product.targets.data()});
    std::vector<OuterSum<S>> all;
    int begin = 0;
    for (const Sum& sum : sums_) {
      all.push_back({static_cast<Index>(sum.deltas.size()), sum.deltas.data(), sum.width, outer_.data() + begin,
                     sum.end - begin});
      begin = sum.end;
    }
    return all;
  }

 private:
  struct Product {
    std::vector<const S*> operands;
    Index columns;
    std::vector<S*> targets;
  };
  struct Sum {
    std::vector<const S*> deltas;
    Index width;
    int end;  // behind its last product
  };
  std::vector<Product> products_;
  std::vector<Sum> sums_;
  std::vector<OuterProduct<S>> outer_;
};

}  // namespace unrolled
