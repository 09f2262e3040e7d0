#include "matrix_market.hpp"

#include "line_reader.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <string_view>
#include <vector>

namespace svdvals {

namespace {

using Eigen::Index;

enum class Format { coordinate, array };
enum class Field { real, integer, pattern };
enum class Symmetry { general, symmetric, skew_symmetric };

/// The first line and the line of sizes.
struct Header {
    Format format;
    Field field;
    Symmetry symmetry;
    Index rows = 0;
    Index columns = 0;
    Index entries = 0; ///< lines that follow
};

struct Entry {
    Index row; ///< from 0
    Index column;
    double value;
};

// ---- the first line ---------------------------------------------------------------------------

std::string lower_case(std::string_view word) {
    std::string lower(word);
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return lower;
}

Format format_of(const LineReader& reader, const std::string& word) {
    if (word == "coordinate")
        return Format::coordinate;
    if (word == "array")
        return Format::array;
    reader.fail("the format is " + quoted(word) + ", not coordinate or array");
}

Field field_of(const LineReader& reader, const std::string& word) {
    if (word == "real" || word == "double")
        return Field::real;
    if (word == "integer")
        return Field::integer;
    if (word == "pattern")
        return Field::pattern;
    if (word == "complex")
        reader.fail("the elements are complex; only real, integer and pattern are read");
    reader.fail("the field is " + quoted(word) + ", not real, integer or pattern");
}

Symmetry symmetry_of(const LineReader& reader, const std::string& word) {
    if (word == "general")
        return Symmetry::general;
    if (word == "symmetric")
        return Symmetry::symmetric;
    if (word == "skew-symmetric")
        return Symmetry::skew_symmetric;
    reader.fail("the symmetry is " + quoted(word) + ", not general, symmetric or skew-symmetric");
}

Header read_first_line(LineReader& reader) {
    if (!reader.next_line() || reader.words().empty() ||
        lower_case(reader.words()[0]) != "%%matrixmarket")
        reader.fail("not a Matrix Market file: the first line does not begin with %%MatrixMarket");
    reader.expect_words(5, "%%MatrixMarket matrix, a format, a field and a symmetry");
    const auto word = [&](std::size_t which) { return lower_case(reader.words()[which]); };
    if (word(1) != "matrix")
        reader.fail("the file holds a " + quoted(word(1)) + ", not a matrix");
    Header header{format_of(reader, word(2)), field_of(reader, word(3)),
                  symmetry_of(reader, word(4))};
    if (header.field == Field::pattern && header.format == Format::array)
        reader.fail("a pattern must be given by coordinates, not as an array");
    if (header.field == Field::pattern && header.symmetry == Symmetry::skew_symmetric)
        reader.fail("a pattern cannot be skew-symmetric");
    return header;
}

// ---- the line of sizes ------------------------------------------------------------------------

void check_size(const LineReader& reader, const Header& header) {
    const std::string size = std::to_string(header.rows) + " x " + std::to_string(header.columns);
    if (header.rows < 1 || header.columns < 1)
        reader.fail("the size is " + size + "; a matrix has at least one row and one column");
    if (header.rows > most_elements / header.columns)
        reader.fail("the size is " + size + ", more than the " + std::to_string(most_elements) +
                    " elements that are taken");
    if (header.symmetry != Symmetry::general && header.rows != header.columns)
        reader.fail("the size is " + size + ", but only a square matrix can be symmetric");
    if (header.entries < 0)
        reader.fail("the number of entries is " + std::to_string(header.entries));
}

/// The elements that an array file lists: all, the lower triangle, or that without its diagonal.
Index listed_elements(const Header& header) {
    switch (header.symmetry) {
    case Symmetry::symmetric:
        return header.rows * (header.rows + 1) / 2;
    case Symmetry::skew_symmetric:
        return header.rows * (header.rows - 1) / 2;
    default:
        return header.rows * header.columns;
    }
}

void read_sizes(LineReader& reader, Header& header) {
    const bool coordinate = header.format == Format::coordinate;
    if (!reader.next_content())
        reader.fail("the file breaks off before the line with the sizes");
    if (coordinate)
        reader.expect_words(3, "the numbers of rows, columns and entries");
    else
        reader.expect_words(2, "the numbers of rows and columns");
    header.rows = reader.whole_number(0, "the number of rows");
    header.columns = reader.whole_number(1, "the number of columns");
    if (coordinate)
        header.entries = reader.whole_number(2, "the number of entries");
    check_size(reader, header);
    if (!coordinate)
        header.entries = listed_elements(header);
}

// ---- the entries ------------------------------------------------------------------------------

double read_value(const LineReader& reader, std::size_t word, Field field) {
    switch (field) {
    case Field::pattern:
        return 1;
    case Field::integer:
        return static_cast<double>(reader.whole_number(word, "the value"));
    default:
        return reader.real_number(word, "the value");
    }
}

/// Of a symmetric matrix only the lower triangle is given; to take an entry above it as well would
/// silently double the elements of a file that gives both.
void check_triangle(const LineReader& reader, Symmetry symmetry, const Entry& entry) {
    if (symmetry == Symmetry::general || entry.row > entry.column)
        return;
    if (entry.row < entry.column)
        reader.fail(
            "the entry lies above the diagonal, and a symmetric matrix gives those below it");
    if (symmetry == Symmetry::skew_symmetric)
        reader.fail("the entry lies on the diagonal, which is zero in a skew-symmetric matrix");
}

Index read_index(const LineReader& reader, std::size_t word, std::string_view what, Index last) {
    const Index index = reader.whole_number(word, what);
    if (index < 1 || index > last)
        reader.fail(std::string(what) + " " + std::to_string(index) + " is outside 1 to " +
                    std::to_string(last));
    return index - 1;
}

Entry read_coordinates(const LineReader& reader, const Header& header) {
    if (header.field == Field::pattern)
        reader.expect_words(2, "a row and a column");
    else
        reader.expect_words(3, "a row, a column and a value");
    const Entry entry{read_index(reader, 0, "row", header.rows),
                      read_index(reader, 1, "column", header.columns),
                      read_value(reader, 2, header.field)};
    check_triangle(reader, header.symmetry, entry);
    return entry;
}

/// Reads the elements of an array file: by columns, of a symmetric matrix from the diagonal down.
class ArrayWalk {
public:
    explicit ArrayWalk(const Header& header) : header_(header) { begin_column(); }

    Entry read(const LineReader& reader) {
        reader.expect_words(1, "one value");
        const Entry entry{row_, column_, read_value(reader, 0, header_.field)};
        if (++row_ == header_.rows) {
            ++column_;
            begin_column();
        }
        return entry;
    }

private:
    void begin_column() {
        row_ = 0;
        if (header_.symmetry == Symmetry::symmetric)
            row_ = column_;
        if (header_.symmetry == Symmetry::skew_symmetric)
            row_ = column_ + 1;
    }

    const Header& header_;
    Index row_ = 0;
    Index column_ = 0;
};

std::vector<Entry> read_entries(LineReader& reader, const Header& header) {
    std::vector<Entry> entries; // grows with what is there, not with what is announced
    ArrayWalk walk(header);
    while (static_cast<Index>(entries.size()) < header.entries) {
        if (!reader.next_content())
            reader.fail("the file breaks off after " + std::to_string(entries.size()) + " of " +
                        std::to_string(header.entries) + " entries");
        entries.push_back(header.format == Format::array ? walk.read(reader)
                                                         : read_coordinates(reader, header));
    }
    if (reader.next_content())
        reader.fail("the file goes on after its " + std::to_string(header.entries) + " entries");
    return entries;
}

// ---- the matrix -------------------------------------------------------------------------------

Eigen::MatrixXd dense(const Header& header, const std::vector<Entry>& entries) {
    Eigen::MatrixXd matrix = Eigen::MatrixXd::Zero(header.rows, header.columns);
    const double mirrored = header.symmetry == Symmetry::skew_symmetric ? -1 : 1;
    for (const Entry& entry : entries) {
        matrix(entry.row, entry.column) += entry.value;
        if (header.symmetry != Symmetry::general && entry.row != entry.column)
            matrix(entry.column, entry.row) += mirrored * entry.value;
    }
    return matrix;
}

} // namespace

Eigen::MatrixXd read_matrix(const std::string& path) {
    LineReader reader(path);
    Header header = read_first_line(reader);
    read_sizes(reader, header);
    Eigen::MatrixXd matrix = dense(header, read_entries(reader, header));
    if (!matrix.allFinite())
        reader.fail_whole("entries of one element add up to more than a double can hold");
    return matrix;
}

Eigen::VectorXd read_values(const std::string& path, Index count) {
    LineReader reader(path);
    std::vector<double> values;
    while (reader.next_content()) {
        reader.expect_words(1, "one number");
        values.push_back(reader.real_number(0, "the number"));
    }
    if (static_cast<Index>(values.size()) != count)
        reader.fail_whole("holds " + std::to_string(values.size()) + " numbers, not the " +
                          std::to_string(count) + " singular values of the matrix");
    return Eigen::Map<const Eigen::VectorXd>(values.data(), count);
}

} // namespace svdvals
