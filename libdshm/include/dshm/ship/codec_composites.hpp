// Codecs of pairs, tuples, arrays, optional, variant and the standard containers, part by part.
//
// Nothing needs a default constructor here, and nothing is assigned: parts are built where they are
// read, so move-only values and handles with const members travel like others.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include "dshm/ship/codec_base.hpp"
#include "dshm/ship/codec_values.hpp"

namespace dshm::ship {

// ---- composites ---------------------------------------------------------------------------------

template <class A, class B>
requires(!Bitwise<std::pair<A, B>>) struct Codec<std::pair<A, B>>
    : detail::CompositeCodec<std::remove_const_t<A>, B> {
    static void write(auto& sink, const std::pair<A, B>& pair) {
        Codec<std::remove_const_t<A>>::write(sink, pair.first);
        Codec<B>::write(sink, pair.second);
    }
    static std::pair<A, B> read(auto& source) {
        auto first = Codec<std::remove_const_t<A>>::read(source);
        return std::pair<A, B>(std::move(first), Codec<B>::read(source));
    }
};

template <class... Ts>
requires(!Bitwise<std::tuple<Ts...>>) struct Codec<std::tuple<Ts...>>
    : detail::CompositeCodec<Ts...> {
    static void write(auto& sink, const std::tuple<Ts...>& tuple) {
        std::apply([&](const Ts&... parts) { (Codec<Ts>::write(sink, parts), ...); }, tuple);
    }
    static std::tuple<Ts...> read(auto& source) {
        return std::tuple<Ts...>{Codec<Ts>::read(source)...};
    } // left to right
};

template <class T, std::size_t N>
requires(!Bitwise<std::array<T, N>>) struct Codec<std::array<T, N>> : detail::CompositeCodec<T> {
    static void write(auto& sink, const std::array<T, N>& values) {
        if constexpr (N == 0) // every value takes at least one byte
            detail::write_plain(detail::bytes_of(sink), std::byte{});
        for (const T& value : values)
            Codec<T>::write(sink, value);
    }
    static std::array<T, N> read(auto& source) {
        if constexpr (N == 0)
            detail::read_plain<std::byte>(detail::bytes_of(source));
        return read_all(source, std::make_index_sequence<N>());
    }

private:
    template <std::size_t... I>
    static std::array<T, N> read_all(auto& source, std::index_sequence<I...>) {
        if constexpr (N == 0)
            return {};
        else
            return {{(static_cast<void>(I), Codec<T>::read(source))...}};
    }
};

template <class T>
struct Codec<std::optional<T>> : detail::CompositeCodec<T> {
    static void write(auto& sink, const std::optional<T>& value) {
        Codec<bool>::write(sink, value.has_value());
        if (value)
            Codec<T>::write(sink, *value);
    }
    static std::optional<T> read(auto& source) {
        if (!Codec<bool>::read(source))
            return std::nullopt;
        return std::optional<T>(Codec<T>::read(source));
    }
};

template <class... Ts>
struct Codec<std::variant<Ts...>> : detail::CompositeCodec<Ts...> {
    using Variant = std::variant<Ts...>;

    static void write(auto& sink, const Variant& value) {
        if (value.valueless_by_exception())
            detail::throw_valueless_variant();
        detail::write_plain(detail::bytes_of(sink), static_cast<std::uint32_t>(value.index()));
        std::visit([&]<class T>(const T& alternative) { Codec<T>::write(sink, alternative); },
                   value);
    }
    static Variant read(auto& source) {
        const auto index = detail::read_plain<std::uint32_t>(detail::bytes_of(source));
        if (index >= sizeof...(Ts))
            detail::throw_wrong_alternative(index, sizeof...(Ts));
        return read_alternative(source, index, std::index_sequence_for<Ts...>());
    }

private:
    template <class Source, std::size_t... I>
    static Variant read_alternative(Source& source, std::size_t index, std::index_sequence<I...>) {
        using ReadOne = Variant (*)(Source&);
        static constexpr ReadOne table[] = {+[](Source& from) {
            return Variant(std::in_place_index<I>, Codec<Ts>::read(from));
        }...};
        return table[index](source);
    }
};

// ---- containers ---------------------------------------------------------------------------------

namespace detail {

template <class T>
inline constexpr bool is_container = false;
template <class T, class A>
inline constexpr bool is_container<std::vector<T, A>> = true;
template <class T, class A>
inline constexpr bool is_container<std::deque<T, A>> = true;
template <class T, class A>
inline constexpr bool is_container<std::list<T, A>> = true;
template <class T, class C, class A>
inline constexpr bool is_container<std::set<T, C, A>> = true;
template <class T, class C, class A>
inline constexpr bool is_container<std::multiset<T, C, A>> = true;
template <class K, class T, class C, class A>
inline constexpr bool is_container<std::map<K, T, C, A>> = true;
template <class K, class T, class C, class A>
inline constexpr bool is_container<std::multimap<K, T, C, A>> = true;
template <class T, class H, class E, class A>
inline constexpr bool is_container<std::unordered_set<T, H, E, A>> = true;
template <class T, class H, class E, class A>
inline constexpr bool is_container<std::unordered_multiset<T, H, E, A>> = true;
template <class K, class T, class H, class E, class A>
inline constexpr bool is_container<std::unordered_map<K, T, H, E, A>> = true;
template <class K, class T, class H, class E, class A>
inline constexpr bool is_container<std::unordered_multimap<K, T, H, E, A>> = true;

// The arguments of T's constructor that make what was written: text is copied out of the payload
// once, into its node.
template <class T>
struct InPlace {
    static std::tuple<T> read(auto& source) { return std::tuple<T>(Codec<T>::read(source)); }
};
template <class C, class Traits, class Allocator>
struct InPlace<std::basic_string<C, Traits, Allocator>> {
    static std::tuple<const C*, std::size_t> read(auto& source) {
        const auto run = read_run<C>(bytes_of(source));
        return {run.data(), run.size()};
    }
};

// The element as it is built before it is inserted: the key of a map is const only inside.
template <class T>
struct Element {
    using type = T;
};
template <class K, class T>
struct Element<std::pair<const K, T>> {
    using type = std::pair<K, T>;
};

} // namespace detail

template <class T>
requires(detail::is_container<T>) struct Codec<T>
    : detail::CompositeCodec<typename detail::Element<typename T::value_type>::type> {
    using Value = typename detail::Element<typename T::value_type>::type;

    static void write(auto& sink, const T& container) {
        detail::write_plain(detail::bytes_of(sink), container.size());
        for (const auto& value : container)
            write_element(sink, value);
    }
    static T read(auto& source) {
        const std::size_t count = detail::bytes_of(source).take_count(1);
        T container;
        if constexpr (requires { container.reserve(count); })
            container.reserve(std::min(count, plausible_count(detail::bytes_of(source))));
        for (std::size_t i = 0; i < count; ++i)
            read_element(source, container);
        return container;
    }

private:
    // Pairs that are their bytes lie in the payload whole; those of other maps lie there in two
    // parts, from which the node is built directly.
    static constexpr bool is_map = !std::same_as<typename T::value_type, Value>;
    static constexpr bool in_parts = is_map && !Bitwise<Value>;

    // A damaged count can ask for at most four times the bytes that are there; a true one that is
    // larger only grows later.
    static std::size_t plausible_count(const Reader& reader) {
        return reader.remaining() * 4 / sizeof(Value) + 1;
    }

    static void write_element(auto& sink, const auto& value) {
        if constexpr (in_parts) {
            Codec<typename Value::first_type>::write(sink, value.first);
            Codec<typename Value::second_type>::write(sink, value.second);
        } else if constexpr (is_map) {
            Codec<Value>::write(sink, Value(value.first, value.second));
        } else {
            Codec<Value>::write(sink, value);
        }
    }

    static void read_element(auto& source, T& container) {
        if constexpr (in_parts) {
            auto key = detail::InPlace<typename Value::first_type>::read(source);
            auto value = detail::InPlace<typename Value::second_type>::read(source);
            container.emplace_hint(container.end(), std::piecewise_construct, std::move(key),
                                   std::move(value));
        } else if constexpr (requires(Value value) { container.push_back(std::move(value)); }) {
            container.push_back(Codec<Value>::read(source));
        } else {
            container.insert(container.end(), Codec<Value>::read(source));
        }
    }
};

} // namespace dshm::ship
