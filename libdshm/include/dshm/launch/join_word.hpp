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
// the same number is not taken for it; that of an acceptance is the slot and incarnation it got.
//
// Death of the program: the launcher frees a place whose process is gone, and recovers whom it had
// accepted by its pidfd. Nothing else is touched before the answer.
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
    static JoinWord refused(pid_t process, Refusal why) {
        return make(JoinPhase::refused, process, static_cast<std::uint32_t>(why));
    }

    JoinPhase phase() const { return static_cast<JoinPhase>(Phase::get(bits)); }
    pid_t process() const { return static_cast<pid_t>(Process::get(bits)); }
    shm::Owner owner() const { return shm::Owner::from_bits(Detail::get(bits)); }
    Refusal why() const { return static_cast<Refusal>(Detail::get(bits)); }
    // Of a question: the process that asked is there, and seen from here.
    bool still_asked() const {
        return phase() == JoinPhase::asking && *this == asking(process()) && Detail::get(bits) != 0;
    }
    friend bool operator==(const JoinWord&, const JoinWord&) = default;

private:
    using Phase = base::Field<0, 8>;
    using Detail = base::Field<8, 24>;
    using Process = base::Field<32, 32>;

    // The low bits, not 0 for a process that is there: two days of ticks.
    static std::uint32_t start_of(pid_t process) {
        const std::uint64_t start = os::start_of_process(process);
        return start == 0 ? 0 : static_cast<std::uint32_t>(start & 0xff'ffff) | 1u;
    }
    static JoinWord make(JoinPhase phase, pid_t process, std::uint32_t detail) {
        return {Phase::put(static_cast<std::uint64_t>(phase)) | Detail::put(detail) |
                Process::put(static_cast<std::uint32_t>(process))};
    }
};

} // namespace dshm::launch
