// A program that works on itself until somebody ends it, or for so many milliseconds: the subject of
// session_kills.py.
//
//     kill_subject SEED MILLISECONDS
//
// Workers come and go meanwhile. Exit status: 0 when its time is over and all is given back, 42 when its session
// has ended under it or never came to be, with the reason on standard error, 7 when a promise was broken.
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "checked_work.hpp"
#include "session_watch.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

constexpr int session_ended = 42;
constexpr int promise_broken = 7;

// Starts one more worker and sends another away, so that both are under way at any moment.
void exchange_a_worker(Ledger& ledger) {
    ledger.doing = "addprocs and rmprocs";
    const WorkerId late = addprocs(1)[0];
    try {
        if (fetch_from(late, myid) != late)
            ledger.breach(ledger.corrupt, "another worker has answered");
    } catch (const ProcessExitedException&) {
    }
    rmprocs(workers().front(), {.waitfor = std::chrono::milliseconds(0)});
}

void work(Ledger& ledger, unsigned seed, std::chrono::milliseconds time) {
    const Holdings before = settled_holdings(ledger);
    CheckedWork checked(ledger, seed, true);
    const auto until = std::chrono::steady_clock::now() + time;
    for (unsigned i = 0; std::chrono::steady_clock::now() < until; ++i) {
        checked.step();
        if (i % 4 == 3)
            exchange_a_worker(ledger);
    }
    check_settled(ledger, before);
}

} // namespace

int main(int argc, char** argv) {
    Ledger& ledger = shared_ledger();
    try {
        Session session(argc, argv);
        if (argc != 3)
            return 2;
        work(ledger, static_cast<unsigned>(std::atol(argv[1])),
             std::chrono::milliseconds(std::atol(argv[2])));
    } catch (const std::exception& error) {
        std::fprintf(stderr, "the session has ended: %s\n", error.what());
        return ledger.clean() ? session_ended : promise_broken;
    }
    return ledger.clean() ? 0 : promise_broken;
}
