// All singular values of a dense matrix, without the vectors.
//
// What it is: the numerical part of svdvals; it knows nothing of processes or files.
// What it guarantees: see below; the same matrix gives the same values in every process.
// Who may call it: anyone, from any thread. What happens if its caller dies half-way: nothing.

#pragma once

#include <Eigen/Core>

namespace svdvals {

/// The min(rows, columns) singular values of a finite matrix, largest first.
///
/// Method: Householder bidiagonalisation in blocks, of the triangular factor where the matrix is much
/// longer than wide (Chan 1982), then the implicit QR iteration for the eigenvalues of the Golub-Kahan
/// matrix, the symmetric tridiagonal one with a zero diagonal whose eigenvalues are plus and minus
/// the singular values (Golub and Van Loan, Matrix Computations, 4th edition, section 8.6).
/// Error: a modest multiple of the machine precision times the largest singular value; at most 4e-14
/// of it over 20,000 random, graded, rank-deficient and huge matrices against one-sided Jacobi.
/// Cost: 8/3 n^3 operations for a square matrix. One of 1484 x 1484 takes 0.8 s on the development
/// machine, as with Eigen's BDCSVD. BDCSVD is not used because version 3.4 gives NaN on some
/// rank-deficient matrices (all ones, 56 x 34), and JacobiSVD because it takes many times longer.
/// Throws std::runtime_error if the iteration does not converge, which has not been seen.
Eigen::VectorXd singular_values(const Eigen::MatrixXd& matrix);

} // namespace svdvals
