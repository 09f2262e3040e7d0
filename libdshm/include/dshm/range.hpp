// Range: first, first + step, ... up to but without last. Julia's first:step:last, half-open. Range2:
// the pairs of two of them.
#pragma once

#include <compare>
#include <cstddef>
#include <iterator>
#include <stdexcept>
#include <utility>

namespace dshm {

class Range {
public:
    using value_type = std::ptrdiff_t;

    class iterator {
    public:
        using iterator_category = std::random_access_iterator_tag;
        using value_type = std::ptrdiff_t;
        using difference_type = std::ptrdiff_t;
        using pointer = const std::ptrdiff_t*;
        using reference = std::ptrdiff_t;

        iterator() = default;
        iterator(std::ptrdiff_t at, std::ptrdiff_t step) : at_(at), step_(step) {}

        reference operator*() const { return at_; }
        reference operator[](difference_type n) const { return at_ + n * step_; }
        iterator& operator++() { return *this += 1; }
        iterator operator++(int) { return step_back(+1); }
        iterator& operator--() { return *this += -1; }
        iterator operator--(int) { return step_back(-1); }
        iterator& operator+=(difference_type n) {
            at_ += n * step_;
            return *this;
        }
        iterator& operator-=(difference_type n) { return *this += -n; }
        friend iterator operator+(iterator i, difference_type n) { return i += n; }
        friend iterator operator+(difference_type n, iterator i) { return i += n; }
        friend iterator operator-(iterator i, difference_type n) { return i -= n; }
        friend difference_type operator-(iterator a, iterator b) {
            return (a.at_ - b.at_) / a.step_;
        }
        friend bool operator==(iterator a, iterator b) { return a.at_ == b.at_; }
        friend auto operator<=>(iterator a, iterator b) { return (a - b) <=> difference_type{0}; }

    private:
        iterator step_back(difference_type n) {
            const iterator before = *this;
            *this += n;
            return before;
        }

        std::ptrdiff_t at_ = 0;
        std::ptrdiff_t step_ = 1;
    };

    // Throws std::invalid_argument when step is 0.
    constexpr Range(std::ptrdiff_t first, std::ptrdiff_t last, std::ptrdiff_t step = 1)
        : first_(first), last_(last), step_(step) {
        if (step == 0)
            throw std::invalid_argument(
                "dshm: a range with step 0 has no end; give a positive or negative step");
    }

    constexpr std::ptrdiff_t first() const { return first_; }
    constexpr std::ptrdiff_t last() const { return last_; }
    constexpr std::ptrdiff_t step() const { return step_; }
    constexpr std::size_t size() const {
        // Without signs: the distance of two numbers need not be one.
        const auto from = static_cast<std::size_t>(first_), to = static_cast<std::size_t>(last_);
        if (step_ > 0)
            return first_ < last_ ? (to - from - 1) / static_cast<std::size_t>(step_) + 1 : 0;
        return first_ > last_
                   ? (from - to - 1) / (std::size_t{0} - static_cast<std::size_t>(step_)) + 1
                   : 0;
    }
    constexpr bool empty() const { return size() == 0; }
    constexpr std::ptrdiff_t operator[](std::size_t i) const {
        return static_cast<std::ptrdiff_t>(static_cast<std::size_t>(first_) +
                                           i * static_cast<std::size_t>(step_));
    }
    iterator begin() const { return {first_, step_}; }
    iterator end() const { return {(*this)[size()], step_}; }

    // Elements [from, to) of this range.
    constexpr Range part(std::size_t from, std::size_t to) const {
        return {from >= size() ? last_ : (*this)[from], to >= size() ? last_ : (*this)[to], step_};
    }

    friend constexpr bool operator==(const Range&, const Range&) = default;

private:
    std::ptrdiff_t first_;
    std::ptrdiff_t last_;
    std::ptrdiff_t step_;
};

constexpr Range range(std::ptrdiff_t first, std::ptrdiff_t last, std::ptrdiff_t step = 1) {
    return {first, last, step};
}

// Pairs (i, j) of two ranges, i running fastest, as the elements of a column-major matrix; or some
// neighbouring ones of them.
class Range2 {
public:
    using value_type = std::pair<std::ptrdiff_t, std::ptrdiff_t>;

    // Throws std::length_error when there are more pairs than a word can count.
    constexpr Range2(const Range& rows, const Range& columns)
        : Range2(rows, columns, 0, pairs(rows.size(), columns.size())) {}

    constexpr const Range& rows() const { return rows_; }
    constexpr const Range& columns() const { return columns_; }
    constexpr std::size_t size() const { return to_ - from_; }
    constexpr bool empty() const { return size() == 0; }
    constexpr value_type operator[](std::size_t k) const {
        const std::size_t at = from_ + k;
        return {rows_[at % rows_.size()], columns_[at / rows_.size()]};
    }
    // Which of all pairs the first one is.
    constexpr std::size_t offset() const { return from_; }

    // Pairs [from, to) of these.
    constexpr Range2 part(std::size_t from, std::size_t to) const {
        return {rows_, columns_, from_ + from, from_ + to};
    }

    friend constexpr bool operator==(const Range2&, const Range2&) = default;

private:
    constexpr Range2(const Range& rows, const Range& columns, std::size_t from, std::size_t to)
        : rows_(rows), columns_(columns), from_(from), to_(to) {}

    static constexpr std::size_t pairs(std::size_t rows, std::size_t columns) {
        std::size_t product = 0;
        if (__builtin_mul_overflow(rows, columns, &product))
            throw std::length_error("dshm: range2: more pairs than can be counted");
        return product;
    }

    Range rows_;
    Range columns_;
    std::size_t from_;
    std::size_t to_;
};

// The indices of an m by n matrix. Throws std::invalid_argument for a negative one.
constexpr Range2 range2(std::ptrdiff_t m, std::ptrdiff_t n) {
    if (m < 0 || n < 0)
        throw std::invalid_argument("dshm: range2: a matrix has no negative number of rows or "
                                    "columns");
    return {range(0, m), range(0, n)};
}
constexpr Range2 range2(const Range& rows, const Range& columns) { return {rows, columns}; }

// The indices of anything with a size.
template <class Container>
constexpr Range indices(const Container& container) {
    return {0, static_cast<std::ptrdiff_t>(std::size(container))};
}

} // namespace dshm
