// distributed: a loop over a range, split over the workers.
//
//     long heads = dshm::distributed(std::plus<>{}, dshm::range(0, 200'000'000), [](long i) { return toss(i); });
//
//     dshm::sync([&] {
//         dshm::distributed(dshm::range2(rows, columns), [S](long i, long j) { S(i, j) = f(i, j); },
//                           dshm::schedule(dshm::Schedule::guided));
//     });
//
// The body is given an index, two of them (range2), an element of a SharedArray itself, or one of any
// other container with random access by const reference. It is copied to each worker, so assignments to captured
// copies stay there. The range is evaluated once.
//
// Schedules. `static_`, the default, is Julia's: with n elements and w workers each gets n / w, the
// first n mod w one more, part i on workers()[i]; with chunk(c), chunks of c dealt out in turn.
// `dynamic`: chunks of c elements, or 1/32 of a worker's share, each for whoever is free. `guided`:
// the same with chunks that become smaller, down to c. A loop has at most 65,536 chunks.
//
// The loop runs on the workers that are alive at the call, or on those of `on(...)`, among them this
// process if it is named: it then works along while it waits. Without workers it runs here. A worker
// that dies fails the loop with ProcessExitedException unless `retries(n)` lets others run its chunks
// again, each up to n times; a body that is repeated starts over with the elements of its chunk.
//
// Keywords: on, schedule, chunk, retries, progress, and with an operator init.
#pragma once

#include <stdexcept>
#include <type_traits>
#include <utility>

#include "dshm/detail/loop_call.hpp"
#include "dshm/keywords.hpp"

namespace dshm {

// Reduces body(element) over the range, from left to right in each chunk, then over the chunks in
// their order, under every schedule: `op` must be associative and need not be commutative. Waits.
// Gives a value of op's type, `init` in front if there is one. An empty range gives `init`, and
// without one throws std::invalid_argument. Throws the failure of the first chunk, in order, that
// failed: after all have ended under the static schedule; under the others, after those under way.
// What the operator throws over the chunks' values goes on as it is. Interrupted, it asks the workers
// to stop. O(workers) for the caller, and O(chunks) for the values.
template <class Op, class R, class Body, detail::Keyword... Ks>
requires detail::LoopBody<Body, R>
auto distributed(const Op& op, const R& range, const Body& body, const Ks&... keywords) {
    namespace keyword = detail::keyword;
    detail::Accepts<keyword::on, keyword::schedule, keyword::chunk, keyword::retries,
                    keyword::progress, keyword::init>::template check<Ks...>();
    using Operator = std::decay_t<Op>;
    using Function = std::decay_t<Body>;
    using Total = detail::ReducedType<Operator, detail::BodyResult<Function, R>>;
    ship::detail::require_shippable_closure<Operator>();
    ship::detail::require_shippable_closure<Function>();
    const detail::NoInit none;
    const auto& first = detail::keyword_or<keyword::init>(none, keywords...);
    const auto& parts = detail::parts_of(range);
    detail::LoopCall call(parts.size(), keywords...);
    if (parts.size() == 0)
        return detail::value_of_nothing<Total>(first);
    using Work = detail::ReducePart<Operator, Function, Total, detail::PartsOf<R>>;
    const Work work{op, body};
    const auto total = [&](std::vector<Total> values) {
        Operator combine = op;
        return detail::combined(combine, first, std::move(values));
    };
    return detail::verified_loop(
        call, work, parts, [&] { return total(call.values(work, parts)); },
        [&] { return total(call.values_here(work, parts)); });
}

// Runs body(element) for every element. Returns at once; `sync` waits for it, or the future, which
// throws what failed: one exception, or a CompositeException in the order of the chunks. A failure
// that nobody looks at is printed. Lost chunks are run again, and the progress bar is drawn, while
// somebody waits.
template <class R, class Body, detail::Keyword... Ks>
requires detail::LoopBody<Body, R> Future<void> distributed(const R& range, const Body& body,
                                                            const Ks&... keywords) {
    namespace keyword = detail::keyword;
    detail::Accepts<keyword::on, keyword::schedule, keyword::chunk, keyword::retries,
                    keyword::progress>::template check<Ks...>();
    using Function = std::decay_t<Body>;
    ship::detail::require_shippable_closure<Function>();
    const auto& parts = detail::parts_of(range);
    detail::LoopCall call(parts.size(), keywords...);
    const detail::RunPart<Function, detail::PartsOf<R>> work{body};
    return detail::verified_loop(
        call, work, parts, [&] { return call.begin(work, parts); },
        [&] { call.run_here(work, parts); });
}

} // namespace dshm
