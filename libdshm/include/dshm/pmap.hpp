// pmap: f for every element of a collection, on whichever worker is free, results in the order of
// the elements.
//
//     std::vector<Eigen::VectorXd> values = dshm::pmap([](const Eigen::MatrixXd& m) { return svdvals(m); }, matrices);
//
// Elements travel in batches that grow until one is worth its overhead; elements that take long
// travel alone, so the balance is as fine as it can be. A few batches for each worker are under way
// at a time, which bounds the memory taken. When a call fails, no new ones are started, those under
// way end, and the first failure that was seen is thrown.
#pragma once

#include <algorithm>
#include <chrono>
#include <exception>
#include <iterator>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "dshm/processes.hpp"
#include "dshm/spawn.hpp"

namespace dshm {

namespace detail {

// A batch grows until it takes this long: a hundred times what sending one costs.
inline constexpr std::chrono::nanoseconds batch_worth = std::chrono::microseconds(100);
// A batch grows at most so fast from one measurement to the next: the first elements may not be
// typical.
inline constexpr std::size_t batch_growth = 16;
// Batches under way for each worker: one runs, one waits, and some slack for their differing
// lengths.
inline constexpr std::size_t batches_per_worker = 4;

template <class F, class T>
using MapResult = std::decay_t<std::invoke_result_t<F&, const T&>>;

// Runs f over a batch. The elements are read in place where they are plain.
template <class F, class T>
struct MapBatch {
    using shipped_by_parts = ship::Parts<F>;
    using R = MapResult<F, T>;
    using Elements = std::conditional_t<ship::Bitwise<T> && !std::is_same_v<T, bool>,
                                        std::span<const T>, std::vector<T>>;
    F f;

    void visit_parts(auto&& visit) const { visit(f); }

    auto operator()(const Elements& elements) {
        const auto start = std::chrono::steady_clock::now();
        if constexpr (std::is_void_v<R>) {
            for (const auto& element : elements)
                f(element);
            return since(start);
        } else {
            std::vector<R> values;
            values.reserve(elements.size());
            for (const auto& element : elements)
                values.push_back(f(element));
            return std::pair<std::chrono::nanoseconds, std::vector<R>>(since(start),
                                                                       std::move(values));
        }
    }

private:
    static std::chrono::nanoseconds since(std::chrono::steady_clock::time_point start) {
        return std::chrono::steady_clock::now() - start;
    }
};

// Waits until any of the batches under way has ended. Looks at one of them each time it is asked.
template <class Batch>
class AnyBatch final : public runtime::WaitFor {
public:
    AnyBatch(runtime::Process& process, std::vector<Batch>& batches)
        : process_(&process), batches_(&batches) {}

    bool ready() override {
        next_ = next_ + 1 < batches_->size() ? next_ + 1 : 0;
        return (*batches_)[next_].future.isready() || (asleep_ && any());
    }
    void about_to_sleep() override {
        asleep_ = true;
        for (const Batch& batch : *batches_)
            runtime::TaskWait(*process_, batch.future.handle().task()).about_to_sleep();
    }
    bool interruptible() const override { return true; }
    void for_each_key(const std::function<void(runtime::EventKey)>& f) const override {
        for (const Batch& batch : *batches_)
            f(runtime::task_key(batch.future.handle().task().index));
    }
    std::size_t ended() const { return next_; }

private:
    bool any() {
        for (next_ = 0; next_ < batches_->size(); ++next_)
            if ((*batches_)[next_].future.isready())
                return true;
        next_ = 0;
        return false;
    }

    runtime::Process* process_;
    std::vector<Batch>* batches_;
    std::size_t next_ = 0;
    bool asleep_ = false;
};

// One pmap under way: what has been sent, what has come back.
template <class F, class Iterator>
class Map {
    using T = typename std::iterator_traits<Iterator>::value_type;
    using Work = MapBatch<F, T>;
    using R = typename Work::R;
    using Reply = CallResult<Work, std::vector<T>>;
    using Slot = std::conditional_t<std::is_void_v<R>, char, std::optional<R>>;

    struct Batch {
        std::size_t first;
        std::size_t count;
        Future<Reply> future;
    };

public:
    Map(const F& f, Iterator begin, std::size_t size)
        : process_(runtime::current()), work_{f}, begin_(begin), size_(size), results_(size) {}

    std::vector<Slot> run() {
        const runtime::SyncScope::Hidden hidden;
        const std::size_t most =
            batches_per_worker * static_cast<std::size_t>(std::max(nworkers(), 1));
        while (next_ < size_ || !under_way_.empty()) {
            while (!failure_ && next_ < size_ && under_way_.size() < most)
                send();
            if (under_way_.empty())
                break;
            receive();
        }
        if (failure_)
            std::rethrow_exception(failure_);
        return std::move(results_);
    }

private:
    void send() {
        const std::size_t count = std::min(batch_, size_ - next_);
        under_way_.push_back({next_, count, send_batch(count)});
        next_ += count;
    }

    Future<Reply> send_batch(std::size_t count) {
        const Iterator from = begin_ + static_cast<std::ptrdiff_t>(next_);
        if constexpr (ship::Bitwise<T> && std::contiguous_iterator<Iterator>)
            return start_call(std::nullopt, work_, std::span<const T>(&*from, count));
        else
            return start_call(std::nullopt, work_,
                              std::vector<T>(from, from + static_cast<std::ptrdiff_t>(count)));
    }

    void receive() {
        AnyBatch<Batch> any(process_, under_way_);
        process_.scheduler().wait(any);
        const Batch batch = std::move(under_way_[any.ended()]);
        under_way_.erase(under_way_.begin() + static_cast<std::ptrdiff_t>(any.ended()));
        try {
            keep(batch, batch.future.get());
        } catch (...) {
            if (!failure_)
                failure_ = std::current_exception();
        }
    }

    void keep(const Batch& batch, Reply reply) {
        if constexpr (std::is_void_v<R>) {
            adapt(batch, reply);
        } else {
            for (std::size_t i = 0; i < batch.count; ++i)
                results_[batch.first + i].emplace(std::move(reply.second[i]));
            adapt(batch, reply.first);
        }
    }

    void adapt(const Batch& batch, std::chrono::nanoseconds time) {
        const double each =
            std::max(1.0, static_cast<double>(time.count()) / static_cast<double>(batch.count));
        const auto wanted =
            static_cast<std::size_t>(static_cast<double>(batch_worth.count()) / each);
        const std::size_t shares = 3 * static_cast<std::size_t>(std::max(nworkers(), 1));
        const std::size_t fair = std::max<std::size_t>(1, (size_ - next_) / shares);
        batch_ = std::clamp<std::size_t>(wanted, 1, std::min(batch.count * batch_growth, fair));
    }

    runtime::Process& process_;
    Work work_;
    Iterator begin_;
    std::size_t size_;
    std::size_t next_ = 0;
    std::size_t batch_ = 1;
    std::vector<Batch> under_way_;
    std::vector<Slot> results_;
    std::exception_ptr failure_;
};

} // namespace detail

// The results of f(element) in the order of the collection, a random-access range; nothing when f
// gives nothing. Runs on this process when there are no workers. Throws the first failure seen.
template <class F, class Collection>
requires std::random_access_iterator<decltype(std::begin(std::declval<const Collection&>()))>
auto pmap(const F& f, const Collection& collection) {
    using Function = std::decay_t<F>;
    ship::detail::require_shippable_closure<Function>();
    using Iterator = decltype(std::begin(collection));
    detail::Map<Function, Iterator> map(f, std::begin(collection), std::size(collection));
    using R = detail::MapResult<Function, typename std::iterator_traits<Iterator>::value_type>;
    if constexpr (std::is_void_v<R>) {
        map.run();
    } else {
        auto slots = map.run();
        std::vector<R> results;
        results.reserve(slots.size());
        for (auto& slot : slots)
            results.push_back(std::move(*slot));
        return results;
    }
}

} // namespace dshm
