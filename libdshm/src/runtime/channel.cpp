#include "dshm/runtime/channel.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "channel_parts.hpp"
#include "dshm/os/process.hpp"
#include "dshm/runtime/failure.hpp"
#include "dshm/runtime/object_handle.hpp"
#include "dshm/runtime/process.hpp"

namespace dshm::runtime {

using namespace channel_parts;

namespace {

using queue::ChannelShape;

// A rendezvous, whose messages are withdrawn, goes without roles. It lets so many putters wait with
// their messages in sight; others wait for a cell.
constexpr std::uint64_t rendezvous_cells = 64;
constexpr std::uint64_t first_unlimited = 256;

ChannelShape ring_shape(const Channel::Shape& shape) {
    const std::uint64_t cells = shape.capacity == 0                    ? rendezvous_cells
                                : shape.capacity == Channel::unlimited ? first_unlimited
                                                                       : shape.capacity;
    return {cells, shape.payload_bytes, shape.capacity != 0};
}

} // namespace

std::size_t Channel::bytes(const Shape& shape) {
    return base::cache_line + sizeof(ChannelHead) + Ring::bytes(ring_shape(shape));
}

ChannelHead& Channel::head_in(std::byte* block) {
    return *reinterpret_cast<ChannelHead*>(aligned(block));
}

void Channel::make(std::byte* block, const Shape& shape) {
    ChannelHead& head = head_in(block);
    head.capacity = shape.capacity;
    head.owner = static_cast<std::uint64_t>(shape.owner);
    head.payload_bytes = shape.payload_bytes;
    head.in_blocks = shape.in_blocks ? 1 : 0;
    Ring::create(&first_ring(head), ring_shape(shape));
}

Channel::Channel(Process& process, shm::ObjectTable::Ref object)
    : process_(&process), object_(object), me_(process.me()),
      head_(&head_in(process.segment().base() + process.objects().view(object).block)),
      first_ring_(&first_ring(*head_)) {
    os::ProcessFence::join(); // also one that only waits must be fenced by others
}

Channel::~Channel() {
    if (abandoned_)
        return;
    producer_.drop();
    consumer_.drop();
}

// ---- messages ----------------------------------------------------------------------------------

Ring* Channel::after(Ring& ring) const { return ring_after(process_->segment(), ring); }

// A ring of twice the size behind the producer's, which is full. Its block is this process's own until
// it is linked: of a dead process, recovery frees one that is not, and gives one that is to the channel.
void Channel::grow() {
    const Ring& full = producer_.ring();
    const ChannelShape shape{full.capacity() * 2, full.payload_bytes()};
    const shm::Block block =
        process_->heap().allocate_zeroed(base::cache_line + Ring::bytes(shape), shm::Tag::own(me_));
    Ring::create(aligned(process_->segment().base() + block.offset), shape);
    if (producer_.ring().end(block.offset))
        process_->heap().retag(block.offset, shm::Tag::own(me_), tag());
    else // another was faster, or has closed it
        process_->heap().free(block.offset, shm::Tag::own(me_));
}

// Goes on in the ring behind; false when the channel is closed there.
bool Channel::next_ring(Ring& from) {
    Ring* const next = after(from);
    if (next == nullptr)
        return false;
    producer_.drop();
    producer_.make(*next, me_);
    return true;
}

bool Channel::follow() {
    Ring* const next = after(consumer_.ring());
    if (next == nullptr)
        return false;
    consumer_.drop();
    consumer_.make(*next, me_);
    return true;
}

// The block belongs to the sender until the cell is its own, and to the channel before the message
// is there: whoever looks at the cell after a death knows whose it is.
Channel::Put Channel::try_put_item(Item item, std::uint64_t& position) {
    const shm::PrivateLock::Guard guard(put_lock_);
    Cursor claimed;
    for (;;) {
        switch (producer().begin_put(claimed)) {
        case queue::PutOutcome::done:
            item.lap = lap_of(producer_.ring(), claimed.position);
            std::memcpy(claimed.payload(), &item, sizeof item);
            process_->heap().retag(item.block, shm::Tag::own(me_), tag());
            producer_.get().commit_put(claimed);
            position = claimed.position;
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

Channel::Take Channel::begin_take(Cursor& claimed) {
    const shm::PrivateLock::Guard guard(take_lock_);
    for (;;) {
        switch (consumer().begin_take(claimed)) {
        case queue::TakeOutcome::done:
            if (head_->in_blocks == 0 || item_in(claimed.payload()).block != 0)
                return Take::done;
            consumer_.get().commit_take(claimed); // taken by one that died before it said so
            break;
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

void Channel::commit_take(const Cursor& claimed) {
    const Item item = head_->in_blocks != 0 ? item_in(claimed.payload()) : Item{};
    if (item.block != 0) {
        process_->heap().retag(item.block, tag(), shm::Tag::own(me_));
        forget_item(claimed.payload());
    }
    {
        const shm::PrivateLock::Guard guard(take_lock_);
        consumer_.get().commit_take(claimed);
    }
    announce_taken();
    if (item.block != 0)
        process_->heap().free(item.block, shm::Tag::own(me_));
}

void Channel::undo_take(const Cursor& claimed) {
    {
        const shm::PrivateLock::Guard guard(take_lock_);
        consumer_.get().undo_take(claimed);
    }
    announce(Side::takers);
}

bool Channel::taken(std::uint64_t position) {
    return first_ring_->message(position) == queue::CellPhase::empty;
}

// The block, if it has one, is freed by the caller's Message.
bool Channel::withdraw(std::uint64_t position) {
    if (!first_ring_->withdraw(position))
        return false;
    announce(Side::putters); // the cell is room
    return true;
}

bool Channel::drained() { return state() != ChannelState::open && !has_message(); }

bool Channel::has_message() {
    for (Ring* ring = first_ring_; ring != nullptr; ring = after(*ring))
        if (!ring->empty())
            return true;
    return false;
}

bool Channel::is_full() {
    if (head_->capacity == unlimited)
        return false;
    return rendezvous() || first_ring_->full();
}

std::size_t Channel::size() {
    std::size_t messages = 0;
    for (Ring* ring = first_ring_; ring != nullptr; ring = after(*ring))
        messages += ring->size();
    return messages;
}

// ---- waiting -----------------------------------------------------------------------------------

void Channel::begin_wait(Side side) {
    const shm::PrivateLock::Guard guard(wait_lock_);
    ++waiting_[static_cast<unsigned>(side)];
}

void Channel::about_to_sleep(Side side) {
    mask(side).set(me_.slot, std::memory_order_seq_cst);
    first_ring_->fence_after_arming(); // edge `channel-park`
}

bool Channel::is_announced(Side side) const {
    return mask(side).test(me_.slot, std::memory_order_seq_cst);
}

// Hands the wake on: it may have been for a message that this wait did not take, or for the end.
void Channel::end_wait(Side side) {
    {
        const shm::PrivateLock::Guard guard(wait_lock_);
        // Other waits of this process set it again themselves, with the fence that belongs to it.
        if (--waiting_[static_cast<unsigned>(side)] == 0)
            mask(side).clear(me_.slot, std::memory_order_seq_cst);
    }
    // relaxed: what is seen too late is seen by the one that made it.
    if (mask(side).empty(std::memory_order_relaxed))
        return;
    if (side == Side::takers ? has_message() || state() != ChannelState::open : !is_full())
        wake_one(side);
}

void Channel::wake(Side side) {
    // A putter of a rendezvous waits for its own message: which one that is, only it knows.
    if (side == Side::putters && rendezvous())
        wake_all(side);
    else
        wake_one(side);
}

// Whoever clears a bit has given that process the wake.
void Channel::wake_one(Side side) {
    shm::ProcessMask& waiting = mask(side);
    const unsigned last = last_woken_.load(std::memory_order_relaxed); // relaxed: for fairness
    for (unsigned step = 1; step <= shm::max_processes; ++step) {
        const unsigned slot = (last + step) % shm::max_processes;
        shm::Word64& word = waiting.word_of(slot);
        const std::uint64_t bit = shm::ProcessMask::bit(slot);
        if ((word.load(std::memory_order_seq_cst) & bit) == 0 ||
            (word.fetch_and(~bit, std::memory_order_seq_cst) & bit) == 0)
            continue;
        last_woken_.store(slot, std::memory_order_relaxed);
        return process_->scheduler().wake_with(slot, key(side));
    }
}

void Channel::wake_all(Side side) {
    shm::ProcessMask& waiting = mask(side);
    waiting.for_each(std::memory_order_seq_cst, [&](unsigned slot) {
        waiting.clear(slot, std::memory_order_seq_cst);
        process_->scheduler().wake_with(slot, key(side));
    });
}

// ---- closing -----------------------------------------------------------------------------------

void Channel::close(const ship::ExceptionRecord* exception) {
    if (state() != ChannelState::open)
        return;
    if (exception != nullptr)
        set_exception(*process_, *head_, tag(), *exception);
    std::uint64_t open = static_cast<std::uint64_t>(ChannelState::open);
    head_->state.compare_exchange(open, static_cast<std::uint64_t>(ChannelState::closed),
                                  std::memory_order_seq_cst, std::memory_order_relaxed);
    end_rings(SoundRings(*process_, object_, process_->objects().view(object_).block));
    wake_all(Side::takers);
    wake_all(Side::putters);
}

void Channel::throw_ended() {
    const std::uint64_t block = head_->exception.load(std::memory_order_acquire);
    const std::size_t room = block == 0 ? 0 : process_->heap().room_of(block);
    const std::byte* bytes = process_->segment().base() + block;
    std::uint64_t size = 0;
    if (room >= sizeof size)
        std::memcpy(&size, bytes, sizeof size);
    if (size == 0 || room < exception_start ||
        size > room - exception_start) { // none, or there was no memory for it
        if (state() == ChannelState::lost)
            throw ProcessExitedException(static_cast<WorkerId>(head_->owner),
                                         "it owned a channel, which went with it");
        throw InvalidStateException("dshm: the channel is closed");
    }
    ship::Reader reader(bytes + exception_start, size);
    std::rethrow_exception(ship::rebuild(ship::decode<ship::ExceptionRecord>(reader)));
}

void Channel::bind(WorkerId worker) {
    const bool gone = worker != 1 && !process_->processes().slot_of(worker);
    if (gone)
        try {
            std::rethrow_exception(missing_worker(process_->processes(), worker));
        } catch (const ProcessExitedException& exited) {
            const ship::ExceptionRecord record =
                ship::process_exited_record(worker, exited.reason());
            return close(&record);
        }
    const auto wanted = static_cast<std::uint64_t>(worker);
    for (shm::Word64& bound : head_->bound) {
        std::uint64_t seen = 0;
        if (bound.compare_exchange(seen, wanted, std::memory_order_seq_cst,
                                   std::memory_order_seq_cst) ||
            seen == wanted) {
            if (worker != 1 && !process_->processes().slot_of(worker))
                bind(worker); // it died meanwhile, and recovery did not see the entry
            return;
        }
    }
    throw std::length_error("dshm: a channel can be bound to 8 processes");
}

// ---- the channels of a process -----------------------------------------------------------------

Channel& Channels::find(shm::ObjectTable::Ref object) {
    const std::uint64_t key = std::uint64_t{object.generation} << 32 | object.index;
    const std::lock_guard guard(lock_);
    std::unique_ptr<Channel>& entry = channels_[key];
    if (!entry) {
        entry = std::make_unique<Channel>(*process_, object);
        count_.store(channels_.size(), std::memory_order_relaxed); // relaxed: a hint
    }
    return *entry;
}

void Channels::forget_dead() {
    const std::lock_guard guard(lock_);
    std::erase_if(channels_, [this](auto& entry) {
        if (process_->objects().is_live(entry.second->object()))
            return false;
        entry.second->abandon();
        return true;
    });
    count_.store(channels_.size(), std::memory_order_relaxed); // relaxed: a hint
}

} // namespace dshm::runtime
