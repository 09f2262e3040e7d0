// Steps of a burial, and of what the living do about a death, that the states of the other tests do not
// show: each of these fails without one step (tests/mutations).

#include <cstring>

#include "catch.hpp"
#include "dshm/runtime/call.hpp"
#include "dshm/runtime/channel.hpp"
#include "dshm/runtime/failure.hpp"
#include "dshm/runtime/object_handle.hpp"
#include "dshm/runtime/payload.hpp"
#include "dshm/runtime/worker_pool.hpp"
#include "test_session.hpp"

using namespace dshm;
using namespace dshm::runtime;
using dshm::test::TestSession;
using Ref = shm::ObjectTable::Ref;

namespace {

constexpr std::size_t small = 16, large = 10'000;
constexpr auto order = std::memory_order_seq_cst;

// The burial once, as it is when nothing interrupts it.
void bury_once(TestSession& session) {
    session.table.set_life(TestSession::dead_owner.slot,
                           {LifePhase::dead, 1, TestSession::dead_id});
    session.recovery->bury({TestSession::dead_owner, TestSession::dead_id, 12345, 9});
}

shm::ObjectRecord& record_of(TestSession& session, Ref object) {
    return session.segment.at<shm::ObjectRecord>(session.segment.geometry().objects)[object.index];
}

// An object that is held by nothing but a call of the dead to `alive`.
struct UnderWay {
    Ref object;
    TaskRef call;
};
UnderWay object_under_way(TestSession& session) {
    const Ref object = session.dead->objects().create(5000, {});
    ship::HandleList handles;
    handles.add({1, object.index, object.generation});
    const TaskRef call = TestSession::fill(*session.dead, TestSession::alive_id, false, small);
    PayloadRoom room(session.dead->tasks(), call, shm::Tag::argument(call.index, call.generation),
                     {small, 8});
    room.close(small, handles);
    session.dead->holdings().pin(call, handles.view(), Holdings::PinUntil::ended);
    session.dead->tasks().publish(call);
    session.dead->objects().release(object);
    return {object, call};
}

// A channel with an owner, held by the launcher.
struct AnyChannel {
    ObjectHandle object;
    ChannelHead* head;

    explicit AnyChannel(WorkerId owner, bool in_blocks = false) {
        const Channel::Shape shape{4, sizeof(Item), in_blocks, owner};
        object = ObjectHandle(Channel::bytes(shape), {.kind = object_kind::channel});
        auto* const block = static_cast<std::byte*>(object.address());
        Channel::make(block, shape);
        head = &Channel::head_in(block);
    }
    Channel::Ring& ring() const {
        return *reinterpret_cast<Channel::Ring*>(reinterpret_cast<std::byte*>(head) +
                                                 sizeof(ChannelHead));
    }
    shm::Tag tag() const {
        return shm::Tag::object(object.object().index, object.object().generation);
    }
    // The cell of a position as the dead had it in hand.
    Channel::Cursor in_hand(std::uint64_t position, queue::CellPhase phase) const {
        const Channel::Cursor cursor(ring().cells(), position);
        cursor.state().store(cursor.word(phase, TestSession::dead_owner.bits()), order);
        return cursor;
    }
    ChannelState state() const { return static_cast<ChannelState>(head->state.load(order)); }
};

} // namespace

TEST_CASE("what did not fit into a ring is put with the next burial") {
    TestSession session;
    auto& inbox = session.alive->area().inbox;
    while (inbox.put({0xffff, 0}) == queue::PutResult::done) {
    }
    const TaskRef task = TestSession::queue(*session.dead, TestSession::alive_id, false, small);
    bury_once(session);
    REQUIRE(session.recovery->has_leftovers());
    while (const auto front = inbox.peek())
        inbox.advance(front->position);
    session.recovery->bury({{4, 1}, 4, 12346, 9});
    CHECK(!session.recovery->has_leftovers());
    REQUIRE(inbox.peek());
    CHECK(session.alive->tasks().claim(inbox.peek()->entry) == task);
}

TEST_CASE("all are told to look at the end of a burial, whatever they sleep on") {
    TestSession session;
    ProcessArea& area = session.master->area();
    const std::uint32_t armed = area.bell.arm(), looks = area.looks.load(order);
    bury_once(session);
    CHECK(area.looks.load(order) != looks);
    CHECK(area.bell.arm() != armed);
}

TEST_CASE("who gets an entry of the dead is rung for it") {
    TestSession session;
    TestSession::queue(*session.dead, TestSession::alive_id, false, small);
    session.alive->area().bell.arm();
    bury_once(session);
    CHECK(!session.alive->area().bell.ring()); // disarmed already
}

TEST_CASE("what the dead had not put for anyone is shown to all") {
    TestSession session;
    const TaskRef task = TestSession::queue(*session.dead, 0, false, small);
    bury_once(session);
    CHECK(session.segment.header().ready.test(shm::launcher_slot, order));
    REQUIRE(session.launcher->area().ready.peek());
    CHECK(session.launcher->area().ready.peek()->entry == entry_of(task));
}

TEST_CASE("a call of the dead for a worker that has died too fails") {
    TestSession session;
    const TaskRef task = TestSession::queue(*session.dead, 77, false, large);
    bury_once(session);
    CHECK(session.phase(task) == TaskPhase::free);
    CHECK(session.blocks() == 0);
}

// Its other thread had found it by its name and sent it, when the first saw that it was not the last.
TEST_CASE("an object that the dead was about to end goes on for who reads a payload of its") {
    TestSession session;
    const auto [object, call] = object_under_way(session);
    record_of(session, object)
        .state.store(shm::ObjectState::make(shm::ObjectPhase::ending, object.generation,
                                            TestSession::dead_owner)
                         .bits,
                     order);
    bury_once(session);
    CHECK(session.alive->objects().acquire(object));
}

TEST_CASE("an object in a call of the dead that runs elsewhere stays") {
    TestSession session;
    const auto [object, call] = object_under_way(session);
    REQUIRE(session.alive->tasks().claim(entry_of(call)));
    bury_once(session);
    CHECK(session.alive->objects().acquire(object));
}

TEST_CASE("no processor is taken for crowded by the dead") {
    TestSession session;
    session.dead->whereabouts().crowded();
    const auto said = [&] {
        bool found = false;
        const shm::Segment& segment = session.segment;
        for (unsigned processor = 0; processor < shm::processor_lines; ++processor)
            found |= segment
                         .at<shm::ProcessMask>(segment.geometry().processors +
                                               processor * base::cache_line)
                         ->test(TestSession::dead_owner.slot, order);
        return found;
    };
    REQUIRE(said());
    bury_once(session);
    CHECK(!said());
}

TEST_CASE("one burial frees a block that was tagged for a result and not named yet") {
    TestSession session;
    const TaskRef task = TestSession::queue(*session.master, 0, true, small);
    REQUIRE(session.dead->tasks().claim(entry_of(task)));
    session.dead->heap().allocate(large, shm::Tag::result(task.index, task.generation));
    bury_once(session);
    CHECK(session.blocks() == 0);
}

TEST_CASE("a block of a record's former task is freed though the record serves another") {
    TestSession session;
    const TaskRef former = TestSession::fill(*session.dead, 0, false, small);
    session.dead->heap().allocate(large, shm::Tag::argument(former.index, former.generation));
    session.dead->tasks().abandon(former); // knows nothing of it
    const TaskRef now = TestSession::queue(*session.dead, TestSession::alive_id, false, large);
    REQUIRE(now.index == former.index);
    bury_once(session);
    CHECK(session.blocks() == 1);
}

// Who has ended it is about to print why; that must not be lost.
TEST_CASE("a record that a living process is freeing is left to that") {
    TestSession session;
    const TaskRef task = TestSession::queue(*session.master, 0, false, small);
    REQUIRE(session.alive->tasks().claim(entry_of(task)));
    session.alive->tasks().finish(task, TaskPhase::failed);
    bury_once(session);
    CHECK(session.phase(task) == TaskPhase::failed);
}

TEST_CASE("a channel forgets that the dead waited for it") {
    TestSession session;
    const AnyChannel channel(1);
    channel.head->takers.set(TestSession::dead_owner.slot, order);
    channel.head->putters.set(TestSession::dead_owner.slot, order);
    channel.head->takers.set(TestSession::alive_owner.slot, order);
    bury_once(session);
    CHECK(!channel.head->takers.test(TestSession::dead_owner.slot, order));
    CHECK(!channel.head->putters.test(TestSession::dead_owner.slot, order));
    CHECK(channel.head->takers.test(TestSession::alive_owner.slot, order));
    CHECK(channel.state() == ChannelState::open);
}

TEST_CASE("a channel ends with its owner or with whom it is bound to, and says how") {
    TestSession session;
    const AnyChannel owned(TestSession::dead_id), bound(1);
    bound.head->bound[1].store(static_cast<std::uint64_t>(TestSession::dead_id), order);
    bury_once(session);
    CHECK(owned.state() == ChannelState::lost);
    CHECK(bound.state() == ChannelState::closed);
    CHECK(owned.head->exception.load(order) != 0);
    CHECK(bound.head->exception.load(order) != 0);
}

TEST_CASE("cells that the dead had in hand are given up, or given back") {
    TestSession session;
    const AnyChannel channel(1);
    const Channel::Cursor written = channel.in_hand(0, queue::CellPhase::writing);
    const Channel::Cursor read = channel.in_hand(1, queue::CellPhase::reading);
    bury_once(session);
    CHECK(written.state().load(order) == written.word(queue::CellPhase::voided));
    CHECK(read.state().load(order) == read.word(queue::CellPhase::returned));
}

TEST_CASE("a block in a cell of the dead goes, stays or is forgotten, by whose it was") {
    TestSession session;
    const AnyChannel channel(1, true);
    const auto before = session.blocks();
    const auto in_hand = [&](std::uint64_t position, queue::CellPhase phase, shm::Tag tag,
                             unsigned lap) {
        const shm::Offset block = session.dead->heap().allocate(large, tag).offset;
        const Item item{block, lap, large, 0, TestSession::dead_owner.slot};
        std::memcpy(channel.in_hand(position, phase).payload(), &item, sizeof item);
        return block;
    };
    const auto named = [&](std::uint64_t position) {
        Item item;
        std::memcpy(&item, Channel::Cursor(channel.ring().cells(), position).payload(),
                    sizeof item);
        return static_cast<shm::Offset>(item.block);
    };
    const shm::Tag own = shm::Tag::own(TestSession::dead_owner);
    const shm::Offset put = in_hand(0, queue::CellPhase::writing, channel.tag(), 0);
    const shm::Offset other = in_hand(1, queue::CellPhase::writing, channel.tag(), 5);
    in_hand(2, queue::CellPhase::reading, own, 0);
    const shm::Offset there = in_hand(3, queue::CellPhase::reading, channel.tag(), 0);
    bury_once(session);
    CHECK(session.launcher->heap().tag_of(put).bits != channel.tag().bits);
    CHECK(session.launcher->heap().tag_of(other).bits == channel.tag().bits); // of an earlier lap
    CHECK(named(0) == 0);
    CHECK(named(2) == 0); // had been taken
    CHECK(named(3) == there);
    CHECK(session.blocks() == before + 2);
}

TEST_CASE("what the dead had linked to a channel is the channel's") {
    TestSession session;
    const AnyChannel channel(1);
    const shm::Tag own = shm::Tag::own(TestSession::dead_owner);
    const shm::Offset ring = session.dead->heap().allocate(large, own).offset;
    const shm::Offset exception = session.dead->heap().allocate(large, own).offset;
    REQUIRE(channel.ring().end(ring));
    channel.head->exception.store(exception, order);
    bury_once(session);
    CHECK(session.launcher->heap().tag_of(ring).bits == channel.tag().bits);
    CHECK(session.launcher->heap().tag_of(exception).bits == channel.tag().bits);
}

TEST_CASE("the successor of a member is a member") {
    TestSession session;
    const ObjectHandle object = Pool::make();
    Pool pool(*session.launcher, object);
    pool.add(TestSession::dead_owner);
    session.table.set_life(TestSession::dead_owner.slot,
                           {LifePhase::dead, 1, TestSession::dead_id});
    Death death{TestSession::dead_owner, TestSession::dead_id, 12345, 9};
    death.successor = {TestSession::alive_id, TestSession::alive_owner};
    session.recovery->bury(death);
    CHECK(pool.members() == std::vector<WorkerId>{TestSession::alive_id});
    const ObjectHandle another = Pool::make();
    session.recovery->bury(death);
    CHECK(Pool(*session.launcher, another).members().empty());
}

// The burial was over before the entry was there: the sender is the last who can end it.
TEST_CASE("what is sent to one that has just died fails, and wakes who waits for it") {
    TestSession session;
    bury_once(session);
    const Membership::Member target{TestSession::dead_id, TestSession::dead_owner};
    const TaskRef held = TestSession::queue(*session.alive, TestSession::dead_id, true, large);
    const TaskRef dropped = TestSession::queue(*session.alive, TestSession::dead_id, false, large);
    session.alive->tasks().announce_waiting(held);
    session.alive->area().bell.arm();
    Obituary& obituary = session.table.obituary(TestSession::dead_id);
    obituary.wait_status = 9;
    obituary.key.store(static_cast<std::uint64_t>(TestSession::dead_id), order);
    for (const TaskRef task : {held, dropped})
        session.master->scheduler().send_to(target, task);
    CHECK(session.phase(held) == TaskPhase::failed);
    CHECK(session.phase(dropped) == TaskPhase::free);
    CHECK(!session.alive->area().bell.ring());
    session.alive->holdings().observe(held);
    session.alive->holdings().drop(held);
    CHECK(session.blocks() == 0);
}

TEST_CASE("a future that shall live where somebody has just died fails") {
    TestSession session;
    bury_once(session);
    const TaskRef task =
        send_open(*session.master, {TestSession::dead_id, TestSession::dead_owner});
    CHECK(session.phase(task) == TaskPhase::failed);
    session.master->holdings().observe(task);
    session.master->holdings().drop(task);
}
