// Optimizer updates: elementwise, in place on a parameter and the arrays that belong to it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/packet.h"

namespace unrolled::optim {

/// Numbers of one update, by name; each rule in update.cpp says which it reads.
using Coefficients = std::map<std::string, double>;

/// One update by the named rule ("sgd", "momentum", "rmsprop", "adam", "adagrad"). Element i of `p` and of every slot
/// depends on element i of the arrays alone, so the result is the same at any number of threads.
///   p      size   parameter; read and written
///   g      size   gradient; read
///   slots  arrays of `size`, in the order of the rule; read and written. None may overlap another array.
/// Throws std::invalid_argument for an unknown rule, a missing coefficient, or another number of slots than the rule
/// has.
template <class S>
void update(const std::string& rule, Index size, S* p, const S* g, const std::vector<S*>& slots,
            const Coefficients& coefficients);

/// The same for rows of a table alone: row rows[n] of p and of every slot, each of `width`, by row n of g. No row
/// occurs twice.
template <class S>
void update_rows(const std::string& rule, Index count, const std::int64_t* rows, Index width, S* p, const S* g,
                 const std::vector<S*>& slots, const Coefficients& coefficients);

/// Sum of squares in double precision, in an order that depends on `size` alone.
template <class S>
double sum_of_squares(const S* values, Index size);

}  // namespace unrolled::optim
