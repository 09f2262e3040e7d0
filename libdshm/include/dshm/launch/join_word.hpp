// How a program that was not started by the session asks to be let in: one word of the header.
//
//   63          32 31      8 7     0
//   | process     | detail  | phase |
//
//   FREE → ASKING(process, its start) → ACCEPTED(process, owner) → FREE
//                                     → REFUSED(process, why)    → FREE
//
// The program claims a place by a compare-and-swap that names it, and rings the launcher by a signal.
// The launcher alone answers; the program takes the answer, or takes back a question that nobody has
// answered in time. The detail of a question is when the process was started, so that a later one of
// the same number is not taken for it; that of an acceptance is the slot and incarnation it got, that of
// a refusal the reason in its low 4 bits, and 20 bits of the start.
//
// Death of the program: the launcher frees a place whose process is gone, whether or not there is
// another of its number, and recovers whom it had accepted by its pidfd. Nothing else is touched before
// the answer. If the launcher has no file descriptor left to look with, the place stays as it is until
// the next ring.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <cstdint>

#include "dshm/base/bits.hpp"
#include "dshm/os/process.hpp"
#include "dshm/shm/identity.hpp"

namespace dshm::launch {

enum class JoinPhase : std::uint8_t { free = 0, asking, accepted, refused };

enum class Refusal : std::uint32_t { many_clients = 1, no_slot, no_memory };

// Whom a word names.
enum class Asker { there, gone, not_seen };

inline constexpr unsigned most_clients = 32;

// Asks the launcher to look. By default it is ignored, so one that goes astray does no harm.
inline constexpr int join_signal = SIGURG;

struct JoinWord {
    std::uint64_t bits = 0;

    static JoinWord asking(pid_t process) {
        return make(JoinPhase::asking, process, start_of(process));
    }
    static JoinWord accepted(pid_t process, shm::Owner owner) {
        return make(JoinPhase::accepted, process, owner.bits());
    }
    static JoinWord refused(JoinWord question, Refusal why) {
        return make(JoinPhase::refused, question.process(),
                    Reason::put(static_cast<std::uint32_t>(why)) |
                        Start::put(Detail::get(question.bits) & 0xf'ffff));
    }

    JoinPhase phase() const { return static_cast<JoinPhase>(Phase::get(bits)); }
    pid_t process() const { return static_cast<pid_t>(Process::get(bits)); }
    shm::Owner owner() const { return shm::Owner::from_bits(Detail::get(bits)); }
    Refusal why() const { return static_cast<Refusal>(Reason::get(Detail::get(bits))); }
    // Whether the process that asked is there, and seen from here: by its start, which an acceptance does
    // not tell. `not_seen` when this cannot be looked at now.
    Asker asker() const {
        const auto start = os::start_of_process(process());
        if (!start)
            return Asker::not_seen;
        return *start != 0 && may_be_of(bits_of(*start)) ? Asker::there : Asker::gone;
    }
    friend bool operator==(const JoinWord&, const JoinWord&) = default;

private:
    using Phase = base::Field<0, 8>;
    using Detail = base::Field<8, 24>;
    using Process = base::Field<32, 32>;
    // Of the detail of a refusal; the start loses its highest bits.
    using Reason = base::Field<0, 4>;
    using Start = base::Field<4, 20>;

    bool may_be_of(std::uint32_t start) const {
        const std::uint64_t detail = Detail::get(bits);
        if (phase() == JoinPhase::asking)
            return detail == start;
        return phase() != JoinPhase::refused || Start::get(detail) == (start & 0xf'ffff);
    }
    // The low bits, not 0 for a process that is there: two days of ticks.
    static std::uint32_t bits_of(std::uint64_t start) {
        return start == 0 ? 0 : static_cast<std::uint32_t>(start & 0xff'ffff) | 1u;
    }
    static std::uint32_t start_of(pid_t process) {
        return bits_of(os::start_of_process(process).value_or(0));
    }
    static JoinWord make(JoinPhase phase, pid_t process, std::uint64_t detail) {
        return {Phase::put(static_cast<std::uint64_t>(phase)) | Detail::put(detail) |
                Process::put(static_cast<std::uint32_t>(process))};
    }
};

} // namespace dshm::launch
