// Codecs of the standard types that are neither runs nor ordinary containers: forward_list,
// valarray, the container adapters, paths and error codes.
#pragma once

#include <concepts>
#include <cstddef>
#include <filesystem>
#include <forward_list>
#include <iterator>
#include <queue>
#include <stack>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <valarray>

#include "dshm/ship/codec_base.hpp"
#include "dshm/ship/codec_composites.hpp"
#include "dshm/ship/codec_values.hpp"

namespace dshm::ship {

template <class T, class Allocator>
struct Codec<std::forward_list<T, Allocator>> : detail::CompositeCodec<T> {
    using List = std::forward_list<T, Allocator>;

    static void write(auto& sink, const List& list) {
        const auto count = static_cast<std::size_t>(std::distance(list.begin(), list.end()));
        detail::write_plain(detail::bytes_of(sink), count);
        for (const T& value : list)
            Codec<T>::write(sink, value);
    }
    static List read(auto& source) {
        List list;
        auto last = list.before_begin();
        for (std::size_t left = detail::bytes_of(source).take_count(1); left > 0; --left)
            last = list.insert_after(last, Codec<T>::read(source));
        return list;
    }
};

template <class T>
struct Codec<std::valarray<T>> : detail::NativeCodec<Bitwise<T>> {
    static void write(auto& sink, const std::valarray<T>& values) {
        const T* data = values.size() == 0 ? nullptr : &values[0];
        detail::write_run(detail::bytes_of(sink), data, values.size());
    }
    static std::valarray<T> read(auto& source) {
        const auto run = detail::read_run<T>(detail::bytes_of(source));
        return run.empty() ? std::valarray<T>() : std::valarray<T>(run.data(), run.size());
    }
};

// ---- adapters are the containers inside them ----------------------------------------------------

namespace detail {

template <class Adapter>
const typename Adapter::container_type& inside(const Adapter& adapter) {
    struct Opened : Adapter {
        static auto container() { return &Opened::c; }
    };
    return adapter.*Opened::container();
}

template <class Adapter>
struct AdapterCodec : CompositeCodec<typename Adapter::container_type> {
    using Container = typename Adapter::container_type;

    static void write(auto& sink, const Adapter& adapter) {
        Codec<Container>::write(sink, inside(adapter));
    }
    static Adapter read(auto& source) {
        if constexpr (std::constructible_from<Adapter, Container&&>)
            return Adapter(Codec<Container>::read(source));
        else // a heap, made again because a damaged one may not be one
            return Adapter(typename Adapter::value_compare(), Codec<Container>::read(source));
    }
};

} // namespace detail

template <class T, class Container>
struct Codec<std::stack<T, Container>> : detail::AdapterCodec<std::stack<T, Container>> {};
template <class T, class Container>
struct Codec<std::queue<T, Container>> : detail::AdapterCodec<std::queue<T, Container>> {};
template <class T, class Container, class Compare>
struct Codec<std::priority_queue<T, Container, Compare>>
    : detail::AdapterCodec<std::priority_queue<T, Container, Compare>> {};

// ---- paths and error codes ----------------------------------------------------------------------

template <>
struct Codec<std::filesystem::path> : detail::NativeCodec<true> {
    static void write(auto& sink, const std::filesystem::path& path) {
        Codec<std::string>::write(sink, path.native());
    }
    static std::filesystem::path read(auto& source) {
        return std::filesystem::path(Codec<std::string>::read(source));
    }
};

namespace detail {

// The category of the standard library with this name, or null.
const std::error_category* category_named(std::string_view name) noexcept;
[[noreturn]] void throw_unknown_category(std::string_view name, bool reading);

// A category is an address, which means something in one process only; its name crosses.
template <class Code>
struct ErrorCodec : NativeCodec<true> {
    static void write(auto& sink, const Code& code) {
        if (category_named(code.category().name()) != &code.category())
            throw_unknown_category(code.category().name(), false);
        write_plain(bytes_of(sink), code.value());
        Codec<std::string_view>::write(sink, code.category().name());
    }
    static Code read(auto& source) {
        const int value = read_plain<int>(bytes_of(source));
        const std::string_view name = Codec<std::string_view>::read(source);
        const std::error_category* category = category_named(name);
        if (category == nullptr)
            throw_unknown_category(name, true);
        return Code(value, *category);
    }
};

} // namespace detail

template <>
struct Codec<std::error_code> : detail::ErrorCodec<std::error_code> {};
template <>
struct Codec<std::error_condition> : detail::ErrorCodec<std::error_condition> {};

} // namespace dshm::ship
