// The processes of a session: one area each in the segment.
//
// A row's state word names the life in the slot: phase, incarnation and worker id in one. The
// launcher alone begins and ends lives; a worker moves its own from starting to running and to
// exiting, an attached program its own to exiting. Ids are never used again, slots are; attached
// programs have ids of their own, -1, -2, and so on. What is left of a worker when its slot is taken by
// another is its obituary.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "dshm/base/bits.hpp"
#include "dshm/queue/index_ring.hpp"
#include "dshm/runtime/crash_note.hpp"
#include "dshm/shm/segment.hpp"
#include "dshm/sync/doorbell.hpp"

namespace dshm {

using WorkerId = int;
enum class WorkerState { starting, running, stopped, exiting, exited };

} // namespace dshm

namespace dshm::runtime {

// attached: a program that reads and writes what the session shares. It is told and recovered like
// anybody, and is no worker: no task is sent to it, and no list has it.
enum class LifePhase : std::uint8_t { none = 0, starting, running, exiting, dead, attached };

// 64 bits: phase in 0..7, incarnation in 8..23, worker id in 32..63.
struct Life {
    LifePhase phase = LifePhase::none;
    std::uint16_t incarnation = 0;
    WorkerId id = 0;

    constexpr std::uint64_t bits() const {
        return std::uint64_t(phase) | std::uint64_t{incarnation} << 8 |
               std::uint64_t(static_cast<std::uint32_t>(id)) << 32;
    }
    static constexpr Life from_bits(std::uint64_t bits) {
        return {static_cast<LifePhase>(bits & 0xff), static_cast<std::uint16_t>(bits >> 8),
                static_cast<WorkerId>(bits >> 32)};
    }
    // Takes part in the session: tasks may be sent to it.
    constexpr bool active() const { return phase == LifePhase::running; }
    friend constexpr bool operator==(const Life&, const Life&) = default;
};

enum class Count : unsigned {
    spawned,
    done,
    failed,
    bytes_sent,
    bytes_returned,
    stolen,
    parked,
    number
};

// One process's area. Lines are written by one process each, as named on the right.
//
//   0     | life | os pid | exit asked |                     launcher (life also the worker itself)
//   128   | bell | interrupts | looks |                      everybody who rings
//   256   | counters, 8 bytes each |                         the process
//   384   | output asked | current function | current task | the process
//   512   | output shown | output busy |                     launcher
//   640   | inbox: work for this process alone |
//   33792 | ready: work for anyone, put by this process |
//   99712 | events: what happened to tasks and objects that it waits for |
//   116480| crash: what its signal handler left of a crash |   the process, while it dies
struct ProcessArea {
    shm::Word64 life;
    shm::Word32 os_pid;
    shm::Word32 exit_asked;

    alignas(base::cache_line) waiting::Doorbell bell;
    shm::Word32 interrupts; // so many times it was told to stop what it runs
    shm::Word32 looks;      // so many times an event may have been lost

    alignas(base::cache_line) std::array<shm::Word64, static_cast<unsigned>(Count::number)> counts;

    alignas(base::cache_line) shm::Word64 output_asked;
    shm::Word64 current_function;

    alignas(base::cache_line) shm::Word64 output_shown;
    shm::Word64
        output_busy; // the launcher has, or may have, output of this process that is not shown yet

    alignas(base::cache_line) queue::IndexRing<4096> inbox;
    queue::IndexRing<8192> ready;
    queue::IndexRing<2048> events;
    CrashNote crash;
};

static_assert(sizeof(ProcessArea) <= shm::process_area_size, "an area fits its stride");
static_assert(offsetof(ProcessArea, bell) == 128 && offsetof(ProcessArea, counts) == 256 &&
                  offsetof(ProcessArea, output_asked) == 384 &&
                  offsetof(ProcessArea, output_shown) == 512 &&
                  offsetof(ProcessArea, inbox) == 640 && offsetof(ProcessArea, ready) == 33'792 &&
                  offsetof(ProcessArea, events) == 99'712 &&
                  offsetof(ProcessArea, crash) == 116'480,
              "the diagram above");

// What is known of a worker that has ended. Written by the launcher, key last; read by anybody.
//
//   0     8             12    16         24           32      36          40
//   | key | wait status | pid | function | tasks done | asked | successor | ...
struct Obituary {
    shm::Word64 key; // worker id, or 0
    std::int32_t wait_status;
    std::int32_t os_pid;
    std::uint64_t function; // the task that ran, or 0
    std::uint64_t tasks_done;
    std::uint32_t asked_to_exit;
    std::int32_t successor; // the worker that was started in its place, or 0
    std::uint32_t reserved_[6];
};
static_assert(sizeof(Obituary) == 64, "a line each");

inline constexpr std::size_t obituary_slots = shm::obituary_region_size / sizeof(Obituary);

// The rest of what is known of a death, as people read it: of the last few of which there is
// something. Written by the launcher, key last; read by anybody, who looks at the key again afterwards.
//
//   0     8      16
//   | key | size | text |
struct LastWords {
    static constexpr std::size_t room = 4096 - 16;

    shm::Word64 key;  // worker id, or 0
    shm::Word64 size; // bytes
    std::array<shm::Word64, room / 8> text;
};
static_assert(sizeof(LastWords) == 4096, "a page each");

inline constexpr std::size_t last_words_slots = shm::last_words_region_size / sizeof(LastWords);

// Header::workers_coming: how many are coming, and how often somebody was said to, so that two looks
// tell whether nobody came in between.
namespace coming {
using Count = base::Field<0, 32>;
inline constexpr std::uint64_t one_more = 1 | std::uint64_t{1} << 32;
} // namespace coming

// A process that takes part, by both its names.
struct Member {
    WorkerId id;
    shm::Owner owner;
};

class ProcessTable {
public:
    explicit ProcessTable(const shm::Segment& segment) : segment_(&segment) {}

    ProcessArea& area(unsigned slot) const {
        return *segment_->at<ProcessArea>(segment_->geometry().processes +
                                          slot * shm::process_area_size);
    }
    Life life(unsigned slot) const {
        // acquire, edge `life`: pairs with the launcher's and the worker's stores.
        return Life::from_bits(area(slot).life.load(std::memory_order_acquire));
    }
    void set_life(unsigned slot, Life life) const {
        area(slot).life.store(life.bits(), std::memory_order_release); // edge `life`
    }
    bool alive(shm::Owner owner) const {
        const Life now = life(owner.slot);
        return now.incarnation == owner.incarnation && now.phase != LifePhase::none &&
               now.phase != LifePhase::dead;
    }

    // Gives the area its pages. Throws SharedMemoryExhausted.
    void back_area(unsigned slot) const {
        segment_->backing().ensure(segment_->geometry().processes + slot * shm::process_area_size,
                                   shm::process_area_size);
    }

    Obituary& obituary(WorkerId id) const {
        return segment_->at<Obituary>(
            segment_->geometry().obituaries)[static_cast<std::size_t>(id) % obituary_slots];
    }

    // The n-th of them. Whoever has died last has the one behind.
    LastWords& last_words(std::size_t n) const {
        return segment_->at<LastWords>(segment_->geometry().obituaries +
                                       shm::obituary_region_size)[n % last_words_slots];
    }

    // An area without its pages may not be touched.
    bool backed(unsigned slot) const {
        return segment_->backing().backed(
            (segment_->geometry().processes + slot * shm::process_area_size) / shm::chunk_size);
    }
    // f(slot, area) for every area that has its pages.
    template <class F>
    void for_each_backed(F&& f) const {
        for (unsigned slot = 0; slot < shm::max_processes; ++slot)
            if (backed(slot))
                f(slot, area(slot));
    }
    // The slot in which a worker lives, starting and exiting ones included. O(slots).
    std::optional<unsigned> slot_of(WorkerId id) const;
    // The worker that lives, or starts, in the place of one that has ended, or of its successor's
    // successor. O(slots + deaths in that place).
    std::optional<Member> successor_of(WorkerId id) const;

    // A worker is starting in the place of a dead one, or the session is being stopped: that nobody is
    // there now does not mean that the master is on its own.
    bool somebody_comes() const { return coming::Count::get(coming_word()) != 0; }
    // seq_cst: compared with what is seen of lives before and after.
    std::uint64_t coming_word() const {
        return segment_->header().workers_coming.load(std::memory_order_seq_cst);
    }

    // Tells every process that lives have begun or ended.
    void announce_change() const {
        // release, edge `membership`.
        segment_->header().membership_epoch.fetch_add(1, std::memory_order_acq_rel);
    }
    void ring_everybody() const;
    // The same, and every wait that is set aside is looked at: an event may have been lost.
    void tell_everybody_to_look() const;

private:
    const shm::Segment* segment_;
};

// Who is there: a private copy of the table's ids, renewed when the epoch has moved. Not
// thread-safe; its owner locks.
class Membership {
public:
    using Member = runtime::Member;

    explicit Membership(const shm::Segment& segment) : segment_(&segment), table_(segment) {}

    // Running processes in ascending order of ids, the master first, the launcher not among them.
    const std::vector<Member>& members();
    const Member* find(WorkerId id);

private:
    const shm::Segment* segment_;
    ProcessTable table_;
    std::uint64_t epoch_ = ~std::uint64_t{0};
    std::vector<Member> members_;
};

} // namespace dshm::runtime
