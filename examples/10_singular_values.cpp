// 10: singular values of ten random matrices by a parallel map.
//
// Julia: M = [rand(100, 80) for i = 1:10]; pmap(svdvals, M)
//
// `svdvals` in the folder of that name does the same with matrices from files.

#include <dshm/dshm.hpp>

#include <Eigen/SVD>

#include <algorithm>
#include <cstdio>
#include <random>
#include <vector>

namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;

VectorXd singular_values(const MatrixXd& matrix) {
    return Eigen::BDCSVD<MatrixXd>(matrix).singularValues();
}

/// The same matrices on every run.
std::vector<MatrixXd> random_matrices(int count, int rows, int columns) {
    std::mt19937_64 generator(2024);
    std::uniform_real_distribution<double> uniform;
    std::vector<MatrixXd> matrices;
    for (int i = 0; i < count; ++i)
        matrices.push_back(
            MatrixXd::NullaryExpr(rows, columns, [&] { return uniform(generator); }));
    return matrices;
}

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    if (dshm::nprocs() == 1)
        dshm::addprocs(2);

    const std::vector<MatrixXd> matrices = random_matrices(10, 100, 80);
    const std::vector<VectorXd> values = dshm::pmap(singular_values, matrices); // in order

    double difference = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        std::printf("matrix %zu: largest %.6f, smallest %.6f\n", i, values[i].maxCoeff(),
                    values[i].minCoeff());
        const VectorXd here = singular_values(matrices[i]);
        difference = std::max(difference, (values[i] - here).cwiseAbs().maxCoeff());
    }
    std::printf("as computed by the master: %s\n", difference < 1e-12 ? "yes" : "no");
}
