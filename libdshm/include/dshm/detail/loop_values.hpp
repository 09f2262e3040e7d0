// What comes out of a loop: the chunks' values, their combination, and its comparison with a serial
// run.
//
// For the library: distributed.hpp is the way in.
#pragma once

#include <cstddef>
#include <exception>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "dshm/detail/loop_participant.hpp"
#include "dshm/future.hpp"
#include "dshm/keywords.hpp"
#include "dshm/runtime/failure.hpp"
#include "dshm/runtime/sync_scope.hpp"
#include "dshm/ship/throw_recorder.hpp"
#include "dshm/verify.hpp"

namespace dshm::detail {

template <class Op, class X>
using ReducedType = std::decay_t<std::invoke_result_t<Op&, X, X>>;

struct NoInit {
    using keyword = keyword::init;
};

[[noreturn]] void throw_empty_reduction();

template <class Total, class V>
Total converted(const V& value) {
    static_assert(!std::is_floating_point_v<V> || !std::is_integral_v<Total>,
                  "dshm: init is a floating-point number, but the reduction gives integers: it "
                  "would be cut off; make the body or the operator give floating-point numbers.");
    return static_cast<Total>(value);
}

template <class Total, class Init>
Total value_of_nothing(const Init& first) {
    if constexpr (std::is_same_v<Init, NoInit>)
        throw_empty_reduction();
    else
        return converted<Total>(first.value);
}

template <class Op, class Init, class Total>
Total combined(Op& op, const Init& first, std::vector<Total> values) {
    std::size_t next = 0;
    const auto begin = [&]() -> Total {
        if constexpr (std::is_same_v<Init, NoInit>)
            return std::move(values[next++]);
        else
            return converted<Total>(first.value);
    };
    Total total = begin();
    for (; next < values.size(); ++next)
        total = op(std::move(total), std::move(values[next]));
    return total;
}

// Runs f() as a task of this process would be run: gives what such a task would have failed with,
// or null.
template <class F>
std::exception_ptr failure_here(F&& f) {
    const runtime::SyncScope::Hidden hidden;
    const ship::ThrowRecorder::Scope stack_of_throws;
    try {
        f();
    } catch (...) {
        return runtime::as_remote(std::current_exception(), myid());
    }
    return nullptr;
}

// The values that lie beside the chunks, all of which are done.
template <class R>
std::vector<R> values_in(const runtime::LoopChunks& chunks) {
    std::vector<R> values;
    values.reserve(chunks.plan().chunks);
    for (std::size_t chunk = 0; chunk < chunks.plan().chunks; ++chunk)
        values.push_back(*std::launder(reinterpret_cast<const R*>(chunks.result(chunk))));
    return values;
}

// The values that came with the participants' tasks, and those of this process's own.
template <class R>
std::vector<R> values_of(const runtime::ChunkLoop& loop, ChunkValues<R> own) {
    std::vector<std::optional<R>> placed(loop.chunks().plan().chunks);
    const auto place = [&](ChunkValues<R> values) {
        for (auto& [chunk, value] : values)
            placed[chunk].emplace(std::move(value));
    };
    place(std::move(own));
    loop.for_each_result([&](const runtime::TaskHandle& task) {
        place(task.read([](const runtime::ResultView& result) {
            ship::Reader reader(result.bytes.data(), result.bytes.size());
            return ship::decode<ChunkValues<R>>(reader);
        }));
    });
    std::vector<R> values;
    values.reserve(placed.size());
    for (auto& value : placed)
        values.push_back(std::move(value.value()));
    return values;
}

// What `on_workers` gives; compared with a serial run where that is asked for (verify.hpp).
template <class Call, class Work, class Part, class OnWorkers, class Here>
auto verified_loop(const Call& call, const Work& work, const Part& parts, OnWorkers&& on_workers,
                   Here&& serially) {
    using R = std::invoke_result_t<OnWorkers&>;
    if (!verifying()) [[likely]]
        return on_workers();
    ArraySnapshot arrays;
    arrays.add_closure(work);
    if constexpr (!sent_in_chunks<Part>)
        arrays.add(parts);
    if constexpr (!std::is_same_v<R, Future<void>>) {
        return verified("distributed", arrays, on_workers, serially,
                        [&] { return !call.repeated(); });
    } else {
        std::optional<Future<void>> loop;
        const auto to_its_end = [&] {
            loop.emplace(on_workers());
            loop->wait_for(forever);
        };
        verified("distributed", arrays, to_its_end, serially,
                 [&] { return !loop->loop()->failed() && !loop->loop()->repeated(); });
        return *loop;
    }
}

} // namespace dshm::detail
