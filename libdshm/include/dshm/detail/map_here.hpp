// A map in this process: local tasks, one for each element, some at a time. Private to the map.
//
// Elements are not copied and f is called where it is, so neither need be fit for sending. On the
// caller's thread; the tasks run when it waits (runtime/local_tasks.hpp). However it is left, the
// tasks that have begun have ended.
#pragma once

#include <algorithm>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "dshm/detail/map_handlers.hpp"
#include "dshm/detail/map_pieces.hpp"
#include "dshm/detail/map_queue.hpp"
#include "dshm/detail/map_results.hpp"
#include "dshm/runtime/local_tasks.hpp"
#include "dshm/runtime/sync_scope.hpp"
#include "dshm/runtime/task_stream.hpp"
#include "dshm/ship/exception_record.hpp"

namespace dshm::detail {

// f of one element: called with what lies in the collections, or with copies for an f that wants
// values of its own, or else with what it would be given in another process.
template <class F, class Input>
class CallHere {
    using Piece = typename Input::Piece;
    static constexpr bool takes_elements = Input::template takes_elements<F>;
    static constexpr bool takes_values = Input::template takes_values<F>;

    template <class Use>
    static decltype(auto) any_way(Use&& use) {
        if constexpr (takes_elements)
            return use.elements();
        else if constexpr (takes_values)
            return use.values();
        else
            return use.encoded();
    }
    struct With {
        F& f;
        Input& input;
        Piece& piece;
        decltype(auto) elements() const { return input.apply_elements(f, piece); }
        decltype(auto) values() const { return input.apply_values(f, piece); }
        auto encoded() const { return apply_encoded(f, input, piece); }
    };

public:
    using Result = ship::WireType<decltype(any_way(std::declval<With>()))>;

    static Result call(F& f, Input& input, Piece& piece) {
        if constexpr (std::is_void_v<Result>)
            any_way(With{f, input, piece});
        else
            return static_cast<Result>(any_way(With{f, input, piece}));
    }
};

// What exceptions become on their way to the caller.
enum class HereErrors { as_thrown, as_remote };

template <class F, class Input, class Handlers>
class MapHere {
    using Piece = typename Input::Piece;
    using Call = CallHere<F, Input>;
    using R = typename Call::Result;
    using Time = os::Clock::time_point;
    // An element under way; its task writes into it.
    struct Element {
        Piece piece;
        std::optional<ValueOf<R>> value;
        std::exception_ptr error;
    };

public:
    MapHere(F& f, Input& input, Handlers handlers, std::size_t at_a_time, HereErrors errors)
        : f_(f), input_(input), queue_(input), handlers_(std::move(handlers)),
          at_a_time_(at_a_time), errors_(errors), stream_(runtime::next_stream()),
          tasks_(runtime::current()) {
        if (const auto size = input.size())
            results_.expect(*size);
    }

    template <class Progress>
    decltype(auto) run(Progress&& on_progress) {
        const runtime::SyncScope::Hidden hidden;
        const runtime::StreamScope scope(stream_);
        for (;;) {
            fill();
            if (tasks_.count() == 0 && !queue_.has_delayed())
                break;
            if (const auto ended = tasks_.wait(queue_.next_due()))
                settle(*ended);
            on_progress(done_);
        }
        if (failure_)
            std::rethrow_exception(failure_);
        return results_.take();
    }

private:
    void fill() {
        while (!failure_ && tasks_.count() < at_a_time_) {
            Piece piece = next_piece();
            if (piece.count == 0)
                return;
            auto element = std::make_unique<Element>();
            element->piece = std::move(piece);
            const std::size_t id = tasks_.start([this, e = element.get()] { run_one(*e); });
            under_way_.emplace(id, std::move(element));
        }
    }
    Piece next_piece() {
        try {
            return queue_.take(1);
        } catch (...) {
            fail(std::current_exception());
            return {};
        }
    }

    // In the element's task.
    void run_one(Element& element) noexcept {
        try {
            runtime::IterationStream stream(stream_);
            stream.at(element.piece.first);
            if constexpr (std::is_void_v<R>) {
                Call::call(f_, input_, element.piece);
                element.value.emplace();
            } else {
                element.value.emplace(Call::call(f_, input_, element.piece));
            }
        } catch (...) {
            element.error = on_its_way(std::current_exception());
        }
    }
    std::exception_ptr on_its_way(std::exception_ptr error) const {
        if (errors_ == HereErrors::as_thrown)
            return error;
        return ship::rebuild(ship::capture(std::move(error), runtime::current().id()));
    }

    void settle(std::size_t id) {
        const auto element = std::move(under_way_.extract(id).mapped());
        if (failure_)
            return;
        if (!element->value && !element->error) // cancelled before it began
            element->error = std::make_exception_ptr(InterruptException());
        if (element->value)
            return land(element->piece.first, std::move(*element->value));
        auto verdict =
            handlers_.judge(element->error, element->piece.attempt, Handlers::Retry::possible);
        if (verdict.value)
            return land(element->piece.first, std::move(*verdict.value));
        if (!verdict.again_after)
            return fail(verdict.failure);
        ++element->piece.attempt;
        queue_.again_after(*verdict.again_after, std::move(element->piece));
    }
    void land(std::size_t index, ValueOf<R> value) {
        if constexpr (std::is_void_v<R>)
            results_.land(index);
        else
            results_.land(index, std::move(value));
        ++done_;
    }
    void fail(std::exception_ptr error) {
        if (!failure_)
            failure_ = std::move(error);
        queue_.clear();
    }

    F& f_;
    Input& input_;
    MapQueue<Input> queue_;
    Handlers handlers_;
    std::size_t at_a_time_;
    HereErrors errors_;
    std::uint64_t stream_;
    MapResults<R> results_;
    std::size_t done_ = 0;
    std::exception_ptr failure_;
    std::map<std::size_t, std::unique_ptr<Element>> under_way_; // by task
    runtime::LocalTasks tasks_;                                 // ends first
};

} // namespace dshm::detail
