// A session whose segment a process has written over before it died, and the launcher that puts right
// what is left.
//
// `DamagedSession` fills a small segment through the layers' own functions (tasks in every phase, futures,
// objects, channels of all shapes half-way, pools, blocks and runs, rings), keeps a copy of it, and then
// plays rounds: the copy back, damage at random, recovery as the launcher does it after deaths. The
// launcher may throw what it reports or survives. It must not crash, go round for ever or ask for memory
// without bound; whoever runs the rounds watches over that.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "dshm/os/mapping.hpp"
#include "dshm/runtime/call.hpp"
#include "dshm/runtime/failure.hpp"
#include "dshm/runtime/operation.hpp"
#include "dshm/runtime/worker_pool.hpp"
#include "test_session.hpp"

namespace dshm::test {

// What decides about the damage: a seed, or the bytes of a fuzzer, behind which there is nothing more
// to do.
class SeededChoice {
public:
    explicit SeededChoice(std::uint64_t seed) : engine_(seed) {}
    std::uint64_t next() { return engine_(); }
    bool spent() const { return false; }

private:
    std::mt19937_64 engine_;
};

class BytesChoice {
public:
    BytesChoice(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {}
    std::uint64_t next() {
        std::uint64_t value = 0;
        const std::size_t taken = std::min(left_, sizeof value);
        std::memcpy(&value, data_, taken);
        data_ += taken;
        left_ -= taken;
        return value;
    }
    bool spent() const { return left_ == 0; }

private:
    const std::uint8_t* data_;
    std::size_t left_;
};

class DamagedSession {
public:
    DamagedSession() {
        fill_tasks();
        fill_objects();
        fill_channels();
        fill_pools();
        fill_heap();
        keep();
    }

    template <class Choice>
    void round(Choice&& choice) {
        restore();
        // Before the damage, as in a session.
        session_.recovery.reset();
        session_.launcher.reset();
        session_.launcher =
            std::make_unique<runtime::Process>(session_.segment, TestSession::launcher_owner, 0);
        session_.recovery = std::make_unique<runtime::Recovery>(*session_.launcher);
        damage(choice);
        recover(choice);
        look_around();
    }

    // The segment without damage, as a check of the stage itself.
    TestSession& session() { return session_; }
    void restore();

private:
    struct KeptChunk {
        shm::Offset chunk;
        std::vector<std::byte> bytes;
    };

    // ---- content ------------------------------------------------------------------------------

    void fill_tasks();
    void fill_objects();
    void fill_channels();
    void fill_pools();
    void fill_heap();
    void keep();
    runtime::TaskRef task_with_handles(runtime::Process& process,
                                       const std::vector<ship::HandleRef>& handles,
                                       std::size_t payload);
    shm::ObjectTable::Ref channel(const runtime::Channel::Shape& shape);
    void put_item(runtime::Process& process, runtime::Channel& channel,
                  const std::vector<ship::HandleRef>& handles);
    static void leave_cell(const queue::ChannelRing<>& ring, std::uint64_t position,
                           queue::CellPhase phase, shm::Owner owner);

    // ---- damage -------------------------------------------------------------------------------

    template <class Choice>
    void damage(Choice& choice) {
        const std::uint64_t plan = choice.next();
        const unsigned most = plan % 16 == 0 ? 500 : plan % 4 == 0 ? 40 : 6;
        for (unsigned i = 0; i < most && !choice.spent(); ++i)
            damage_once(choice);
    }
    template <class Choice>
    void damage_once(Choice& choice) {
        const std::uint64_t kind = choice.next();
        const shm::Offset at = place(choice);
        switch (kind % 16) {
        case 0:
            return fill(at, 8u << (kind >> 8) % 10, choice);
        case 1:
            return swap(at, place(choice), 8u << (kind >> 8) % 6);
        case 2:
            return write<std::uint8_t>(at + (kind >> 8) % 8,
                                       static_cast<std::uint8_t>(choice.next()));
        case 3:
            return write<std::uint16_t>(at + (kind >> 8) % 4 * 2,
                                        static_cast<std::uint16_t>(choice.next()));
        case 4:
            return write<std::uint32_t>(at + (kind >> 8) % 2 * 4,
                                        static_cast<std::uint32_t>(choice.next()));
        default:
            return write(at, word(kind >> 8, at, choice));
        }
    }
    // What damaged words are like: noise, a bit, extremes, or what belongs elsewhere.
    template <class Choice>
    std::uint64_t word(std::uint64_t kind, shm::Offset at, Choice& choice) {
        const auto was = read(at);
        switch (kind % 10) {
        case 0:
            return choice.next();
        case 1:
            return ~std::uint64_t{0};
        case 2:
            return 0;
        case 3:
            return (kind >> 8) % 256;
        case 4:
            return read(place(choice));
        case 5:
            return place(choice);
        case 6:
            return std::uint64_t{1} << (kind >> 8) % 64;
        case 7:
            return was + (kind >> 8) % 5 - 2;
        default:
            return was ^ std::uint64_t{1} << (kind >> 8) % 64;
        }
    }
    // A word of a region that matters, mostly one that says something.
    template <class Choice>
    shm::Offset place(Choice& choice) {
        const shm::Geometry& g = session_.segment.geometry();
        const std::uint64_t pick = choice.next();
        const shm::Offset regions[][2] = {
            {offsetof(shm::Header, task_top), sizeof(shm::Header)},
            {g.modules, g.modules + 2048},
            {g.obituaries, g.obituaries + 1024},
            {g.processors, g.processors + 1024},
            {g.backing, g.backing + 8 * (g.capacity / shm::extent_size)},
            {g.processes, g.processes + 4 * shm::process_area_size},
            {g.tasks, g.tasks + tasks_ * shm::task_record_size},
            {g.tasks, g.tasks + tasks_ * shm::task_record_size},
            {g.objects, g.objects + objects_ * shm::object_record_size},
            {g.objects, g.objects + objects_ * shm::object_record_size},
            {g.chunks, g.chunks + chunks_ * shm::chunk_record_size},
            {g.chunks, g.chunks + chunks_ * shm::chunk_record_size},
            {g.heap, g.heap + chunks_ * shm::chunk_size},
        };
        if (pick % 16 >= std::size(regions))
            return told_[(pick >> 8) % told_.size()];
        const auto& [first, last] = regions[pick % 16];
        return first + (pick >> 8) % ((last - first) / 8) * 8;
    }
    template <class Choice>
    void fill(shm::Offset at, std::size_t size, Choice& choice) {
        const std::uint64_t how = choice.next();
        for (shm::Offset end = at + size; at < end; at += 8)
            write(at, how % 3 == 0 ? choice.next() : how % 3 == 1 ? ~std::uint64_t{0} : 0);
    }
    void swap(shm::Offset a, shm::Offset b, std::size_t size) {
        for (shm::Offset i = 0; i < size; i += 8) {
            const std::uint64_t one = read(a / size * size + i);
            write(a / size * size + i, read(b / size * size + i));
            write(b / size * size + i, one);
        }
    }
    std::uint64_t read(shm::Offset at) const {
        std::uint64_t value = 0;
        if (session_.segment.readable(at, sizeof value) || at < head_end())
            std::memcpy(&value, session_.segment.base() + at, sizeof value);
        return value;
    }
    template <class T>
    void write(shm::Offset at, T value) {
        if (session_.segment.readable(at, sizeof value) || at < head_end())
            std::memcpy(session_.segment.base() + at, &value, sizeof value);
    }
    // The first page is read before anything is mapped, and checked then.
    shm::Offset head_end() const { return session_.segment.geometry().processes - 8; }

    // ---- recovery -----------------------------------------------------------------------------

    template <class Choice>
    void recover(Choice& choice) {
        bury(TestSession::dead_owner, TestSession::dead_id, choice.next());
        const std::uint64_t other = choice.next();
        if (other % 2 == 0)
            bury(TestSession::alive_owner, TestSession::alive_id, other >> 8);
        if (other % 8 == 1)
            bury(shm::Owner::from_bits(static_cast<std::uint32_t>(other >> 8) & 0xff'ffff),
                 static_cast<WorkerId>(other >> 32), other >> 16);
    }
    void bury(shm::Owner owner, WorkerId id, std::uint64_t how);
    void look_around();

    template <class Body>
    static void survive(Body&& body) {
        try {
            body();
        } catch (const std::bad_alloc&) {
            throw; // memory without bound
        } catch (const std::length_error&) {
            throw;
        } catch (const std::exception&) {
            // said on standard error by the launcher
        }
    }

    TestSession session_;
    std::vector<KeptChunk> kept_;
    std::vector<shm::Offset> told_; // words that are not zero
    std::uint64_t tasks_ = 0, objects_ = 0, chunks_ = 0;
    std::vector<shm::ObjectTable::Ref> arrays_;
    std::vector<runtime::TaskRef> futures_;
};

// ------------------------------------------------------------------------------------------------
// Content
// ------------------------------------------------------------------------------------------------

inline void DamagedSession::fill_tasks() {
    using namespace runtime;
    const Membership::Member dead{TestSession::dead_id, TestSession::dead_owner};
    const Membership::Member alive{TestSession::alive_id, TestSession::alive_owner};
    const auto work = [](const std::vector<char>& bytes) { return bytes; };
    Process* const all[] = {session_.master.get(), session_.alive.get(), session_.dead.get()};
    for (Process* const process : all)
        for (const std::size_t size : {16u, 3000u, 100'000u}) {
            const std::vector<char> bytes(size, 'x');
            const auto send = [&](const std::optional<Membership::Member>& to) {
                return send_call(*process, to, true, work, bytes);
            };
            send(std::nullopt);
            send(dead);
            send(alive);
            session_.dead->tasks().claim(entry_of(send(std::nullopt)));
            session_.alive->tasks().claim(entry_of(send(std::nullopt)));
            const TaskRef failed = send(alive), done = send(dead);
            if (session_.alive->tasks().claim(entry_of(failed)))
                fail_task(*session_.alive, failed,
                          std::make_exception_ptr(std::out_of_range("out of range")));
            if (session_.dead->tasks().claim(entry_of(done)))
                complete_task(*session_.dead, done, [&](Execution& result) { result.give(bytes); });
            TestSession::fill(*process, 0, false, size);
            const TaskRef open = TestSession::fill(*process, TestSession::dead_id, true, 0);
            process->tasks().publish_open(open);
            process->tasks().allow_shares(open);
            session_.alive->tasks().take_share(open);
            session_.dead->tasks().take_share(open);
            futures_.push_back(open);
            process->tasks().publish_kept(TestSession::fill(*process, 0, false, size));
        }
}

inline runtime::TaskRef DamagedSession::task_with_handles(
    runtime::Process& process, const std::vector<ship::HandleRef>& handles, std::size_t payload) {
    const runtime::TaskRef task = TestSession::fill(process, 0, true, payload);
    ship::HandleList list;
    for (const ship::HandleRef& handle : handles)
        list.add(handle);
    ship::Footprint need{};
    need.size = payload;
    process.tasks().abandon(task);
    const runtime::TaskRef again = *process.tasks().reserve();
    process.tasks().record(again).control.store(runtime::control::Origin::put(process.me().bits()) |
                                                    runtime::control::held,
                                                std::memory_order_relaxed);
    runtime::PayloadRoom room(process.tasks(), again,
                              shm::Tag::argument(again.index, again.generation), need);
    room.close(payload, list);
    process.tasks().publish(again);
    return again;
}

inline void DamagedSession::fill_objects() {
    runtime::Process* const all[] = {session_.master.get(), session_.alive.get(),
                                     session_.dead.get()};
    for (runtime::Process* const process : all)
        for (const std::size_t bytes : {64u, 5000u, 300'000u}) {
            const auto ref =
                process->objects().create(bytes, {.kind = runtime::object_kind::array}, 200);
            arrays_.push_back(ref);
            if (bytes == 5000)
                session_.dead->objects().acquire(ref);
        }
    std::vector<ship::HandleRef> handles;
    for (const auto& ref : arrays_)
        handles.push_back({runtime::handle_kind::object, ref.index, ref.generation});
    for (const auto& task : futures_)
        handles.push_back(runtime::handle_of(task));
    for (const std::size_t payload : {8u, 2000u})
        for (runtime::Process* const process : {session_.dead.get(), session_.master.get()}) {
            const auto task = task_with_handles(*process, handles, payload);
            if (payload == 8)
                session_.dead->tasks().claim(runtime::entry_of(task));
        }
}

inline shm::ObjectTable::Ref DamagedSession::channel(const runtime::Channel::Shape& shape) {
    auto& objects = session_.alive->objects();
    const auto ref =
        objects.create(runtime::Channel::bytes(shape), {.kind = runtime::object_kind::channel});
    runtime::Channel::make(session_.segment.base() + objects.view(ref).block, shape);
    session_.dead->objects().acquire(ref);
    return ref;
}

inline void DamagedSession::put_item(runtime::Process& process, runtime::Channel& channel,
                                     const std::vector<ship::HandleRef>& handles) {
    const std::size_t size = 200 + handles.size() * sizeof(ship::HandleRef);
    const shm::Block block = process.heap().allocate(size, shm::Tag::own(process.me()));
    std::memcpy(session_.segment.base() + block.offset + 200, handles.data(), size - 200);
    runtime::Item item{};
    item.block = block.offset & 0xffff'ffff'ffff;
    item.size = size & 0xff'ffff'ffff;
    item.handles = handles.size() & 0xffff;
    item.slot = process.me().slot;
    std::uint64_t position = 0;
    channel.try_put_item(item, position);
}

// A cell as one that died at work in it has left it.
inline void DamagedSession::leave_cell(const queue::ChannelRing<>& ring, std::uint64_t position,
                                       queue::CellPhase phase, shm::Owner owner) {
    const queue::ChannelRing<>::Cursor cursor(ring.cells(), position);
    cursor.state().store(cursor.word(phase, owner.bits()), std::memory_order_seq_cst);
}

inline void DamagedSession::fill_channels() {
    using runtime::Channel;
    std::vector<ship::HandleRef> handles;
    for (const auto& ref : arrays_)
        handles.push_back({runtime::handle_kind::object, ref.index, ref.generation});
    for (const bool in_blocks : {false, true})
        for (const std::uint64_t capacity :
             {std::uint64_t{0}, std::uint64_t{8}, Channel::unlimited})
            for (const WorkerId owner : {TestSession::dead_id, TestSession::alive_id}) {
                const std::size_t payload = in_blocks ? sizeof(runtime::Item) : sizeof(int);
                const auto ref = channel({capacity, payload, in_blocks, owner});
                Channel alive(*session_.alive, ref), dead(*session_.dead, ref);
                std::uint64_t position = 0;
                for (int i = 0; i < (capacity == Channel::unlimited ? 300 : 5); ++i)
                    if (in_blocks)
                        put_item(i % 2 == 0 ? *session_.dead : *session_.alive,
                                 i % 2 == 0 ? dead : alive, handles);
                    else
                        (i % 2 == 0 ? dead : alive).try_put(i, position);
                Channel::Cursor taken;
                dead.begin_take(taken);
                auto* const head = const_cast<runtime::ChannelHead*>(&dead.head());
                head->takers.set(TestSession::dead_owner.slot, std::memory_order_seq_cst);
                const auto& ring = *reinterpret_cast<queue::ChannelRing<>*>(head + 1);
                leave_cell(ring, 6, queue::CellPhase::writing, TestSession::dead_owner);
                if (capacity == 8)
                    dead.bind(TestSession::dead_id);
                if (capacity == 8 && owner == TestSession::alive_id) {
                    const auto why = ship::process_exited_record(7, "it ended");
                    alive.close(&why);
                }
                alive.abandon(); // what they left in the ring stays
                dead.abandon();
            }
}

inline void DamagedSession::fill_pools() {
    auto& objects = session_.launcher->objects();
    for (int i = 0; i < 2; ++i) {
        const auto ref =
            objects.create(sizeof(runtime::PoolHead), {.kind = runtime::object_kind::pool});
        session_.dead->objects().acquire(ref);
        runtime::Pool dead(*session_.dead, ref);
        dead.add(TestSession::alive_owner);
        dead.add(TestSession::dead_owner);
        const auto taken = dead.try_take();
        dead.head().waiters.set(TestSession::dead_owner.slot, std::memory_order_seq_cst);
        runtime::send_pooled_call(*session_.dead, taken->worker, dead.place_of(*taken), [] {});
    }
}

inline void DamagedSession::fill_heap() {
    constexpr shm::Owner former{4, 1};
    {
        runtime::Process left(session_.segment, former, 5);
        for (const std::size_t bytes : {40u, 200u, 3000u, 20'000u})
            left.heap().allocate(bytes, shm::Tag::session());
        left.heap().allocate(500'000, shm::Tag::own(former));
    }
    session_.launcher->heap().recover(former); // orphans
    for (runtime::Process* const process :
         {session_.dead.get(), session_.alive.get(), session_.launcher.get()})
        for (const std::size_t bytes : {40u, 1000u, 10'000u, 70'000u, 900'000u}) {
            const shm::Tag own = shm::Tag::own(process->me());
            process->heap().allocate(bytes, own);
            process->heap().free(process->heap().allocate(bytes, own).offset, own); // warm
        }
}

// ------------------------------------------------------------------------------------------------
// Rounds
// ------------------------------------------------------------------------------------------------

inline void DamagedSession::keep() {
    const shm::Segment& segment = session_.segment;
    const shm::Geometry& g = segment.geometry();
    for (shm::Offset chunk = 0; chunk * shm::chunk_size < g.capacity; ++chunk)
        if (chunk * shm::chunk_size < g.processes || segment.backing().backed(chunk)) {
            const std::byte* const from = segment.base() + chunk * shm::chunk_size;
            kept_.push_back({chunk, {from, from + shm::chunk_size}});
        }
    const auto top = [](const shm::Word64& word) { return word.load(std::memory_order_acquire); };
    tasks_ = std::min<std::uint64_t>(top(segment.header().task_top), 128);
    objects_ = top(segment.header().object_top);
    chunks_ = top(segment.header().heap_top);
    for (const KeptChunk& kept : kept_)
        for (std::size_t at = 0; at < shm::chunk_size; at += 8) {
            std::uint64_t word;
            std::memcpy(&word, kept.bytes.data() + at, sizeof word);
            const shm::Offset offset = kept.chunk * shm::chunk_size + at;
            if (word != 0 && word != 0x7878'7878'7878'7878 &&
                offset >= offsetof(shm::Header, task_top))
                told_.push_back(offset);
        }
}

inline void DamagedSession::restore() {
    const shm::Segment& segment = session_.segment;
    shm::Offset next = 0;
    const auto make_hole = [&](shm::Offset until) {
        if (until > next)
            os::punch_file_range(segment.file(), next * shm::chunk_size,
                                 (until - next) * shm::chunk_size);
    };
    for (const KeptChunk& kept : kept_) {
        make_hole(kept.chunk);
        next = kept.chunk + 1;
        std::memcpy(segment.base() + kept.chunk * shm::chunk_size, kept.bytes.data(),
                    shm::chunk_size);
    }
    make_hole(segment.geometry().capacity / shm::chunk_size);
}

inline void DamagedSession::bury(shm::Owner owner, WorkerId id, std::uint64_t how) {
    runtime::Death death{owner, id, 12345, static_cast<int>(how >> 8 & 0xffff)};
    death.repeats = how % 2 != 0;
    death.workers_left = how % 4 < 2;
    if (how % 8 == 1)
        death.successor = {TestSession::alive_id, TestSession::alive_owner};
    for (int pass = 0; pass < 2; ++pass)
        survive([&] { session_.recovery->bury(death); });
    survive([&] { session_.recovery->retry(); });
}

// What the launcher and tools read besides.
inline void DamagedSession::look_around() {
    runtime::Process& launcher = *session_.launcher;
    survive([&] { launcher.heap().statistics(); });
    survive([&] { launcher.objects().live_count(); });
    for (std::uint32_t index = 0; index < std::min(launcher.tasks().end_of_walk(), 512u); ++index)
        survive([&] {
            const runtime::TaskRecord& record = launcher.tasks().record(index);
            if (const runtime::Operation* operation = runtime::find_operation(record.function))
                static_cast<void>(std::string(operation->name));
            const auto state =
                runtime::TaskState::from_bits(record.state.load(std::memory_order_acquire));
            if (state.phase == runtime::TaskPhase::failed)
                static_cast<void>( // not thrown: its type is whatever the damaged record says
                    runtime::failure_of({state.phase, record.result,
                                         runtime::payload_bytes(launcher.tasks(), record)}));
        });
    for (const WorkerId id : {2, 3, 700, -5})
        survive([&] { std::rethrow_exception(runtime::missing_worker(launcher.processes(), id)); });
    const auto& modules =
        *session_.segment.at<ship::ModuleTable>(session_.segment.geometry().modules);
    for (std::size_t row = 0; row < 4; ++row)
        survive([&] { static_cast<void>(modules.texts(row)); });
    survive([&] { launcher.heap().trim(); });
    survive([&] { launcher.holdings().release_pins(); });
    survive([&] { launcher.processes().ring_everybody(); });
}

} // namespace dshm::test
