// Counters: what the processes of a session have done.
//
//     const dshm::Counters before = dshm::counters();
//     work();
//     std::cout << (dshm::counters() - before).bytes_moved << " bytes moved\n";
#pragma once

#include <cstddef>
#include <cstdint>

namespace dshm {

// Sums over all processes of the session, dead ones included.
struct Counters {
    std::uint64_t tasks_spawned = 0;
    std::uint64_t tasks_done = 0;     // ended well
    std::uint64_t tasks_failed = 0;   // ended with an exception
    std::uint64_t tasks_stolen = 0;   // taken out of another process's ready ring
    std::uint64_t bytes_sent = 0;     // closures and arguments to other processes
    std::uint64_t bytes_returned = 0; // results from other processes
    std::uint64_t bytes_moved = 0;    // the sum of the two
    std::uint64_t objects = 0;        // shared objects alive now, not a sum over time

    friend Counters operator-(const Counters& later, const Counters& earlier);
};

// A few ns for each process and object; other processes go on counting meanwhile.
Counters counters();

} // namespace dshm
