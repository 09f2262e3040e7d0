// The singular values of svdvals, against values known in closed form and against one-sided Jacobi.

#include "catch.hpp"

#include "svdvals/report.hpp"
#include "svdvals/singular_values.hpp"

#include <Eigen/SVD>

#include <cmath>
#include <limits>
#include <random>

namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using svdvals::relative_difference;
using svdvals::singular_values;

constexpr double tolerance = 1e-12;

MatrixXd random_matrix(Index rows, Index columns, std::mt19937_64& generator) {
    std::normal_distribution<double> normal;
    return MatrixXd::NullaryExpr(rows, columns, [&] { return normal(generator); });
}

/// How far we are from one-sided Jacobi, the most accurate method.
double distance_from_jacobi(const MatrixXd& matrix) {
    const VectorXd reference = Eigen::JacobiSVD<MatrixXd>(matrix).singularValues();
    return relative_difference(singular_values(matrix), reference);
}

} // namespace

TEST_CASE("as many values as the shorter side, largest first") {
    std::mt19937_64 generator(1);
    for (const auto& [rows, columns] :
         {std::pair<Index, Index>{7, 3}, {3, 7}, {5, 5}, {1, 1}, {1, 9}, {9, 1}}) {
        const VectorXd values = singular_values(random_matrix(rows, columns, generator));
        CHECK(values.size() == std::min(rows, columns));
        CHECK(std::is_sorted(values.begin(), values.end(), std::greater<>{}));
        CHECK(values.minCoeff() >= 0);
    }
}

TEST_CASE("matrices whose values are known") {
    CHECK(singular_values(MatrixXd::Zero(4, 3)) == VectorXd::Zero(3));
    CHECK(relative_difference(singular_values(MatrixXd::Identity(5, 5)), VectorXd::Ones(5)) <
          tolerance);
    const Eigen::Vector3d diagonal(-3, 0.5, 2);
    CHECK(relative_difference(singular_values(diagonal.asDiagonal()), Eigen::Vector3d(3, 2, 0.5)) <
          tolerance);
}

TEST_CASE("all ones, where Eigen's BDCSVD has been seen to give NaN") {
    VectorXd expected = VectorXd::Zero(34);
    expected[0] = std::sqrt(56.0 * 34.0);
    CHECK(relative_difference(singular_values(MatrixXd::Ones(56, 34)), expected) < tolerance);
}

TEST_CASE("random matrices of all shapes agree with Jacobi") {
    std::mt19937_64 generator(2);
    std::uniform_int_distribution<Index> size(1, 40);
    for (int i = 0; i < 100; ++i)
        CHECK(distance_from_jacobi(random_matrix(size(generator), size(generator), generator)) <
              tolerance);
}

TEST_CASE("rank-deficient and graded matrices agree with Jacobi") {
    std::mt19937_64 generator(3);
    const MatrixXd deficient = random_matrix(40, 5, generator) * random_matrix(5, 30, generator);
    CHECK(distance_from_jacobi(deficient) < tolerance);
    MatrixXd graded = random_matrix(30, 30, generator);
    for (Index i = 0; i < 30; ++i)
        graded.row(i) *= std::pow(10.0, -static_cast<double>(i));
    CHECK(distance_from_jacobi(graded) < tolerance);
}

TEST_CASE("values scale with the matrix from the smallest to the largest numbers") {
    std::mt19937_64 generator(4);
    const MatrixXd matrix = random_matrix(30, 10, generator);
    const VectorXd values = singular_values(matrix);
    for (const double factor : {0x1p-990, 0x1p-300, 0x1p300, 0x1p1000})
        CHECK(relative_difference(singular_values(matrix * factor) / factor, values) < tolerance);
    const double smallest = std::numeric_limits<double>::denorm_min();
    CHECK(singular_values(MatrixXd::Constant(1, 1, smallest))[0] == smallest);
}

TEST_CASE("the difference that --check reports") {
    const Eigen::Vector3d reference(4, 2, 1);
    CHECK(relative_difference(reference, reference) == 0);
    CHECK(relative_difference(Eigen::Vector3d(1, 2, 4), reference) == 0); // order does not matter
    CHECK(relative_difference(Eigen::Vector3d(4, 2.5, 1), reference) == 0.125);
    CHECK(relative_difference(Eigen::Vector3d::Zero(), Eigen::Vector3d::Zero()) == 0);
    CHECK(std::isinf(relative_difference(reference, Eigen::Vector3d::Zero())));
}
