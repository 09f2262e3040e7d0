// Which types are sent as their bytes.
//
// Trivially copyable values, and pairs, tuples and arrays of them, unless the bytes mean something
// in one process only: pointers, views, references, iterators into memory, error codes. A trivially copyable class that has cereal
// functions and cannot be assigned or default constructed (cereal's own wrappers hold references)
// is left to those functions.
#pragma once

#include <array>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <typeindex>
#include <utility>
#include <variant>

#include "dshm/ship/shipping.hpp"

namespace dshm::ship {

// The result of a task that returns nothing.
struct Unit {
    friend bool operator==(Unit, Unit) = default;
};

namespace detail {

// Defined in archive.hpp, where the archives are known.
template <class T>
struct LeftToCereal;

// A class that is trivially copyable but neither standard-layout nor assignable holds a reference,
// as a closure does that captures by reference. Assignment is asked for last: g++ 12 takes a closure
// type for not trivially copyable once that has been asked.
template <class T>
inline constexpr bool bytes_suffice =
    std::is_trivially_copyable_v<T>&& std::is_move_constructible_v<T> && !std::is_pointer_v<T> &&
    !std::is_member_function_pointer_v<T> && !ShippedByCopy<T> &&
    std::disjunction_v<std::is_standard_layout<T>, std::is_copy_assignable<T>>;

// An iterator that gives references to elements is a pointer to them in disguise.
template <class T>
constexpr bool points_at_elements() {
    if constexpr (std::is_class_v<T> && std::is_trivially_copyable_v<T> && requires(T it) {
                      *it;
                      ++it;
                  })
        return std::forward_iterator<T> && std::is_lvalue_reference_v<std::iter_reference_t<T>>;
    else
        return false;
}

template <class T>
struct PointsAtElements : std::bool_constant<points_at_elements<T>()> {};

} // namespace detail

// May be specialised for types that are memcpy-safe without being trivially copyable by the letter.
template <class T>
struct IsBitwise : std::conjunction<std::bool_constant<detail::bytes_suffice<T>>,
                                    std::negation<detail::PointsAtElements<T>>,
                                    std::negation<detail::LeftToCereal<T>>> {};

template <class T, std::size_t Extent>
struct IsBitwise<std::span<T, Extent>> : std::false_type {};
template <class C, class Traits>
struct IsBitwise<std::basic_string_view<C, Traits>> : std::false_type {};
template <class T>
struct IsBitwise<std::reference_wrapper<T>> : std::false_type {};
template <class T>
struct IsBitwise<std::initializer_list<T>> : std::false_type {};
template <>
struct IsBitwise<std::type_index> : std::false_type {};
template <>
struct IsBitwise<std::error_code> : std::false_type {};
template <>
struct IsBitwise<std::error_condition> : std::false_type {};
// A damaged engaged-flag or index must be noticed, so these are read with a check.
template <class T>
struct IsBitwise<std::optional<T>> : std::false_type {};
template <class... Ts>
struct IsBitwise<std::variant<Ts...>> : std::false_type {};

namespace detail {

// As a part. A damaged bool must be noticed too, where the library knows that there is one.
template <class T>
struct IsBitwisePart : std::conjunction<std::negation<std::is_same<T, bool>>, IsBitwise<T>> {};

} // namespace detail

template <class T, std::size_t N>
struct IsBitwise<std::array<T, N>> : detail::IsBitwisePart<T> {};
template <class A, class B>
struct IsBitwise<std::pair<A, B>>
    : std::conjunction<detail::IsBitwisePart<A>, detail::IsBitwisePart<B>> {};
template <class... Ts>
struct IsBitwise<std::tuple<Ts...>> : std::conjunction<detail::IsBitwisePart<Ts>...> {};

template <class T>
concept Bitwise = IsBitwise<T>::value;

} // namespace dshm::ship
