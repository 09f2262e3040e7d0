// asyncmap: tasks of one process that take turns.

#include <chrono>
#include <list>
#include <thread>

#include "dshm/asyncmap.hpp"
#include "dshm/task_rng.hpp"
#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;
using namespace std::chrono_literals;

namespace {

// How many calls of an asyncmap over n elements run at the same time. None ends before the expected number has begun, nor
// before one more could begin.
template <class... Keywords>
int most_at_once(int expected, int n, const Keywords&... keywords) {
    int now = 0, most = 0;
    asyncmap(
        [&](long) {
            most = std::max(most, ++now);
            while (most < expected)
                sleep_for(1ms);
            sleep_for(1ms);
            --now;
        },
        range(0, n), keywords...);
    return most;
}

// Cannot be sent.
struct Private {
    const int* address;
};

} // namespace

TEST_CASE("the tasks of an asyncmap wait at the same time, and so many at once") {
    for (const int workers : {0, 2})
        in_session(workers, [] {
            DEMAND(most_at_once(30, 30) == 30);
            DEMAND(most_at_once(100, 250) == 100);
            DEMAND(most_at_once(7, 30, ntasks(7)) == 7);
            DEMAND(most_at_once(1, 30, ntasks(1)) == 1);
            DEMAND(most_at_once(3, 3, ntasks(1000)) == 3);
            DEMAND(most_at_once(0, 0) == 0);
            thrown_by<std::invalid_argument>([] { ntasks(0); });
        });
}

TEST_CASE("results of an asyncmap come in order, and nothing is sent") {
    in_session(2, [] {
        const std::vector<int> values{5, 3, 4};
        const std::vector<int> delays{3, 1, 2};
        const Counters before = counters();
        const auto found = asyncmap(
            [&](const int& value, int delay) {
                sleep_for(std::chrono::milliseconds(delay));
                DEMAND(myid() == 1);
                return Private{&value};
            },
            values, delays);
        DEMAND((counters() - before).bytes_sent == 0);
        for (std::size_t i = 0; i < values.size(); ++i)
            DEMAND(found[i].address == &values[i]);
        // Tasks that wait for workers.
        const auto ids = asyncmap([](int id) { return fetch_from(id, [] { return myid(); }); },
                                  std::list<int>{3, 2, 1, 3});
        DEMAND((ids == std::vector<int>{3, 2, 1, 3}));
        const auto flags = asyncmap([](long i) { return i % 2 == 0; }, range(0, 10));
        DEMAND(flags[8] && !flags[9]);
        int count = 0;
        asyncmap([&](long) { ++count; }, range(0, 1000));
        DEMAND(count == 1000);
    });
}

TEST_CASE("an asyncmap from a worker and from another thread") {
    in_session(1, [] {
        DEMAND(fetch_from(2, [] {
                   return asyncmap([](long i) { return sleep_for(1ms), i * myid(); }, range(0, 5));
               }) == (std::vector<long>{0, 2, 4, 6, 8}));
        std::vector<long> values;
        std::thread([&] { values = asyncmap([](long i) { return i; }, range(0, 50)); }).join();
        DEMAND(values.size() == 50 && values[49] == 49);
    });
}

TEST_CASE("the first failure of an asyncmap is thrown when those running have ended") {
    const Outcome outcome = in_session(1, [] {
        struct Unknown {
            int value;
        };
        int begun = 0, ended = 0;
        try {
            asyncmap(
                [&](long i) {
                    ++begun;
                    if (i == 3)
                        throw Unknown{7};
                    sleep_for(5ms);
                    ++ended;
                    if (i > 3)
                        throw std::runtime_error("too late");
                },
                range(0, 1000), ntasks(10));
            DEMAND(false);
        } catch (const Unknown& error) { // as it was thrown
            DEMAND(error.value == 7);
        }
        DEMAND(begun == 10 && ended == 9);
    });
    CHECK(outcome.errors == "");
}

TEST_CASE("an asyncmap that is told to stop leaves no task behind") {
    in_session(1, [] {
        const SharedArray<int> counts(2);
        const auto map = spawn_at(2, [counts] {
            asyncmap(
                [counts](long) {
                    ++counts[0];
                    const base::ScopeGuard leave([&] { ++counts[1]; });
                    sleep_for(1h);
                },
                range(0, 100), ntasks(5));
        });
        until([&] { return std::atomic_ref(counts[0]).load() == 5; });
        DEMAND(map.cancel());
        thrown_by<InterruptException>([&] { map.wait(); });
        DEMAND(counts[0] == 5 && counts[1] == 5);
    });
}

TEST_CASE("an asyncmap draws the same random numbers however many tasks there are") {
    in_session(0, [] {
        const auto draws = [](std::ptrdiff_t n) {
            return fetch([n] {
                return asyncmap(
                    [](long) {
                        const auto first = task_rng()();
                        sleep_for(1ms);
                        return first ^ task_rng()();
                    },
                    range(0, 20), ntasks(n));
            });
        };
        const auto of_one = draws(1);
        DEMAND(of_one != draws(20)); // another call
        DEMAND(of_one.size() == 20);
    });
    std::vector<std::string> all;
    for (const int n : {1, 5, 20}) {
        SessionOptions options;
        options.seed = 1;
        all.push_back(outcome_of(options, [n] {
                          std::uint64_t sum = 0;
                          for (const std::uint64_t x :
                               asyncmap([](long) { return sleep_for(1ms), task_rng()(); },
                                        range(0, 20), ntasks(n)))
                              sum = sum * 31 + x;
                          std::cout << sum << "\n";
                      }).output);
    }
    CHECK(all[0] == all[1]);
    CHECK(all[0] == all[2]);
}
