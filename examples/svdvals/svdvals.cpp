// svdvals: all singular values of matrices in Matrix Market files, computed by `dshm::pmap`.
//
//     dshm-run -n 2 svdvals --check *.mtx
//
// The master reads every file before anything is computed, sends the matrices out, the costliest first
// so that none is left over for the end, and prints when all results are there. Without workers the
// master computes them itself. Exit status: 0; 1 if --check found a difference; 2 for wrong options
// or files; 3 for everything else.

#include "matrix_market.hpp"
#include "report.hpp"
#include "singular_values.hpp"

#include <dshm/dshm.hpp>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace svdvals {

namespace {

enum ExitStatus { fine = 0, check_failed = 1, bad_input = 2, other_failure = 3 };

struct Options {
    std::vector<std::string> paths;
    bool check = false;
    bool no_serial = false;
};

/// All files, read and found right.
struct Input {
    std::vector<Eigen::MatrixXd> matrices;   ///< those that take longest first
    std::vector<std::size_t> places;         ///< where each of them stands on the command line
    std::vector<Eigen::VectorXd> references; ///< as on the command line; none without --check
};

/// Singular values and the seconds they took.
using Result = std::pair<Eigen::VectorXd, double>;

// ---- input ------------------------------------------------------------------------------------

/// The places of the matrices, those that take longest first.
std::vector<std::size_t> by_falling_cost(const std::vector<Eigen::MatrixXd>& matrices) {
    const auto cost = [&](std::size_t place) {
        const Eigen::MatrixXd& matrix = matrices[place];
        const auto shorter = std::min(matrix.rows(), matrix.cols());
        return static_cast<double>(matrix.size()) * static_cast<double>(shorter);
    };
    std::vector<std::size_t> places(matrices.size());
    std::iota(places.begin(), places.end(), std::size_t{0});
    std::stable_sort(places.begin(), places.end(),
                     [&](std::size_t a, std::size_t b) { return cost(a) > cost(b); });
    return places;
}

Eigen::VectorXd read_reference(const std::string& path, const Eigen::MatrixXd& matrix) {
    const auto reference = std::filesystem::path(path).replace_extension(".svdvals");
    return read_values(reference.string(), std::min(matrix.rows(), matrix.cols()));
}

Input read_all(const Options& options) {
    Input input;
    std::vector<Eigen::MatrixXd> matrices;
    for (const std::string& path : options.paths) {
        matrices.push_back(read_matrix(path));
        if (options.check)
            input.references.push_back(read_reference(path, matrices.back()));
    }
    input.places = by_falling_cost(matrices);
    for (const std::size_t place : input.places)
        input.matrices.push_back(std::move(matrices[place]));
    return input;
}

// ---- computation ------------------------------------------------------------------------------

template <class Function>
double seconds_of(Function function) {
    const auto begin = std::chrono::steady_clock::now();
    function();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

Result timed_singular_values(const Eigen::MatrixXd& matrix) {
    Result result;
    result.second = seconds_of([&] { result.first = singular_values(matrix); });
    return result;
}

double serial_seconds(const std::vector<Eigen::MatrixXd>& matrices) {
    return seconds_of([&] {
        for (const Eigen::MatrixXd& matrix : matrices)
            timed_singular_values(matrix);
    });
}

/// Results in the order of `matrices`, and the wall time of all.
std::pair<std::vector<Result>, double> in_parallel(const std::vector<Eigen::MatrixXd>& matrices) {
    std::vector<Result> results;
    const double seconds =
        seconds_of([&] { results = dshm::pmap(timed_singular_values, matrices); });
    return {std::move(results), seconds};
}

// ---- output -----------------------------------------------------------------------------------

/// The lines of the table, as on the command line.
std::vector<Row> rows_of(const Options& options, const Input& input,
                         const std::vector<Result>& results) {
    std::vector<Row> rows(results.size());
    for (std::size_t i = 0; i < results.size(); ++i) {
        const std::size_t place = input.places[i];
        const auto& [values, seconds] = results[i];
        rows[place] = {options.paths[place],
                       input.matrices[i].rows(),
                       input.matrices[i].cols(),
                       values,
                       seconds,
                       std::nullopt};
        if (options.check)
            rows[place].difference = relative_difference(values, input.references[place]);
    }
    return rows;
}

/// A full disk or a closed pipe must not look like success.
void finish_output() {
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
        throw std::system_error(errno, std::generic_category(), "the results cannot be written");
}

ExitStatus run(const Options& options) {
    const Input input = read_all(options);
    const auto [results, parallel] = in_parallel(input.matrices);
    Times times{parallel, std::nullopt};
    if (!options.no_serial)
        times.serial = serial_seconds(input.matrices);

    const std::vector<Row> rows = rows_of(options, input, results);
    print_table(rows);
    print_times(rows, dshm::nworkers(), times);
    const bool passed = !options.check || print_check(rows);
    finish_output();
    return passed ? fine : check_failed;
}

void declare(CLI::App& app, Options& options) {
    app.name("svdvals");
    app.add_option("FILE", options.paths, "Matrix Market files of real matrices");
    app.add_flag("--check", options.check,
                 "compare with the values in FILE's neighbour NAME.svdvals");
    app.add_flag("--no-serial", options.no_serial, "do not compute all once more on the master");
    app.footer("Workers: dshm-run -n 2 svdvals FILE...\n");
}

ExitStatus main(int argc, char** argv) {
    Options options;
    CLI::App app("All singular values of matrices in Matrix Market files, by parallel map.");
    declare(app, options);
    try {
        app.parse(argc, argv);
        if (options.paths.empty())
            throw CLI::RequiredError("at least one FILE");
        return run(options);
    } catch (const CLI::CallForHelp&) {
        std::fputs(app.help().c_str(), stdout);
        finish_output();
        return fine;
    } catch (const CLI::ParseError& error) {
        std::fprintf(stderr, "svdvals: %s; svdvals --help tells more\n", error.what());
    } catch (const FileError& error) {
        std::fprintf(stderr, "svdvals: %s\n", error.what());
    }
    return bad_input;
}

} // namespace

} // namespace svdvals

int main(int argc, char** argv) {
    try {
        dshm::Session session(argc, argv);
        return svdvals::main(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "svdvals: %s\n", error.what());
        return svdvals::other_failure;
    }
}
