// What svdvals prints: the table of matrices, the times, and how far the values are from a reference.
//
// What it guarantees: it only reads what it is given and writes to standard output and error.
// Who may call it: the master, once everything has been computed, so that nothing is printed
// half-way. What happens if its caller dies half-way: a line may be cut short.

#pragma once

#include <Eigen/Core>

#include <optional>
#include <string>
#include <vector>

namespace svdvals {

/// One line of the table.
struct Row {
    std::string path; ///< as given by the user
    Eigen::Index rows;
    Eigen::Index columns;
    Eigen::VectorXd values; ///< largest first
    double seconds;         ///< in the process that computed it
    /// Largest distance from the reference, in units of its largest value; nothing without --check.
    std::optional<double> difference;
};

struct Times {
    double parallel;              ///< wall time of the whole map
    std::optional<double> serial; ///< the same on the master alone; nothing with --no-serial
};

/// What --check allows, in units of the largest value.
inline constexpr double allowed_difference = 1e-10;

/// The largest distance between values and reference, both in any order, in units of the largest
/// reference value: 0 if they are the same, infinite if only the reference is all zero.
double relative_difference(Eigen::VectorXd values, Eigen::VectorXd reference);

void print_table(const std::vector<Row>& rows);
void print_times(const std::vector<Row>& rows, int workers, const Times& times);

/// Prints the outcome of --check; false if a matrix failed it, which is said on standard error.
bool print_check(const std::vector<Row>& rows);

} // namespace svdvals
