// 06: data movement, by the two methods of Julia's manual.
//
// Julia, method 1: A = rand(1000, 1000); Bref = @spawnat :any A^2; fetch(Bref)
// Julia, method 2: Bref = @spawnat :any rand(1000, 1000)^2; fetch(Bref)
//
// Where the matrix is made decides how much is moved: by the first method it is sent and the square comes
// back, by the second only the square comes. The number of rows may be given as an argument.

#include <dshm/dshm.hpp>

#include <Eigen/Core>

#include <cstdio>
#include <cstdlib>

namespace {

using Eigen::MatrixXd;

MatrixXd square(const MatrixXd& matrix) { return matrix * matrix; }

MatrixXd random_square(int rows) { return square(MatrixXd::Random(rows, rows)); }

/// Prints what a function moves between processes, in bytes and in matrices of so many rows.
template <class Function>
void report(const char* method, int rows, Function function) {
    const auto before = dshm::counters();
    function();
    const auto moved = static_cast<double>((dshm::counters() - before).bytes_moved);
    std::printf("%s moved %.2f MB: %.1f matrices\n", method, moved / 1e6,
                moved / (8.0 * rows * rows));
}

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    if (dshm::nprocs() == 1)
        dshm::addprocs(2);
    const int rows = argc > 1 ? std::atoi(argv[1]) : 1000;

    report("method 1", rows, [=] {
        const MatrixXd a = MatrixXd::Random(rows, rows);
        const dshm::Future<MatrixXd> b = dshm::spawn(square, a);
        dshm::fetch(b);
    });
    report("method 2", rows, [=] {
        const dshm::Future<MatrixXd> b = dshm::spawn(random_square, rows);
        dshm::fetch(b);
    });
}
