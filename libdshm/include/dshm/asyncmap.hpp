// asyncmap: a function of every element of a collection, by concurrent tasks of this process.
//
//     auto pages = dshm::asyncmap([&](const std::string& url) { return fetch_page(url); }, urls,
//                                 dshm::ntasks(10));
//
// For functions that wait: for futures, channels, sleep_for. Nothing is sent, so f may capture
// references, and neither elements nor results need be fit for sending. The tasks take turns on the
// caller's thread (on a thread other than the process's first one, some may run on that one while it
// waits). Source of the semantics: Julia's asyncmap.
#pragma once

#include "dshm/pmap.hpp"

namespace dshm {

namespace detail {

template <class F, class Collections, class... Ks>
auto asyncmap_as_told(F& f, Collections collections, const Ks&... keywords) {
    Accepts<keyword::ntasks>::template check<Ks...>();
    const std::size_t at_a_time =
        keyword_or<keyword::ntasks>(NtasksKeyword{100}, keywords...).count;
    auto input = std::apply([](auto&... cs) { return zip_of("asyncmap", cs...); }, collections);
    using R = typename CallHere<F, decltype(input)>::Result;
    return MapHere(f, input, map_handlers<R>(), at_a_time, HereErrors::as_thrown)
        .run([](std::size_t) {});
}

} // namespace detail

// The results of f(element, ...) in the order of the collections, which are those of pmap, or nothing
// when f gives nothing. At most ntasks(n) at a time, by default 100. After a failure nothing is
// started; when all that run have ended, the first failure is thrown, as it was thrown.
template <class F, class... Args>
requires(sizeof...(Args) != 0) auto asyncmap(F&& f, Args&&... args) {
    return detail::split_arguments(
        [&f](auto collections, const auto&... keywords) {
            return detail::asyncmap_as_told(f, collections, keywords...);
        },
        args...);
}

} // namespace dshm
