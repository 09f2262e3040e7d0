// Callables that a CachingPool has stored: what calls send instead of them, and the task behind.
//
// A stored callable is an object of the segment with the bytes that would have been sent. For the
// library: caching_pool.hpp is the way in.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "dshm/runtime/pool_call.hpp"

namespace dshm {

namespace detail {

// A callable that lies in an object of the segment. In a payload it is the handle of that object and
// of all that the callable holds, so that they last as long as the call.
class StoredCallable {
public:
    using shipped_by_copy = void; // see ship/shipping.hpp
    using Handles = std::vector<ship::HandleRef>;

    StoredCallable(runtime::ObjectHandle object, std::shared_ptr<const Handles> inner)
        : object_(std::move(object)), inner_(std::move(inner)) {}
    StoredCallable(const StoredCallable& other);
    StoredCallable& operator=(const StoredCallable&) = delete;

    // The callable, decoded once in this process.
    template <class F>
    std::shared_ptr<const F> get() const {
        const auto decode = [this]() -> std::shared_ptr<const void> {
            ship::Reader reader = bytes();
            return std::make_shared<const F>(ship::read_closure<F>(reader));
        };
        return std::static_pointer_cast<const F>(find(decode));
    }

private:
    ship::Reader bytes() const;
    std::shared_ptr<const void>
    find(const std::function<std::shared_ptr<const void>()>& decode) const;

    runtime::ObjectHandle object_;
    std::shared_ptr<const Handles> inner_; // empty in a payload
};

// The callables that one pool has stored.
class StoredCallables {
public:
    using Store = std::function<StoredCallable(std::shared_ptr<const void>& kept)>;

    StoredCallables();
    // The one of that type with these bytes; `store` makes it, and a copy that keeps what it holds.
    StoredCallable find(const void* type, std::span<const std::byte> image, const Store& store);
    void clear();
    std::size_t size() const;

private:
    struct Entries;
    std::shared_ptr<Entries> entries_;
};

template <class F>
inline constexpr char callable_type = 0; // its address stands for F

template <class F>
StoredCallable store_callable(const F& f) {
    ship::Sizer sizer;
    ship::write_closure(sizer, f);
    const ship::Footprint need = sizer.footprint();
    runtime::ObjectHandle object(
        need.size, {.kind = runtime::object_kind::value, .user = {need.size, 0, 0, 0}});
    ship::HandleList handles;
    ship::Writer writer(static_cast<std::byte*>(object.address()), need.size);
    writer.list_handles(&handles);
    ship::write_closure(writer, f);
    runtime::current().counters().add(runtime::Count::bytes_sent, need.size);
    const auto view = handles.view();
    return {std::move(object), std::make_shared<StoredCallable::Handles>(view.begin(), view.end())};
}

// The task behind a call of a stored callable: handle, then arguments.
template <class F, class... Args>
void run_stored(runtime::Execution& execution) {
    using Result = ship::ResultOf<F, Args...>;
    ship::Reader reader = execution.arguments();
    const auto stored = ship::copy_out_of<StoredCallable>(reader);
    const std::shared_ptr<const F> function = stored.get<F>();
    const auto call = [&](auto& callable) {
        if constexpr (std::is_void_v<Result>) {
            ship::invoke_decoded<Args...>(callable, reader);
            execution.give_nothing();
        } else {
            execution.give(Result(ship::invoke_decoded<Args...>(callable, reader)));
        }
    };
    if constexpr (ship::RemotelyInvocable<const F, Args...>) {
        call(*function);
    } else {
        F copy(*function);
        call(copy);
    }
}

template <class F, class... Args>
inline constexpr runtime::Operation stored_operation{&run_stored<F, Args...>,
                                                     runtime::detail::type_name<F>()};

template <class F, class... Args>
std::uint64_t function_for_stored() {
    static constinit std::atomic<std::uint64_t> session{0};
    static constinit std::atomic<std::uint64_t> cached{0};
    return runtime::function_of(stored_operation<F, Args...>, session, cached);
}

// Sends such a call to a worker that was taken; one that is not held is given back at once.
template <class F, class... Args>
runtime::TaskRef send_stored(const runtime::Pool& pool, const runtime::TakenWorker& taken,
                             bool held, const StoredCallable& stored, const Args&... args) {
    runtime::OutgoingTask task(pool.process(), taken.worker, held);
    task.allow_repeats();
    if (held)
        task.give_back(pool.place_of(taken));
    ship::Sizer sizer;
    ship::copy_into(sizer, stored);
    ship::encode(sizer, args...);
    const ship::Footprint need = sizer.footprint();
    ship::HandleList handles;
    ship::Writer writer(task.begin(function_for_stored<F, ship::WireType<Args>...>(), need),
                        need.size);
    writer.list_handles(&handles);
    ship::copy_into(writer, stored);
    ship::encode(writer, args...);
    const runtime::TaskRef sent = task.send(writer.written(), handles);
    if (held)
        pool.hand_over(taken);
    else
        pool.give_back(taken);
    return sent;
}

} // namespace detail

} // namespace dshm
