// Workers killed at random while tasks of all kinds run, and replaced; what they were asked to do is checked, and at the
// end nothing may be left in the tables.

#include <algorithm>
#include <random>
#include <thread>

#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

constexpr int sessions = 3;
constexpr int kills_each = 60;
constexpr int workers_each = 3;

// Kills workers as others call: each death is waited for, and made good, before the next.
class Killer {
public:
    explicit Killer(unsigned seed) : random_(seed) {}

    // One worker, at whatever it does now; its successor is there on return.
    void kill_one() {
        const std::vector<WorkerId> ids = workers();
        const WorkerId victim = ids[random_() % ids.size()];
        kill(worker_info(victim).os_pid, SIGKILL);
        until([victim] { return has_ended(victim); });
        addprocs(1);
    }

private:
    std::mt19937 random_;
};

// What a call gave: its value, or nothing when its worker was killed. Anything else is an error of ours.
template <class T>
std::optional<T> value_or_death(const Future<T>& future) {
    try {
        return fetch(future);
    } catch (const ProcessExitedException&) {
        return std::nullopt;
    }
}

long slow_sum(const std::vector<long>& numbers) {
    long sum = 0;
    for (int round = 0; round < 20; ++round)
        for (const long number : numbers)
            sum += number;
    return sum / 20;
}

// A round of calls: values, blocks, arrays, nested calls. Gives how many came back with a value.
int call_round(std::mt19937& random) {
    int alive = 0;
    const long size = static_cast<long>(random() % 3000);
    const std::vector<long> numbers(static_cast<std::size_t>(size), 2);
    const SharedArray<long> array(50);
    std::vector<Future<long>> sums, nested;
    std::vector<Future<std::string>> texts;
    std::vector<Future<SharedArray<long>>> arrays;
    for (int i = 0; i < 20; ++i) {
        sums.push_back(spawn(slow_sum, numbers));
        nested.push_back(spawn([i] { return fetch(spawn([i] { return 7L * i; })); }));
        texts.push_back(spawn([i](const std::string& text) { return text + std::to_string(i); },
                              std::string(300, 'x')));
        arrays.push_back(spawn([array, i] {
            array[static_cast<std::size_t>(i)] = i;
            SharedArray<long> made(20);
            made[0] = i;
            return made;
        }));
    }
    for (int i = 0; i < 20; ++i) {
        const auto at = static_cast<std::size_t>(i);
        if (const auto sum = value_or_death(sums[at])) {
            DEMAND(*sum == 2 * size);
            ++alive;
        }
        if (const auto value = value_or_death(nested[at]))
            DEMAND(*value == 7L * i);
        if (const auto text = value_or_death(texts[at]))
            DEMAND(*text == std::string(300, 'x') + std::to_string(i));
        if (const auto made = value_or_death(arrays[at])) {
            DEMAND((*made)[0] == i && array[at] == i);
        }
    }
    try {
        sync([&] {
            for (int i = 0; i < 50; ++i)
                spawn([array, i] { array[static_cast<std::size_t>(i)] = 100 + i; });
        });
        for (long i = 0; i < 50; ++i)
            DEMAND(array[static_cast<std::size_t>(i)] == 100 + i);
    } catch (const CompositeException& error) {
        for (const auto& one : error.exceptions())
            thrown_by<ProcessExitedException>([&] { std::rethrow_exception(one); });
    }
    return alive;
}

std::size_t records_in_use() {
    const runtime::TaskTable& tasks = runtime::current().tasks();
    std::size_t used = 0;
    for (std::uint32_t i = 0; i < tasks.top(); ++i)
        used += runtime::TaskState::from_bits(tasks.record(i).state.load(std::memory_order_acquire))
                    .phase != runtime::TaskPhase::free;
    return used;
}

void calls_while_workers_die(unsigned seed) {
    std::atomic<bool> over{false};
    std::thread killing([&] {
        Killer killer(seed);
        for (int i = 0; i < kills_each; ++i)
            killer.kill_one();
        over = true;
    });
    std::mt19937 random(seed + 1);
    int alive = 0;
    while (!over)
        alive += call_round(random);
    killing.join();
    DEMAND(alive > 0);
    DEMAND(nworkers() == workers_each);
    // All have time for a last breath, and then hold nothing.
    until([] {
        everywhere([] { const SharedArray<int> nudge(1); });
        return counters().objects == 0 && records_in_use() == 0;
    });
    for (const int id : workers())
        DEMAND(fetch_from(id, myid) == id);
    DEMAND(distributed(std::plus<>{}, range(0, 1000), [](long i) { return i; }) == 499'500);
}

} // namespace

TEST_CASE("workers are killed at random while tasks run, and nothing is lost or left") {
    for (unsigned session = 0; session < sessions; ++session)
        in_session(workers_each, [session] { calls_while_workers_die(1000 * session); });
}

TEST_CASE("a loop, repeated until it goes through, is right although workers die") {
    in_session(workers_each, [] {
        Killer killer(7);
        int failed = 0;
        for (int round = 0; round < 40; ++round) {
            std::thread killing([&] { killer.kill_one(); });
            for (bool done = false; !done;)
                try {
                    const std::vector<int> elements(500, 3);
                    DEMAND(distributed(std::plus<>{}, range(0, 2000), [](long i) { return i; }) ==
                           1'999'000);
                    DEMAND(pmap([](int i) { return i * i; }, elements) == std::vector<int>(500, 9));
                    done = true;
                } catch (const ProcessExitedException&) {
                    ++failed;
                }
            killing.join();
        }
        DEMAND(nworkers() == workers_each);
        std::printf("%d loops were repeated\n", failed);
    });
}
