// How a map is told what to do: where its collections end and its keywords begin, and what becomes of
// an element that has failed, which the caller's handlers decide. Private to the map.
//
// First on_error: a value from it is the element's. If there is no handler, or it throws, the element is
// tried again while there are delays left and retry_check agrees. Else the failure is the map's: what
// the handler threw, or the element's own exception.
#pragma once

#include <chrono>
#include <exception>
#include <functional>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "dshm/keywords.hpp"
#include "dshm/ship/bitwise.hpp"

namespace dshm::detail {

// ---- collections in front, keywords behind -----------------------------------------------------

template <class... Args>
constexpr std::size_t collections_in_front() {
    std::size_t count = 0;
    static_cast<void>(((!Keyword<Args> && ++count != 0) && ...));
    return count;
}

// use(collections tuple, keywords...), both of references.
template <class Use, std::size_t... C, std::size_t... K, class Args>
decltype(auto) split_arguments(Use&& use, std::index_sequence<C...>, std::index_sequence<K...>,
                               Args args) {
    return use(std::tie(std::get<C>(args)...), std::get<sizeof...(C) + K>(args)...);
}
template <class Use, class... Args>
decltype(auto) split_arguments(Use&& use, Args&... args) {
    constexpr std::size_t collections = collections_in_front<Args...>();
    static_assert(collections != 0, "dshm: a map needs a collection behind its function.");
    return split_arguments(use, std::make_index_sequence<collections>(),
                           std::make_index_sequence<sizeof...(Args) - collections>(),
                           std::tie(args...));
}

// ---- failures ----------------------------------------------------------------------------------

template <class R>
using ValueOf = std::conditional_t<std::is_void_v<R>, ship::Unit, R>;

// One of the three.
template <class R>
struct Verdict {
    std::optional<ValueOf<R>> value;
    std::optional<std::chrono::duration<double>> again_after;
    std::exception_ptr failure;
};

struct NoKeyword {};

template <class R, class OnError, class Check>
class MapHandlers {
public:
    static constexpr bool has_handler = !std::is_same_v<OnError, NoKeyword>;
    static constexpr bool has_check = !std::is_same_v<Check, NoKeyword>;

    MapHandlers(const OnError& on_error, std::vector<std::chrono::duration<double>> delays,
                const Check& check)
        : on_error_(on_error), delays_(std::move(delays)), check_(check) {}

    // Whether errors of elements are looked at one by one.
    bool any() const { return has_handler || !delays_.empty(); }

    // About an element that has failed, after so many attempts that failed before.
    enum class Retry { possible, pointless };
    Verdict<R> judge(std::exception_ptr error, std::size_t attempt, Retry retry) {
        Verdict<R> verdict;
        verdict.failure = error;
        if constexpr (has_handler)
            ask_handler(error, verdict);
        if (verdict.value || retry == Retry::pointless || attempt >= delays_.size())
            return verdict;
        try {
            if (wants_retry(error))
                verdict.again_after = delays_[attempt];
        } catch (...) {
            verdict.failure = std::current_exception();
        }
        return verdict;
    }

private:
    // f(exception): what crosses processes always is a std::exception; here it may be anything.
    template <class F>
    static decltype(auto) with_exception(const std::exception_ptr& error, F&& f) {
        try {
            std::rethrow_exception(error);
        } catch (const std::exception& exception) {
            return f(exception);
        }
    }
    void ask_handler(const std::exception_ptr& error, Verdict<R>& verdict) {
        try {
            using Given = std::invoke_result_t<decltype(on_error_.handler)&, const std::exception&>;
            static_assert(std::is_void_v<R> || !std::is_void_v<Given>,
                          "dshm: on_error: the handler gives the value of an element that has "
                          "failed, so it must return one, unless the function itself returns "
                          "nothing.");
            verdict.value.emplace(with_exception(error, [&](const std::exception& e) -> ValueOf<R> {
                if constexpr (std::is_void_v<R>)
                    return static_cast<void>(std::invoke(on_error_.handler, e)), ship::Unit();
                else if constexpr (!std::is_void_v<Given>) // one sentence is enough
                    return static_cast<R>(std::invoke(on_error_.handler, e));
                else
                    throw;
            }));
        } catch (...) {
            verdict.failure = std::current_exception();
        }
    }
    bool wants_retry(const std::exception_ptr& error) {
        if constexpr (has_check)
            return with_exception(error, [&](const std::exception& e) {
                return static_cast<bool>(std::invoke(check_.check, e));
            });
        else
            return true;
    }

    OnError on_error_; // copies: a handler may change what it holds
    std::vector<std::chrono::duration<double>> delays_;
    Check check_;
};

} // namespace dshm::detail
