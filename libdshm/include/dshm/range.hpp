// Range: first, first + step, ... up to but without last. Julia's first:step:last, half-open.
#pragma once

#include <compare>
#include <cstddef>
#include <iterator>
#include <stdexcept>

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
        const std::ptrdiff_t distance = last_ - first_;
        if (distance == 0 || (distance > 0) != (step_ > 0))
            return 0;
        const std::ptrdiff_t away = step_ > 0 ? 1 : -1;
        return static_cast<std::size_t>((distance + step_ - away) / step_);
    }
    constexpr bool empty() const { return size() == 0; }
    constexpr std::ptrdiff_t operator[](std::size_t i) const {
        return first_ + static_cast<std::ptrdiff_t>(i) * step_;
    }
    iterator begin() const { return {first_, step_}; }
    iterator end() const { return {(*this)[size()], step_}; }

    // Elements [from, to) of this range.
    constexpr Range part(std::size_t from, std::size_t to) const {
        return {(*this)[from], (*this)[to], step_};
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

// The indices of anything with a size.
template <class Container>
constexpr Range indices(const Container& container) {
    return {0, static_cast<std::ptrdiff_t>(std::size(container))};
}

} // namespace dshm
