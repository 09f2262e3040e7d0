// The main job: all singular values of several matrices, by `pmap`, against the best way to hand the matrices to bare
// forked processes when their serial times are known beforehand, and against OpenMP's dynamic loop.
//
//   svd_bench [DIRECTORY] [--quick] [--workers N]
//
// DIRECTORY (or the environment variable DSHM_BENCH_MATRICES) holds Matrix Market files; without it five random
// matrices of the sizes of well-known ones are used. All contenders run the same function, so values must
// agree to the last bit.
#include <dshm/dshm.hpp>

#include "baselines/assignment.hpp"
#include "baselines/crew.hpp"
#include "baselines/openmp.hpp"
#include "support/comparison.hpp"

#include "matrix_market.hpp"
#include "singular_values.hpp"

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <random>

namespace {

using Matrices = std::vector<Eigen::MatrixXd>;
using Values = std::vector<Eigen::VectorXd>;

Matrices read_directory(const std::filesystem::path& directory) {
    std::vector<std::string> paths;
    for (const auto& entry : std::filesystem::directory_iterator(directory))
        if (entry.path().extension() == ".mtx")
            paths.push_back(entry.path().string());
    std::sort(paths.begin(), paths.end());
    Matrices matrices;
    for (const std::string& path : paths)
        matrices.push_back(svdvals::read_matrix(path));
    return matrices;
}

Eigen::MatrixXd random_matrix(Eigen::Index rows, Eigen::Index columns) {
    std::mt19937_64 generator(static_cast<std::uint64_t>(rows * columns));
    std::normal_distribution<double> normal;
    return Eigen::MatrixXd::NullaryExpr(rows, columns,
                                        [&](auto, auto) { return normal(generator); });
}

Matrices random_matrices(bool small) {
    if (small)
        return {random_matrix(20, 10), random_matrix(30, 30), random_matrix(16, 8)};
    return {random_matrix(313, 176), random_matrix(1033, 320), random_matrix(1484, 1484),
            random_matrix(1033, 320), random_matrix(479, 479)};
}

Matrices load(const bench::Program& program, int argc, char** argv) {
    const char* directory = argc > 1 ? argv[1] : std::getenv("DSHM_BENCH_MATRICES");
    Matrices matrices = directory ? read_directory(directory) : random_matrices(program.quick());
    bench::require(!matrices.empty(), "no matrices");
    return matrices;
}

Values all_values(const Matrices& matrices) {
    Values values;
    for (const Eigen::MatrixXd& matrix : matrices)
        values.push_back(svdvals::singular_values(matrix));
    return values;
}

/// The fastest of three serial runs of each matrix.
std::vector<double> serial_seconds(const Matrices& matrices) {
    std::vector<double> seconds;
    for (const Eigen::MatrixXd& matrix : matrices) {
        double fastest = std::numeric_limits<double>::infinity();
        for (int i = 0; i < 3; ++i)
            fastest = std::min(fastest, bench::seconds_of([&] {
                                   benchmark::DoNotOptimize(svdvals::singular_values(matrix));
                               }));
        seconds.push_back(fastest);
    }
    return seconds;
}

/// Bare processes that know the best assignment and leave their values in one mapping.
class BareSvds {
public:
    BareSvds(const Matrices& matrices, const Values& expected, const std::vector<int>& process,
             int members)
        : starts_(starts(expected)), mapping_(static_cast<std::size_t>(starts_.back())),
          crew_(members, [this, &matrices, process](int member) {
              for (std::size_t i = 0; i < matrices.size(); ++i)
                  if (process[i] == member)
                      place(i) = svdvals::singular_values(matrices[i]);
          }) {}

    Values run() {
        crew_.run();
        Values values;
        for (std::size_t i = 0; i + 1 < starts_.size(); ++i)
            values.emplace_back(place(i));
        return values;
    }

private:
    static std::vector<Eigen::Index> starts(const Values& values) {
        std::vector<Eigen::Index> starts{0};
        for (const Eigen::VectorXd& value : values)
            starts.push_back(starts.back() + value.size());
        return starts;
    }
    Eigen::Map<Eigen::VectorXd> place(std::size_t i) const {
        return {mapping_.data() + starts_[i], starts_[i + 1] - starts_[i]};
    }

    std::vector<Eigen::Index> starts_;
    bench::SharedMapping<double> mapping_;
    bench::Crew crew_;
};

template <class Work>
bench::Turn checked(const Values& expected, Work work) {
    return [&expected, work] {
        Values values;
        const double seconds = bench::seconds_of([&] { values = work(); });
        bench::require(values == expected, "wrong singular values");
        return seconds;
    };
}

Values openmp_values(const Matrices& matrices, int threads) {
    Values values(matrices.size());
    bench::openmp_dynamic(static_cast<long>(matrices.size()), threads, [&](long i) {
        const auto at = static_cast<std::size_t>(i);
        values[at] = svdvals::singular_values(matrices[at]);
    });
    return values;
}

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    bench::Program program(argc, argv);
    const int workers = program.workers();
    dshm::addprocs(workers);

    const Matrices matrices = load(program, argc, argv);
    const Values expected = all_values(matrices);
    const bench::Assignment best =
        bench::BestAssignment(serial_seconds(matrices), workers).result();
    BareSvds bare(matrices, expected, best.process, workers);
    std::cout << matrices.size() << " matrices; the best assignment of their serial times to "
              << workers << " processes would take " << best.makespan << " s\n";

    auto& svds = program.compare("svd/all_matrices").rounds(9);
    svds.subject(
        "libdshm pmap", checked(expected, [&matrices] {
            return dshm::pmap(
                [](const Eigen::MatrixXd& matrix) { return svdvals::singular_values(matrix); },
                matrices);
        }));
    svds.peer("bare forks, best assignment", checked(expected, [&bare] { return bare.run(); }),
              0.95);
    if (bench::has_openmp)
        svds.peer("OpenMP dynamic",
                  checked(expected, [&] { return openmp_values(matrices, workers); }));
    svds.peer("serial", checked(expected, [&] { return all_values(matrices); }));
    return program.run();
}
