// Orthonormal columns for initial weights.
#pragma once

#include "core/packet.h"

namespace unrolled {

/// Replaces the columns of `matrix` (rows x columns, row-major, rows >= columns) by orthonormal ones with the same
/// span: Q of its QR factors, with the signs that make the diagonal of R positive. On the calling thread: a BLAS would
/// wake its own threads, and leave them spinning on the cores that the first calls of a layer need.
void orthonormal_columns(double* matrix, Index rows, Index columns);

}  // namespace unrolled
