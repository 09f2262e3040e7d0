// What a loop may run over, cut into parts that can be sent.
//
//     Range, Range2     sent as their few numbers
//     SharedArray       sent as its handle; the body is given the elements themselves
//     a container       with random access: the elements of a part are sent, and read where they
//                       arrive if they are trivially copyable
//
// For the library: distributed.hpp says what a body is given.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "dshm/range.hpp"
#include "dshm/shared_array.hpp"
#include "dshm/ship/slice.hpp"

namespace dshm::detail {

// ---- parts of ranges, as they are sent ----------------------------------------------------------

// Some neighbouring elements of an array that every process has.
template <class T, std::size_t N>
struct ArrayPart {
    using shipped_by_copy = void;
    SharedArray<T, N> array;
    std::size_t from;
    std::size_t to;

    std::size_t size() const { return to - from; }
};

inline const Range& parts_of(const Range& range) { return range; }
inline const Range2& parts_of(const Range2& range) { return range; }
template <class T, std::size_t N>
ArrayPart<T, N> parts_of(const SharedArray<T, N>& array) {
    return {array, 0, array.size()};
}
template <class C>
requires std::random_access_iterator<decltype(std::begin(std::declval<const C&>()))>
auto parts_of(const C& container) {
    return ship::slice(std::begin(container), std::size(container));
}

// A range that a loop can run over, whole: it has parts.
template <class R>
using PartsOf = std::decay_t<decltype(parts_of(std::declval<const R&>()))>;
template <class R>
concept LoopRange = requires(const R& range) {
    parts_of(range);
};

// ---- parts as they arrive, and parts of them ----------------------------------------------------

template <class Part>
struct Arrived {
    using type = Part;
};
template <class Iterator>
struct Arrived<ship::Slice<Iterator>> {
    using Vector = ship::WireType<ship::Slice<Iterator>>;
    using Value = typename Vector::value_type;
    using type = std::conditional_t<ship::Bitwise<Value> && !std::is_same_v<Value, bool>,
                                    std::span<const Value>, Vector>;
};
template <class Part>
using ArrivedPart = typename Arrived<Part>::type;

inline Range part_of(const Range& range, std::size_t from, std::size_t to) {
    return range.part(from, to);
}
inline Range2 part_of(const Range2& range, std::size_t from, std::size_t to) {
    return range.part(from, to);
}
template <class T, std::size_t N>
ArrayPart<T, N> part_of(const ArrayPart<T, N>& part, std::size_t from, std::size_t to) {
    return {part.array, part.from + from, part.from + to};
}
template <class Iterator>
ship::Slice<Iterator> part_of(const ship::Slice<Iterator>& slice, std::size_t from,
                              std::size_t to) {
    return {slice.first + static_cast<std::iter_difference_t<Iterator>>(from), to - from};
}
template <class T>
auto part_of(const std::vector<T>& elements, std::size_t from, std::size_t to) {
    return part_of(ship::slice(elements.begin(), elements.size()), from, to);
}
template <class T>
std::span<const T> part_of(std::span<const T> elements, std::size_t from, std::size_t to) {
    return elements.subspan(from, to - from);
}

// ---- running over a part ------------------------------------------------------------------------
//
// f(position, element...) for each element; the first one has position `first`. Loops over plain
// numbers, so that the compiler sees what a hand-written one would be.

template <class F>
void each(const Range& range, std::size_t first, F&& f) {
    if (range.step() == 1) {
        const std::size_t shift = first - static_cast<std::size_t>(range.first());
        for (std::ptrdiff_t i = range.first(), last = range.last(); i < last; ++i)
            f(static_cast<std::size_t>(i) + shift, i);
        return;
    }
    // Without signs: one step beyond the last element there may be no number.
    auto i = static_cast<std::size_t>(range.first());
    const auto step = static_cast<std::size_t>(range.step());
    for (const std::size_t end = first + range.size(); first != end; ++first, i += step)
        f(first, static_cast<std::ptrdiff_t>(i));
}

template <class F>
void each(const Range2& pairs, std::size_t first, F&& f) {
    const std::size_t rows = pairs.rows().size();
    std::size_t at = pairs.offset();
    for (const std::size_t end = at + pairs.size(); at != end;) {
        const std::size_t column = at / rows;
        const std::size_t from = at - column * rows;
        const std::size_t to = std::min(end - column * rows, rows);
        const std::ptrdiff_t j = pairs.columns()[column];
        each(pairs.rows().part(from, to), first,
             [&f, j](std::size_t position, std::ptrdiff_t i) { f(position, i, j); });
        at += to - from;
        first += to - from;
    }
}

template <class T, std::size_t N, class F>
void each(const ArrayPart<T, N>& part, std::size_t first, F&& f) {
    T* const elements = part.array.data() + part.from;
    for (std::size_t i = 0, size = part.size(); i < size; ++i)
        f(first + i, elements[i]);
}

template <class Elements, class F>
requires requires(const Elements& elements) {
    elements.begin();
    elements.size();
}
void each(const Elements& elements, std::size_t first, F&& f) {
    for (auto&& element : elements)
        f(first++, std::as_const(element));
}

// ---- what a body is given -----------------------------------------------------------------------

template <class F, class Part>
struct GivenBy;
template <class F>
struct GivenBy<F, Range> {
    static constexpr bool possible = std::is_invocable_v<F&, std::ptrdiff_t>;
    using type = std::invoke_result<F&, std::ptrdiff_t>;
};
template <class F>
struct GivenBy<F, Range2> {
    static constexpr bool possible = std::is_invocable_v<F&, std::ptrdiff_t, std::ptrdiff_t>;
    using type = std::invoke_result<F&, std::ptrdiff_t, std::ptrdiff_t>;
};
template <class F, class T, std::size_t N>
struct GivenBy<F, ArrayPart<T, N>> {
    static constexpr bool possible = std::is_invocable_v<F&, T&>;
    using type = std::invoke_result<F&, T&>;
};
template <class F, class Iterator>
struct GivenBy<F, ship::Slice<Iterator>> {
    using Value = typename ship::WireType<ship::Slice<Iterator>>::value_type;
    static constexpr bool possible = std::is_invocable_v<F&, const Value&>;
    using type = std::invoke_result<F&, const Value&>;
};

// F can be the body of a loop over R.
template <class F, class R>
concept LoopBody = LoopRange<R> && GivenBy<std::decay_t<F>, PartsOf<R>>::possible;
template <class F, class R>
using BodyResult = typename GivenBy<std::decay_t<F>, PartsOf<R>>::type::type;

} // namespace dshm::detail
