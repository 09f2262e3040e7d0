// Calls on other processes.
//
//     auto sum = dshm::spawn([](const std::vector<double>& v) { return std::accumulate(v.begin(), v.end(), 0.0); }, numbers);
//     double value = dshm::fetch(sum);
//
// Arguments are copied, also for a call to this process; parameters may be values, const
// references, or views such as std::span<const T> that read in place. What can be shipped:
// ship/closure.hpp and ship/parameters.hpp. Nothing is sent if copying or encoding throws. All of
// these may be called from any process and any thread of the session.
#pragma once

#include <optional>
#include <utility>

#include "dshm/future.hpp"
#include "dshm/runtime/call.hpp"
#include "dshm/runtime/sync_scope.hpp"

namespace dshm {

namespace detail {

// A struct in between, because g++ cannot mangle what it stands for in a signature.
template <class F, class... Args>
struct CallResultOf {
    using type = ship::ResultOf<std::decay_t<F>, ship::WireType<Args>...>;
};
template <class F, class... Args>
using CallResult = typename CallResultOf<F, Args...>::type;

template <class F, class... Args>
Future<CallResult<F, Args...>> start_call(const std::optional<runtime::Membership::Member>& target,
                                          const F& f, const Args&... args) {
    runtime::Process& process = runtime::current();
    const runtime::TaskRef task =
        runtime::send_call<std::decay_t<F>>(process, target, true, f, args...);
    runtime::SyncScope::note(task);
    return Future<CallResult<F, Args...>>::of_task(task);
}

} // namespace detail

// Runs f(args...) on a worker, an idle one first. On this process, when it next waits, if there are
// no workers.
template <class F, class... Args>
auto spawn(const F& f, const Args&... args) {
    return detail::start_call(std::nullopt, f, args...);
}

// Runs f(args...) on one process. Throws ProcessExitedException when it has ended,
// std::invalid_argument for an unknown id.
template <class F, class... Args>
auto spawn_at(WorkerId id, const F& f, const Args&... args) {
    return detail::start_call(runtime::member_of(runtime::current(), id), f, args...);
}

// fetch(spawn(f, args...)).
template <class F, class... Args>
requires ship::RemotelyInvocable<std::decay_t<F>, ship::WireType<Args>...>
    detail::CallResult<F, Args...> fetch(const F& f, const Args&... args) {
    const runtime::SyncScope::Hidden hidden; // waited for here
    return spawn(f, args...).get();
}

// The value of f(args...) run on one process. One round trip: about 0.5 µs to a worker that is
// awake.
template <class F, class... Args>
detail::CallResult<F, Args...> fetch_from(WorkerId id, const F& f, const Args&... args) {
    const runtime::SyncScope::Hidden hidden;
    return spawn_at(id, f, args...).get();
}

// Julia's names for the same.
template <class F, class... Args>
auto remotecall(const F& f, WorkerId where, const Args&... args) {
    return spawn_at(where, f, args...);
}

// Waits until the call has ended and throws what it threw; the value stays in the future.
template <class F, class... Args>
auto remotecall_wait(const F& f, WorkerId where, const Args&... args) {
    const runtime::SyncScope::Hidden hidden;
    auto future = spawn_at(where, f, args...);
    future.wait();
    return future;
}

template <class F, class... Args>
auto remotecall_fetch(const F& f, WorkerId where, const Args&... args) {
    return fetch_from(where, f, args...);
}

// Sends the call and forgets it. A failure is printed there, to standard error.
template <class F, class... Args>
void remote_do(const F& f, WorkerId where, const Args&... args) {
    runtime::Process& process = runtime::current();
    runtime::send_call<std::decay_t<F>>(process, runtime::member_of(process, where), false, f,
                                        args...);
}

} // namespace dshm
