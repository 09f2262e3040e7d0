// The type as which an argument or a result crosses.
//
// Decayed; a string for text behind a pointer or a view of it, a vector for a span, the plain matrix
// for an Eigen expression (eigen.hpp); and the same for the parts of pairs, tuples, arrays, optional,
// variant and containers, so that what arrives owns what it shows. The bytes of a type and of its
// wire type are the same.
#pragma once

#include <array>
#include <deque>
#include <forward_list>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include "dshm/ship/bitwise.hpp"

namespace dshm::ship {

template <class T>
struct Wire {
    using type = T;
};

template <class T>
using WireType = typename Wire<std::decay_t<T>>::type;

template <>
struct Wire<const char*> {
    using type = std::string;
};
template <>
struct Wire<char*> {
    using type = std::string;
};
template <class C, class Traits>
struct Wire<std::basic_string_view<C, Traits>> {
    using type = std::basic_string<C, Traits>;
};
template <class T, std::size_t Extent>
struct Wire<std::span<T, Extent>> {
    using type = std::vector<std::remove_cv_t<T>>;
};

namespace detail {

// Stands for a part that cannot be owned where it lies; cannot be sent or made.
template <class T>
struct Unowned {
    Unowned() = delete;
    Unowned(const Unowned&) = delete;
    ~Unowned() {}
};

// Of a part. A view of something that is its bytes (an Eigen::Map of fixed size) lies differently in
// a run of such, so it can only stand alone.
template <class T>
using WirePart = std::conditional_t<Bitwise<WireType<T>> && !Bitwise<T>, Unowned<T>, WireType<T>>;

template <class T>
inline constexpr bool is_own_wire = std::is_same_v<WirePart<T>, T>;

// What orders or hashes keys does the same for their wire type, or is replaced by what does.
template <class Function, class Key>
struct Rebound {
    using type = Function;
};
template <class Key>
struct Rebound<std::less<Key>, Key> {
    using type = std::less<WirePart<Key>>;
};
template <class Key>
struct Rebound<std::greater<Key>, Key> {
    using type = std::greater<WirePart<Key>>;
};
template <class Key>
struct Rebound<std::hash<Key>, Key> {
    using type = std::hash<WirePart<Key>>;
};
template <class Key>
struct Rebound<std::equal_to<Key>, Key> {
    using type = std::equal_to<WirePart<Key>>;
};
template <class Function, class Key>
using ReboundTo = typename Rebound<Function, Key>::type;

template <class Allocator, class T>
using AllocatorOf = typename std::allocator_traits<Allocator>::template rebind_alloc<T>;

template <class Allocator, class K, class T>
using PairAllocatorOf = AllocatorOf<Allocator, std::pair<const WirePart<K>, WirePart<T>>>;

} // namespace detail

template <class A, class B>
struct Wire<std::pair<A, B>> {
    using type = std::pair<detail::WirePart<A>, detail::WirePart<B>>;
};
template <class... Ts>
struct Wire<std::tuple<Ts...>> {
    using type = std::tuple<detail::WirePart<Ts>...>;
};
template <class... Ts>
struct Wire<std::variant<Ts...>> {
    using type = std::variant<detail::WirePart<Ts>...>;
};
template <class T>
struct Wire<std::optional<T>> {
    using type = std::optional<detail::WirePart<T>>;
};
template <class T, std::size_t N>
struct Wire<std::array<T, N>> {
    using type = std::array<detail::WirePart<T>, N>;
};

template <class T, class A>
requires(!detail::is_own_wire<T>) struct Wire<std::vector<T, A>> {
    using type = std::vector<detail::WirePart<T>, detail::AllocatorOf<A, detail::WirePart<T>>>;
};
template <class T, class A>
requires(!detail::is_own_wire<T>) struct Wire<std::deque<T, A>> {
    using type = std::deque<detail::WirePart<T>, detail::AllocatorOf<A, detail::WirePart<T>>>;
};
template <class T, class A>
requires(!detail::is_own_wire<T>) struct Wire<std::list<T, A>> {
    using type = std::list<detail::WirePart<T>, detail::AllocatorOf<A, detail::WirePart<T>>>;
};
template <class T, class A>
requires(!detail::is_own_wire<T>) struct Wire<std::forward_list<T, A>> {
    using type =
        std::forward_list<detail::WirePart<T>, detail::AllocatorOf<A, detail::WirePart<T>>>;
};
template <class T, class C, class A>
requires(!detail::is_own_wire<T>) struct Wire<std::set<T, C, A>> {
    using type = std::set<detail::WirePart<T>, detail::ReboundTo<C, T>,
                          detail::AllocatorOf<A, detail::WirePart<T>>>;
};
template <class T, class H, class E, class A>
requires(!detail::is_own_wire<T>) struct Wire<std::unordered_set<T, H, E, A>> {
    using type =
        std::unordered_set<detail::WirePart<T>, detail::ReboundTo<H, T>, detail::ReboundTo<E, T>,
                           detail::AllocatorOf<A, detail::WirePart<T>>>;
};
template <class K, class T, class C, class A>
requires(!detail::is_own_wire<K> || !detail::is_own_wire<T>) struct Wire<std::map<K, T, C, A>> {
    using type = std::map<detail::WirePart<K>, detail::WirePart<T>, detail::ReboundTo<C, K>,
                          detail::PairAllocatorOf<A, K, T>>;
};
template <class K, class T, class C, class A>
requires(!detail::is_own_wire<K> ||
         !detail::is_own_wire<T>) struct Wire<std::multimap<K, T, C, A>> {
    using type = std::multimap<detail::WirePart<K>, detail::WirePart<T>, detail::ReboundTo<C, K>,
                               detail::PairAllocatorOf<A, K, T>>;
};
template <class K, class T, class H, class E, class A>
requires(!detail::is_own_wire<K> ||
         !detail::is_own_wire<T>) struct Wire<std::unordered_map<K, T, H, E, A>> {
    using type =
        std::unordered_map<detail::WirePart<K>, detail::WirePart<T>, detail::ReboundTo<H, K>,
                           detail::ReboundTo<E, K>, detail::PairAllocatorOf<A, K, T>>;
};

} // namespace dshm::ship
