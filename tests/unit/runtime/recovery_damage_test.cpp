// A process may write anything anywhere before it dies. Recovery of what it leaves may lose what was damaged, and says or
// throws what it likes; it does not crash, go round for ever, or ask for memory without bound. Here by seeds; the fuzzer
// (tests/fuzz/recovery_fuzz.cpp) looks for damage that reaches further.

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>

#include <cstdlib>
#include <string>

#include "catch.hpp"
#include "child_process.hpp"
#include "damaged_session.hpp"
#include "sanitizers.hpp"

using namespace dshm::test;

namespace {

#ifdef DSHM_SANITIZED // several times slower
constexpr unsigned all_rounds = 500;
constexpr unsigned rounds_in_batch = 50;
#else
constexpr unsigned all_rounds = 2000; // 7 seconds
constexpr unsigned rounds_in_batch = 200;
#endif
constexpr long seconds_for_batch = 30; // a watchdog: a batch takes one. Of computing, as a loop is

// Where a child says how far it has come, so that a crash can be repeated.
std::uint64_t& progress() {
    static auto* const page = static_cast<std::uint64_t*>(
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    return *page;
}

// Not where a sanitizer has shadows of terabytes, which count; it refuses what is asked without bound itself.
void limit_memory() {
#ifndef DSHM_SANITIZED
    const rlimit limit{std::size_t{2} << 30, std::size_t{2} << 30};
    setrlimit(RLIMIT_DATA, &limit);
#endif
}

void watch() {
    const itimerval limit{{0, 0}, {seconds_for_batch, 0}};
    setitimer(ITIMER_PROF, &limit, nullptr); // ends the child by SIGPROF
    alarm(600);
}

// Failures of tasks that nobody asks about are said there, thousands of them.
void be_quiet() { stderr = std::fopen("/dev/null", "we"); }

int play(std::uint64_t first, unsigned rounds) {
    return run_in_child([&] {
        watch();
        auto* const session = new DamagedSession; // no place for destructors
        limit_memory();
        be_quiet();
        for (std::uint64_t seed = first; seed < first + rounds; ++seed) {
            progress() = seed;
            session->round(SeededChoice(seed));
        }
    });
}

// DSHM_DAMAGE_SEED plays nothing but the round of that seed, and with DSHM_DAMAGE_ROUNDS so many from
// there on.
std::uint64_t number_in(const char* variable, std::uint64_t otherwise) {
    const char* const text = std::getenv(variable);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

} // namespace

TEST_CASE("the stage itself is sound: without damage everything of the dead is put right") {
    const int status = run_in_child([] {
        be_quiet();
        auto* const session = new DamagedSession;
        session->restore();
        session->session().bury();
        demand(!session->session().recovery->has_leftovers(), "an entry did not fit");
        const auto once = session->session().blocks();
        session->session().bury();
        demand(session->session().blocks() == once, "another burial changes something");
    });
    CHECK(left_well(status));
}

TEST_CASE("recovery over a damaged segment neither crashes nor loops") {
    const std::uint64_t wanted = number_in("DSHM_DAMAGE_SEED", 0);
    const std::uint64_t first = wanted != 0 ? wanted : 1;
    const std::uint64_t last =
        first + number_in("DSHM_DAMAGE_ROUNDS", wanted != 0 ? 1 : all_rounds);
    for (std::uint64_t seed = first; seed < last; seed += rounds_in_batch) {
        const int status = play(
            seed, static_cast<unsigned>(std::min<std::uint64_t>(rounds_in_batch, last - seed)));
        INFO("seed " << progress() << " ended it: DSHM_DAMAGE_SEED=" << progress()
                     << " plays it alone; wait status " << status);
        CHECK(left_well(status));
    }
}
