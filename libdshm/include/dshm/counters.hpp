// Counters: what the processes of a session have done.
//
//     const dshm::Counters before = dshm::counters();
//     work();
//     std::cout << (dshm::counters() - before).bytes_moved << " bytes moved\n";
#pragma once

#include <cstddef>
#include <cstdint>

namespace dshm {

// Sums over all processes of the session, dead ones included; then what there is in shared memory.
struct Counters {
    std::uint64_t tasks_spawned = 0;
    std::uint64_t tasks_done = 0;     // ended well
    std::uint64_t tasks_failed = 0;   // ended with an exception
    std::uint64_t tasks_stolen = 0;   // taken out of another process's ready ring
    std::uint64_t bytes_sent = 0;     // closures and arguments to other processes
    std::uint64_t bytes_returned = 0; // results from other processes
    std::uint64_t bytes_moved = 0;    // the sum of the two
    // Now, and no sums over time; in a difference, those of the later one. Bytes, or numbers.
    std::uint64_t objects = 0;       // shared objects alive
    std::uint64_t heap_blocks = 0;   // arrays, results and other blocks in use
    std::uint64_t heap_used = 0;     // their bytes, with what their sizes are rounded up by
    std::uint64_t heap_warm = 0;     // kept whole for the next ones, by any process
    std::uint64_t heap_free = 0;     // used before, and free for anything
    std::uint64_t heap_capacity = 0; // what the heap can hold at most
    std::uint64_t memory_backed = 0; // what the system has given to the session; see dshm::trim()

    friend Counters operator-(const Counters& later, const Counters& earlier);
};

// A few ns for each process, object and array and for each 2 MiB ever used, and up to 0.5 µs
// for each 64 KiB in small blocks; others go on counting and allocating meanwhile.
Counters counters();

} // namespace dshm
