// retry: a callable that is called again when it throws.
//
//     auto careful = dshm::retry(download, {.delays = dshm::ExponentialBackOff{.n = 3}});
//     std::string page = careful("index");        // up to four attempts
//
// Source: Julia's retry and ExponentialBackOff.
#pragma once

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <utility>
#include <vector>

#include "dshm/timedwait.hpp"

namespace dshm {

// `n` delays: the first, then each `factor` times the one before, none above `max_delay`, each
// made longer by a random share of up to `jitter` of itself. Delays are in seconds.
struct ExponentialBackOff {
    std::size_t n = 1;
    double first_delay = 0.05;
    double max_delay = 10.0;
    double factor = 5.0;
    double jitter = 0.1;

    // Throws std::invalid_argument for a negative or infinite value.
    std::vector<std::chrono::duration<double>> delays() const;
};

// The pauses between attempts, one fewer than attempts: given one by one, or as a back-off.
class RetryDelays {
public:
    RetryDelays(ExponentialBackOff back_off = {}) : delays_(back_off.delays()) {}
    template <class Rep, class Period>
    RetryDelays(const std::vector<std::chrono::duration<Rep, Period>>& delays)
        : delays_(delays.begin(), delays.end()) {}
    template <class Rep, class Period>
    RetryDelays(std::initializer_list<std::chrono::duration<Rep, Period>> delays)
        : delays_(delays.begin(), delays.end()) {}

    const std::vector<std::chrono::duration<double>>& values() const { return delays_; }

private:
    std::vector<std::chrono::duration<double>> delays_;
};

struct RetryOptions {
    RetryDelays delays = {};
    // Whether to try again after this exception; empty: always. What is not a std::exception is
    // always tried again.
    std::function<bool(const std::exception&)> check = {};
};

namespace detail {

// Whether another attempt is wanted after the exception that is being handled.
bool wants_retry(const RetryOptions& options);

} // namespace detail

// A callable with f's parameters that calls f up to 1 + delays times, sleeping in between as
// sleep_for does; the last failure, or one that `check` refuses, goes on. Arguments are passed to
// each attempt as lvalues.
template <class F>
auto retry(F&& f, RetryOptions options = {}) {
    return [f = std::forward<F>(f),
            options = std::move(options)](auto&&... args) mutable -> decltype(auto) {
        for (const auto delay : options.delays.values()) {
            try {
                return std::invoke(f, args...);
            } catch (...) {
                if (!detail::wants_retry(options))
                    throw;
            }
            sleep_for(delay);
        }
        return std::invoke(f, args...);
    };
}

} // namespace dshm
