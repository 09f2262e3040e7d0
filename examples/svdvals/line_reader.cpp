#include "line_reader.hpp"

#include "matrix_market.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>

namespace svdvals {

namespace {

constexpr std::string_view spaces = " \t\r\v\f";

/// A '+' in front is usual in these files, but not for `std::from_chars`.
std::string_view without_plus(std::string_view word) {
    const bool plus = word.size() > 1 && word[0] == '+' && word[1] != '-';
    return plus ? word.substr(1) : word;
}

/// Whether all of `word` is a number that `value` can hold.
template <class Number>
bool parse(std::string_view word, Number& value) {
    const std::string_view digits = without_plus(word);
    const char* end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, value);
    return error == std::errc{} && stop == end;
}

} // namespace

std::string quoted(std::string_view text) {
    constexpr std::size_t longest = 32;
    std::string shown(text.substr(0, longest));
    std::replace_if(
        shown.begin(), shown.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
    return "'" + shown + (text.size() > longest ? "...'" : "'");
}

LineReader::LineReader(const std::string& path) : path_(path), stream_(path, std::ios::binary) {
    if (!stream_)
        fail_whole(std::string("cannot be opened: ") + std::strerror(errno));
}

bool LineReader::next_line() {
    line_.clear();
    ++number_;
    errno = 0;
    std::streambuf& buffer = *stream_.rdbuf();
    using Traits = std::ifstream::traits_type;
    try {
        Traits::int_type next = buffer.sbumpc();
        if (Traits::eq_int_type(next, Traits::eof()))
            return false;
        for (; next != '\n' && !Traits::eq_int_type(next, Traits::eof()); next = buffer.sbumpc()) {
            if (line_.size() == longest_line)
                fail("the line is longer than " + std::to_string(longest_line) + " characters");
            line_.push_back(Traits::to_char_type(next));
        }
    } catch (const std::ios_base::failure&) { // a folder opens like a file, but does not read
        fail_whole(std::string("cannot be read: ") + std::strerror(errno));
    }
    cut_into_words();
    return true;
}

bool LineReader::next_content() {
    while (next_line())
        if (!words_.empty() && words_[0][0] != '%')
            return true;
    return false;
}

void LineReader::cut_into_words() {
    words_.clear();
    const std::string_view line = line_;
    for (std::size_t end = 0;;) {
        const std::size_t begin = line.find_first_not_of(spaces, end);
        if (begin == std::string_view::npos)
            return;
        end = std::min(line.find_first_of(spaces, begin), line.size());
        words_.push_back(line.substr(begin, end - begin));
    }
}

Eigen::Index LineReader::whole_number(std::size_t word, std::string_view what) const {
    Eigen::Index value = 0;
    if (!parse(words_[word], value))
        fail(std::string(what) + " is " + quoted(words_[word]) + ", not a whole number");
    return value;
}

double LineReader::real_number(std::size_t word, std::string_view what) const {
    double value = 0;
    if (!parse(words_[word], value) || !std::isfinite(value))
        fail(std::string(what) + " is " + quoted(words_[word]) +
             ", not a number that a double can hold");
    return value;
}

void LineReader::expect_words(std::size_t count, std::string_view what) const {
    if (words_.size() != count)
        fail("the line should hold " + std::string(what) + ", but has " +
             std::to_string(words_.size()) + (words_.size() == 1 ? " word" : " words"));
}

void LineReader::fail(const std::string& wrong) const { throw FileError(path_, number_, wrong); }

void LineReader::fail_whole(const std::string& wrong) const { throw FileError(path_, wrong); }

} // namespace svdvals
