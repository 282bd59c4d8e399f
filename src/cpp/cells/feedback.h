// Any cell that reads its own readout: the loop of one input and many outputs.
#pragma once

#include <optional>

#include "engine/cell.h"

namespace unrolled {

/// What a name of a kernel ends with to mean the cell fed back.
inline constexpr char fed_back_suffix[] = "+feedback";

/// The kernel of a cell fed back, see feedback.cpp; none for a cell that the engine has no room to feed back, whose
/// output is not its first state, that normalises its input part, or that makes what it reads of more than x[t].
template <class S>
std::optional<CellKernel<S>> feed_back(const CellKernel<S>& cell);

}  // namespace unrolled
