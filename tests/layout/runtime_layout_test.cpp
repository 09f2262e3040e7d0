// Records of the runtime as written down: a change here is a change of the ABI and needs a new abi_number.
#include "catch.hpp"

#include <cstddef>
#include <cstring>

#include "dshm/runtime/array_note.hpp"
#include "dshm/runtime/loop_chunks.hpp"
#include "dshm/runtime/process_table.hpp"
#include "dshm/runtime/task_record.hpp"
#include "dshm/runtime/worker_pool.hpp"

using namespace dshm;
using namespace dshm::runtime;

namespace {

static_assert(offsetof(TaskRecord, state) == 0 && offsetof(TaskRecord, control) == 8 &&
              offsetof(TaskRecord, function) == 16 && offsetof(TaskRecord, payload) == 32 &&
              offsetof(TaskRecord, holders) == 192 && offsetof(TaskRecord, waiters) == 224);
static_assert(sizeof(TaskRecord) == 256 && inline_payload_size == 152);
static_assert(offsetof(ProcessArea, life) == 0 && offsetof(ProcessArea, os_pid) == 8 &&
              offsetof(ProcessArea, exit_asked) == 12);
static_assert(offsetof(ProcessArea, current_function) == 392 &&
              offsetof(ProcessArea, output_busy) == 520);
static_assert(sizeof(queue::IndexRing<4096>) == 384 + 4096 * 8 &&
              sizeof(queue::IndexRing<8192>) == 384 + 8192 * 8);
static_assert(sizeof(Obituary) == 64 && offsetof(Obituary, key) == 0 &&
              offsetof(Obituary, wait_status) == 8 && offsetof(Obituary, os_pid) == 12 &&
              offsetof(Obituary, function) == 16 && offsetof(Obituary, tasks_done) == 24);
static_assert(sizeof(ExitNote) <= inline_payload_size, "a death is recorded without taking memory");
static_assert(sizeof(TaskRef) == 8);
static_assert(offsetof(TaskRecord, pool) == 240 && offsetof(TaskRecord, taken) == 248);
static_assert(sizeof(PoolHead) == 2304 && offsetof(PoolHead, waiters) == 0 &&
              offsetof(PoolHead, last_woken) == 32 && offsetof(PoolHead, members) == 128 &&
              sizeof(queue::MemberQueue) == 2176);

static_assert(sizeof(LoopPlan) == 48 && sizeof(LoopHead) == 384 &&
              offsetof(LoopHead, results) == 48 && offsetof(LoopHead, payload) == 64 &&
              offsetof(LoopHead, stream) == 80 && offsetof(LoopHead, caller) == 96 &&
              offsetof(LoopHead, next) == 128 && offsetof(LoopHead, elements_done) == 136 &&
              offsetof(LoopHead, stopped) == 256);

constexpr shm::Owner somebody{0x12, 0x3456};

} // namespace

TEST_CASE("a task's state is the word drawn beside it") {
    const TaskState state{TaskPhase::running, somebody, 0x7, 0x89ab'cdef};
    CHECK(state.bits() == 0x89ab'cdef'7345'6123);
    CHECK(TaskState::from_bits(state.bits()) == state);
    CHECK(TaskState{}.bits() == 0);
}

TEST_CASE("a life is the word drawn beside it") {
    const Life life{LifePhase::running, 0x1234, 77};
    CHECK(life.bits() == (std::uint64_t{77} << 32 | 0x1234u << 8 | 2));
    CHECK(Life::from_bits(life.bits()) == life);
}

TEST_CASE("control words keep origin, target and bits apart") {
    const std::uint64_t word =
        control::Origin::put(somebody.bits()) | control::Target::put(0xff'ffff) | control::held;
    CHECK(control::Origin::get(word) == somebody.bits());
    CHECK(control::Target::get(word) == 0xff'ffff);
    CHECK((word & (control::origin_waits | control::shared)) == 0);
}

TEST_CASE("a member of a pool is the word drawn beside it") {
    const auto free = queue::MemberState::free({7, 0xabcd}, 0x123456789);
    CHECK(free.bits == (std::uint64_t{1} << 62 | std::uint64_t{0xabcd} << 46 | 0x123456789));
    const auto taken = queue::MemberState::taken({7, 0xabcd}, 0x3fffff, somebody);
    CHECK(taken.bits == (std::uint64_t{2} << 62 | std::uint64_t{0xabcd} << 46 |
                         std::uint64_t{0x3fffff} << 24 | somebody.bits()));
    CHECK((taken.holder() == somebody && taken.ticket() == 0x3fffff));
    CHECK((free.order() == 0x123456789 && free.is({7, 0xabcd}) && !free.is({7, 1})));
    CHECK(queue::MemberState{}.phase() == queue::MemberPhase::absent);
}

TEST_CASE("a chunk of a loop is the word drawn beside it") {
    const ChunkState state{ChunkPhase::done, 0xabc, 0x1234'5678};
    CHECK(state.bits() == 0x1234'5678'abc2);
    CHECK(ChunkState::from_bits(state.bits()) == state);
    CHECK(ChunkState{}.bits() == 0);
}

TEST_CASE("the note of an array is the lines drawn beside it") {
    alignas(64) std::byte bytes[128] = {};
    ArrayNote::write(bytes, {.dimensions = 2,
                             .participants = {2, 3},
                             .name = "A",
                             .type = "int",
                             .type_key = "i",
                             .file = FilePlace{"/f", 7, 8, 9, true}});
    const auto word = [&](std::size_t at) {
        std::uint32_t value = 0;
        std::memcpy(&value, bytes + at, sizeof value);
        return value;
    };
    CHECK((word(0) == 0 && word(16) == 2 && word(20) == 2 && word(24) == 1 && word(28) == 3));
    CHECK((word(32) == 2 && word(36) == 1 && word(40) == 7 && word(48) == 8 && word(56) == 9));
    CHECK((word(64) == 2 && word(68) == 3));
    CHECK(std::memcmp(bytes + 72, "Aint/f", 6) == 0);
}

TEST_CASE("zero-filled memory holds free tasks, nobody, and empty rings") {
    alignas(base::cache_line) static std::byte zeros[sizeof(ProcessArea)];
    const auto& area = *reinterpret_cast<const ProcessArea*>(zeros);
    CHECK(Life::from_bits(area.life.load(std::memory_order_relaxed)).phase == LifePhase::none);
    CHECK(!area.inbox.peek());
    CHECK(!area.ready.peek());
    CHECK(TaskState::from_bits(0).phase == TaskPhase::free);
    const auto& obituary = *reinterpret_cast<const Obituary*>(zeros);
    CHECK(obituary.key.load(std::memory_order_relaxed) == 0); // no worker has the id 0
}
