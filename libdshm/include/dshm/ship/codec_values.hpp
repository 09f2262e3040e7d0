// Codecs of single values, strings, runs of plain elements, and the views of these.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "dshm/ship/codec_base.hpp"
#include "dshm/ship/function_id.hpp"
#include "dshm/ship/shipping.hpp"

namespace dshm::ship {

// ---- plain values -------------------------------------------------------------------------------

template <Bitwise T>
struct Codec<T> : detail::NativeCodec<true> {
    static void write(auto& sink, const T& value) {
        detail::write_plain(detail::bytes_of(sink), value);
    }
    static T read(auto& source) { return detail::read_plain<T>(detail::bytes_of(source)); }
};

// A damaged byte must not become a bool that is neither true nor false.
template <>
struct Codec<bool> : detail::NativeCodec<true> {
    static void write(auto& sink, const bool& value) {
        detail::write_plain(detail::bytes_of(sink), value);
    }
    static bool read(auto& source) {
        return detail::read_plain<unsigned char>(detail::bytes_of(source)) != 0;
    }
};

template <ShippedByCopy T>
struct Codec<T> : detail::NativeCodec<true> {
    static void write(auto& sink, const T& value) { copy_into(detail::bytes_of(sink), value); }
    static T read(auto& source) { return copy_out_of<T>(detail::bytes_of(source)); }
};

// Functions cross by identity.
template <class T>
requires(std::is_pointer_v<T>&& std::is_function_v<std::remove_pointer_t<T>>) struct Codec<T>
    : detail::NativeCodec<true> {
    static void write(auto& sink, const T& function) {
        Writer& writer = detail::bytes_of(sink);
        detail::write_plain(writer, writer.counting()
                                        ? FunctionId{}
                                        : function_id_of(std::bit_cast<const void*>(function)));
    }
    static T read(auto& source) {
        return std::bit_cast<T>(
            function_address(detail::read_plain<FunctionId>(detail::bytes_of(source))));
    }
};

// A member function is an address or, if virtual, a place in a table, with an adjustment of `this`.
template <class T>
requires std::is_member_function_pointer_v<T>
struct Codec<T> : detail::NativeCodec<true> {
    // Itanium C++ ABI 2.3, for x86-64: an odd first word is a place in the virtual table.
    struct Image {
        std::uintptr_t function;
        std::ptrdiff_t adjustment;

        bool address() const noexcept { return function != 0 && (function & 1) == 0; }
    };
    static_assert(sizeof(T) == sizeof(Image));

    static void write(auto& sink, const T& member) {
        Writer& writer = detail::bytes_of(sink);
        Image image = std::bit_cast<Image>(member);
        const bool translate = image.address();
        if (translate && !writer.counting())
            image.function = function_id_of(reinterpret_cast<const void*>(image.function)).bits;
        detail::write_plain(writer, image);
        detail::write_plain(writer, translate);
    }
    static T read(auto& source) {
        Reader& reader = detail::bytes_of(source);
        Image image = detail::read_plain<Image>(reader);
        if (Codec<bool>::read(reader))
            image.function =
                reinterpret_cast<std::uintptr_t>(function_address(FunctionId{image.function}));
        return std::bit_cast<T>(image);
    }
};

// ---- contiguous runs, and views of them ---------------------------------------------------------

template <class C, class Traits, class Allocator>
struct Codec<std::basic_string<C, Traits, Allocator>> : detail::NativeCodec<true> {
    using Text = std::basic_string<C, Traits, Allocator>;
    static void write(auto& sink, const Text& text) {
        detail::write_run(detail::bytes_of(sink), text.data(), text.size());
    }
    static Text read(auto& source) {
        const auto run = detail::read_run<C>(detail::bytes_of(source));
        return Text(run.data(), run.size());
    }
};

template <class C, class Traits>
struct Codec<std::basic_string_view<C, Traits>> : detail::NativeCodec<true> {
    using View = std::basic_string_view<C, Traits>;
    static void write(auto& sink, const View& view) {
        detail::write_run(detail::bytes_of(sink), view.data(), view.size());
    }
    static View read(auto& source) {
        const auto run = detail::read_run<C>(detail::bytes_of(source));
        return View(run.data(), run.size());
    }
};

// Text behind a pointer is written as a string; it is read as std::string or std::string_view.
template <class C>
requires(std::same_as<C, const char*> || std::same_as<C, char*>) struct Codec<C>
    : detail::NativeCodec<true> {
    static constexpr bool write_only = true;
    static void write(auto& sink, const char* text) {
        if (text == nullptr)
            detail::throw_null_text();
        detail::write_run(detail::bytes_of(sink), text, std::strlen(text));
    }
};

template <std::size_t N>
struct Codec<char[N]> : detail::NativeCodec<true> {
    static constexpr bool write_only = true;
    static void write(auto& sink, const char (&text)[N]) {
        detail::write_run(detail::bytes_of(sink), text, ::strnlen(text, N));
    }
};

template <class T, class Allocator>
requires(Bitwise<T> && !std::same_as<T, bool>) struct Codec<std::vector<T, Allocator>>
    : detail::NativeCodec<true> {
    using Vector = std::vector<T, Allocator>;
    static void write(auto& sink, const Vector& values) {
        detail::write_run(detail::bytes_of(sink), values.data(), values.size());
    }
    static Vector read(auto& source) {
        const auto run = detail::read_run<T>(detail::bytes_of(source));
        return Vector(run.data(), run.data() + run.size());
    }
};

template <class T, std::size_t Extent>
requires Bitwise<std::remove_cv_t<T>>
struct Codec<std::span<T, Extent>> : detail::NativeCodec<true> {
    static void write(auto& sink, const std::span<T, Extent>& values) {
        detail::write_run(detail::bytes_of(sink), values.data(), values.size());
    }
    static std::span<T, Extent> read(auto& source) {
        static_assert(std::is_const_v<T>,
                      "dshm: a span parameter must be a span of const, because what it shows "
                      "belongs to the call and not to the "
                      "function; take a std::span<const T>, or a std::vector by value.");
        const auto run = detail::read_run<std::remove_cv_t<T>>(detail::bytes_of(source));
        if (Extent != std::dynamic_extent && run.size() != Extent)
            throw DecodeError(
                "dshm: a span parameter of fixed extent was given another number of elements");
        if constexpr (std::is_const_v<T>) // one sentence is enough
            return std::span<T, Extent>(run.data(), run.size());
        else
            throw DecodeError("not reached: this does not compile");
    }
};

} // namespace dshm::ship
