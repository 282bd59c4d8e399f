#include "init/orthogonal.h"

#include <Eigen/QR>

namespace unrolled {

void orthonormal_columns(double* matrix, Index rows, Index columns) {
  using Matrix = Eigen::MatrixXd;
  Eigen::Map<Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>> a(matrix, rows, columns);
  const Eigen::HouseholderQR<Matrix> qr(a);
  a = qr.householderQ() * Matrix::Identity(rows, columns);
  for (Index column = 0; column < columns; ++column)
    if (qr.matrixQR()(column, column) < 0) a.col(column) *= -1;
}

}  // namespace unrolled
