// The session: this program's processes and what they share.
//
//     int main(int argc, char** argv) {
//         dshm::Session session(argc, argv);
//         dshm::addprocs(2);
//         return dshm::fetch(dshm::spawn([] { return 6 * 7; })) == 42 ? 0 : 1;
//     }
//
// Source: Julia's Distributed, whose process 1 is this one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "dshm/affinity.hpp"
#include "dshm/runtime/on_worker_death.hpp"

namespace dshm {

// How workers are started.
enum class Start {
    fork, // from the state that the program had when its Session was made
    exec, // as a fresh process of the same program, which runs main again up to its Session
};

// Every field has an environment variable that serves where the program leaves it empty.
struct SessionOptions {
    std::optional<std::string> name =
        {}; // DSHM_NAME: part of the segment's name; default: made from the process id
    std::optional<std::size_t> capacity =
        {}; // DSHM_CAPACITY, also with K, M or G: bytes of address space; default: the machine's memory
    std::optional<int> workers = {}; // DSHM_WORKERS: started at once; default: none
    std::optional<std::uint64_t> seed =
        {}; // DSHM_SEED: of random numbers; default: 0, in every run
    std::optional<bool> tag_output =
        {}; // DSHM_TAG_OUTPUT: "From worker N:" before workers' lines; default: yes
    std::optional<Start> start =
        {}; // DSHM_START: "fork" or "exec"; default: fork, but exec if there are threads
    std::optional<Affinity> affinity =
        {}; // DSHM_AFFINITY: "none", "compact", "balanced" or "0,2"; default: none
    std::optional<OnWorkerDeath> on_worker_death =
        {}; // DSHM_ON_WORKER_DEATH: "ignore", "restart" or "stop"; default: ignore
};

// Make it the first statement of main, while the program has one thread: a worker that is forked has
// no other threads, so where there are some, workers are started by exec unless the program asks for
// fork, and a line on standard error says so. Its end ends the workers:
// what still runs after five seconds is killed.
//
// Throws std::logic_error when there is a session already, std::invalid_argument for a bad option
// or variable, SharedMemoryExhausted when not even its head fits into shared memory,
// std::system_error when the system refuses. In a worker process the constructor does not return, and
// its options are those of the session it works for.
class Session {
public:
    explicit Session(SessionOptions options = {});
    Session(int& argc, char**& argv, SessionOptions options = {});
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

private:
    struct State;
    std::unique_ptr<State> state_;
};

} // namespace dshm
