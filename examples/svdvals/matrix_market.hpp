// Reads matrices in the Matrix Market exchange format, and lists of singular values.
//
// What it is: two functions from a file to an Eigen object, and the one error that they throw. The
// format is that of Boisvert, Pozo and Remington, "The Matrix Market Exchange Formats: Initial
// Design", NISTIR 5935 (1996).
// What it guarantees: a matrix comes back whole or not at all. Every line is checked, the line after
// the last one too, and memory is asked for only once the file has proved to hold what it announces.
// Who may call it: anyone, from any thread; nothing is kept between calls.
// What happens if its caller dies half-way: nothing, files are only read.

#pragma once

#include <Eigen/Core>

#include <stdexcept>
#include <string>

namespace svdvals {

/// What is wrong with a file, as one sentence: "west0479.mtx:12: row 480 is outside 1 to 479".
class FileError : public std::runtime_error {
public:
    /// About the file as a whole.
    FileError(const std::string& path, const std::string& wrong)
        : std::runtime_error(path + ": " + wrong) {}

    /// About one line of it, counted from 1.
    FileError(const std::string& path, long line, const std::string& wrong)
        : std::runtime_error(path + ":" + std::to_string(line) + ": " + wrong) {}
};

/// The largest number of elements that a matrix may have when it is stored densely: 1 GiB of them.
inline constexpr Eigen::Index most_elements = Eigen::Index{1} << 27;

/// Reads `path` into a dense matrix.
///
/// Formats `coordinate` and `array`; fields `real`, `double`, `integer` and `pattern` (whose entries
/// are 1); symmetries `general`, `symmetric` and `skew-symmetric`. Comments and blank lines may
/// stand anywhere below the first line, entries given twice add up, lines may end as on Windows.
///
/// Throws `FileError` for anything else: a file that cannot be read, breaks off, goes on after its
/// last entry, has an index outside the matrix, a number that is none, complex elements, or more
/// than `most_elements` elements. Time and memory are linear in the file and in the dense matrix.
Eigen::MatrixXd read_matrix(const std::string& path);

/// Reads a list of numbers, one on each line, such as the singular values that belong to a matrix;
/// comments and blank lines as above. Throws `FileError`, also if there are not just `count`.
Eigen::VectorXd read_values(const std::string& path, Eigen::Index count);

} // namespace svdvals
