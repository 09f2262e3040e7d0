// Workers of real sessions die at each touch of a shared word: while they join, while they leave, in `everywhere`,
// in loops and maps, and in tasks that work on all that a session has. Then a worker is added and the
// session goes on; results are those of a session in which nobody dies, to the last bit.
//
// How often a worker touches a word while it waits varies from run to run, so touch n is not the same one each
// time. So there are victims of another kind in each scene, one for each place in the code that somebody
// passes there; the last case asks for nearly all of them.
#include <functional>
#include <numeric>

#include "dshm/runtime/first_touch.hpp"
#include "support/crash_session.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

// Runs have numbers: two may be under way.
double work_on_all(int run, std::uint64_t touches, bool at_new_place) {
    CrashSites::arm(at_new_place ? Fate::at_some_new_place() : Fate::at_touch(touches));
    const SharedArray<double> array(1000, named("of " + std::to_string(run)),
                                    init([](const SharedArray<double>& all) { all[3] = 1; }));
    RemoteChannel<std::vector<double>> channel(4);
    channel.put(std::vector<double>(500, 0.1));
    auto inner = spawn([array](const std::vector<double>& v) { return array[5] + v[1]; },
                       std::vector<double>(900, 0.3));
    array[5] = channel.take()[7];
    channel.close();
    const double sum = inner.get() >= 0.3 ? array[5] : 0;
    if (at_new_place) // it sleeps meanwhile
        fetch_from(1, [] { usleep(2000); });
    CrashSites::disarm();
    return sum;
}

// A new worker is to die of it while `body` goes on.
template <class Body>
void with_victim(const Fate& fate, Body&& body) {
    const WorkerId one = addprocs(1)[0];
    const pid_t process = worker_info(one).os_pid;
    CrashSites::order(process, fate);
    if (fate.at_new_place)
        lull(one);
    body(one);
    CrashSites::take_order_back(process);
    await_workers(1);
}

// What does not end well for the one, or because it is the last.
template <class Body>
void whatever_comes(Body&& body) {
    try {
        body();
    } catch (const std::exception&) {
    }
}

// These are asked in the worker, before each touch.
bool was_told_to_leave() {
    return runtime::current().area().exit_asked.load(std::memory_order_seq_cst) != 0;
}
bool says_that_it_goes() {
    runtime::Process& me = runtime::current();
    return me.processes().life(me.me().slot).phase == runtime::LifePhase::exiting;
}

// It is nobody's loss, whatever the session does about sudden ends. True if it has died of that.
bool leave_and_die(const Fate& fate) {
    const WorkerId one = addprocs(1)[0];
    const pid_t process = worker_info(one).os_pid;
    CrashSites::order(process, fate);
    rmprocs(one);
    CrashSites::take_order_back(process);
    DEMAND(has_ended(one));
    DEMAND(worker_info(one).replaced_by == 0);
    await_workers(1);
    return CrashSites::table().has_died(process);
}

} // namespace

TEST_CASE("a worker dies while it joins") {
    prepare();
    in_session(1, [] {
        give_it_time();
        everywhere(replay, [] { return std::vector<double>(100, 1.0); });
        const auto shared = share(std::vector<double>(5000, 0.5));
        const Inside before = Inside::now();
        CrashSites::begin_scene();
        const auto join_and_die = [&](const Fate& fate, bool joined) {
            Orders::give_next_fork(fate);
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
                if (fate.at_new_place)
                    lull(added[0]);
                if (!has_ended(added[0]))
                    rmprocs(added[0]);
            } catch (const std::runtime_error& refused) {
                DEMAND(has(refused.what(), "SIGKILL") || has(refused.what(), "exited"));
            }
            await_workers(1);
            await_inside(before);
        };
        for (std::uint64_t touch = 1; touch < 4000; touch = after(touch))
            join_and_die(Fate::at_touch(touch), false);
        join_and_die(Fate::at_touch(4000), true);
        kill_at_new_places([&](const Fate& fate) { join_and_die(fate, true); });
        DEMAND(fetch([] { return 6; }) == 6);
    });
}

TEST_CASE("a worker dies while it leaves") {
    prepare();
    in_session(1, [] {
        give_it_time();
        const Inside before = Inside::now();
        CrashSites::begin_scene();
        const auto die_of_it = [&](const Fate& fate) {
            const std::uint64_t deaths = CrashSites::table().deaths();
            with_victim(fate, [](WorkerId one) {
                try {
                    rmprocs(one);
                } catch (const ProcessExitedException&) { // it was gone before it was asked
                }
            });
            await_inside(before);
            return CrashSites::table().deaths() == deaths;
        };
        bool left = false;
        for (std::uint64_t touch = 1; !left; touch = after(touch))
            left = die_of_it(Fate::at_touch(touch)) && touch > 40;
        kill_at_new_places(die_of_it);
    });
}

TEST_CASE(
    "a worker dies at each touch after it was told to leave, and after it has said that it goes") {
    prepare();
    for (const OnWorkerDeath choice :
         {OnWorkerDeath::ignore, OnWorkerDeath::restart, OnWorkerDeath::stop}) {
        SessionOptions options;
        options.workers = 1;
        options.on_worker_death = choice;
        const Outcome outcome = outcome_of(options, [] {
            give_it_time();
            const Inside before = Inside::now();
            for (bool (*const begins)() : {was_told_to_leave, says_that_it_goes}) {
                int deaths = 0;
                for (int touch = 1, survivors = 0; survivors < 3; ++touch) {
                    const bool died = leave_and_die(
                        Fate::at_touch(static_cast<std::uint64_t>(touch)).once(begins));
                    deaths += died;
                    survivors = died ? 0 : survivors + 1;
                }
                DEMAND(deaths > (begins == was_told_to_leave ? 2 : 0));
            }
            await_inside(before);
            DEMAND(fetch([] { return 6; }) == 6);
        });
        INFO(outcome.errors);
        REQUIRE(outcome.exited_with(0));
    }
}

TEST_CASE("a worker dies in everywhere") {
    prepare();
    in_session(1, [] {
        give_it_time();
        const Inside before = Inside::now();
        CrashSites::begin_scene();
        const auto die_in_it = [&](const Fate& fate) {
            with_victim(fate, [](WorkerId one) {
                const WorkerId other = addprocs(1)[0];
                whatever_comes([] { everywhere([] { return std::vector<double>(100, 1.0); }); });
                whatever_comes([&] { rmprocs({one, other}); });
            });
            await_inside(before);
        };
        for (std::uint64_t touch = 1; touch < 200; touch = after(touch))
            die_in_it(Fate::at_touch(touch));
        kill_at_new_places(die_in_it);
    });
}

TEST_CASE("a worker dies in a task that works on all that there is") {
    prepare();
    in_session(2, [] {
        give_it_time();
        const Inside before = Inside::now();
        CrashSites::begin_scene();
        int run = 0;
        const double right = fetch(work_on_all, run, std::uint64_t{0}, false);
        const auto work_and_die = [&](const Fate& fate) {
            const auto task = spawn(work_on_all, ++run, fate.touches, fate.at_new_place);
            try {
                DEMAND(task.get() == right);
                return false;
            } catch (const ProcessExitedException&) {
                addprocs(1);
                return true;
            }
        };
        for (std::uint64_t touch = 1; work_and_die(Fate::at_touch(touch)); touch = after(touch)) {
        }
        kill_at_new_places(work_and_die);
        await_inside(before);
    });
}

TEST_CASE("a worker dies in maps and loops, and the results are the same") {
    prepare();
    in_session(3, [] {
        give_it_time();
        const Inside before = Inside::now();
        const auto value = [](std::int64_t i) { return 1.0 / static_cast<double>(i + 1); };
        // Sums of these are the same in any order.
        const auto round = [](std::int64_t i) { return static_cast<double>(i) / 8; };
        std::vector<std::int64_t> numbers(60);
        std::iota(numbers.begin(), numbers.end(), 0);
        const auto map = [&] {
            double sum = 0;
            for (const double each :
                 pmap(value, numbers, retry_delays(std::vector<std::chrono::milliseconds>(8))))
                sum += each;
            return sum;
        };
        // The chunks are the same whoever runs them, and added in their order; guided ones depend on how
        // many workers there are when the call begins, and a victim may have died before.
        const auto loop = [&](Schedule how, auto what) {
            return distributed(std::plus<>{}, range(0, 300), what, schedule(how), chunk(20),
                               retries(8));
        };
        const std::vector<std::function<double()>> calls{
            map, [&] { return loop(Schedule::static_, value); },
            [&] { return loop(Schedule::dynamic, value); },
            [&] { return loop(Schedule::guided, round); }};
        for (const auto& call : calls) {
            CrashSites::begin_scene();
            const double right = call();
            const auto die_in_it = [&](const Fate& fate) {
                // The first of them is never armed: a loop whose workers are all dead fails.
                const auto living = workers();
                const pid_t victim = living.size() > 1 ? worker_info(living.back()).os_pid : 0;
                if (victim != 0)
                    CrashSites::order(victim, fate);
                DEMAND(call() == right);
                if (fate.at_new_place && victim != 0)
                    lull(living.back());
                CrashSites::take_order_back(victim);
                while (nworkers() < 3) // one that is armed still may die at any time
                    addprocs(1);
            };
            for (std::uint64_t touch = 1; touch < 400; touch = after(touch))
                die_in_it(Fate::at_touch(touch));
            kill_at_new_places(die_in_it);
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
        CrashSites::begin_scene();
        const auto die_and_go_on = [&](const Fate& fate) {
            until([] { return workers().size() == 2 && workers()[0] != 1; });
            const WorkerId victim = workers().front();
            // Those that die without having done a task are not replaced for ever. It may be armed still.
            try {
                fetch_from(victim, [] {});
            } catch (const ProcessExitedException&) {
            }
            const pid_t process = worker_info(victim).os_pid;
            CrashSites::order(process, fate);
            if (fate.at_new_place)
                lull(victim);
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
            CrashSites::take_order_back(process);
        };
        for (std::uint64_t touch = 1; touch < 120; touch = after(touch))
            die_and_go_on(Fate::at_touch(touch));
        kill_at_new_places(die_and_go_on);
    });
    INFO(outcome.errors);
    REQUIRE(outcome.exited_with(0));
}

TEST_CASE("a worker dies while the pages of a large array are made") {
    prepare();
    in_session(2, [] {
        give_it_time();
        const Inside before = Inside::now();
        // By process 1, which finds an idle worker to help, or by a worker, which finds another.
        const auto make = [] {
            const SharedArray<double> large(runtime::FirstTouch::least_bytes / sizeof(double));
            const std::size_t last = large.size() - 1;
            large[last] = 1;
            return large[0] + large[last / 2] + large[last];
        };
        for (const bool maker_dies : {false, true}) {
            CrashSites::begin_scene();
            const auto die_in_it = [&](const Fate& fate) {
                const WorkerId victim = workers().back();
                const pid_t process = worker_info(victim).os_pid;
                CrashSites::order(process, fate);
                try {
                    DEMAND((maker_dies ? fetch_from(victim, make) : make()) == 1);
                } catch (const ProcessExitedException&) {
                    DEMAND(maker_dies);
                }
                if (fate.at_new_place)
                    lull(victim);
                CrashSites::take_order_back(process);
                while (nworkers() < 2) // one that is armed still may die at any time
                    addprocs(1);
            };
            for (std::uint64_t touch = 1; touch < 200; touch = after(touch, 20))
                die_in_it(Fate::at_touch(touch));
            kill_at_new_places(die_in_it);
        }
        await_inside(before);
    });
}

TEST_CASE("victims have died at nearly all places that some have passed") {
    check_places_of_sessions(500);
}
