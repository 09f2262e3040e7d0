// 02: spawn work, go on, and fetch the result when it is wanted.
//
// Julia: r = @spawnat 2 rand(2, 2); s = @spawnat 3 1 .+ fetch(r); fetch(s)

#include <dshm/dshm.hpp>

#include <Eigen/Core>

#include <cmath>
#include <iostream>
#include <stdexcept>
#include <string>

namespace {

Eigen::MatrixXd counted(int rows, int columns) {
    Eigen::MatrixXd matrix(rows, columns);
    for (int i = 0; i < rows * columns; ++i)
        matrix(i) = i;
    return matrix;
}

Eigen::MatrixXd plus_one(const Eigen::MatrixXd& matrix) { return matrix.array() + 1; }

double root(double x) {
    if (x < 0)
        throw std::domain_error("no real root of " + std::to_string(x));
    return std::sqrt(x);
}

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    if (dshm::nprocs() == 1) // else dshm-run has started them
        dshm::addprocs(2);

    // Both return at once, with a future of the result.
    const dshm::Future<Eigen::MatrixXd> first = dshm::spawn_at(2, counted, 2, 2);
    const auto second = dshm::spawn_at(3, plus_one, first.fetch());
    std::cout << second.fetch() << '\n';

    // A result may be fetched any number of times; spawn leaves open which worker computes it.
    const dshm::Future<double> three = dshm::spawn(root, 9.0);
    std::cout << "once " << dshm::fetch(three) << ", twice " << dshm::fetch(three) << '\n';
    std::cout << "in one go " << dshm::fetch(root, 16.0) << ", from worker 2 "
              << dshm::fetch_from(2, root, 25.0) << '\n';

    // What the function throws is thrown by fetch, with its type, its text and where it happened.
    try {
        dshm::fetch_from(3, root, -1.0);
    } catch (const std::domain_error& error) {
        const auto& remote = dynamic_cast<const dshm::RemoteException&>(error);
        const bool has_text = std::string(error.what()).find("no real root") != std::string::npos;
        std::cout << "a domain_error on worker " << remote.pid() << ", its text has "
                  << (has_text ? "arrived" : "been lost") << '\n';
    }
}
