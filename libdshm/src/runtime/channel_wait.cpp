#include "dshm/runtime/channel_wait.hpp"

#include <algorithm>
#include <cstring>

#include "dshm/base/scope_guard.hpp"

namespace dshm::runtime {

namespace {

class ChannelWait final : public WaitFor {
public:
    ChannelWait(Channel& channel, Channel::Side side, const std::function<bool()>& attempt)
        : channel_(&channel), side_(side), attempt_(&attempt) {
        channel.begin_wait(side);
    }
    ~ChannelWait() { channel_->end_wait(side_); }

    bool ready() override {
        if (attempt())
            return true;
        // The wake went to somebody else of this process, or in vain, or came before the bell was armed.
        if (!armed_ || channel_->is_announced(side_))
            return false;
        about_to_sleep();
        return attempt();
    }
    void about_to_sleep() override {
        armed_ = true;
        channel_->about_to_sleep(side_);
    }
    bool interruptible() const override { return true; }
    void for_each_key(const std::function<void(EventKey)>& f) const override {
        f(channel_->key(side_));
    }
    void rethrow() const {
        if (error_)
            std::rethrow_exception(error_);
    }

private:
    // Once it has succeeded it is not made again. An exception waits for its own stack.
    bool attempt() {
        if (done_)
            return true;
        try {
            done_ = (*attempt_)();
        } catch (...) {
            error_ = std::current_exception();
            done_ = true;
        }
        return done_;
    }

    Channel* channel_;
    Channel::Side side_;
    const std::function<bool()>* attempt_;
    bool done_ = false, armed_ = false;
    std::exception_ptr error_;
};

} // namespace

bool wait_at(Channel& channel, Channel::Side side, const std::function<bool()>& attempt,
             os::Clock::time_point deadline) {
    ChannelWait wait(channel, side, attempt);
    const bool in_time = channel.process().scheduler().wait_until(wait, deadline);
    wait.rethrow();
    return in_time;
}

void wait_for_message(Channel& channel) {
    const auto ready = [&] {
        if (channel.has_message())
            return true;
        if (channel.state() != ChannelState::open)
            channel.throw_ended();
        return false;
    };
    wait_at(channel, Channel::Side::takers, ready, os::Clock::time_point::max());
}

namespace {

bool try_once(Channel& channel, const std::function<Channel::Put(std::uint64_t&)>& attempt,
              std::uint64_t& position) {
    channel.check_owner();
    switch (attempt(position)) {
    case Channel::Put::done:
        return true;
    case Channel::Put::full:
        return false;
    case Channel::Put::ended:
        break;
    }
    channel.throw_ended();
}

// Who took it, or nobody will.
bool await_taker(Channel& channel, std::uint64_t position, const std::function<void()>& taken_back,
                 os::Clock::time_point deadline) {
    const auto settled = [&] {
        return channel.taken(position) || channel.state() != ChannelState::open;
    };
    const auto withdraw = [&] {
        const bool back = channel.withdraw(position);
        if (back)
            taken_back();
        return back;
    };
    base::ScopeGuard interrupted(withdraw);
    const bool in_time = wait_at(channel, Channel::Side::putters, settled, deadline);
    interrupted.dismiss();
    if (!withdraw())
        return true;
    if (in_time)
        channel.throw_ended();
    return false;
}

} // namespace

bool put_at(Channel& channel, const std::function<Channel::Put(std::uint64_t&)>& attempt,
            const std::function<void()>& taken_back, os::Clock::time_point deadline) {
    std::uint64_t position = 0;
    const auto put = [&] { return try_once(channel, attempt, position); };
    if (!put() && !wait_at(channel, Channel::Side::putters, put, deadline))
        return false;
    return !channel.rendezvous() || await_taker(channel, position, taken_back, deadline);
}

// ---- messages in blocks ------------------------------------------------------------------------

void Message::take_block(std::size_t size) {
    const shm::Owner me = channel_->process().me();
    item_.block = channel_->process()
                      .heap()
                      .allocate(std::max<std::size_t>(size, 1), shm::Tag::own(me))
                      .offset;
    item_.slot = me.slot;
}

std::byte* Message::bytes() const { return channel_->process().segment().base() + item_.block; }

void Message::close(std::size_t written, const ship::HandleList& handles) {
    item_.size = written & largest_payload;
    if (handles.empty())
        return;
    if (handles.size() > most_handles)
        throw std::length_error("dshm: a message holds more than 65535 handles");
    const std::size_t start = base::round_up(written, alignof(ship::HandleRef));
    const std::size_t list = handles.size() * sizeof(ship::HandleRef);
    const shm::Offset small = item_.block;
    shm::Heap& heap = channel_->process().heap();
    const std::byte* const from = bytes();
    take_block(start + list);
    std::memcpy(bytes(), from, written);
    heap.free(small, shm::Tag::own(channel_->process().me()));
    std::memcpy(bytes() + start, handles.view().data(), list);
    item_.size = (start + list) & largest_payload;
    item_.handles = handles.size() & most_handles;
    channel_->process().holdings().pin_block(item_.block, channel_->tag(), handles.view());
}

// One that was not put.
Message::~Message() {
    if (item_.block != 0)
        channel_->process().heap().free(item_.block, shm::Tag::own(channel_->process().me()));
}

void Message::take_back() { channel_->process().heap().free(handed_over_, channel_->tag()); }

} // namespace dshm::runtime
