// dshm::parallel: algorithms of the standard library over shared memory, on all workers.
//
//     dshm::SharedVector<double> v(10'000'000);
//     dshm::parallel::for_each(v.begin(), v.end(), [](double& x) { x = f(x); });
//     dshm::parallel::transform(v.begin(), v.end(), v.begin(), [](double x) { return x * x; });
//     double sum = dshm::parallel::reduce(v.begin(), v.end(), 0.0);
//     dshm::parallel::sort(v.begin(), v.end());
//
// Iterators are contiguous ones (pointers, iterators of a span) into a SharedArray; others are
// refused by std::invalid_argument. Callables are sent like the body of `distributed`, and run where
// it would run them; without workers, here. All calls wait until nobody works on the elements any
// more, also when they throw: the failure of the first part that failed, so ProcessExitedException
// when a worker has died. Only a `reduce` that is interrupted throws at once: parts of it that run
// then are told to stop, and may go on reading for a while. for_each and transform take the
// keywords of `distributed`.
#pragma once

#include <algorithm>
#include <functional>
#include <iterator>
#include <type_traits>
#include <utility>

#include "dshm/detail/parallel_sort.hpp"
#include "dshm/detail/parallel_work.hpp"
#include "dshm/distributed.hpp"
#include "dshm/runtime/task_stream.hpp"

namespace dshm {

namespace parallel {

// f(x) for each element; what it gives is dropped. O(n / workers).
template <detail::SharedIterator It, class F, detail::Keyword... Ks>
void for_each(It first, It last, const F& f, const Ks&... keywords) {
    if (first == last)
        return;
    using T = std::remove_reference_t<std::iter_reference_t<It>>;
    const detail::EachElement<T, std::decay_t<F>> body{
        detail::place_of(first, last, "parallel::for_each"), f};
    detail::run_loop(last - first, body, keywords...);
}

// out[i] = f(x[i]); `out` may be `first`. Gives the end of what was written.
template <detail::SharedIterator It, detail::SharedIterator Out, class F, detail::Keyword... Ks>
Out transform(It first, It last, Out out, const F& f, const Ks&... keywords) {
    if (first == last)
        return out;
    const Out end = out + (last - first);
    const auto to = detail::place_of(out, end, "parallel::transform");
    to.require_writable("parallel::transform");
    const detail::TransformElement<std::iter_value_t<It>, std::iter_value_t<Out>, std::decay_t<F>>
        body{detail::place_of(first, last, "parallel::transform"), to, f};
    detail::run_loop(last - first, body, keywords...);
    return end;
}

// out[i] = f(x[i], y[i]).
template <detail::SharedIterator It, detail::SharedIterator It2, detail::SharedIterator Out,
          class F, detail::Keyword... Ks>
Out transform(It first, It last, It2 other, Out out, const F& f, const Ks&... keywords) {
    if (first == last)
        return out;
    const Out end = out + (last - first);
    const char* const call = "parallel::transform";
    const auto to = detail::place_of(out, end, call);
    to.require_writable(call);
    const detail::TransformPair<std::iter_value_t<It>, std::iter_value_t<It2>,
                                std::iter_value_t<Out>, std::decay_t<F>>
        body{detail::place_of(first, last, call),
             detail::place_of(other, other + (last - first), call), to, f};
    detail::run_loop(last - first, body, keywords...);
    return end;
}

// init, op'ed with the elements from left to right: `op` must be associative and need not be
// commutative. The value is the same for every number of workers: blocks of 4096 elements are
// reduced each, then their values. O(n / workers), and O(n / 4096) here.
template <detail::SharedIterator It, class T, class Op = std::plus<>>
T reduce(It first, It last, T init, const Op& op = {}) {
    if (first == last)
        return init;
    const auto size = static_cast<std::size_t>(last - first);
    const std::size_t slices = std::min(base::ceil_div(size, detail::reduction_block),
                                        4 * static_cast<std::size_t>(nworkers()));
    using Work = detail::ReduceSlice<T, std::iter_value_t<It>, std::decay_t<Op>>;
    const Work work{detail::place_of(first, last, "parallel::reduce"), op, {size, slices}};
    Op combine = op;
    T total = std::move(init);
    for (T& value :
         distributed(detail::Append(), range(0, static_cast<std::ptrdiff_t>(slices)), work))
        total = combine(std::move(total), std::move(value));
    return total;
}
template <detail::SharedIterator It>
std::iter_value_t<It> reduce(It first, It last) {
    return reduce(first, last, std::iter_value_t<It>{});
}

// Ascending by `less`, equal elements in any order. Needs as much shared memory again; where there is
// none, and for few elements or workers, this process sorts alone. Each worker sorts a part of a
// copy, then merges a part of the result back. If a worker dies or `less` throws, all elements are
// there once each, in some order; if this process dies meanwhile, they may not be.
// O(n log n / workers). Source of the selection: Varman et al., Merging multiple lists on
// hierarchical-memory multiprocessors, 1991.
template <detail::SharedIterator It, class Less = std::less<>>
void sort(It first, It last, const Less& less = {}) {
    using T = std::iter_value_t<It>;
    static_assert(std::is_trivially_copyable_v<T>,
                  "dshm: parallel::sort moves elements between processes, so their type must be "
                  "trivially copyable.");
    if (first == last)
        return;
    // One stream for all of it: how many loops it is made of depends on the number of workers.
    const runtime::StreamScope one_stream(runtime::next_stream());
    const auto size = static_cast<std::size_t>(last - first);
    const auto place = detail::place_of(first, last, "parallel::sort");
    place.require_writable("parallel::sort");
    ship::detail::require_shippable_closure<std::decay_t<Less>>();
    if (!detail::sort_on_workers<T>(place, size, less))
        std::sort(std::to_address(first), std::to_address(first) + size, less);
}

} // namespace parallel
} // namespace dshm
