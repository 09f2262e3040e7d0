// distributed: a loop over a range, split over the workers.
//
//     long heads = dshm::distributed(std::plus<>{}, dshm::range(0, 200'000'000), [](long i) { return toss(i); });
//
// Julia's static split: with n elements and w workers each gets n / w, the first n mod w one more,
// chunk i on workers()[i]. The body's closure is copied to each worker, so assignments to captured
// copies stay there. Without workers this process runs all of it. The loop starts at the workers
// that are alive at the call; one that dies fails the loop.
#pragma once

#include <algorithm>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include "dshm/processes.hpp"
#include "dshm/range.hpp"
#include "dshm/spawn.hpp"

namespace dshm {

enum class Schedule {
    static_, // one chunk for each worker, as in Julia
};

// The keyword for a loop's schedule.
struct ScheduleKeyword {
    Schedule value;
};
constexpr ScheduleKeyword schedule(Schedule value) { return {value}; }

namespace detail {

// What the body is given for each element of a range.
template <class R>
using ElementOf = std::decay_t<decltype(*std::begin(std::declval<const R&>()))>;

// The part of a range that one worker gets: a Range stays one, elements of a container are copied.
inline Range part_of(const Range& range, std::size_t from, std::size_t to) {
    return range.part(from, to);
}
template <class C>
std::vector<ElementOf<C>> part_of(const C& container, std::size_t from, std::size_t to) {
    const auto begin = std::begin(container);
    return {begin + static_cast<std::ptrdiff_t>(from), begin + static_cast<std::ptrdiff_t>(to)};
}

// Calls f(element) for each. A loop over plain numbers, so that the compiler sees what a
// hand-written one would be.
template <class F>
void each(const Range& range, F&& f) {
    if (range.step() == 1) {
        for (std::ptrdiff_t i = range.first(), last = range.last(); i < last; ++i)
            f(i);
        return;
    }
    std::ptrdiff_t i = range.first();
    for (std::size_t n = range.size(); n > 0; --n, i += range.step())
        f(i);
}
template <class T, class F>
void each(const std::vector<T>& elements, F&& f) {
    for (const T& element : elements)
        f(element);
}

// The work of one worker; what the user's callables hold is looked at one by one.
template <class Body>
struct RunChunk {
    using shipped_by_parts = ship::Parts<Body>;
    Body body;

    void visit_parts(auto&& visit) const { visit(body); }

    template <class Part>
    void operator()(const Part& part) {
        each(part, [this](const auto& element) { body(element); });
    }
};

template <class Op, class Body, class R>
struct ReduceChunk {
    using shipped_by_parts = ship::Parts<Op, Body>;
    Op op;
    Body body;

    void visit_parts(auto&& visit) const { visit(op, body); }

    R operator()(const Range& part) {
        R total = static_cast<R>(body(part[0]));
        each(part.part(1, part.size()),
             [&](std::ptrdiff_t i) { total = op(std::move(total), body(i)); });
        return total;
    }
    template <class T>
    R operator()(const std::vector<T>& part) {
        R total = static_cast<R>(body(part[0]));
        for (std::size_t i = 1; i < part.size(); ++i)
            total = op(std::move(total), body(part[i]));
        return total;
    }
};

struct Split {
    std::size_t elements;
    std::size_t chunks;
    std::size_t first(std::size_t chunk) const {
        return chunk * (elements / chunks) + std::min(chunk, elements % chunks);
    }
};

inline Split split_over(std::size_t elements, std::size_t processes) {
    return {elements, std::min(elements, processes)};
}

// Sends work(part) for every chunk to its worker.
template <class R, class Work>
auto start_chunks(const R& range, const Work& work) {
    runtime::Process& process = runtime::current();
    const std::vector<WorkerId> ids = workers();
    const Split split = split_over(std::size(range), ids.size());
    using Part = decltype(part_of(range, 0, 0));
    using Result = CallResult<Work, Part>;
    std::vector<Future<Result>> futures;
    futures.reserve(split.chunks);
    for (std::size_t chunk = 0; chunk < split.chunks; ++chunk)
        futures.push_back(start_call(runtime::member_of(process, ids[chunk]), work,
                                     part_of(range, split.first(chunk), split.first(chunk + 1))));
    return futures;
}

template <class Op, class Body, class R>
using ReducedType =
    std::decay_t<std::invoke_result_t<Op&, std::invoke_result_t<Body&, ElementOf<R>>,
                                      std::invoke_result_t<Body&, ElementOf<R>>>>;

} // namespace detail

// Reduces body(element) over the range, from left to right in each chunk, then over the chunks in
// their order: `op` must be associative and need not be commutative. Waits. An empty range throws
// std::invalid_argument. Throws the failure of the first chunk, in order, that failed, after all
// have ended.
template <class Op, class R, class Body>
requires std::is_invocable_v<Body&, detail::ElementOf<R>>
auto distributed(const Op& op, const R& range, const Body& body,
                 ScheduleKeyword = {Schedule::static_}) {
    using Operator = std::decay_t<Op>;
    using Function = std::decay_t<Body>;
    using Total = detail::ReducedType<Operator, Function, R>;
    ship::detail::require_shippable_closure<Operator>();
    ship::detail::require_shippable_closure<Function>();
    if (std::size(range) == 0)
        throw std::invalid_argument(
            "dshm: distributed with an operator over an empty range has no value");
    const runtime::SyncScope::Hidden hidden;
    const auto chunks =
        detail::start_chunks(range, detail::ReduceChunk<Operator, Function, Total>{op, body});
    for (const auto& chunk : chunks)
        chunk.handle().wait();
    Operator combine = op;
    Total total = chunks[0].get();
    for (std::size_t i = 1; i < chunks.size(); ++i)
        total = combine(std::move(total), chunks[i].get());
    return total;
}

// Runs body(element) for every element. Returns at once; `sync` waits for it, or the future. A
// failure that nobody looks at is printed.
template <class R, class Body>
requires std::is_invocable_v<Body&, detail::ElementOf<R>> Future<void>
distributed(const R& range, const Body& body, ScheduleKeyword = {Schedule::static_}) {
    using Function = std::decay_t<Body>;
    ship::detail::require_shippable_closure<Function>();
    return Future<void>::join(detail::start_chunks(range, detail::RunChunk<Function>{body}));
}

} // namespace dshm
