// A channel as one process works on it, whatever its type of message.
//
// Resident: a ChannelHead and a ring (queue/channel_ring.hpp), in one object of the segment; an
// unlimited channel appends larger rings, of which the old ones stay until the channel goes.
// A message of a plain type lies in its cell. Any other is encoded into a block that is tagged for
// the channel, and the cell holds an Item that says where.
//
// Waiting: who waits for a message (or for room) sets its bit in `takers` (`putters`) and looks
// again; who makes one clears one bit and wakes that process, which hands the wake on when it
// leaves and there is more. A wait in vain that finds its bit cleared sets it again. The usual side
// pays no fence for that, the sleeper does (edge `membarrier`, os/process_fence.hpp).
//
// Death: what the dead had begun in a cell is undone by the launcher (recover_channels), a message
// that it was decoding goes to another. A ring or an exception that it made is the channel's from
// the moment that it is linked, and is freed if it was not.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <unordered_map>

#include "dshm/queue/channel_consumer.hpp"
#include "dshm/queue/channel_producer.hpp"
#include "dshm/runtime/payload.hpp"
#include "dshm/runtime/process_table.hpp"
#include "dshm/runtime/scheduler.hpp"
#include "dshm/ship/exception_record.hpp"
#include "dshm/shm/object_table.hpp"
#include "dshm/shm/private_lock.hpp"

namespace dshm::runtime {

class Process;

enum class ChannelState : std::uint64_t { open, closed, lost }; // lost: its owner died

inline constexpr std::size_t most_bound = 8;

//   0                                                 128      256       384
//   | state, exception, capacity, owner, bound, rings | takers | putters | first ring …
struct ChannelHead {
    shm::Word64 state;
    shm::Word64 exception; // offset of a block with an encoded ship::ExceptionRecord, or 0
    std::uint64_t capacity;
    std::uint64_t owner;                       // a worker id
    std::uint64_t payload_bytes;               // of a cell
    std::uint64_t in_blocks;                   // 1: cells hold Items
    std::array<shm::Word64, most_bound> bound; // worker ids whose death closes it
    std::uint64_t reserved[2];
    shm::ProcessMask takers;
    std::uint64_t padding_[12];
    shm::ProcessMask putters;
    std::uint64_t more_padding_[12];
};
static_assert(sizeof(ChannelHead) == 384 && offsetof(ChannelHead, takers) == 128 &&
                  offsetof(ChannelHead, putters) == 256,
              "producers look at takers, consumers at putters: a pair of lines each");

// A message that lies in a block.
struct Item {
    std::uint64_t block : 48; // 0: taken already, by a process that died before it said so
    std::uint64_t lap : 16;   // of the ring: tells it from what an earlier lap left in the cell
    std::uint64_t size : 40;
    std::uint64_t handles : 16;
    std::uint64_t slot : 8; // of the process that put it, which pins its handles
};
static_assert(sizeof(Item) == 16);

class Channel {
public:
    using Ring = queue::ChannelRing<>;
    using Cursor = Ring::Cursor;
    enum class Put { done, full, ended };
    enum class Take { done, empty, ended };
    enum class Side { takers, putters };

    struct Shape {
        std::uint64_t capacity; // 0: rendezvous; `unlimited`
        std::size_t payload_bytes;
        bool in_blocks;
        WorkerId owner;
    };
    static constexpr std::uint64_t unlimited = std::uint64_t{1} << 63;
    static constexpr std::uint64_t most_messages = std::uint64_t{1} << 40;

    // Bytes of the object, and what goes into them.
    static std::size_t bytes(const Shape& shape);
    static void make(std::byte* block, const Shape& shape);
    static ChannelHead& head_in(std::byte* block);

    Channel(Process& process, shm::ObjectTable::Ref object);
    Channel(const Channel&) = delete;
    Channel& operator=(const Channel&) = delete;
    ~Channel();

    const ChannelHead& head() const { return *head_; }
    bool rendezvous() const { return head_->capacity == 0; }
    ChannelState state() const {
        return static_cast<ChannelState>(head_->state.load(std::memory_order_acquire));
    }

    // Without waiting. T is the plain type that lies in the cells; `position` names the message.
    template <class T>
    Put try_put(const T& value, std::uint64_t& position) {
        const shm::PrivateLock::Guard guard(put_lock_);
        for (;;) {
            switch (producer().put(value)) {
            case queue::PutOutcome::done:
                position = producer_.get().last_position();
                announce(Side::takers);
                return Put::done;
            case queue::PutOutcome::full:
                if (head_->capacity != unlimited)
                    return Put::full;
                grow();
                break;
            case queue::PutOutcome::ended:
                if (!next_ring(producer_.ring()))
                    return Put::ended;
            }
        }
    }
    template <class T>
    Take try_take(T& value) {
        const shm::PrivateLock::Guard guard(take_lock_);
        for (;;) {
            switch (consumer().take(value)) {
            case queue::TakeOutcome::done:
                announce_taken();
                return Take::done;
            case queue::TakeOutcome::empty:
                return Take::empty;
            case queue::TakeOutcome::drained:
                return consumer_.ring().end() == Ring::closed ? Take::ended : Take::empty;
            case queue::TakeOutcome::finished:
                if (!follow())
                    return Take::ended;
            }
        }
    }

    // A message in a block of this process, which is handed over with it.
    Put try_put_item(Item item, std::uint64_t& position);
    // A claimed message, for one that is decoded in place.
    Take begin_take(Cursor& claimed);
    void commit_take(const Cursor& claimed);
    void undo_take(const Cursor& claimed);

    // Of a rendezvous: whether a message has been taken; takes it back if not.
    bool taken(std::uint64_t position);
    bool withdraw(std::uint64_t position);
    // A copy of the first message; false when there is none.
    template <class T>
    bool peek(T& value) {
        for (Ring* ring = first_ring_; ring != nullptr; ring = after(*ring))
            if (const auto seen = ring->template peek<T>()) {
                value = *seen;
                return true;
            }
        return false;
    }

    bool has_message();
    // Closed, and nothing left.
    bool drained();
    bool is_full();
    std::size_t size();

    // Closes it, once: with an exception that is thrown when it is drained, or without.
    void close(const ship::ExceptionRecord* exception);
    // Throws what a closed channel throws.
    [[noreturn]] void throw_ended();
    // Throws ProcessExitedException when the owner has died.
    void check_owner() {
        if (state() == ChannelState::lost) [[unlikely]]
            throw_ended();
    }
    // Closes it when that process dies. Throws std::invalid_argument for an unknown one,
    // std::length_error when it is bound to eight already.
    void bind(WorkerId worker);

    // Around a wait of this process.
    void begin_wait(Side side);
    void about_to_sleep(Side side);
    // Nobody has taken the wake of this process since.
    bool is_announced(Side side) const;
    void end_wait(Side side);
    EventKey key(Side side) const {
        return object_key(object_.index) | (side == Side::putters ? 1u << 17 : 0u);
    }
    shm::Tag tag() const { return shm::Tag::object(object_.index, object_.generation); }
    shm::ObjectTable::Ref object() const { return object_; }
    Process& process() const { return *process_; }

    // The object is gone: nothing of it may be touched any more.
    void abandon() { abandoned_ = true; }

private:
    // A port that may be left behind without its destructor.
    template <class Port>
    class Slot {
    public:
        explicit operator bool() const { return there_; }
        Port& get() { return *std::launder(reinterpret_cast<Port*>(storage_)); }
        Ring& ring() { return get().ring(); }
        void make(Ring& ring, shm::Owner me) {
            ::new (static_cast<void*>(storage_)) Port(ring, me);
            there_ = true;
        }
        void drop() {
            if (there_)
                get().~Port();
            there_ = false;
        }

    private:
        alignas(Port) std::byte storage_[sizeof(Port)];
        bool there_ = false;
    };

    queue::ChannelProducer<>& producer() {
        if (!producer_) [[unlikely]]
            producer_.make(*first_ring_, me_);
        return producer_.get();
    }
    queue::ChannelConsumer<>& consumer() {
        if (!consumer_) [[unlikely]]
            consumer_.make(*first_ring_, me_);
        return consumer_.get();
    }
    shm::ProcessMask& mask(Side side) const {
        return side == Side::takers ? head_->takers : head_->putters;
    }
    // After a message was put or room made.
    void announce(Side side) {
        first_ring_->fence_after_commit(); // edge `channel-park`
        // relaxed: the fence orders it.
        if (!mask(side).empty(std::memory_order_relaxed)) [[unlikely]]
            wake(side);
    }
    // In a closed channel others may wait to learn that nothing comes back.
    void announce_taken() {
        announce(Side::putters);
        if (state() != ChannelState::open) [[unlikely]]
            announce(Side::takers);
    }
    void wake(Side side);
    void wake_one(Side side);
    void wake_all(Side side);
    void grow();
    bool next_ring(Ring& from);
    bool follow();
    Ring* after(Ring& ring) const;

    Process* process_;
    shm::ObjectTable::Ref object_;
    shm::Owner me_;
    ChannelHead* head_;
    Ring* first_ring_;
    bool abandoned_ = false;
    shm::PrivateLock put_lock_, take_lock_, wait_lock_;
    Slot<queue::ChannelProducer<>> producer_;
    Slot<queue::ChannelConsumer<>> consumer_;
    std::array<std::uint32_t, 2> waiting_{}; // of this process, by side
    std::atomic<unsigned> last_woken_{0};    // so that wakes go round
};

// The channels that this process works on. An entry holds nothing: it lasts as long as the object,
// and is found again by the next handle.
class Channels {
public:
    explicit Channels(Process& process) : process_(&process) {}
    // The caller holds the object.
    Channel& find(shm::ObjectTable::Ref object);
    void forget_dead();
    bool empty() const { return count_.load(std::memory_order_relaxed) == 0; } // relaxed: a hint

private:
    Process* process_;
    std::mutex lock_;
    std::unordered_map<std::uint64_t, std::unique_ptr<Channel>> channels_;
    std::atomic<std::size_t> count_{0};
};

// Frees what the messages of a channel hold that is about to go. Idempotent.
void dispose_of_channel(Process& process, shm::ObjectTable::Ref object, std::byte* block);
// After a death, by the launcher, before the dead one's blocks are freed.
void recover_channels(Process& launcher, shm::Owner dead, WorkerId id, const std::string& how);

} // namespace dshm::runtime
