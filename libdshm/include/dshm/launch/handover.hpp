// What the launcher hands to a worker that is a fresh process: one environment variable.
//
//     DSHM_WORKER_START=1 id slot incarnation launcher segment bell output errors limit blas
//
// Decimal numbers, the first the version of this line. The launcher writes it, the Session of the
// fresh process reads it, nobody else may. Four of the numbers are descriptors that are open in the
// new process; who they belong to is checked there (fresh_worker.cpp).
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "dshm/runtime/process_table.hpp"
#include "dshm/shm/identity.hpp"

namespace dshm::launch {

inline constexpr const char* handover_variable = "DSHM_WORKER_START";

struct Handover {
    WorkerId id = 0;
    shm::Owner owner;
    pid_t launcher = 0;
    int segment = -1;
    int launcher_bell = -1;
    int output_read = -1;
    int errors_read = -1;
    std::uint64_t memory_limit = 0;
    bool threaded_blas = false;

    std::array<int, 4> files() const { return {segment, launcher_bell, output_read, errors_read}; }
    std::string text() const;
    // Throws std::invalid_argument that names the variable.
    static Handover parse(std::string_view text);
};

} // namespace dshm::launch
