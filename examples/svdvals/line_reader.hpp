// Takes a text file apart, line by line and word by word, and says where something is wrong.
//
// What it is: the lower half of matrix_market.cpp; it knows numbers and comments, not matrices.
// What it guarantees: lines are counted from 1; a line longer than `longest_line` is an error, so that a
// device or a binary file cannot fill the memory; what it quotes of a file is short and printable.
// Who may call it: one thread for each reader.
// What happens if its caller dies half-way: nothing, files are only read.

#pragma once

#include <Eigen/Core>

#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace svdvals {

class LineReader {
public:
    /// The format allows 1024 characters; comments written by programs are sometimes longer.
    static constexpr std::size_t longest_line = 65536;

    /// Opens the file; throws `FileError` with the reason of the system if that fails.
    explicit LineReader(const std::string& path);

    /// Goes to the next line, whatever it holds; false at the end of the file.
    bool next_line();

    /// Goes to the next line that is neither blank nor a comment; false at the end of the file.
    bool next_content();

    /// The words of the current line, cut at spaces and tabs; valid until the next line.
    const std::vector<std::string_view>& words() const { return words_; }

    /// The number that the given word of the current line spells; `what` names it in the error.
    Eigen::Index whole_number(std::size_t word, std::string_view what) const;
    double real_number(std::size_t word, std::string_view what) const;

    /// Throws unless the current line has so many words; `what` says which they should be.
    void expect_words(std::size_t count, std::string_view what) const;

    /// Throws a `FileError` about the current line, or about the file as a whole.
    [[noreturn]] void fail(const std::string& wrong) const;
    [[noreturn]] void fail_whole(const std::string& wrong) const;

private:
    void cut_into_words();

    std::string path_;
    std::ifstream stream_;
    std::string line_;
    std::vector<std::string_view> words_;
    long number_ = 0;
};

/// A piece of a file as it may be shown: at most 32 characters, what is not printable as '?'.
std::string quoted(std::string_view text);

} // namespace svdvals
