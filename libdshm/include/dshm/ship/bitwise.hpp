// Which types are sent as their bytes.
//
// Trivially copyable values, and pairs, tuples and arrays of them, unless the bytes mean something
// in one process only: pointers, views, references. A trivially copyable class that has cereal
// functions and cannot be assigned or default constructed (cereal's own wrappers hold references)
// is left to those functions.
#pragma once

#include <array>
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string_view>
#include <tuple>
#include <type_traits>
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
// as a closure does that captures by reference.
template <class T>
inline constexpr bool bytes_suffice =
    std::is_trivially_copyable_v<T> && !std::is_pointer_v<T> &&
    !std::is_member_function_pointer_v<T> && !ShippedByCopy<T> &&
    (std::is_standard_layout_v<T> || std::is_copy_assignable_v<T>);

} // namespace detail

// May be specialised for types that are memcpy-safe without being trivially copyable by the letter.
template <class T>
struct IsBitwise : std::conjunction<std::bool_constant<detail::bytes_suffice<T>>,
                                    std::negation<detail::LeftToCereal<T>>> {};

template <class T, std::size_t Extent>
struct IsBitwise<std::span<T, Extent>> : std::false_type {};
template <class C, class Traits>
struct IsBitwise<std::basic_string_view<C, Traits>> : std::false_type {};
template <class T>
struct IsBitwise<std::reference_wrapper<T>> : std::false_type {};
template <class T>
struct IsBitwise<std::initializer_list<T>> : std::false_type {};
// A damaged engaged-flag or index must be noticed, so these are read with a check.
template <class T>
struct IsBitwise<std::optional<T>> : std::false_type {};
template <class... Ts>
struct IsBitwise<std::variant<Ts...>> : std::false_type {};

template <class T, std::size_t N>
struct IsBitwise<std::array<T, N>> : IsBitwise<T> {};
template <class A, class B>
struct IsBitwise<std::pair<A, B>> : std::conjunction<IsBitwise<A>, IsBitwise<B>> {};
template <class... Ts>
struct IsBitwise<std::tuple<Ts...>> : std::conjunction<IsBitwise<Ts>...> {};

template <class T>
concept Bitwise = IsBitwise<T>::value;

} // namespace dshm::ship
