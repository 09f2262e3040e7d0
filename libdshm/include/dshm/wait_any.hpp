// Waiting for several futures.
//
//     std::vector<dshm::Future<double>> parts = ...;
//     std::size_t first = dshm::wait_any(parts);     // the index of one that has ended
//     dshm::wait_all(parts);                         // all of them; throws if any failed
//     dshm::wait_all(an_int, a_string);              // of any types
#pragma once

#include <array>
#include <exception>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "dshm/errors.hpp"
#include "dshm/future.hpp"

namespace dshm {

namespace detail {

template <class T>
inline constexpr bool is_future = false;
template <class T>
inline constexpr bool is_future<Future<T>> = true;

template <class C>
concept RangeOfFutures = is_future<std::decay_t<decltype(*std::begin(std::declval<const C&>()))>>;

// What a wait asks of a future, whatever its type.
struct AnyFuture {
    const void* future;
    bool (*news)(const void*); // isready() may say something new: only looks
    bool (*ready)(const void*);
    void (*announce)(const void*);
    void (*keys)(const void*, const std::function<void(runtime::EventKey)>&);
    void (*wait)(const void*);

    template <class T>
    static AnyFuture of(const Future<T>& future) {
        return {&future,
                [](const void* f) { return static_cast<const Future<T>*>(f)->news(); },
                [](const void* f) { return static_cast<const Future<T>*>(f)->isready(); },
                [](const void* f) { static_cast<const Future<T>*>(f)->announce_waiting(); },
                [](const void* f, const auto& use) {
                    static_cast<const Future<T>*>(f)->for_each_key(use);
                },
                [](const void* f) { static_cast<const Future<T>*>(f)->wait(); }};
    }
};

template <RangeOfFutures C>
std::vector<AnyFuture> any_futures(const C& futures) {
    std::vector<AnyFuture> any;
    for (const auto& future : futures)
        any.push_back(AnyFuture::of(future));
    return any;
}

// Throws std::invalid_argument for none.
std::size_t wait_any(std::span<const AnyFuture> futures);
// Throws a CompositeException of all failures, in order.
void wait_all(std::span<const AnyFuture> futures);

} // namespace detail

// Waits until one of them has ended, well or badly, and gives its index; the lowest of several.
// O(futures) for each look. Throws std::invalid_argument when there are none.
template <detail::RangeOfFutures C>
std::size_t wait_any(const C& futures) {
    return detail::wait_any(detail::any_futures(futures));
}
template <class T, class... Ts>
std::size_t wait_any(const Future<T>& first, const Future<Ts>&... rest) {
    return detail::wait_any(
        std::array{detail::AnyFuture::of(first), detail::AnyFuture::of(rest)...});
}

// Waits until all have ended; then throws one CompositeException, in their order, if any failed.
template <detail::RangeOfFutures C>
void wait_all(const C& futures) {
    detail::wait_all(detail::any_futures(futures));
}
template <class T, class... Ts>
void wait_all(const Future<T>& first, const Future<Ts>&... rest) {
    detail::wait_all(std::array{detail::AnyFuture::of(first), detail::AnyFuture::of(rest)...});
}

} // namespace dshm
