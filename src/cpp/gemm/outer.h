// Sums of outer products over many rows: weight gradients.
#pragma once

#include "core/deal.h"
#include "core/threads.h"
#include "gemm/panels.h"

namespace unrolled {

/// Rows that a sum over rows takes together, before it adds these sums up: more exact than one running sum.
inline constexpr Index rows_per_sum = 64;

/// One product of an OuterSum.
template <class S>
struct OuterProduct {
  const S* const* b;  // [rows] row pointers of B
  Index b_columns;
  S* const* c;  // [a_columns] row pointers of C, null for a row that is not wanted
};

/// For each product: C[m][n] (+)= sum over rows p of A[p][m] B[p][n], in the order of p. Rows may lie anywhere; m runs
/// over `a_columns`, n over `b_columns` neighbouring scalars. With `of_a`, also of_a[m] (+)= sum of A[p][m].
template <class S>
struct OuterSum {
  Index rows;
  const S* const* a;  // [rows] row pointers of A
  Index a_columns;
  const OuterProduct<S>* products;
  int count;
  S* of_a = nullptr;  // [a_columns]
};

/// The team that the sums are worth.
template <class S>
Team outer_team(const OuterSum<S>* sums, int count);

/// A team that makes sums one after the other, some rows at a time, and may do other things in between.
template <class S>
class OuterTeam {
 public:
  /// Of at most `team` threads; `most`: rows that are added at a time.
  OuterTeam(const OuterSum<S>* sums, int count, Index most, int team);
  /// C (+)= the sum over rows [first, last). All threads of the team call it alike, and may write the rows until then.
  void add(const OuterSum<S>& sum, Index first, Index last, bool accumulate, int id, int team);

 private:
  bool add_narrow(const OuterSum<S>& sum, Index first, Index run, bool accumulate, int id, int team);
  template <class F>
  void each_packed(const OuterSum<S>& sum, Index run, F&& use);
  void add_run(const OuterSum<S>& sum, Index first, Index run, bool accumulate, int id, int team);
  void add_tiles(const OuterSum<S>& sum, Index first, Index run, Deal::Range range, bool accumulate, int id,
                 LinesAhead<S>& ahead);

  Index run_;    // most rows at once
  Index block_;  // most tiles of A that a thread cuts at once: they stay in its cache while the panels of B pass
  Buffer<S> panels_, tiles_;
  Buffer<S> trash_;  // where rows of C that are not wanted go
  Index widest_ = 0;
  Barrier barrier_;
  Deal deal_;  // of tiles
};

/// All rows of all sums.
template <class S>
void accumulate_outer(const OuterSum<S>* sums, int count, bool accumulate);

}  // namespace unrolled
