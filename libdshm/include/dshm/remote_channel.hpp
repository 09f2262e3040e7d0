// RemoteChannel<T>: a queue between any tasks of any processes.
//
//     dshm::RemoteChannel<int> jobs(32);
//     dshm::spawn([jobs] { for (int i = 0; i < 100; ++i) jobs.put(i); jobs.close(); });
//     for (int job : jobs) ...                       // until it is closed and drained
//
// Many producers and many consumers in any processes and threads; messages of one producer are
// taken in the order in which it put them. A handle of 32 bytes, captured and passed by value; the
// channel is freed with the last one. `put` waits while it is full, `take` while it is empty, and
// both let other tasks run. Messages of plain types up to 256 bytes lie in the channel itself,
// others are encoded once and decoded where they are taken.
//
// A process that dies leaves the channel working. One whose message was not quite put has not put
// it; one that died while it took a message leaves it to the next, who may have had later ones
// before. When the owner dies, every call throws ProcessExitedException. Source of the semantics:
// Julia's Channel and RemoteChannel.
#pragma once

#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dshm/errors.hpp"
#include "dshm/future.hpp"
#include "dshm/runtime/messages.hpp"
#include "dshm/runtime/object_handle.hpp"

namespace dshm {

// The capacity of a channel that takes what memory bears.
inline constexpr std::size_t unlimited = runtime::Channel::unlimited;

namespace detail {

using Deadline = os::Clock::time_point;
inline constexpr Deadline no_deadline = Deadline::max();

// Of the messages: as people read it, and as programs compare it.
struct ChannelType {
    std::string_view text;
    std::string_view key;
};

// What all channels share, whatever their type.
class ChannelHandle {
public:
    ChannelHandle(std::size_t capacity, int owner, std::size_t plain_bytes,
                  const ChannelType& type);
    static ChannelHandle create(const std::string& name, std::size_t capacity,
                                std::size_t plain_bytes, const ChannelType& type);
    static ChannelHandle open(const std::string& name, const ChannelType& type);
    ChannelHandle(const ChannelHandle& other);
    ChannelHandle& operator=(const ChannelHandle& other);

    // Throws std::logic_error when its session is over, ProcessExitedException when its owner is.
    runtime::Channel& channel() const;
    void close(std::exception_ptr exception) const;
    void require_fetchable() const;

private:
    explicit ChannelHandle(runtime::ObjectHandle object);

    runtime::ObjectHandle object_;
    runtime::Channel* channel_ = nullptr; // lives as long as the object; null in a payload
};

} // namespace detail

template <class T>
class RemoteChannel {
    static_assert(std::is_same_v<T, std::decay_t<T>>, "dshm: a channel's messages are values.");
    using Messages = runtime::Messages<T>;

public:
    using value_type = T;
    using shipped_by_copy = void; // see ship/shipping.hpp

    // Capacity 0 is a rendezvous: put returns when its message has been taken. Throws
    // std::invalid_argument for a negative capacity or an unknown owner, ProcessExitedException for
    // one that has ended, SharedMemoryExhausted.
    explicit RemoteChannel(std::size_t capacity = 1, int owner = myid())
        : handle_(capacity, owner, Messages::plain_bytes, type()) {}

    // By name, from any process of the session; freed with the last handle like any other. `create`
    // throws std::invalid_argument if the name is taken; `open` throws std::out_of_range if there is
    // none and std::invalid_argument if its messages are of another type, or it is an array.
    static RemoteChannel create(const std::string& name, std::size_t capacity = 1) {
        return RemoteChannel(
            detail::ChannelHandle::create(name, capacity, Messages::plain_bytes, type()));
    }
    static RemoteChannel open(const std::string& name) {
        return RemoteChannel(detail::ChannelHandle::open(name, type()));
    }

    // Throws InvalidStateException, or what `close` was given, when the channel is closed, and
    // SharedMemoryExhausted when a message has no room; then nothing was put.
    void put(const T& value) const { Messages::put(handle_.channel(), value, detail::no_deadline); }
    // False when there was no room (of a rendezvous: nobody waiting) at once, or in time.
    bool try_put(const T& value) const {
        return Messages::put(handle_.channel(), value, os::Clock::now());
    }
    template <class Rep, class Period>
    bool put_for(const T& value, std::chrono::duration<Rep, Period> time) const {
        return Messages::put(handle_.channel(), value, os::deadline_after(time));
    }
    // All of them, one after the other.
    template <class Range>
    void append(const Range& values) const {
        for (const auto& value : values)
            put(value);
    }

    // The oldest message. Throws what `close` was given, or InvalidStateException, when the channel
    // is closed and drained.
    T take() const { return *Messages::take(handle_.channel(), detail::no_deadline); }
    std::optional<T> try_take() const {
        return Messages::take(handle_.channel(), os::Clock::now());
    }
    template <class Rep, class Period>
    std::optional<T> take_for(std::chrono::duration<Rep, Period> time) const {
        return Messages::take(handle_.channel(), os::deadline_after(time));
    }
    // n messages; fewer only if the channel was closed.
    std::vector<T> take(std::size_t n) const {
        std::vector<T> taken;
        try {
            while (taken.size() < n)
                taken.push_back(take());
        } catch (const InvalidStateException&) {
            if (taken.empty() && n != 0)
                throw;
        }
        return taken;
    }
    // A copy of the oldest message, which stays. std::logic_error for a rendezvous.
    T fetch() const {
        handle_.require_fetchable();
        return Messages::fetch(handle_.channel());
    }
    // Until there is a message.
    void wait() const { runtime::wait_for_message(handle_.channel()); }

    bool isready() const { return handle_.channel().has_message(); }
    bool isempty() const { return !isready(); }
    bool isfull() const { return handle_.channel().is_full(); }
    bool isopen() const { return handle_.channel().state() == runtime::ChannelState::open; }
    std::size_t size() const { return handle_.channel().size(); }
    std::size_t capacity() const { return handle_.channel().head().capacity; }
    int where() const { return static_cast<int>(handle_.channel().head().owner); }

    // Wakes everybody who waits. What is in the channel can still be taken.
    void close() const { handle_.close(nullptr); }
    // The same; `exception` is thrown, by its own type, once the channel is drained.
    template <class E>
    requires std::is_class_v<E>
    void close(const E& exception) const { handle_.close(std::make_exception_ptr(exception)); }
    void close(std::exception_ptr exception) const { handle_.close(exception); }

    // Closes it when a process ends, with ProcessExitedException; up to eight processes. At once
    // for one that has ended.
    void bind(int worker) const { handle_.channel().bind(worker); }
    // Closes it when a task ends, with its exception if it failed. A task watches for that: on a
    // worker, or here whenever this process waits.
    template <class U>
    void bind(const Future<U>& future) const;

    // Takes until the channel is closed and drained; what `close` was given is thrown then.
    class iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = T;
        using difference_type = std::ptrdiff_t;
        using pointer = const T*;
        using reference = const T&;

        iterator() = default;
        explicit iterator(const RemoteChannel& channel)
            : channel_(std::make_shared<RemoteChannel>(channel)) {
            ++*this;
        }
        const T& operator*() const { return *value_; }
        const T* operator->() const { return value_.get(); }
        iterator& operator++() {
            try {
                value_ = std::make_shared<T>(channel_->take());
            } catch (const InvalidStateException&) {
                value_.reset();
            }
            return *this;
        }
        void operator++(int) { ++*this; }
        friend bool operator==(const iterator& a, const iterator& b) {
            return a.value_ == b.value_;
        }

    private:
        std::shared_ptr<RemoteChannel> channel_;
        std::shared_ptr<T> value_;
    };
    iterator begin() const { return iterator(*this); }
    iterator end() const { return iterator(); }

    // For the library.
    runtime::Channel& channel() const { return handle_.channel(); }

private:
    static detail::ChannelType type() {
        return {runtime::detail::type_name<T>(), runtime::detail::type_key<T>()};
    }
    explicit RemoteChannel(detail::ChannelHandle handle) : handle_(std::move(handle)) {}

    detail::ChannelHandle handle_;
};

template <class T>
template <class U>
void RemoteChannel<T>::bind(const Future<U>& future) const {
    const auto watch = [](const RemoteChannel& channel, const Future<U>& watched) {
        try {
            watched.wait();
            channel.close();
        } catch (...) {
            channel.close(std::current_exception());
        }
    };
    runtime::send_call(runtime::current(), std::nullopt, false, watch, *this, future);
}

// Julia's functions, over channels.
template <class T>
void wait(const RemoteChannel<T>& channel) {
    channel.wait();
}
template <class T>
bool isready(const RemoteChannel<T>& channel) {
    return channel.isready();
}
template <class T>
bool isopen(const RemoteChannel<T>& channel) {
    return channel.isopen();
}
template <class T, class V>
void put(const RemoteChannel<T>& channel, const V& value) {
    channel.put(value);
}
template <class T>
T take(const RemoteChannel<T>& channel) {
    return channel.take();
}
template <class T>
T fetch(const RemoteChannel<T>& channel) {
    return channel.fetch();
}
template <class T>
void close(const RemoteChannel<T>& channel) {
    channel.close();
}

} // namespace dshm
