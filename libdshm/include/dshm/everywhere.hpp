// everywhere: a call on every process, or on some; now, and on workers that come later.
#pragma once

#include <exception>
#include <optional>
#include <vector>

#include "dshm/errors.hpp"
#include "dshm/processes.hpp"
#include "dshm/runtime/task_stream.hpp"
#include "dshm/spawn.hpp"

namespace dshm {

namespace detail {

// Throws std::invalid_argument, before anything is sent, when one of the ids never was a process.
void check_ids(const std::vector<WorkerId>& ids);
// Makes a kept call on every process, and waits.
void make_everywhere(runtime::TaskRef call);

} // namespace detail

// Runs f(args...) on each listed process, as often as it is listed, at the same time, and waits for
// all. Throws one CompositeException in the order of the list if any of them failed. O(ids).
template <class F, class... Args>
void everywhere(const std::vector<WorkerId>& ids, const F& f, const Args&... args) {
    const runtime::SyncScope::Hidden hidden;
    using R = detail::CallResult<F, Args...>;
    detail::check_ids(ids);
    std::vector<std::optional<Future<R>>> calls(ids.size());
    std::vector<std::exception_ptr> failures;
    {
        const runtime::StreamScope one_stream_for_all(runtime::next_stream());
        for (std::size_t i = 0; i < ids.size(); ++i)
            try {
                calls[i] = spawn_at(ids[i], f, args...);
            } catch (const ProcessExitedException&) {
                // thrown again below, in its place
            }
    }
    for (std::size_t i = 0; i < ids.size(); ++i)
        try {
            if (!calls[i])
                runtime::member_of(runtime::current(), ids[i]);
            calls[i].value().wait();
        } catch (...) {
            failures.push_back(std::current_exception());
        }
    if (!failures.empty())
        throw CompositeException(std::move(failures));
}

// On every process, the caller included.
template <class F, class... Args>
requires ship::RemotelyInvocable<std::decay_t<F>, ship::WireType<Args>...>
void everywhere(const F& f, const Args&... args) { everywhere(procs(), f, args...); }

// The first argument of a call that later workers make as well.
struct Replay {};
inline constexpr Replay replay{};

// On every process, and on every worker that is added later, before its first task, in the order of
// these calls. Stored once. A worker on which it throws does not start: addprocs says why. Kept
// until the session ends.
template <class F, class... Args>
requires ship::RemotelyInvocable<std::decay_t<F>, ship::WireType<Args>...>
void everywhere(Replay, const F& f, const Args&... args) {
    detail::make_everywhere(runtime::keep_call<std::decay_t<F>>(runtime::current(), f, args...));
}

// On one process; gives the value.
template <class F, class... Args>
auto everywhere(WorkerId id, const F& f, const Args&... args) {
    return fetch_from(id, f, args...);
}

} // namespace dshm
