// pmap: a function of every element of a collection, computed by the workers, results in order.
//
//     auto decompositions = dshm::pmap([](const Eigen::MatrixXd& m) { return svdvals(m); }, matrices);
//     auto sums = dshm::pmap(std::plus<>{}, xs, ys, dshm::batch_size(8), dshm::progress("sums"));
//
// *Collections*: anything that can be gone through, once is enough: containers, strings, arrays,
// Eigen matrices (column by column), Ranges, SharedArrays, generators. Several are zipped and end
// with the shortest; matrices of different shape throw DimensionMismatch. Elements are shipped as
// arguments of a call are; those of SharedArrays and Ranges are not copied. What has no known length
// is taken as workers become free, so it may be longer than memory is large: each worker has at most
// two batches of a MiB, or of one element, under way.
//
// *Workers*: those alive at the call, or those of `on`; without any, this process. Each pulls its
// next batch when it is free. Batches find their size themselves, up to 100 µs of work, and what a
// worker has not begun is given to others that have nothing to do, so that a long element holds up
// at most a microsecond's worth of others. With `batch_size(n)` a batch is n elements and is never divided.
//
// *Failures*: without handlers nothing is started after the first failure was seen, what runs is
// waited for, and that failure is thrown. With `on_error`, `retry_delays` or `retry_check` every
// element fails on its own, in whatever batch: on_error's value takes its place; else it is tried
// again after a delay, which holds up no other, on whichever worker is free. The death of a worker is
// the failure of the element that it ran, a ProcessExitedException like any other exception; what it
// had finished in the same batch is lost and run again. If no worker is left, all that remain fail.
// Source of the semantics: Julia's pmap.
#pragma once

#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "dshm/detail/map_here.hpp"
#include "dshm/detail/map_run.hpp"
#include "dshm/keywords.hpp"
#include "dshm/progress.hpp"
#include "dshm/verify.hpp"

namespace dshm {

namespace detail {

// ---- keywords ----------------------------------------------------------------------------------

template <class R, class... Ks>
auto map_handlers(const Ks&... keywords) {
    const NoKeyword none;
    const auto& on_error = keyword_or<keyword::on_error>(none, keywords...);
    const auto& check = keyword_or<keyword::retry_check>(none, keywords...);
    std::vector<std::chrono::duration<double>> delays;
    if constexpr (has_keyword<keyword::retry_delays, Ks...>)
        delays = keyword_or<keyword::retry_delays>(none, keywords...).delays.values();
    return MapHandlers<R, std::decay_t<decltype(on_error)>, std::decay_t<decltype(check)>>(
        on_error, std::move(delays), check);
}

template <class... Ks>
std::vector<runtime::Membership::Member> map_workers(runtime::Process& process,
                                                     const Ks&... keywords) {
    if constexpr (has_keyword<keyword::on, Ks...>)
        return runtime::map_workers(process,
                                    &keyword_or<keyword::on>(NoKeyword(), keywords...).ids);
    else
        return runtime::map_workers(process, nullptr);
}

// run(on_progress), with a bar where the caller wants one.
template <class Run, class... Ks>
auto with_progress(std::optional<std::size_t> total, Run&& run, const Ks&... keywords) {
    if constexpr (has_keyword<keyword::progress, Ks...>) {
        ProgressBar bar(keyword_or<keyword::progress>(NoKeyword(), keywords...).text,
                        total.value_or(0));
        const auto update = [&bar](std::size_t done) { bar.update(done); };
        if constexpr (std::is_void_v<decltype(run(update))>) {
            run(update);
            bar.finish();
        } else {
            auto results = run(update);
            bar.finish();
            return results;
        }
    } else {
        return run([](std::size_t) {});
    }
}

// ---- the two kinds of map ----------------------------------------------------------------------

template <class... Cs>
auto zip_of(const char* caller, Cs&... collections) {
    require_same_shapes(caller, collections...);
    return Zip<ColumnOf<Cs>...>(collections...);
}

// One element after another, here, as it would be anywhere else. For the comparison.
template <class R, class F, class Input>
auto map_serially(F f, Input input, std::uint64_t stream) {
    runtime::IterationStream draws(stream);
    MapResults<R> results;
    for (auto piece = input.take(1); piece.count != 0; piece = input.take(1)) {
        draws.at(piece.first);
        if constexpr (std::is_void_v<R>)
            apply_encoded(f, input, piece);
        else
            results.land(piece.first, apply_encoded(f, input, piece));
    }
    return results.take();
}

// make_input() takes the collections from their beginning; once, where they can be gone through once.
template <class F, class MakeInput, class... Ks>
auto map_on_workers(const F& f, MakeInput&& make_input, const Ks&... keywords) {
    auto input = make_input();
    using Input = decltype(input);
    using Call = typename Input::template CallOf<F>;
    require_possible_map<Call>();
    if constexpr (Call::possible) { // one sentence is enough
        using R = typename Call::Result;
        const std::uint64_t stream = runtime::next_stream();
        runtime::MapPlan plan(
            map_workers(runtime::current(), keywords...),
            keyword_or<keyword::batch_size>(BatchSizeKeyword{0}, keywords...).size);
        MapRun map(f, input, map_handlers<R>(keywords...), std::move(plan), stream);
        const auto run = [&] {
            return with_progress(
                input.size(), [&](auto&& progress) { return map.run(progress); }, keywords...);
        };
        if constexpr (Input::repeatable)
            if (verifying()) [[unlikely]] {
                ArraySnapshot arrays;
                arrays.add_closure(f);
                return verified(
                    "pmap", arrays, run, [&] { return map_serially<R>(f, make_input(), stream); },
                    [&] { return !map.disturbed(); });
            }
        return run();
    }
}

template <class F, class Input, class... Ks>
auto map_here(F& f, Input& input, std::size_t at_a_time, const Ks&... keywords) {
    using R = typename CallHere<F, Input>::Result;
    MapHere map(f, input, map_handlers<R>(keywords...), at_a_time, HereErrors::as_remote);
    return with_progress(
        input.size(), [&](auto&& progress) { return map.run(progress); }, keywords...);
}

// `collections` is a tuple of references.
template <class F, class Collections, class... Ks>
auto map_as_told(F& f, Collections collections, const Ks&... keywords) {
    Accepts<keyword::on, keyword::batch_size, keyword::on_error, keyword::retry_delays,
            keyword::retry_check, keyword::locally, keyword::progress>::template check<Ks...>();
    const auto make_input = [&] {
        return std::apply([](auto&... cs) { return zip_of("pmap", cs...); }, collections);
    };
    if constexpr (has_keyword<keyword::locally, Ks...>) {
        const auto workers = map_workers(runtime::current(), keywords...);
        auto input = make_input();
        return map_here(f, input, workers.size(), keywords...);
    } else {
        ship::detail::require_shippable_closure<std::decay_t<F>>();
        const std::decay_t<F>& function = f; // a pointer, where f is a function
        return map_on_workers(function, make_input, keywords...);
    }
}

} // namespace detail

// The results of f(element, ...) in the order of the collections, or nothing when f gives nothing.
// Keywords: on, batch_size, on_error, retry_delays, retry_check, locally, progress (keywords.hpp).
// With `locally` the elements are local tasks of this process, as many at a time as there are
// workers, and f need not be fit for sending. Throws ProcessExitedException when no worker of `on` is
// alive, std::invalid_argument for an unknown one.
template <class F, class... Args>
requires(sizeof...(Args) != 0) auto pmap(F&& f, Args&&... args) {
    return detail::split_arguments(
        [&f](auto collections, const auto&... keywords) {
            return detail::map_as_told(f, collections, keywords...);
        },
        args...);
}

} // namespace dshm
