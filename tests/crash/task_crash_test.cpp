// A worker that spawns, takes, ends and fetches tasks, or drops what it holds of them, dies at each touch of
// a shared word. Every future of the living is resolved once, with its value or with the death, and
// nothing is left.
#include "support/crash_recovery.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

using Numbers = std::vector<double>;
using Victim = CrashStage::Victim;

const Numbers some(3, 1.5), many(2000, 0.1); // in the record, and in a block

double sum_of(const Numbers& numbers) {
    double sum = 0;
    for (const double number : numbers)
        sum += number;
    return sum;
}

// How often each of some tasks has begun, seen by all.
struct Tally {
    SharedArray<int> begun{8};
    void note(int task) const { ++begun[static_cast<std::size_t>(task)]; }
};

// ---- scenes ------------------------------------------------------------------------------------

// What the victim has sent and forgotten runs once, or was not sent.
struct Spawning {
    std::optional<Tally> tally;
    std::optional<Future<double>> own;

    void before(CrashStage&, const Victim& victim) {
        tally.emplace();
        const auto spawning = [begun = tally->begun] {
            const auto task = [begun](int number, const Numbers& numbers) {
                ++begun[static_cast<std::size_t>(number)];
                return sum_of(numbers);
            };
            start_dying();
            auto first = spawn(task, 0, some);
            spawn(task, 1, many);
            remote_do(task, 1, 2, some);
            remote_do(task, 1, 3, many);
            auto at_master = spawn_at(1, task, 4, many);
            const auto copy = at_master;
            begun[5] = 1;
            return sum_of(some);
        };
        own = spawn_at(victim.id, spawning);
    }
    void victim(CrashStage&) { work(1); }
    void after(CrashStage&, bool died) {
        const bool ended = resolves(*own, [](double sum) { return sum == sum_of(some); });
        work(16);
        bool sent = true; // tasks are sent one after the other, so from one on none was
        for (std::size_t task = 0; task < 5; ++task) {
            REQUIRE(tally->begun[task] <= 1);
            REQUIRE((sent || tally->begun[task] == 0));
            sent = tally->begun[task] == 1;
        }
        REQUIRE((died || (ended && sent)));
        REQUIRE((tally->begun[5] == 0 || sent));
        own.reset();
        tally.reset();
    }
};

// Tasks for anyone and for the victim, with arguments and results of both sizes.
struct Working {
    std::vector<Future<Numbers>> for_anyone, for_victim;
    std::optional<Tally> tally;

    void before(CrashStage&, const Victim& victim) {
        tally.emplace();
        const auto twice = [begun = tally->begun](int number, const Numbers& numbers) {
            ++begun[static_cast<std::size_t>(number)];
            Numbers result = numbers;
            result.insert(result.end(), numbers.begin(), numbers.end());
            return result;
        };
        for_anyone = {spawn(twice, 0, some), spawn(twice, 1, many)};
        for_victim = {spawn_at(victim.id, twice, 2, many), spawn_at(victim.id, twice, 3, some)};
        remote_do(twice, victim.id, 4, many);
    }
    void victim(CrashStage&) {
        start_dying();
        work(8);
    }
    void after(CrashStage&, bool died) {
        int failed = 0;
        const auto look = [&](const Future<Numbers>& future, const Numbers& numbers) {
            failed += !resolves(future, [&](const Numbers& result) {
                return result.size() == 2 * numbers.size() && result[0] == numbers[0] &&
                       result.back() == numbers.back();
            });
        };
        look(for_anyone[0], some);
        look(for_anyone[1], many);
        REQUIRE(failed <= 1); // the one that ran: what had not begun is run by another
        look(for_victim[0], many);
        look(for_victim[1], some);
        REQUIRE((died || failed == 0));
        for (const int begun : tally->begun)
            REQUIRE(begun <= 1);
        *this = {};
    }
};

// Tasks that throw, that nobody waits for, and that were cancelled before they ran.
struct Failing {
    std::vector<Future<int>> futures;

    void before(CrashStage&, const Victim& victim) {
        const auto fails = [](const std::string& text) -> int { throw std::out_of_range(text); };
        futures = {spawn_at(victim.id, fails, std::string("short")),
                   spawn_at(victim.id, fails, std::string(9000, 'x')),
                   spawn_at(victim.id, fails, std::string("cancelled"))};
        futures[2].cancel();
    }
    void victim(CrashStage&) {
        start_dying();
        work(4);
    }
    void after(CrashStage&, bool died) {
        for (std::size_t i = 0; i < 2; ++i)
            try {
                futures[i].get();
                REQUIRE(false);
            } catch (const std::out_of_range&) {
            } catch (const ProcessExitedException&) {
                REQUIRE(died);
            }
        REQUIRE_THROWS_AS(futures[2].get(), InterruptException);
        futures.clear();
    }
};

// Calls that the victim waits for itself: it runs them, and fetches what others have ended.
struct Fetching {
    std::optional<Future<double>> fetched;
    std::optional<Future<Numbers>> ended;

    void before(CrashStage&, const Victim& victim) {
        ended = spawn_at(1, [] { return many; });
        ended->wait();
        fetched = spawn_at(victim.id, [future = *ended] {
            start_dying();
            const double own = fetch([](const Numbers& numbers) { return sum_of(numbers); }, many);
            const double here = fetch_from(myid(), [] { return 1.0; });
            const auto shared = future;
            return own + here + sum_of(shared.get()) + sum_of(future.fetch());
        });
    }
    void victim(CrashStage&) { work(1); }
    void after(CrashStage&, bool died) {
        const double right = sum_of(many) + 1.0 + sum_of(many) + sum_of(many);
        const bool came = resolves(*fetched, [&](double sum) { return sum == right; });
        REQUIRE((died || came));
        REQUIRE(ended->get() == many);
        work(4); // what the victim had sent and not begun
        fetched.reset();
        ended.reset();
    }
};

// The victim is the last that holds a future, of a task that has ended, of one that has not begun, and of
// one that nobody has put.
struct Dropping {
    std::optional<Future<void>> dropped;
    std::optional<Future<int>> kept;

    void before(CrashStage&, const Victim& victim) {
        auto ended = spawn_at(1, [] { return many; });
        ended.wait();
        kept = spawn_at(1, [] { return 5; });
        auto waiting = spawn_at(1, [] { return many; });
        dropped = spawn_at(victim.id, [ended, waiting, kept = *kept, open = Future<int>()] {
            start_dying();
            auto copy = ended;
            auto moved = std::move(copy);
            auto another = kept;
        });
    }
    void victim(CrashStage&) { work(1); }
    void after(CrashStage&, bool died) {
        const bool ran = resolves(*dropped, [] { return true; });
        REQUIRE((died || ran));
        work(8);
        REQUIRE(kept->get() == 5);
        kept.reset();
        dropped.reset();
    }
};

// A future is handed from the victim to the master, in a result and in an argument.
struct HandingOn {
    std::optional<Future<Future<int>>> handed;

    void before(CrashStage&, const Victim& victim) {
        handed = spawn_at(victim.id, [] {
            start_dying();
            auto made = spawn_at(1, [] { return 7; });
            Future<int> open;
            spawn_at(1, [made, open] { return made.isready(); });
            open.put(3);
            return made;
        });
    }
    void victim(CrashStage&) { work(1); }
    void after(CrashStage&, bool died) {
        bool came = false;
        try {
            const Future<int> inner = handed->get();
            REQUIRE(inner.get() == 7);
            came = true;
        } catch (const ProcessExitedException&) {
        } catch (const std::runtime_error& gone) { // every process that held it has ended
            REQUIRE(died);
            came = true;
        }
        REQUIRE((died || came));
        work(8);
        handed.reset();
    }
};

// Futures without a task are put by the victim: its own, and the master's.
struct Putting {
    std::optional<Future<Numbers>> of_master, of_victim;
    std::optional<Future<void>> put;

    void before(CrashStage&, const Victim& victim) {
        of_master.emplace();
        of_victim.emplace(victim.id);
        put = spawn_at(victim.id, [first = *of_master, second = *of_victim] {
            start_dying();
            first.put(many);
            second.put(some);
        });
    }
    void victim(CrashStage&) { work(1); }
    void after(CrashStage&, bool died) {
        const bool ended = resolves(*put, [] { return true; });
        REQUIRE((died || ended));
        if (!of_master->isready()) { // it is the living's to put, as ever
            REQUIRE(!ended);
            of_master->put(many);
        }
        resolves(*of_master, [](const Numbers& numbers) { return numbers == many; });
        const bool came = resolves(*of_victim, [](const Numbers& n) { return n == some; });
        REQUIRE((came || !ended));
        *this = {};
    }
};

} // namespace

TEST_CASE("a death while tasks are spawned") { kill_everywhere<Spawning>(); }
TEST_CASE("a death while tasks are taken, run and ended") { kill_everywhere<Working>(); }
TEST_CASE("a death while tasks fail") { kill_everywhere<Failing>(); }
TEST_CASE("a death while futures are fetched") { kill_everywhere<Fetching>(); }
TEST_CASE("a death while handles are dropped") { kill_everywhere<Dropping>(); }
TEST_CASE("a death while futures go from hand to hand") { kill_everywhere<HandingOn>(); }
TEST_CASE("a death while futures are put") { kill_everywhere<Putting>(); }
TEST_CASE("burials of those who worked on tasks are stopped and begun again") {
    interrupt_burials<Spawning>(150);
    interrupt_burials<Working>(150);
    interrupt_burials<HandingOn>(150);
}
TEST_CASE("at each place that victims have passed, one has died") { check_places(); }
