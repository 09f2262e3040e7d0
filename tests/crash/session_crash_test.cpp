// Workers of real sessions die at each touch of a shared word: while they join, while they leave, in `everywhere`,
// in loops and maps, and in tasks that work on all that a session has. Then a worker is added and the
// session goes on; results are those of a session in which nobody dies, to the last bit.
//
// How often a worker touches a word while it waits varies from run to run, so touch n is not the same one each
// time: the last case says how many of the places that were passed somebody died at. That every place is one
// is the single-stepped tests' affair.
#include <functional>
#include <numeric>

#include "support/crash_session.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

double work_on_all(std::uint64_t touch, std::uintptr_t place) {
    Fate{touch, place}.arm();
    // A name of its own for each run: two may be under way.
    const SharedArray<double> array(
        1000, named("of " + std::to_string(touch) + "." + std::to_string(place)),
        init([](const SharedArray<double>& all) { all[3] = 1; }));
    RemoteChannel<std::vector<double>> channel(4);
    channel.put(std::vector<double>(500, 0.1));
    auto inner = spawn([array](const std::vector<double>& v) { return array[5] + v[1]; },
                       std::vector<double>(900, 0.3));
    array[5] = channel.take()[7];
    channel.close();
    const double sum = inner.get() >= 0.3 ? array[5] : 0;
    CrashSites::disarm();
    return sum;
}

} // namespace

TEST_CASE("a worker dies while it joins") {
    prepare();
    in_session(1, [] {
        give_it_time();
        everywhere(replay, [] { return std::vector<double>(100, 1.0); });
        const auto shared = share(std::vector<double>(5000, 0.5));
        const Inside before = Inside::now();
        const auto join_and_die = [&](const Fate& fate, bool joined) {
            fate.order_next_fork();
            try {
                const auto added = addprocs(1);
                // Armed still: it dies of something later, or has no more to do.
                DEMAND(added.size() == 1);
                until([&] {
                    if (joined || has_ended(added[0]))
                        return true;
                    spawn_at(added[0], [shared] {
                        demand((*shared)[7] == 0.5, "the value");
                    }).wait_for(std::chrono::milliseconds(1));
                    return false;
                });
                if (!has_ended(added[0]))
                    rmprocs(added[0]);
            } catch (const std::runtime_error& refused) {
                DEMAND(has(refused.what(), "SIGKILL") || has(refused.what(), "exited"));
            }
            await_workers(1);
            await_inside(before);
        };
        for (std::uint64_t touch = 1; touch < 4000; touch = after(touch))
            join_and_die({touch, 0}, false);
        join_and_die({4000, 0}, true);
        kill_at_missed_places([&](const Fate& fate) { join_and_die(fate, true); });
        DEMAND(fetch([] { return 6; }) == 6);
    });
}

TEST_CASE("a worker dies while it leaves") {
    prepare();
    in_session(1, [] {
        give_it_time();
        const Inside before = Inside::now();
        const auto leave_and_die = [&](const Fate& fate) {
            const WorkerId one = addprocs(1)[0];
            const auto deaths = CrashSites::table().deaths();
            fate.order(worker_info(one).os_pid);
            try {
                rmprocs(one);
            } catch (const ProcessExitedException&) { // it was gone before it was asked
            }
            await_workers(1);
            CrashSites::take_order_back();
            await_inside(before);
            return CrashSites::table().deaths() == deaths;
        };
        bool left = false;
        for (std::uint64_t touch = 1; !left; touch = after(touch))
            left = leave_and_die({touch, 0}) && touch > 40;
        kill_at_missed_places(leave_and_die);
    });
}

TEST_CASE("a worker dies in everywhere") {
    prepare();
    in_session(1, [] {
        give_it_time();
        const Inside before = Inside::now();
        for (std::uint64_t touch = 1; touch < 200; touch = after(touch)) {
            const WorkerId one = addprocs(1)[0], other = addprocs(1)[0];
            CrashSites::order(worker_info(one).os_pid, touch);
            try {
                everywhere([] { return std::vector<double>(100, 1.0); });
            } catch (const std::exception&) { // the death, or that of all
            }
            try {
                rmprocs({one, other});
            } catch (const std::exception&) { // it has ended already
            }
            CrashSites::take_order_back();
            await_workers(1);
            await_inside(before);
        }
    });
}

TEST_CASE("a worker dies in a task that works on all that there is") {
    prepare();
    in_session(2, [] {
        give_it_time();
        const Inside before = Inside::now();
        const double right = fetch(work_on_all, std::uint64_t{0}, std::uintptr_t{0});
        const auto work_and_die = [&](const Fate& fate) {
            const auto task = spawn(work_on_all, fate.touches, fate.place);
            try {
                DEMAND(task.get() == right);
                return false;
            } catch (const ProcessExitedException&) {
                addprocs(1);
                return true;
            }
        };
        for (std::uint64_t touch = 1; work_and_die({touch, 0}); touch = after(touch)) {
        }
        kill_at_missed_places(work_and_die);
        await_inside(before);
    });
}

TEST_CASE("a worker dies in maps and loops, and the results are the same") {
    prepare();
    in_session(3, [] {
        give_it_time();
        const Inside before = Inside::now();
        const auto value = [](std::int64_t i) { return 1.0 / static_cast<double>(i + 1); };
        std::vector<std::int64_t> numbers(60);
        std::iota(numbers.begin(), numbers.end(), 0);
        const auto map = [&] {
            double sum = 0;
            for (const double each :
                 pmap(value, numbers, retry_delays(std::vector<std::chrono::milliseconds>(8))))
                sum += each;
            return sum;
        };
        // The chunks are the same whoever runs them, and added in their order.
        const auto loop = [&](Schedule how) {
            return distributed(std::plus<>{}, range(0, 300), value, schedule(how), chunk(20),
                               retries(8));
        };
        const std::vector<std::function<double()>> calls{
            map, [&] { return loop(Schedule::static_); }, [&] { return loop(Schedule::dynamic); },
            [&] { return loop(Schedule::guided); }};
        for (const auto& call : calls) {
            const double right = call();
            const auto die_in_it = [&](const Fate& fate) {
                // The first of them is never armed: a loop whose workers are all dead fails.
                if (const auto living = workers(); living.size() > 1)
                    fate.order(worker_info(living.back()).os_pid);
                DEMAND(call() == right);
                CrashSites::take_order_back();
                while (nworkers() < 3) // one that is armed still may die at any time
                    addprocs(1);
            };
            for (std::uint64_t touch = 1; touch < 400; touch = after(touch))
                die_in_it({touch, 0});
            kill_at_missed_places(die_in_it);
            await_inside(before);
        }
    });
}

TEST_CASE("a worker dies as it runs what is begun anew in its successor") {
    prepare();
    SessionOptions options;
    options.workers = 2;
    options.on_worker_death = OnWorkerDeath::restart;
    const Outcome outcome = outcome_of(options, [] {
        give_it_time();
        const auto twice = [](const std::vector<double>& v) { return v[3] * 2; };
        const std::vector<double> numbers(900, 0.3);
        for (std::uint64_t touch = 1; touch < 120; touch = after(touch)) {
            until([] { return workers().size() == 2 && workers()[0] != 1; });
            const WorkerId victim = workers().front();
            // Those that die without having done a task are not replaced for ever. It may be armed still.
            try {
                fetch_from(victim, [] {});
            } catch (const ProcessExitedException&) {
            }
            CrashSites::order(worker_info(victim).os_pid, touch);
            std::vector<Future<double>> futures;
            for (int i = 0; i < 8; ++i)
                futures.push_back(spawn(twice, numbers));
            int failed = 0; // one that had answered already, in each of two workers
            for (const auto& each : futures)
                try {
                    DEMAND(each.get() == 0.6);
                } catch (const ProcessExitedException&) {
                    ++failed;
                }
            DEMAND(failed <= 2);
            CrashSites::take_order_back();
        }
    });
    INFO(outcome.errors);
    REQUIRE(outcome.exited_with(0));
}

TEST_CASE("victims have passed many places, and died at two thirds of them or more") {
    const CrashSites& sites = CrashSites::table();
    const auto missed = sites.missed(20);
    CHECK(sites.passed() > 50);
    WARN(sites.deaths() << " deaths; " << sites.passed() << " places, " << missed.size()
                        << " passed often and never died at (for addr2line):"
                        << CrashSites::text(missed));
    CHECK(missed.size() * 3 <= sites.passed());
}
