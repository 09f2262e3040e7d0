// Workers of real sessions die at each touch of a shared word: while they join, while they leave, in `everywhere`,
// in loops and maps, and in tasks that work on all that a session has. Then a worker is added and the
// session goes on; results are those of a session in which nobody dies, to the last bit.
//
// How often a worker touches a word while it waits varies from run to run, so touch n is not the same one each
// time: the last case says how many of the places that were passed somebody died at. That every place is one
// is the single-stepped tests' affair.
#include "support/session_case.hpp"

#include <pthread.h>

#include "support/crash_sites.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

// In memory that master, launcher and workers share: what the next worker that is forked is to die of.
struct Orders {
    std::atomic<std::uint64_t> next_fork{0};
    static Orders& all() {
        static Orders* const orders = ::new (mmap(nullptr, sizeof(Orders), PROT_READ | PROT_WRITE,
                                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0)) Orders;
        return *orders;
    }
};

void obey() {
    if (const std::uint64_t touches = Orders::all().next_fork.exchange(0))
        CrashSites::arm(touches);
}

// Before the session is made, so that all of its processes have them.
void prepare() {
    CrashSites::table();
    Orders::all();
    static const int registered = pthread_atfork(nullptr, nullptr, obey);
    static_cast<void>(registered);
}

// Touches 1, 2, ... that a victim dies at; some of them in the ordinary suite.
std::uint64_t after(std::uint64_t touch) { return touch + (full_run() ? 1 : 1 + touch / 24); }

void await_workers(int count) {
    until([count] { return nworkers() == count && static_cast<int>(workers().size()) == count; });
}

// What a session has when nothing is under way.
struct Inside {
    std::size_t tasks = 0, blocks = 0, objects = 0;
    static Inside now() {
        runtime::Process& me = runtime::current();
        me.holdings().release_pins();
        Inside inside;
        for (std::uint32_t index = 0; index < me.tasks().top(); ++index)
            inside.tasks += runtime::TaskState::from_bits(
                                me.tasks().record(index).state.load(std::memory_order_acquire))
                                .phase != runtime::TaskPhase::free;
        inside.blocks = me.heap().statistics().blocks_in_use;
        inside.objects = me.objects().live_count();
        return inside;
    }
    friend bool operator==(const Inside&, const Inside&) = default;
};

// The launcher and the other workers let go of what ended tasks had, when they come to it: waits for that.
void await_inside(const Inside& before) {
    until([&] {
        everywhere([] { runtime::current().holdings().release_pins(); });
        return Inside::now() == before;
    });
}

double work_on_all(std::uint64_t touch) {
    if (touch != 0)
        CrashSites::arm(touch);
    const SharedArray<double> array(1000);
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
        const Inside before = Inside::now();
        bool joined = false;
        for (std::uint64_t touch = 1; !joined; touch = after(touch)) {
            Orders::all().next_fork = touch;
            try {
                const auto added = addprocs(1);
                // Armed still: it dies of something later, or has no more to do.
                joined = touch > 4000;
                DEMAND(added.size() == 1);
                until([&] {
                    if (has_ended(added[0]))
                        return true;
                    if (joined)
                        return true;
                    spawn_at(added[0], [] {}).wait_for(std::chrono::milliseconds(1));
                    return false;
                });
                if (!has_ended(added[0]))
                    rmprocs(added[0]);
            } catch (const std::runtime_error& refused) {
                DEMAND(has(refused.what(), "SIGKILL") || has(refused.what(), "exited"));
            }
            await_workers(1);
            await_inside(before);
        }
        DEMAND(fetch([] { return 6; }) == 6);
    });
}

TEST_CASE("a worker dies while it leaves, and in everywhere") {
    prepare();
    in_session(1, [] {
        const Inside before = Inside::now();
        for (std::uint64_t touch = 1; touch < 200; touch = after(touch)) {
            const WorkerId one = addprocs(1)[0], other = addprocs(1)[0];
            spawn_at(one, [touch] { CrashSites::arm(touch); }).wait_for(std::chrono::seconds(1));
            try {
                everywhere([] { return std::vector<double>(100, 1.0); });
            } catch (const std::exception&) { // the death, or that of all
            }
            try {
                rmprocs(one);
                rmprocs(other);
            } catch (const std::exception&) { // it has ended already
            }
            await_workers(1);
            await_inside(before);
        }
    });
}

TEST_CASE("a worker dies in a task that works on all that there is") {
    prepare();
    in_session(2, [] {
        const Inside before = Inside::now();
        const double right = fetch(work_on_all, std::uint64_t{0});
        for (std::uint64_t touch = 1;; touch = after(touch)) {
            const auto task = spawn(work_on_all, touch);
            try {
                DEMAND(task.get() == right);
                break;
            } catch (const ProcessExitedException&) {
                addprocs(1);
            }
        }
        await_inside(before);
    });
}

TEST_CASE("a worker dies in a loop and in a map, and the results are the same") {
    prepare();
    in_session(2, [] {
        const auto value = [](std::int64_t i) { return 1.0 / static_cast<double>(i + 1); };
        const auto loop = [&](WorkerId victim, std::uint64_t touch) {
            if (touch != 0)
                spawn_at(victim, [touch] {
                    CrashSites::arm(touch);
                }).wait_for(std::chrono::seconds(1));
            std::vector<std::int64_t> numbers(60);
            for (std::size_t i = 0; i < numbers.size(); ++i)
                numbers[i] = static_cast<std::int64_t>(i);
            double sum = 0;
            for (const double each :
                 pmap(value, numbers, retry_delays(std::vector<std::chrono::milliseconds>(8))))
                sum += each;
            return sum;
        };
        const double right = loop(0, 0);
        for (std::uint64_t touch = 1; touch < 400; touch = after(touch)) {
            const WorkerId victim = workers().back();
            DEMAND(loop(victim, touch) == right);
            if (nworkers() < 2)
                addprocs(1);
        }
    });
}

TEST_CASE("victims have passed many places, and died at a good part of them") {
    const CrashSites& sites = CrashSites::table();
    CHECK(sites.passed() > 50);
    CHECK(sites.missed().size() * 4 <= sites.passed() * 3);
    WARN(sites.passed() << " places, " << sites.missed().size() << " of them never died at");
}
