// Some neighbouring elements of a container, sent without being copied into one of their own.
//
//     spawn([](std::span<const double> part) { ... }, ship::slice(numbers.begin() + 10, 5));
//
// Written as the std::vector of them, and received as that or as a view of it. The container must
// outlive the call that writes it, as any argument must.
#pragma once

#include <cstddef>
#include <cstring>
#include <iterator>
#include <memory>
#include <vector>

#include "dshm/ship/codec.hpp"
#include "dshm/ship/wire.hpp"

namespace dshm::ship {

template <std::random_access_iterator Iterator>
struct Slice {
    using Value = std::iter_value_t<Iterator>;
    using iterator = Iterator;

    Iterator first;
    std::size_t count;

    Iterator begin() const { return first; }
    Iterator end() const { return first + static_cast<std::iter_difference_t<Iterator>>(count); }
    std::size_t size() const { return count; }
};

template <std::random_access_iterator Iterator>
Slice<Iterator> slice(Iterator first, std::size_t count) {
    return {first, count};
}

template <class Iterator>
struct Wire<Slice<Iterator>> {
    using type = WireType<std::vector<std::iter_value_t<Iterator>>>;
};

template <class Iterator>
struct Codec<Slice<Iterator>> : detail::CompositeCodec<std::iter_value_t<Iterator>> {
    using Value = std::iter_value_t<Iterator>;
    static constexpr bool write_only = true;

    static void write(auto& sink, const Slice<Iterator>& slice) {
        if constexpr (!Bitwise<Value> || std::is_same_v<Value, bool>) {
            detail::write_plain(detail::bytes_of(sink), slice.size());
            for (auto element = slice.begin(); element != slice.end(); ++element)
                Codec<Value>::write(sink, *element);
        } else if constexpr (std::contiguous_iterator<Iterator>) {
            detail::write_run(detail::bytes_of(sink), std::to_address(slice.first), slice.size());
        } else {
            copy_one_by_one(detail::bytes_of(sink), slice);
        }
    }

private:
    static void copy_one_by_one(Writer& writer, const Slice<Iterator>& slice) {
        detail::write_plain(writer, slice.size());
        const std::size_t bytes = slice.size() * sizeof(Value);
        std::byte* to = writer.reserve(bytes, detail::run_alignment(alignof(Value), bytes));
        if (to == nullptr)
            return;
        for (auto element = slice.begin(); element != slice.end(); ++element, to += sizeof(Value)) {
            const Value& value = *element;
            std::memcpy(to, std::addressof(value), sizeof(Value));
        }
    }
};

} // namespace dshm::ship
