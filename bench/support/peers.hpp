// Where the peers that live in programs of their own are found: the build defines BENCH_SOURCE_DIR, and
// BENCH_OPENMPI_PING_PONG where there is an MPI compiler.
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

/// A turn that asks the peer.
inline Turn asking(Coprocess& peer, std::string question) {
    return [&peer, question] { return peer.ask(question); };
}

} // namespace bench
