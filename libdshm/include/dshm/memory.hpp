// Memory of the session that nobody uses.
//
//     { dshm::SharedArray<double> scratch(100'000'000); use(scratch); }
//     dshm::trim(); // its 800 MB are the system's again
#pragma once

#include <cstddef>

namespace dshm {

// Gives memory that is free back to the system, and says how many bytes that was. Arrays and
// results that are dropped leave their memory in the session, for the next ones; up to 64 MiB in
// each process are kept whole, so that the next ones of the same size cost nothing. All of that
// goes, of all processes, and with it the blocks of small sizes that this process keeps. May be
// called from any process and any thread at any time, and never waits for one that works. A process
// that is killed meanwhile costs nothing. What is made next takes its pages from the system again: 0.7
// ms for each MiB with its first touch.
//
// Costs 0.2 ms for each MiB that goes back, and 1 ms for each GiB that the session has ever had in
// use. counters() tells how much there is: heap_warm and heap_free. Throws std::logic_error without
// a session.
std::size_t trim();

} // namespace dshm
