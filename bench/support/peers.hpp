// The peers that live in programs of their own, and where they are found: the build defines BENCH_SOURCE_DIR,
// BENCH_THREAD_PEERS, and BENCH_OPENMPI_PING_PONG where there is an MPI compiler.
#pragma once

#include "support/coprocess.hpp"
#include "support/measure.hpp"

#include <memory>
#include <string>

namespace bench {

/// Nothing if there is no Python here.
inline std::unique_ptr<Coprocess> start_python_pool() {
    return start_if_possible({BENCH_SOURCE_DIR "/baselines/python_pool.py"}, "start 2");
}

/// Nothing if there is no Open MPI here.
inline std::unique_ptr<Coprocess> start_openmpi_ping_pong() {
#ifdef BENCH_OPENMPI_PING_PONG
    return start_if_possible(
        {BENCH_SOURCE_DIR "/baselines/openmpi_ping_pong.sh", BENCH_OPENMPI_PING_PONG}, "100");
#else
    return nullptr;
#endif
}

#ifdef BENCH_THREAD_PEERS
/// OpenMP and oneTBB in a process of their own; nothing if this one (`openmp` or `tbb`) was not built in.
inline std::unique_ptr<Coprocess> start_thread_peer(const std::string& which) {
    return start_if_possible({BENCH_THREAD_PEERS}, which + "_sum 10 1 1 0");
}
#endif

/// A turn that asks the peer; its answer is divided by `units`.
inline Turn asking(Coprocess& peer, std::string question, double units = 1) {
    return [&peer, question, units] { return peer.ask(question) / units; };
}

/// A question to a thread peer.
inline std::string thread_question(const std::string& name, long count, int threads, Batch batch) {
    return name + ' ' + std::to_string(count) + ' ' + std::to_string(threads) + ' ' +
           std::to_string(batch.calls) + ' ' + std::to_string(batch.warm_up.count());
}

} // namespace bench
