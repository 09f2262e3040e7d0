// A task: the call, and then its result, in one record of 256 bytes.
//
// The state word is the truth about the task; rings only say where tasks may be found.
//
//   free → filling(p) → queued → running(p) → done | failed → filling(p) → free, generation + 1
//                 ├──→ open ──────↗               (a Future that somebody will put)
//                 └──→ kept                       (a call that every later worker makes too)
//
// Each arrow is one atomic write that names its author; only the author of filling and running may
// make the next step, unless it is dead: then the launcher does.
//
// Who holds a future of it: the origin by the bit `held`, every other process by its bit in
// `holders`, which count once the bit `shared` is set. A share is taken only while another one, or
// a pin, lasts; whoever gives one back and finds none left frees the record (TaskTable::unheld).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <new>

#include "dshm/base/bits.hpp"
#include "dshm/shm/identity.hpp"
#include "dshm/shm/layout.hpp"

namespace dshm::runtime {

enum class TaskPhase : std::uint8_t {
    free = 0,
    filling,
    queued,
    running,
    open,
    done,
    failed,
    kept
};

constexpr bool is_finished(TaskPhase phase) {
    return phase == TaskPhase::done || phase == TaskPhase::failed;
}

// 64 bits: phase in 0..3, owner in 4..27, attempt in 28..31, generation in 32..63.
struct TaskState {
    TaskPhase phase = TaskPhase::free;
    shm::Owner owner{}; // while filling or running, and who ended it afterwards
    std::uint8_t attempt = 0;
    std::uint32_t generation = 0;

    constexpr std::uint64_t bits() const {
        return std::uint64_t(phase) | std::uint64_t{owner.bits()} << 4 |
               std::uint64_t{attempt} << 28 | std::uint64_t{generation} << 32;
    }
    static constexpr TaskState from_bits(std::uint64_t bits) {
        return {static_cast<TaskPhase>(bits & 0xf), shm::Owner::from_bits((bits >> 4) & 0xff'ffff),
                static_cast<std::uint8_t>((bits >> 28) & 0xf),
                static_cast<std::uint32_t>(bits >> 32)};
    }
    friend constexpr bool operator==(const TaskState&, const TaskState&) = default;
};

// Who spawned the task, the worker that alone may run it, and a few bits that change while it
// lives.
//
//   63        56 55      48 47         24 23         0
//   |          | bits     | target id   | origin      |
namespace control {
using Origin = base::Field<0, 24>;
using Target = base::Field<24, 24>; // an id, because ids are never used again; 0: anyone
inline constexpr std::uint64_t held = std::uint64_t{1} << 48; // the origin holds a future of it
inline constexpr std::uint64_t origin_waits = std::uint64_t{1} << 49; // the origin sleeps for it
inline constexpr std::uint64_t shared = std::uint64_t{1} << 50;    // holders and waiters count too
inline constexpr std::uint64_t observed = std::uint64_t{1} << 51;  // somebody has seen it fail
inline constexpr std::uint64_t cancelled = std::uint64_t{1} << 52; // asked to stop
inline constexpr std::uint64_t pooled = std::uint64_t{1} << 53;    // gives a pool's worker back
// May be begun anew after its worker's death, where the session restarts workers.
inline constexpr std::uint64_t repeatable = std::uint64_t{1} << 54;
} // namespace control

// Of a task with control::pooled, the worker of a pool that is given back at its end.
struct PoolPlace {
    std::uint64_t pool = 0;  // Pool::word_of
    std::uint64_t taken = 0; // owner, ticket from bit 32 on
};

// How the payload is to be read.
enum class PayloadForm : std::uint64_t {
    inline_bytes, // in the record
    block,        // in a heap block, whose offset is the record's first payload word
};

enum class ResultForm : std::uint64_t {
    value,
    exception, // an encoded ship::ExceptionRecord
    exited,    // an ExitNote: the process that ran it is gone
    none,      // there is none: the arguments are as they were sent
};

inline constexpr std::size_t inline_payload_size = 152;
inline constexpr std::size_t largest_payload = (std::size_t{1} << 40) - 1;
inline constexpr std::size_t most_handles = (1 << 16) - 1;

//   0       8         16         24                           32        184      192       224       232      240
//   | state | control | function | size, form, result, handles | payload | stream | holders | waiters | shares | pool, taken |
//
// The first line (64 bytes) is all that a small task touches. The last one serves futures that were
// sent on to other processes; while control::shared is not set, the origin is the only holder.
// Waiters: bit b stands for the slots b, b + 64, b + 128 and b + 192; all of them are rung. Shares
// counts how often one was taken; of a kept record it is the place in the order of all kept ones.
// Pool and taken: a PoolPlace, while control::pooled is set. Of a batch of a map, taken says which of
// its elements have begun (map_batch.hpp). Stream: see stream_of().
struct TaskRecord {
    shm::Word64 state;
    shm::Word64 control;
    std::uint64_t function;  // ship::FunctionId bits
    std::uint64_t size : 40; // bytes of payload: arguments until the task has run, then its result
    PayloadForm form : 4;
    ResultForm result : 4;
    std::uint64_t handles : 16; // HandleRefs at the end of the payload
    alignas(8) std::array<std::byte, inline_payload_size> payload;
    std::uint64_t stream;
    shm::ProcessMask holders;
    shm::Word64 waiters;
    shm::Word64 shares;
    std::uint64_t pool;
    std::uint64_t taken;
};

static_assert(sizeof(TaskRecord) == shm::task_record_size, "four lines");
static_assert(offsetof(TaskRecord, payload) == 32, "payload is 32-byte aligned in the record");
static_assert(offsetof(TaskRecord, stream) == 184, "behind the largest payload");
static_assert(offsetof(TaskRecord, holders) == 192 && offsetof(TaskRecord, waiters) == 224 &&
                  offsetof(TaskRecord, shares) == 232 && offsetof(TaskRecord, pool) == 240,
              "what few tasks use lies on a line of its own");

// The id of the task's random stream (task_stream.hpp), from when its arguments are written until its
// result is. On the first line, behind the arguments, if they leave room there, so that a small task
// touches no other.
inline std::uint64_t& stream_of(TaskRecord& record) {
    constexpr std::size_t place = 24; // in the payload
    if (record.form == PayloadForm::inline_bytes && record.size > place)
        return record.stream;
    return *std::launder(reinterpret_cast<std::uint64_t*>(record.payload.data() + place));
}

// Names one use of a record. 8 bytes; what a Future holds.
struct TaskRef {
    std::uint32_t index = 0;
    std::uint32_t generation = 0;
    friend constexpr bool operator==(const TaskRef&, const TaskRef&) = default;
};

// What the process had to do with a task when it ended.
enum class ExitMoment : std::uint32_t {
    before, // the task waited for it
    during, // it ran the task
    owning, // it was the owner of a future that nobody had put
};

// The payload of a task whose process has ended.
struct ExitNote {
    std::int32_t worker;
    std::int32_t wait_status;
    std::int32_t os_pid;
    ExitMoment moment;
    std::uint64_t function; // the task's function
    std::uint32_t attempts; // workers that have ended while running it, this one included
};

} // namespace dshm::runtime
