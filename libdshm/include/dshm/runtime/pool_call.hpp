// Calls through a pool: take a worker, send, and see to it that it is given back.
//
// If the caller dies on the way, the launcher frees what it had taken (worker_pool.hpp).
#pragma once

#include <exception>

#include "dshm/runtime/call.hpp"
#include "dshm/runtime/worker_pool.hpp"
#include "dshm/ship/exceptions.hpp"

namespace dshm::runtime {

// Takes a worker and calls send(taken) until that has worked: a worker that ended after it was taken
// is not the caller's concern. One for which `send` throws is free again.
template <class Send>
auto send_through(const Pool& pool, const Send& send) {
    for (;;) {
        const TakenWorker taken = *pool.take(os::Clock::time_point::max());
        try {
            return send(taken);
        } catch (const ProcessExitedException&) {
            pool.give_back(taken);
            if (!taken.seat || pool.alive(taken.worker.owner))
                throw; // of something else
        } catch (...) {
            pool.give_back(taken);
            throw;
        }
    }
}

// Sends a call that gives the worker back at its end.
template <class F, class... Args>
TaskRef send_to_taken(const Pool& pool, const TakenWorker& taken, const F& f, const Args&... args) {
    const TaskRef task =
        send_pooled_call<F>(pool.process(), taken.worker, pool.place_of(taken), f, args...);
    pool.hand_over(taken);
    return task;
}

} // namespace dshm::runtime
