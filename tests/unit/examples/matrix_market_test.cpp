// The reader of Matrix Market files: what it takes, what it refuses, and the sentence it refuses with.

#include "catch.hpp"

#include "svdvals/matrix_market.hpp"

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>

namespace {

using Catch::Matchers::Equals;
using dshm::test::contains;
using svdvals::read_matrix;
using svdvals::read_values;

/// A file that lives as long as this object.
class TemporaryFile {
public:
    explicit TemporaryFile(const std::string& content) {
        std::string name = (std::filesystem::temp_directory_path() / "matrix_XXXXXX").string();
        const int descriptor = mkstemp(name.data());
        REQUIRE(descriptor >= 0);
        close(descriptor);
        path_ = name;
        std::ofstream(path_, std::ios::binary) << content;
    }
    TemporaryFile(const TemporaryFile&) = delete;
    ~TemporaryFile() { std::filesystem::remove(path_); }

    const std::string& path() const { return path_; }

private:
    std::string path_;
};

Eigen::MatrixXd matrix_of(const std::string& content) {
    const TemporaryFile file(content);
    return read_matrix(file.path());
}

/// What is said about a file, without its path.
template <class Read>
std::string refusal(const std::string& content, Read read) {
    const TemporaryFile file(content);
    try {
        read(file.path());
    } catch (const svdvals::FileError& error) {
        const std::string what = error.what();
        REQUIRE(what.rfind(file.path() + ":", 0) == 0);
        return what.substr(file.path().size());
    }
    return "taken";
}

std::string refusal_of_matrix(const std::string& content) {
    return refusal(content, [](const std::string& path) { read_matrix(path); });
}

std::string refusal_of_values(const std::string& content, Eigen::Index count) {
    return refusal(content, [=](const std::string& path) { read_values(path, count); });
}

const std::string coordinate = "%%MatrixMarket matrix coordinate ";
const std::string array = "%%MatrixMarket matrix array ";

Eigen::MatrixXd matrix(std::initializer_list<std::initializer_list<double>> rows) {
    return Eigen::MatrixXd(rows);
}

} // namespace

TEST_CASE("coordinates: indices from 1, what is not given is zero") {
    CHECK(matrix_of(coordinate + "real general\n2 3 3\n1 1 1.5\n2 3 -2e3\n2 1 .25\n") ==
          matrix({{1.5, 0, 0}, {0.25, 0, -2000}}));
}

TEST_CASE("entries of the same element add up") {
    CHECK(matrix_of(coordinate + "real general\n1 2 3\n1 2 1\n1 1 5\n1 2 2.5\n") ==
          matrix({{5, 3.5}}));
    CHECK(matrix_of(coordinate + "pattern general\n1 1 3\n1 1\n1 1\n1 1\n") == matrix({{3}}));
}

TEST_CASE("coordinates of integers and patterns") {
    CHECK(matrix_of(coordinate + "integer general\n2 2 2\n1 2 -7\n2 2 +3\n") ==
          matrix({{0, -7}, {0, 3}}));
    CHECK(matrix_of(coordinate + "pattern general\n2 2 2\n1 2\n2 1\n") == matrix({{0, 1}, {1, 0}}));
}

TEST_CASE("symmetric matrices are completed, the diagonal is taken once") {
    CHECK(matrix_of(coordinate + "real symmetric\n2 2 2\n1 1 4\n2 1 3\n") ==
          matrix({{4, 3}, {3, 0}}));
    CHECK(matrix_of(coordinate + "pattern symmetric\n2 2 1\n2 1\n") == matrix({{0, 1}, {1, 0}}));
    CHECK(matrix_of(coordinate + "real skew-symmetric\n2 2 1\n2 1 3\n") ==
          matrix({{0, -3}, {3, 0}}));
}

TEST_CASE("arrays go down the columns") {
    CHECK(matrix_of(array + "real general\n2 3\n1\n2\n3\n4\n5\n6\n") ==
          matrix({{1, 3, 5}, {2, 4, 6}}));
    CHECK(matrix_of(array + "integer general\n1 1\n-1\n") == matrix({{-1}}));
}

TEST_CASE("symmetric arrays list the lower triangle") {
    CHECK(matrix_of(array + "real symmetric\n3 3\n1\n2\n3\n4\n5\n6\n") ==
          matrix({{1, 2, 3}, {2, 4, 5}, {3, 5, 6}}));
    CHECK(matrix_of(array + "real skew-symmetric\n3 3\n2\n3\n5\n") ==
          matrix({{0, -2, -3}, {2, 0, -5}, {3, 5, 0}}));
    CHECK(matrix_of(array + "real skew-symmetric\n1 1\n") == matrix({{0}}));
}

TEST_CASE("comments, blank lines, spaces, capitals, and line ends of Windows") {
    CHECK(
        matrix_of("%%MatrixMarket MATRIX Coordinate REAL General\r\n% a comment\r\n\r\n  %another\n"
                  "  2\t2   1  \r\n%between\n\n 2  2\t1e0 \r\n\n% after\n\n") ==
        matrix({{0, 0}, {0, 1}}));
    CHECK(matrix_of(coordinate + "real general\n1 1 1\n1 1 2") ==
          matrix({{2}})); // no last line end
}

TEST_CASE("a matrix without entries is zero") {
    CHECK(matrix_of(coordinate + "real general\n2 1 0\n") == matrix({{0}, {0}}));
}

TEST_CASE("files that cannot be read") {
    CHECK_THROWS_WITH(read_matrix("/nowhere/at/all.mtx"),
                      Equals("/nowhere/at/all.mtx: cannot be opened: No such file or directory"));
    CHECK_THROWS_WITH(read_matrix("/"), Equals("/: cannot be read: Is a directory"));
    CHECK_THROWS_WITH(read_matrix("/dev/null"), contains("/dev/null:1: not a Matrix Market file"));
    CHECK_THROWS_WITH(read_matrix("/dev/zero"), contains("the line is longer than 65536"));
}

TEST_CASE("first lines that are refused") {
    CHECK_THAT(refusal_of_matrix(""), contains(":1: not a Matrix Market file"));
    CHECK_THAT(refusal_of_matrix("\n"), contains(":1: not a Matrix Market file"));
    CHECK_THAT(refusal_of_matrix("1 1 1\n1 1 1\n"), contains(":1: not a Matrix Market file"));
    CHECK_THAT(refusal_of_matrix("%%MatrixMarket matrix array real\n"),
               contains(":1: the line should"));
    CHECK_THAT(refusal_of_matrix("%%MatrixMarket vector array real general\n"),
               contains(":1: the file holds a 'vector', not a matrix"));
    CHECK_THAT(refusal_of_matrix("%%MatrixMarket matrix sparse real general\n"),
               contains(":1: the format is 'sparse'"));
    CHECK_THAT(refusal_of_matrix(coordinate + "complex general\n"),
               contains(":1: the elements are complex"));
    CHECK_THAT(refusal_of_matrix(coordinate + "quaternion general\n"),
               contains(":1: the field is 'quaternion'"));
    CHECK_THAT(refusal_of_matrix(coordinate + "real hermitian\n"),
               contains(":1: the symmetry is 'hermitian'"));
    CHECK_THAT(refusal_of_matrix(array + "pattern general\n"), contains(":1: a pattern must"));
    CHECK_THAT(refusal_of_matrix(coordinate + "pattern skew-symmetric\n"),
               contains(":1: a pattern cannot"));
}

TEST_CASE("sizes that are refused") {
    const std::string real = coordinate + "real general\n";
    CHECK_THAT(refusal_of_matrix(real),
               contains(":2: the file breaks off before the line with the sizes"));
    CHECK_THAT(refusal_of_matrix(real + "%\n3 3\n"),
               contains(":3: the line should hold the numbers of"));
    CHECK_THAT(refusal_of_matrix(real + "3 x 3\n"), contains(":2: the number of columns is 'x'"));
    CHECK_THAT(refusal_of_matrix(real + "3.0 3 3\n"), contains(":2: the number of rows is '3.0'"));
    CHECK_THAT(refusal_of_matrix(real + "0 3 0\n"), contains(":2: the size is 0 x 3"));
    CHECK_THAT(refusal_of_matrix(real + "3 -3 0\n"), contains(":2: the size is 3 x -3"));
    CHECK_THAT(refusal_of_matrix(real + "3 3 -1\n"), contains(":2: the number of entries is -1"));
    CHECK_THAT(refusal_of_matrix(real + "99999999999999999999 1 1\n"),
               contains(":2: the number of rows is '99999999999999999999', not a whole number"));
    CHECK_THAT(refusal_of_matrix(coordinate + "real symmetric\n2 3 1\n2 1 1\n"),
               contains(":2: the size is 2 x 3, but only a square matrix"));
    CHECK_THAT(refusal_of_matrix(array + "real general\n2 2 4\n"),
               contains(":2: the line should hold"));
}

TEST_CASE("sizes beyond all measure are refused before memory is asked for") {
    const std::string real = coordinate + "real general\n";
    CHECK_THAT(refusal_of_matrix(real + "1000000 1000000 1\n1 1 1\n"),
               contains(":2: the size is 1000000 x 1000000, more than"));
    CHECK_THAT(refusal_of_matrix(real + "9223372036854775807 9223372036854775807 1\n1 1 1\n"),
               contains("more than the 134217728 elements"));
    CHECK_THAT(refusal_of_matrix(real + "1 134217729 0\n"), contains("more than the 134217728"));
    CHECK_THAT(refusal_of_matrix(real + "9 9 9223372036854775807\n1 1 1\n"),
               contains(":4: the file breaks off after 1 of 9223372036854775807 entries"));
}

TEST_CASE("entries that are refused") {
    const std::string real = coordinate + "real general\n2 3 2\n1 1 1\n";
    CHECK_THAT(refusal_of_matrix(real), contains(":4: the file breaks off after 1 of 2 entries"));
    CHECK_THAT(refusal_of_matrix(real + "1 2 3\n2 2 2\n"),
               contains(":5: the file goes on after its 2"));
    CHECK_THAT(refusal_of_matrix(real + "0 1 1\n"), contains(":4: row 0 is outside 1 to 2"));
    CHECK_THAT(refusal_of_matrix(real + "3 1 1\n"), contains(":4: row 3 is outside 1 to 2"));
    CHECK_THAT(refusal_of_matrix(real + "1 4 1\n"), contains(":4: column 4 is outside 1 to 3"));
    CHECK_THAT(refusal_of_matrix(real + "1 2\n"),
               contains(":4: the line should hold a row, a column and"));
    CHECK_THAT(refusal_of_matrix(real + "1 2 3 4\n"), contains("but has 4 words"));
    CHECK_THAT(refusal_of_matrix(real + "1 1.5 3\n"),
               contains(":4: column is '1.5', not a whole number"));
    CHECK_THAT(refusal_of_matrix(real + "1 2 abc\n"),
               contains(":4: the value is 'abc', not a number"));
    CHECK_THAT(refusal_of_matrix(real + "1 2 1,5\n"), contains(":4: the value is '1,5'"));
    CHECK_THAT(refusal_of_matrix(real + "1 2 nan\n"), contains(":4: the value is 'nan'"));
    CHECK_THAT(refusal_of_matrix(real + "1 2 inf\n"), contains(":4: the value is 'inf'"));
    CHECK_THAT(refusal_of_matrix(real + "1 2 1e999\n"), contains(":4: the value is '1e999'"));
    CHECK_THAT(refusal_of_matrix(real + "1 2 +-1\n"), contains(":4: the value is '+-1'"));
    CHECK_THAT(refusal_of_matrix(coordinate + "integer general\n1 1 1\n1 1 1.5\n"),
               contains(":3: the value is '1.5', not a whole number"));
    CHECK_THAT(refusal_of_matrix(coordinate + "pattern general\n1 1 1\n1 1 1\n"),
               contains(":3: the line should hold a row and a column"));
    CHECK_THAT(refusal_of_matrix(array + "real general\n2 1\n1 2\n"),
               contains(":3: the line should hold one"));
    CHECK_THAT(refusal_of_matrix(array + "real general\n2 1\n1\n2\n3\n"),
               contains(":5: the file goes on"));
}

TEST_CASE("entries that break the symmetry are refused") {
    CHECK_THAT(refusal_of_matrix(coordinate + "real symmetric\n2 2 1\n1 2 1\n"),
               contains(":3: the entry lies above the diagonal"));
    CHECK_THAT(refusal_of_matrix(coordinate + "real skew-symmetric\n2 2 1\n1 1 1\n"),
               contains(":3: the entry lies on the diagonal"));
}

TEST_CASE("a sum that overflows is refused") {
    CHECK_THAT(refusal_of_matrix(coordinate + "real general\n1 1 2\n1 1 1e308\n1 1 1e308\n"),
               contains(": entries of one element add up"));
}

TEST_CASE("what is quoted of a file is short and printable") {
    const std::string rubbish = "\x1b[2J" + std::string(100, 'x');
    CHECK_THAT(refusal_of_matrix(coordinate + "real general\n1 1 1\n1 1 " + rubbish + "\n"),
               contains("the value is '?[2J" + std::string(28, 'x') + "...', not"));
}

TEST_CASE("lists of singular values") {
    const TemporaryFile file("% by hand\n3\n\n 2.5e0 \r\n1\n");
    CHECK(read_values(file.path(), 3) == Eigen::Vector3d(3, 2.5, 1));
    CHECK_THAT(refusal_of_values("3\n2\n", 3),
               Equals(": holds 2 numbers, not the 3 singular values of the matrix"));
    CHECK_THAT(refusal_of_values("3\n2\n", 1), contains(": holds 2 numbers, not the 1"));
    CHECK_THAT(refusal_of_values("3\ntwo\n", 2), contains(":2: the number is 'two'"));
    CHECK_THAT(refusal_of_values("3 2\n", 2), contains(":1: the line should hold one number"));
}
