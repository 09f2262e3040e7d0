// select: waits for the first of several channels and futures.
//
//     switch (dshm::select(jobs, stop)) {      // a channel and a future
//     case 0: work(jobs.take()); break;        // another taker may have been faster: see try_take
//     case 1: return;
//     }
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <span>

#include "dshm/remote_channel.hpp"
#include "dshm/wait_any.hpp"

namespace dshm {

namespace detail {

// Something that a wait may be for, as a wait sees it.
class Selectable {
public:
    virtual bool ready() const = 0;
    // Asked outside the wait, of one that was ready: false when only a part of a loop has ended.
    virtual bool really() const { return true; }
    virtual void about_to_sleep() const = 0;
    virtual void for_each_key(const std::function<void(runtime::EventKey)>& f) const = 0;

protected:
    ~Selectable() = default;
};

template <class T>
class SelectFrom;
template <class T>
class SelectFrom<Future<T>> final : public Selectable {
public:
    explicit SelectFrom(const Future<T>& future) : future_(&future) {}
    bool ready() const override { return future_->news(); }
    bool really() const override { return future_->isready(); }
    void about_to_sleep() const override { future_->announce_waiting(); }
    void for_each_key(const std::function<void(runtime::EventKey)>& f) const override {
        future_->for_each_key(f);
    }

private:
    const Future<T>* future_;
};
// Ready when there is something to take, and when nothing will come any more.
template <class T>
class SelectFrom<RemoteChannel<T>> final : public Selectable {
public:
    explicit SelectFrom(const RemoteChannel<T>& channel) : channel_(&channel.channel()) {
        channel_->begin_wait(runtime::Channel::Side::takers);
    }
    SelectFrom(const SelectFrom&) = delete;
    SelectFrom& operator=(const SelectFrom&) = delete;
    ~SelectFrom() { channel_->end_wait(runtime::Channel::Side::takers); }
    bool ready() const override {
        if (is_ready())
            return true;
        // The wake went to somebody else of this process, or in vain.
        if (!armed_ || channel_->is_announced(runtime::Channel::Side::takers))
            return false;
        about_to_sleep();
        return is_ready();
    }
    void about_to_sleep() const override {
        armed_ = true;
        channel_->about_to_sleep(runtime::Channel::Side::takers);
    }
    void for_each_key(const std::function<void(runtime::EventKey)>& f) const override {
        f(channel_->key(runtime::Channel::Side::takers));
    }

private:
    bool is_ready() const {
        return channel_->state() != runtime::ChannelState::open || channel_->has_message();
    }

    runtime::Channel* channel_;
    mutable bool armed_ = false;
};

std::size_t select(std::span<const Selectable* const> sources);

} // namespace detail

// Waits until one of the channels has a message or is closed, or one of the futures has ended, and
// gives its index; the lowest of several. Takes nothing. O(sources) for each look.
template <class... Sources>
requires(sizeof...(Sources) > 0) std::size_t select(const Sources&... sources) {
    return [](const detail::SelectFrom<Sources>&... from) {
        return detail::select(std::array<const detail::Selectable*, sizeof...(from)>{&from...});
    }(detail::SelectFrom<Sources>(sources)...);
}

} // namespace dshm
