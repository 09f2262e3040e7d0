// The collections of a map, as columns: how the caller takes elements and writes them into batches,
// and how the process that runs a batch reads them.
//
// Three kinds need no encoding of single elements and are read in place: contiguous plain values (one
// memcpy into the batch), SharedArrays (the handle alone crosses) and Ranges (three numbers).
// Everything else is encoded element by element, straight from where it lies. Collections that can
// be indexed are not copied; elements of others are kept, for as long as they may have to be sent
// again, by address if they stay where they are, and by value if not. Private to the map.
#pragma once

#include <cstddef>
#include <functional>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "dshm/range.hpp"
#include "dshm/shared_array.hpp"
#include "dshm/ship/codec.hpp"
#include "dshm/ship/parameters.hpp"

namespace dshm::detail {

// ---- where a batch is run ----------------------------------------------------------------------

// A cursor reads what its column wrote in front of the elements. Given<P, copies> is what f gets of
// each element: P is f's parameter, `copies` says that f takes no const reference.

template <class T>
class RunCursor {
public:
    static constexpr bool in_place = true;
    using Value = T;
    template <class Param, bool copies>
    using Given = std::conditional_t<copies, T, const T&>;

    explicit RunCursor(ship::Reader& reader)
        : elements_(ship::decode<std::span<const T>>(reader)) {}
    const T& at(std::size_t i) const { return elements_[i]; }

private:
    std::span<const T> elements_;
};

template <class Array>
class ArrayCursor {
public:
    static constexpr bool in_place = true;
    using Value = typename Array::value_type;
    template <class Param, bool copies>
    using Given = std::conditional_t<copies, Value, const Value&>;

    explicit ArrayCursor(ship::Reader& reader)
        : array_(ship::decode<Array>(reader)),
          elements_(array_.data() + ship::decode<std::size_t>(reader)) {}
    const Value& at(std::size_t i) const { return elements_[i]; }

private:
    Array array_;
    const Value* elements_;
};

class RangeCursor {
public:
    static constexpr bool in_place = true;
    using Value = std::ptrdiff_t;
    template <class Param, bool copies>
    using Given = std::ptrdiff_t;

    explicit RangeCursor(ship::Reader& reader) : range_(ship::decode<Range>(reader)) {}
    std::ptrdiff_t at(std::size_t i) const { return range_[i]; }

private:
    Range range_;
};

// Elements that are decoded one after another, from where all such columns of a batch take turns.
template <class T>
struct CodedCursor {
    static constexpr bool in_place = false;
    using Value = T;
    template <class Param, bool copies>
    using Given = ship::Decoded<Param, T>;

    explicit CodedCursor(ship::Reader&) {}
};

// ---- where they come from: collections that can be indexed -------------------------------------

// What an iterator stands at, also one that tells less than the standard asks for.
template <class Iterator>
struct IteratorTraits {
    using Element = std::remove_cvref_t<decltype(*std::declval<Iterator&>())>;
};
template <class Iterator>
requires requires { typename std::iter_value_t<Iterator>; }
struct IteratorTraits<Iterator> {
    using Element = std::iter_value_t<Iterator>;
};
template <class Iterator>
using ElementOfIterator = typename IteratorTraits<Iterator>::Element;

inline constexpr std::size_t unbounded = std::numeric_limits<std::size_t>::max();

// What a piece of such a column holds besides its numbers.
struct Nothing {};

// What they share: position and size.
class Indexed {
public:
    static constexpr bool is_indexed = true;
    static constexpr bool is_repeatable = true;
    using Held = Nothing;

    explicit Indexed(std::size_t size) : size_(size) {}
    std::optional<std::size_t> size() const { return size_; }
    bool has(std::size_t index) const { return index < size_; }
    void pull(Held&) {}
    static Held part(Held&, std::size_t, std::size_t) { return {}; }

private:
    std::size_t size_;
};

template <class T>
class RunColumn : public Indexed {
public:
    using Cursor = RunCursor<T>;
    static constexpr std::size_t bytes_each = sizeof(T);

    explicit RunColumn(std::span<const T> elements)
        : Indexed(elements.size()), elements_(elements) {}
    void write_run(ship::Writer& writer, std::size_t first, std::size_t count) const {
        ship::encode(writer, elements_.subspan(first, count));
    }
    const T& local(const Held&, std::size_t index, std::size_t) const { return elements_[index]; }
    T value(const Held&, std::size_t index, std::size_t) const { return elements_[index]; }

private:
    std::span<const T> elements_;
};

template <class Array>
class ArrayColumn : public Indexed {
public:
    using Cursor = ArrayCursor<Array>;
    static constexpr std::size_t bytes_each = 0;

    explicit ArrayColumn(const Array& array) : Indexed(array.size()), array_(array) {}
    void write_run(ship::Writer& writer, std::size_t first, std::size_t) const {
        ship::encode(writer, array_, first);
    }
    const typename Array::value_type& local(const Held&, std::size_t index, std::size_t) const {
        return array_[index];
    }
    typename Array::value_type value(const Held&, std::size_t index, std::size_t) const {
        return array_[index];
    }

private:
    const Array& array_;
};

class RangeColumn : public Indexed {
public:
    using Cursor = RangeCursor;
    static constexpr std::size_t bytes_each = 0;

    explicit RangeColumn(const Range& range) : Indexed(range.size()), range_(range) {}
    void write_run(ship::Writer& writer, std::size_t first, std::size_t count) const {
        ship::encode(writer, range_.part(first, first + count));
    }
    std::ptrdiff_t local(const Held&, std::size_t index, std::size_t) const {
        return range_[index];
    }
    std::ptrdiff_t value(const Held&, std::size_t index, std::size_t) const {
        return range_[index];
    }

private:
    Range range_;
};

// Elements of other random-access ranges.
template <class Iterator>
class IteratorColumn : public Indexed {
public:
    using Element = ElementOfIterator<Iterator>;
    using Cursor = CodedCursor<ship::WireType<Element>>;
    using Reference = std::iter_reference_t<Iterator>;
    using Local = std::conditional_t<std::is_reference_v<Reference>, Reference, Element>;

    IteratorColumn(Iterator begin, std::size_t size) : Indexed(size), begin_(begin) {}
    void write_one(ship::Writer& writer, const Held&, std::size_t index, std::size_t) const {
        // A reference, or a value that lives long enough, such as the bool of a vector<bool>.
        const Element& element = begin_[static_cast<std::iter_difference_t<Iterator>>(index)];
        ship::encode(writer, element);
    }
    Local local(const Held&, std::size_t index, std::size_t) const {
        return begin_[static_cast<std::iter_difference_t<Iterator>>(index)];
    }
    Element value(const Held&, std::size_t index,
                  std::size_t) const requires std::is_constructible_v<Element, Reference> {
        return Element(begin_[static_cast<std::iter_difference_t<Iterator>>(index)]);
    }

private:
    Iterator begin_;
};

// ---- collections that are gone through once ----------------------------------------------------

template <class Iterator, class Sentinel>
class StreamColumn {
    using Reference = decltype(*std::declval<Iterator&>());
    using Element = ElementOfIterator<Iterator>;
    // Elements of a container stay where they are while it does not change.
    static constexpr bool by_address =
        std::forward_iterator<Iterator> && std::is_lvalue_reference_v<Reference>;
    // A view of single-pass elements is owned by nobody once the iterator has moved on.
    using Owned = std::conditional_t<std::is_constructible_v<ship::WireType<Element>, Reference>,
                                     ship::WireType<Element>, Element>;
    struct Slot {
        std::conditional_t<by_address, std::remove_reference_t<Reference>*, Owned> kept;
    };

public:
    static constexpr bool is_indexed = false;
    static constexpr bool is_repeatable = std::forward_iterator<Iterator>;
    using Cursor = CodedCursor<ship::WireType<Element>>;
    using Held = std::vector<Slot>;

    StreamColumn(Iterator begin, Sentinel end, std::optional<std::size_t> size)
        : at_(std::move(begin)), end_(std::move(end)), size_(size) {}
    std::optional<std::size_t> size() const { return size_; }
    // Moves on here and not after an element was taken, so that a generator is not asked for more
    // than is needed.
    bool has(std::size_t) {
        if (std::exchange(taken_, false))
            ++at_;
        return at_ != end_;
    }
    void pull(Held& held) {
        if constexpr (by_address)
            held.push_back({std::addressof(*at_)});
        else
            held.push_back({Owned(*at_)});
        taken_ = true;
    }
    static Held part(Held& held, std::size_t first, std::size_t count) {
        const auto from = held.begin() + static_cast<std::ptrdiff_t>(first);
        return Held(std::make_move_iterator(from),
                    std::make_move_iterator(from + static_cast<std::ptrdiff_t>(count)));
    }
    void write_one(ship::Writer& writer, const Held& held, std::size_t, std::size_t i) const {
        ship::encode(writer, local(held, 0, i));
    }
    const auto& local(const Held& held, std::size_t, std::size_t i) const {
        if constexpr (by_address)
            return *held[i].kept;
        else
            return held[i].kept;
    }
    // Moved out if it is kept here and cannot be copied: it is there for one attempt then.
    Element value(Held& held, std::size_t, std::size_t i) const
        requires(std::is_copy_constructible_v<Element> || !by_address) {
        if constexpr (by_address)
            return Element(*held[i].kept);
        else if constexpr (std::is_copy_constructible_v<Owned>)
            return Element(held[i].kept);
        else
            return Element(std::move(held[i].kept));
    }

private:
    Iterator at_;
    Sentinel end_;
    std::optional<std::size_t> size_;
    bool taken_ = false;
};

} // namespace dshm::detail
