#include "dshm/runtime/channel.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "dshm/os/process.hpp"
#include "dshm/runtime/failure.hpp"
#include "dshm/runtime/object_handle.hpp"
#include "dshm/runtime/process.hpp"

namespace dshm::runtime {

namespace {

using queue::ChannelShape;
using Ring = Channel::Ring;

// A rendezvous, whose messages are withdrawn, goes without roles. It lets so many putters wait with their messages in sight; others wait for a cell.
constexpr std::uint64_t rendezvous_cells = 64;
constexpr std::uint64_t first_unlimited = 256;

ChannelShape ring_shape(const Channel::Shape& shape) {
    const std::uint64_t cells = shape.capacity == 0                    ? rendezvous_cells
                                : shape.capacity == Channel::unlimited ? first_unlimited
                                                                       : shape.capacity;
    return {cells, shape.payload_bytes, shape.capacity != 0};
}

std::byte* aligned(std::byte* address) {
    return reinterpret_cast<std::byte*>(base::round_up(reinterpret_cast<std::uintptr_t>(address),
                                                       std::uintptr_t{base::cache_line}));
}

Ring& first_ring(ChannelHead& head) {
    return *reinterpret_cast<Ring*>(reinterpret_cast<std::byte*>(&head) + sizeof(ChannelHead));
}

Ring* ring_after(const shm::Segment& segment, const Ring& ring) {
    const std::uint64_t next = ring.end();
    return next > Ring::closed ? reinterpret_cast<Ring*>(aligned(segment.base() + next)) : nullptr;
}

std::uint64_t lap_of(const Ring& ring, std::uint64_t position) {
    return position / ring.capacity() & 0xffff;
}

Item item_in(const std::byte* payload) {
    Item item;
    std::memcpy(&item, payload, sizeof item);
    return item;
}

std::vector<ship::HandleRef> handles_of(const shm::Segment& segment, const Item& item) {
    const std::size_t bytes = item.handles * sizeof(ship::HandleRef);
    std::vector<ship::HandleRef> handles(item.size >= bytes ? item.handles : 0);
    if (!handles.empty())
        std::memcpy(handles.data(), segment.base() + item.block + item.size - bytes, bytes);
    return handles;
}

void forget_item(std::byte* payload) {
    Item item = item_in(payload);
    item.block = 0;
    std::memcpy(payload, &item, sizeof item);
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

// A ring of twice the size behind the producer's, which is full.
void Channel::grow() {
    const Ring& full = producer_.ring();
    const ChannelShape shape{full.capacity() * 2, full.payload_bytes()};
    const shm::Block block =
        process_->heap().allocate_zeroed(base::cache_line + Ring::bytes(shape), shm::Tag::own(me_));
    Ring::create(aligned(process_->segment().base() + block.offset), shape);
    process_->heap().retag(block.offset, shm::Tag::own(me_), tag());
    if (!producer_.ring().end(block.offset))
        process_->heap().free(block.offset, tag()); // another was faster, or has closed it
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

// Hands the wake on: it may have been for a message that this wait did not take.
void Channel::end_wait(Side side) {
    {
        const shm::PrivateLock::Guard guard(wait_lock_);
        if (--waiting_[static_cast<unsigned>(side)] == 0)
            mask(side).clear(me_.slot, std::memory_order_seq_cst);
        else
            mask(side).set(me_.slot, std::memory_order_seq_cst);
    }
    // relaxed: what is seen too late is seen by the one that made it.
    if (mask(side).empty(std::memory_order_relaxed))
        return;
    if (side == Side::takers ? has_message() : !is_full())
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

namespace {

void end_rings(const shm::Segment& segment, ChannelHead& head) {
    Ring* ring = &first_ring(head);
    while (!ring->end(Ring::closed)) {
        Ring* const next = ring_after(segment, *ring);
        if (next == nullptr)
            return; // closed already
        ring = next;
    }
}

// The first exception stays. Its block belongs to the channel before anybody can find it.
void set_exception(Process& process, ChannelHead& head, shm::Tag tag,
                   const ship::ExceptionRecord& exception) {
    const ship::Footprint need = ship::footprint(exception, std::uint64_t{0});
    const shm::Block block = process.heap().allocate(need.size + sizeof(std::uint64_t), tag);
    ship::Writer writer(process.segment().base() + block.offset, need.size);
    ship::encode(writer, std::uint64_t{need.size}, exception);
    std::uint64_t none = 0;
    if (!head.exception.compare_exchange(none, block.offset, std::memory_order_acq_rel,
                                         std::memory_order_relaxed)) // relaxed: not used
        process.heap().free(block.offset, tag);
}

} // namespace

void Channel::close(const ship::ExceptionRecord* exception) {
    if (state() != ChannelState::open)
        return;
    if (exception != nullptr)
        set_exception(*process_, *head_, tag(), *exception);
    std::uint64_t open = static_cast<std::uint64_t>(ChannelState::open);
    head_->state.compare_exchange(open, static_cast<std::uint64_t>(ChannelState::closed),
                                  std::memory_order_seq_cst, std::memory_order_relaxed);
    end_rings(process_->segment(), *head_);
    wake_all(Side::takers);
    wake_all(Side::putters);
}

void Channel::throw_ended() {
    const std::uint64_t block = head_->exception.load(std::memory_order_acquire);
    if (block == 0)
        throw InvalidStateException("dshm: the channel is closed");
    const std::byte* bytes = process_->segment().base() + block;
    std::uint64_t size;
    std::memcpy(&size, bytes, sizeof size);
    ship::Reader reader(bytes + sizeof size, size - sizeof size);
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

// ---- the end of a channel, and of a process ----------------------------------------------------

void dispose_of_channel(Process& process, shm::ObjectTable::Ref object, std::byte* block) {
    const shm::Tag tag = shm::Tag::object(object.index, object.generation);
    ChannelHead& head = Channel::head_in(block);
    shm::Heap& heap = process.heap();
    if (const std::uint64_t exception = head.exception.load(std::memory_order_acquire))
        heap.free(exception, tag);
    std::vector<shm::Offset> rings;
    for (Ring* ring = &first_ring(head); ring != nullptr;
         ring = ring_after(process.segment(), *ring)) {
        if (head.in_blocks != 0) {
            const queue::CellArray cells = ring->cells();
            for (std::uint64_t i = 0; i < cells.count; ++i) {
                const Item item = item_in(Channel::Cursor(cells, i).payload());
                if (item.block != 0)
                    heap.free(item.block, tag);
            }
        }
        if (ring->end() > Ring::closed)
            rings.push_back(ring->end());
    }
    for (const shm::Offset ring : rings)
        heap.free(ring, tag);
}

namespace {

// A message that was being put: its block, if it had been handed over, goes. One that was being
// taken: it is there again, unless its block had become the taker's.
void release_cell(Process& launcher, shm::Tag tag, const Ring& ring, queue::CellPhase phase,
                  std::uint64_t position, std::byte* payload) {
    const Item item = item_in(payload);
    if (item.block == 0)
        return;
    if (item.lap != lap_of(ring, position))
        return forget_item(payload); // it had not written its own yet
    const bool handed_over = launcher.heap().tag_of(item.block).bits == tag.bits;
    if (phase == queue::CellPhase::writing && handed_over)
        launcher.heap().free(item.block, tag);
    if (phase == queue::CellPhase::writing || !handed_over)
        forget_item(payload);
}

// Handles in messages of the dead are held by its pins, which end with it.
void take_over_pins(Process& launcher, ChannelHead& head, shm::Tag tag, shm::Owner dead) {
    for (Ring* ring = &first_ring(head); ring != nullptr;
         ring = ring_after(launcher.segment(), *ring)) {
        const queue::CellArray cells = ring->cells();
        for (std::uint64_t i = 0; i < cells.count; ++i) {
            const Item item = item_in(Channel::Cursor(cells, i).payload());
            if (item.block == 0 || item.handles == 0 || item.slot != dead.slot ||
                !launcher.segment().readable(item.block, item.size) ||
                launcher.heap().tag_of(item.block).bits != tag.bits)
                continue;
            launcher.holdings().pin_block(item.block, tag, handles_of(launcher.segment(), item));
        }
    }
}

bool closes_with(const ChannelHead& head, WorkerId id) {
    return std::any_of(head.bound.begin(), head.bound.end(), [id](const shm::Word64& bound) {
        return bound.load(std::memory_order_seq_cst) == static_cast<std::uint64_t>(id);
    });
}

} // namespace

void recover_channels(Process& launcher, shm::Owner dead, WorkerId id, int wait_status) {
    const auto recover = [&](shm::ObjectTable::Ref object, const shm::ObjectView& view) {
        const shm::Tag tag = shm::Tag::object(object.index, object.generation);
        ChannelHead& head = Channel::head_in(launcher.segment().base() + view.block);
        for (Ring* ring = &first_ring(head); ring != nullptr;
             ring = ring_after(launcher.segment(), *ring))
            ring->recover(dead, [&](queue::CellPhase phase, std::uint64_t at, std::byte* payload) {
                if (head.in_blocks != 0)
                    release_cell(launcher, tag, *ring, phase, at, payload);
            });
        if (head.in_blocks != 0)
            take_over_pins(launcher, head, tag, dead);
        head.takers.clear(dead.slot, std::memory_order_seq_cst);
        head.putters.clear(dead.slot, std::memory_order_seq_cst);
        const bool lost = head.owner == static_cast<std::uint64_t>(id);
        if (!lost && !closes_with(head, id))
            return;
        set_exception(launcher, head, tag,
                      ship::process_exited_record(id, os::describe_wait_status(wait_status)));
        std::uint64_t open = static_cast<std::uint64_t>(ChannelState::open);
        if (lost)
            head.state.store(static_cast<std::uint64_t>(ChannelState::lost),
                             std::memory_order_seq_cst);
        else
            head.state.compare_exchange(open, static_cast<std::uint64_t>(ChannelState::closed),
                                        std::memory_order_seq_cst, std::memory_order_relaxed);
        end_rings(launcher.segment(), head);
    };
    launcher.objects().for_each_live(object_kind::channel, recover);
}

} // namespace dshm::runtime
