// What becomes of a session when a worker ends that nobody has told to.
//
// Whatever is chosen, what the dead worker left half-done is put right (recovery.hpp), and its end is
// said on standard error.
#pragma once

#include <cstdint>

namespace dshm {

enum class OnWorkerDeath : std::uint64_t {
    // Its task fails with ProcessExitedException, and the session goes on with one worker less.
    ignore,
    // Another worker is started in its place, makes the calls of everywhere(replay, ...), and is
    // sent what was sent to the dead one alone. The task that ran is begun anew, as often as
    // most_attempts says; so is a chunk of a loop and an element of a map.
    restart,
    // The other workers are killed, and the session has ended: every call throws.
    stop,
};

namespace runtime {

// A task that has ended so many workers fails. Three, so that a task survives two accidents, and one
// that is itself the cause costs little.
inline constexpr unsigned most_attempts = 3;

// Another worker is not started when so many have ended in a row that had not done a single task: the
// cause is then not in what they ran. 100 of them take about a tenth of a second to fork.
inline constexpr unsigned most_barren_workers = 100;
// Nor when so many in a row have not even come so far as to take tasks.
inline constexpr unsigned most_failed_starts = 5;

} // namespace runtime

} // namespace dshm
