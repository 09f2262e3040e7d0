// Comparison of two values that ought to be the same, with the first difference named.
//
// Floating-point numbers are the same when their bits are, when both are NaN, or when they differ by
// at most `tolerance` times the larger magnitude. Ranges, pairs, tuples, optionals, complex numbers
// and Eigen matrices are compared by their elements, other types by ==, and types without == by the
// bytes that would be sent of them. Works on the caller's memory alone; any thread may call it.
//
// For the library: verify.hpp is the way in.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <complex>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include "dshm/eigen.hpp"
#include "dshm/ship/codec.hpp"

namespace dshm::detail {

// Where two values differ, "[3][1]" or nothing, and what is there; empty where it cannot be printed.
struct Difference {
    std::string where;
    std::string with_workers;
    std::string serially;
};

template <class T>
concept Printable = requires(std::ostream& out, const T& value) {
    out << value;
};
template <class T>
concept MatrixLike = std::is_base_of_v<Eigen::DenseBase<T>, T>;
template <class T>
concept RangeLike = requires(const T& range) {
    std::begin(range) != std::end(range);
    ++std::declval<decltype(std::begin(range))&>();
    *std::begin(range);
}
&&!std::convertible_to<const T&, std::string_view> &&
    !std::same_as<std::iter_value_t<decltype(std::begin(std::declval<const T&>()))>, T>; // a path
// The elements of these come in an order of their own.
template <class T>
concept Unordered = requires {
    typename T::hasher;
};
template <class T>
concept TupleLike = requires {
    std::tuple_size<T>::value;
}
&&!RangeLike<T>;
template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;
template <class T>
inline constexpr bool is_complex = false;
template <class T>
inline constexpr bool is_complex<std::complex<T>> = true;

template <class T>
std::string printed(const T& value) {
    constexpr std::size_t longest = 200;
    if constexpr (!Printable<T>) {
        return {};
    } else {
        std::ostringstream out;
        out.precision(17);
        if constexpr (std::is_same_v<T, char> || std::is_same_v<T, signed char> ||
                      std::is_same_v<T, unsigned char>)
            out << static_cast<int>(value);
        else
            out << std::boolalpha << value;
        std::string text = out.str();
        if (text.size() > longest)
            text = text.substr(0, longest) + "...";
        return text;
    }
}

// Tolerance 0: the same bits, and every NaN is the same.
template <std::floating_point T>
bool same_number(T a, T b, double tolerance) {
    if (std::isnan(a) || std::isnan(b))
        return std::isnan(a) && std::isnan(b);
    if (a == b)
        return tolerance > 0 || std::signbit(a) == std::signbit(b);
    if (std::isinf(a) || std::isinf(b))
        return false;
    return tolerance > 0 &&
           std::abs(a - b) <= static_cast<T>(tolerance) * std::max(std::abs(a), std::abs(b));
}
template <std::floating_point T>
bool same_number(const std::complex<T>& a, const std::complex<T>& b, double tolerance) {
    return (same_number(a.real(), b.real(), tolerance) &&
            same_number(a.imag(), b.imag(), tolerance)) ||
           (tolerance > 0 &&
            std::abs(a - b) <= static_cast<T>(tolerance) * std::max(std::abs(a), std::abs(b)));
}

template <class T>
std::vector<std::byte> bytes_of(const T& value) {
    const ship::Footprint need = ship::footprint(value);
    std::vector<std::byte> bytes(need.size);
    ship::Writer writer(bytes.data(), need.size);
    ship::encode(writer, value);
    return bytes;
}

// Of a value that says nothing else about itself. Padding does not count where the compiler can tell.
template <class T>
bool same_bytes(const T& a, const T& b) {
#if defined(__has_builtin)
#if __has_builtin(__builtin_clear_padding)
    if constexpr (std::is_trivially_copyable_v<T>) {
        T first = a, second = b;
        __builtin_clear_padding(std::addressof(first));
        __builtin_clear_padding(std::addressof(second));
        return std::memcmp(std::addressof(first), std::addressof(second), sizeof(T)) == 0;
    }
#endif
#endif
    return bytes_of(a) == bytes_of(b);
}

template <class T>
std::optional<Difference> first_difference(const T& a, const T& b, double tolerance);

inline std::optional<Difference> within(std::optional<Difference> found, std::string place) {
    if (found)
        found->where = std::move(place) + found->where;
    return found;
}
inline std::string bracketed(std::size_t index) {
    return std::string("[").append(std::to_string(index)).append("]");
}

template <class T>
std::optional<Difference> difference_of_elements(const T& a, const T& b, double tolerance) {
    auto one = std::begin(a);
    auto other = std::begin(b);
    std::size_t index = 0;
    for (; one != std::end(a) && other != std::end(b); ++one, ++other, ++index) {
        // An element by value: proxies, such as those of vector<bool>, are not what they stand for.
        using Element = std::iter_value_t<decltype(one)>;
        const Element& first = *one;
        const Element& second = *other;
        if (auto found = first_difference<Element>(first, second, tolerance))
            return within(std::move(found), bracketed(index));
    }
    if (one == std::end(a) && other == std::end(b))
        return std::nullopt;
    const auto size = [](const T& range) {
        return std::to_string(std::distance(std::begin(range), std::end(range))) + " elements";
    };
    return Difference{"", size(a), size(b)};
}

template <class Matrix>
std::optional<Difference> difference_of_matrices(const Matrix& a, const Matrix& b,
                                                 double tolerance) {
    const auto shape = [](const Matrix& m) {
        return std::to_string(m.rows()) + "×" + std::to_string(m.cols());
    };
    if (a.rows() != b.rows() || a.cols() != b.cols())
        return Difference{"", shape(a), shape(b)};
    for (Eigen::Index j = 0; j < a.cols(); ++j)
        for (Eigen::Index i = 0; i < a.rows(); ++i)
            if (auto found = first_difference<typename Matrix::Scalar>(a(i, j), b(i, j), tolerance))
                return within(std::move(found),
                              "(" + std::to_string(i) + ", " + std::to_string(j) + ")");
    return std::nullopt;
}

template <class T, std::size_t... I>
std::optional<Difference> difference_of_members(const T& a, const T& b, double tolerance,
                                                std::index_sequence<I...>) {
    std::optional<Difference> found;
    const auto look = [&](std::size_t index, const auto& first, const auto& second) {
        found = within(first_difference(first, second, tolerance), bracketed(index));
        return found.has_value();
    };
    static_cast<void>((look(I, std::get<I>(a), std::get<I>(b)) || ...));
    return found;
}

template <class T>
bool same_value(const T& a, const T& b, double tolerance) {
    if constexpr (std::floating_point<T> || is_complex<T>)
        return same_number(a, b, tolerance);
    else if constexpr (std::equality_comparable<T>)
        return a == b;
    else
        return same_bytes(a, b);
}

// Nothing when they are the same.
template <class T>
std::optional<Difference> first_difference(const T& a, const T& b, double tolerance) {
    if constexpr (MatrixLike<T>) {
        return difference_of_matrices(a, b, tolerance);
    } else if constexpr (RangeLike<T> && !Unordered<T>) {
        return difference_of_elements(a, b, tolerance);
    } else if constexpr (TupleLike<T>) {
        return difference_of_members(a, b, tolerance,
                                     std::make_index_sequence<std::tuple_size_v<T>>());
    } else if constexpr (is_optional<T>) {
        if (a && b)
            return first_difference(*a, *b, tolerance);
        if (!a && !b)
            return std::nullopt;
        const auto text = [](const T& value) { return value ? printed(*value) : "nothing"; };
        return Difference{"", text(a), text(b)};
    } else {
        if (same_value(a, b, tolerance))
            return std::nullopt;
        return Difference{"", printed(a), printed(b)};
    }
}

} // namespace dshm::detail
