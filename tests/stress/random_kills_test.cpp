// Workers are killed at random, in every way and at any moment, while the session does work of every kind that
// checks itself; and others are stopped and go on, of whom nobody may be believed dead.
//
//     DSHM_KILLS=9000 DSHM_KILLS_SEED=17 test_random_kills
//
// The last line of the output counts what happened. A run that failed is repeated with its seed, as far as the
// machine allows: what is decided comes from the seed, at which instruction it hits does not.
#include <dirent.h>
#include <sys/resource.h>

#include <cstdlib>
#include <ctime>

#include "checked_work.hpp"
#include "killer.hpp"
#include "session_case.hpp"
#include "session_watch.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

long from_environment(const char* name, long otherwise) {
    const char* const text = std::getenv(name);
    return text != nullptr ? std::atol(text) : otherwise;
}

unsigned seed() {
    static const auto value =
        static_cast<unsigned>(from_environment("DSHM_KILLS_SEED", std::time(nullptr)));
    return value;
}

constexpr int workers_each = 4;
constexpr long kills_each = 250;

// Runs `disturb`, again and again until it says so, in a thread beside the work.
template <class Disturb>
void work_while(Ledger& ledger, unsigned number, bool deaths, Disturb&& disturb) {
    std::atomic<bool> over{false};
    std::thread disturbing([&] {
        disturb();
        over = true;
    });
    CheckedWork work(ledger, number, deaths);
    while (!over)
        work.step();
    disturbing.join();
    ledger.doing = "the end";
}

void killing_session(Ledger& ledger, unsigned number, long kills) {
    alarm(0);
    const Watchdog watchdog(ledger);
    const Holdings before = settled_holdings(ledger);
    work_while(ledger, number, true, [&] {
        Killer killer(ledger, number + 1, workers_each);
        for (const long until = ledger.killed() + kills; ledger.killed() < until;)
            killer.step();
        killer.settle();
    });
    check_settled(ledger, before);
    for (const int id : workers())
        DEMAND(fetch_from(id, myid) == id);
    DEMAND(distributed(std::plus<>{}, range(0, 1000), [](long i) { return i; }) == 499'500);
}

// Workers, and the launcher, are stopped for up to 20 ms and go on.
void stopping_session(Ledger& ledger, unsigned number, long stops) {
    alarm(0);
    const Watchdog watchdog(ledger);
    const Holdings before = settled_holdings(ledger);
    const std::vector<WorkerId> there = workers();
    work_while(ledger, number, false, [&] {
        std::minstd_rand random(number + 1);
        const pid_t launcher = fetch([] { return getppid(); });
        for (long i = 0; i < stops; ++i) {
            const pid_t victim =
                random() % 6 == 0 ? launcher : worker_info(there[random() % there.size()]).os_pid;
            kill(victim, SIGSTOP);
            pause_up_to(random, random() % 8 == 0 ? 20'000 : 1000);
            kill(victim, SIGCONT);
            ++ledger.stops;
            pause_up_to(random, 1000);
        }
    });
    check_settled(ledger, before);
    DEMAND(workers() == there);
}

template <class Body>
void sessions(Body&& body) {
    SessionOptions options;
    options.workers = workers_each;
    const rlimit no_core{0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    const Outcome outcome = outcome_of(options, body);
    INFO("standard error:\n" << telling_part(outcome.errors));
    CHECK(outcome.exited_with(0));
    CHECK(shared_ledger().clean());
}

} // namespace

TEST_CASE("workers are killed at random, and nothing hangs, is lost, doubled, damaged or left") {
    Ledger& ledger = shared_ledger();
    std::printf("DSHM_KILLS_SEED=%u\n", seed());
    const long kills = from_environment("DSHM_KILLS", 400);
    unsigned number = seed();
    while (ledger.killed() < kills && ledger.clean()) {
        const long now = std::min(kills_each, kills - ledger.killed());
        number += 100;
        sessions([&] { killing_session(ledger, number, now); });
    }
    sessions([&] { stopping_session(ledger, number + 100, kills / 2); });
    std::printf("%s\n", ledger.summary().c_str());
    CHECK(ledger.clean());
    CHECK(ledger.killed() >= kills);
    CHECK(ledger.values > kills);
}
