#include "report.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <functional>

namespace svdvals {

namespace {

std::string name_of(const Row& row) { return std::filesystem::path(row.path).stem().string(); }

std::string size_of(const Row& row) {
    return std::to_string(row.rows) + " x " + std::to_string(row.columns);
}

/// As wide as the widest of a column and its heading.
template <class Text>
int width_of(const std::vector<Row>& rows, const std::string& heading, Text text) {
    std::size_t width = heading.size();
    for (const Row& row : rows)
        width = std::max(width, text(row).size());
    return static_cast<int>(width);
}

/// One that is not a number counts as failed.
bool passed(const Row& row) { return *row.difference <= allowed_difference; }

} // namespace

double relative_difference(Eigen::VectorXd values, Eigen::VectorXd reference) {
    std::sort(values.begin(), values.end(), std::greater<>{});
    std::sort(reference.begin(), reference.end(), std::greater<>{});
    const double difference = (values - reference).cwiseAbs().maxCoeff();
    return difference == 0 ? 0 : difference / reference[0];
}

void print_table(const std::vector<Row>& rows) {
    const int name = width_of(rows, "matrix", name_of);
    const int size = width_of(rows, "size", size_of);
    const bool checked = rows.front().difference.has_value();
    std::printf("%-*s  %-*s  %-22s  %-22s  %8s%s\n", name, "matrix", size, "size", "largest",
                "smallest", "seconds", checked ? "  difference" : "");
    for (const Row& row : rows) {
        std::printf("%-*s  %-*s  %-22.16g  %-22.16g  %8.4f", name, name_of(row).c_str(), size,
                    size_of(row).c_str(), row.values[0], row.values[row.values.size() - 1],
                    row.seconds);
        if (checked)
            std::printf("  %10.1e", *row.difference);
        std::printf("\n");
    }
}

void print_times(const std::vector<Row>& rows, int workers, const Times& times) {
    const auto longest = std::max_element(
        rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.seconds < b.seconds; });
    std::printf("\n%zu %s, %d %s; the longest took %.4f s (%s)\n", rows.size(),
                rows.size() == 1 ? "matrix" : "matrices", workers,
                workers == 1 ? "worker" : "workers", longest->seconds, name_of(*longest).c_str());
    std::printf("parallel  %8.4f s\n", times.parallel);
    if (times.serial)
        std::printf("serial    %8.4f s, %.2f times as long\n", *times.serial,
                    *times.serial / times.parallel);
}

bool print_check(const std::vector<Row>& rows) {
    const auto failed = std::count_if(rows.begin(), rows.end(), std::not_fn(passed));
    if (failed == 0) {
        const auto worst =
            std::max_element(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
                return a.difference < b.difference;
            });
        std::printf(
            "check     passed: at most %.1e of the largest value away from the reference (%s)\n",
            *worst->difference, name_of(*worst).c_str());
        return true;
    }
    std::printf("check     failed for %td of %zu\n", failed, rows.size());
    std::fflush(stdout); // before what is said about each on standard error
    for (const Row& row : rows)
        if (!passed(row))
            std::fprintf(stderr,
                         "svdvals: %s: a singular value is %.1e of the largest away from the "
                         "reference, more than %.0e\n",
                         row.path.c_str(), *row.difference, allowed_difference);
    return false;
}

} // namespace svdvals
