// Waiting at a channel, and messages on their way into blocks.
#pragma once

#include <functional>

#include "dshm/os/clock.hpp"
#include "dshm/runtime/channel.hpp"
#include "dshm/runtime/process.hpp"
#include "dshm/ship/codec.hpp"

namespace dshm::runtime {

// Until `attempt` gives true. False when the deadline came first. `attempt` is made whenever
// something has happened, on any stack of the thread; what it throws goes on.
bool wait_at(Channel& channel, Channel::Side side, const std::function<bool()>& attempt,
             os::Clock::time_point deadline);

// Until there is a message. Throws what a closed channel throws.
void wait_for_message(Channel& channel);

// Puts a message by `attempt`; of a rendezvous, until it has been taken. False, with the message
// taken back, when the deadline came first. Throws what a closed channel throws. `taken_back` is
// called for a message that was put and that nobody will get.
bool put_at(Channel& channel, const std::function<Channel::Put(std::uint64_t&)>& attempt,
            const std::function<void()>& taken_back, os::Clock::time_point deadline);

// An encoded message, in a block of this process until it is put.
class Message {
public:
    template <class T>
    Message(Channel& channel, const T& value) : Message(channel) {
        const ship::Footprint need = ship::footprint(value);
        take_block(need.size);
        ship::Writer writer(bytes(), need.size);
        ship::HandleList handles;
        writer.list_handles(&handles);
        ship::encode(writer, value);
        close(writer.written(), handles);
    }
    Message(const Message&) = delete;
    Message& operator=(const Message&) = delete;
    ~Message();

    // Once it is done the block is the channel's: whoever takes the message frees it, and the same
    // block may be this process's own again, for something else.
    Channel::Put try_put(std::uint64_t& position) {
        const Channel::Put outcome = channel_->try_put_item(item_, position);
        if (outcome == Channel::Put::done) {
            handed_over_ = item_.block;
            item_.block = 0;
        }
        return outcome;
    }
    // It was put and withdrawn.
    void take_back();

private:
    explicit Message(Channel& channel) : channel_(&channel) {}
    void take_block(std::size_t size);
    std::byte* bytes() const;
    void close(std::size_t written, const ship::HandleList& handles);

    Channel* channel_;
    Item item_{};
    shm::Offset handed_over_ = 0;
};

// The value of a claimed message that lies in a block.
template <class T>
T decode_message(Channel& channel, const Channel::Cursor& claimed) {
    Item item;
    std::memcpy(&item, claimed.payload(), sizeof item);
    ship::Reader reader(channel.process().segment().base() + item.block,
                        item.size - item.handles * sizeof(ship::HandleRef));
    return ship::decode<T>(reader);
}

} // namespace dshm::runtime
