// Random numbers of tasks and loops: the same however many workers there are and whoever runs what.

#include <algorithm>
#include <random>
#include <semaphore>
#include <set>
#include <thread>

#include "dshm/parallel.hpp"
#include "dshm/task_rng.hpp"
#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

SessionOptions options(int workers, std::uint64_t seed) {
    SessionOptions options;
    options.workers = workers;
    options.seed = seed;
    return options;
}

// What `body` prints, word by word, in a session with so many workers and this seed.
template <class Body>
std::string printed_with(int workers, std::uint64_t seed, Body body) {
    const Outcome outcome = outcome_of(options(workers, seed), body);
    INFO(outcome.errors);
    REQUIRE(outcome.exited_with(0));
    return outcome.output;
}

// The same text with 0, 1, 2 and 7 workers; another one with another seed.
template <class Body>
void same_for_all(Body body) {
    const std::string expected = printed_with(0, 42, body);
    CHECK(!expected.empty());
    for (const int workers : {1, 2, 7}) {
        INFO(workers << " workers");
        CHECK(printed_with(workers, 42, body) == expected);
    }
    CHECK(printed_with(2, 43, body) != expected);
}

void print(std::uint64_t word) { std::printf("%016lx\n", static_cast<unsigned long>(word)); }

std::uint64_t toss_of(std::ptrdiff_t) { return task_rng()() & 1; }

} // namespace

TEST_CASE("heads are the same number with any number of workers, under every schedule") {
    same_for_all([] {
        const auto heads = [](auto... keywords) {
            return distributed(std::plus<>{}, range(0, 1'000'003), toss_of, keywords...);
        };
        const std::uint64_t fixed = heads();
        DEMAND(fixed > 495'000 && fixed < 505'000);
        print(fixed);
        print(heads()); // another loop
        print(heads(schedule(Schedule::dynamic)));
        print(heads(schedule(Schedule::dynamic), chunk(77)));
        print(heads(schedule(Schedule::guided)));
        print(heads(chunk(1000)));
    });
}

TEST_CASE("one loop has one number under all schedules") {
    const auto number = [](auto... keywords) {
        return printed_with(3, 7, [=] {
            print(distributed(std::plus<>{}, range(0, 100'000), toss_of, keywords...));
        });
    };
    const std::string expected = number();
    CHECK(number(schedule(Schedule::dynamic)) == expected);
    CHECK(number(schedule(Schedule::dynamic), chunk(1)) == expected);
    CHECK(number(schedule(Schedule::guided), chunk(5)) == expected);
    CHECK(number(on(1)) == expected);
}

TEST_CASE("iterations that draw many numbers and call standard distributions") {
    same_for_all([] {
        print(distributed(std::bit_xor<>{}, range(0, 20'000), [](std::ptrdiff_t i) {
            std::uniform_int_distribution<std::uint64_t> dice(1, 6);
            std::uint64_t sum = 0;
            for (std::ptrdiff_t draw = 0; draw < i % 11; ++draw)
                sum = 31 * sum + dice(task_rng());
            return sum;
        }));
    });
}

TEST_CASE("tasks have streams of their own, by the calls that led to them") {
    same_for_all([] {
        const auto draw = [] { return task_rng()(); };
        std::vector<Future<std::uint64_t>> futures;
        for (int i = 0; i < 100; ++i)
            futures.push_back(spawn(draw));
        std::set<std::uint64_t> seen;
        for (const auto& future : futures) {
            print(fetch(future));
            seen.insert(fetch(future));
        }
        DEMAND(seen.size() == 100);
        for (const WorkerId id : workers())
            seen.insert(fetch_from(id, draw));
        DEMAND(seen.size() == 100 + workers().size());
    });
}

TEST_CASE("arguments of any size leave the stream where it is") {
    same_for_all([] {
        const std::array<char, 20> small{};
        const std::array<char, 24> fits{};
        const std::array<char, 25> larger{};
        const std::array<char, 152> largest{};
        const std::vector<double> block(1000);
        const auto draw = [](const auto&) { return task_rng()(); };
        std::set<std::uint64_t> seen;
        const auto note = [&seen](std::uint64_t word) {
            print(word);
            seen.insert(word);
        };
        note(fetch(spawn(draw, small)));
        note(fetch(spawn(draw, fits)));
        note(fetch(spawn(draw, larger)));
        note(fetch(spawn(draw, largest)));
        note(fetch(spawn(draw, block)));
        DEMAND(seen.size() == 5);
    });
}

TEST_CASE("calls to all leave the numbers of workers out of the count") {
    same_for_all([] {
        everywhere([] { task_rng()(); });
        print(fetch(spawn([] { return task_rng()(); })));
        sync([] { distributed(range(0, 10), [](std::ptrdiff_t) { task_rng()(); }); });
        print(fetch(spawn([] { return task_rng()(); })));
        pmap([](int x) { return x; }, std::vector<int>(100));
        print(fetch(spawn([] { return task_rng()(); })));
    });
}

TEST_CASE("an algorithm counts as one, whatever it is made of") {
    same_for_all([] {
        const SharedVector<int> numbers(50'000);
        for (std::size_t i = 0; i < numbers.size(); ++i)
            numbers[i] = static_cast<int>(i * 7919 % 50'021);
        const auto draw = [] { return task_rng()(); };
        parallel::sort(numbers.begin(), numbers.end());
        print(fetch(spawn(draw)));
        parallel::reduce(numbers.begin(), numbers.end(), 0L);
        print(fetch(spawn(draw)));
        parallel::transform(numbers.begin(), numbers.end(), numbers.begin(), std::negate<>());
        print(distributed(std::plus<>{}, range(0, 100'000), toss_of));
        print(draw());
    });
}

TEST_CASE("it does not matter who needs the default pool first") {
    const auto number = [](bool master) {
        return printed_with(2, 42, [master] {
            if (master)
                default_worker_pool();
            print(fetch_from(2, [] {
                default_worker_pool();
                return fetch(spawn([] { return task_rng()(); }));
            }));
        });
    };
    CHECK(number(true) == number(false));
}

TEST_CASE("maps draw by element") {
    same_for_all([] {
        const std::vector<int> elements(1000);
        for (const std::uint64_t word : pmap([](int) { return task_rng()(); }, elements))
            print(word);
        for (const std::uint64_t word :
             pmap([](int) { return task_rng()(); }, elements, batch_size(7)))
            print(word);
    });
}

TEST_CASE("tasks that spawn tasks, and loops in loops") {
    same_for_all([] {
        const auto nested = [] {
            std::uint64_t sum = task_rng()();
            for (int i = 0; i < 3; ++i)
                sum = 31 * sum + fetch(spawn([] {
                          return task_rng()() ^ fetch(spawn([] { return task_rng()(); }));
                      }));
            return sum + task_rng()();
        };
        for (int i = 0; i < 5; ++i)
            print(fetch(spawn(nested)));
        print(distributed(std::bit_xor<>{}, range(0, 6), [](std::ptrdiff_t) {
            const std::uint64_t before = task_rng()();
            const std::uint64_t inner = distributed(
                std::plus<>{}, range(0, 100), [](std::ptrdiff_t) { return task_rng()() >> 8; });
            return before ^ inner ^ task_rng()();
        }));
    });
}

TEST_CASE("a task that is set aside goes on with its own numbers") {
    same_for_all([] {
        const auto waiting = [] {
            auto& rng = task_rng();
            std::uint64_t sum = 0;
            for (int i = 0; i < 20; ++i) {
                sum = 31 * sum + rng();
                sleep_for(std::chrono::microseconds(10));
                sum = 31 * sum + rng();
            }
            return sum;
        };
        std::vector<Future<std::uint64_t>> futures;
        for (int i = 0; i < 40; ++i)
            futures.push_back(spawn(waiting));
        for (const auto& future : futures)
            print(fetch(future));
    });
}

TEST_CASE("the program's own draws follow from the seed") {
    const auto body = [] {
        for (int i = 0; i < 100; ++i)
            print(task_rng()());
    };
    const std::string expected = printed_with(0, 5, body);
    CHECK(printed_with(2, 5, body) == expected);
    CHECK(printed_with(0, 6, body) != expected);
}

TEST_CASE("a second session begins anew, with its own seed") {
    const Outcome outcome = outcome_of(0, [] {}); // the forked child makes the sessions below
    REQUIRE(outcome.exited_with(0));
    const pid_t child = start_child([] {
        const auto first_of = [](std::uint64_t seed) {
            const Session session(options(0, seed));
            std::vector<std::uint64_t> words{task_rng()(), task_rng()()};
            words.push_back(fetch(spawn([] { return task_rng()(); })));
            return words;
        };
        DEMAND(first_of(1) == first_of(1));
        DEMAND(first_of(1) != first_of(2));
        DEMAND(has(thrown_by<std::logic_error>([] { task_rng()(); }), "no session"));
    });
    CHECK(left_well(wait_for(child)));
}

TEST_CASE("a thread that outlives a session begins anew in the next one") {
    const pid_t child = start_child([] {
        std::binary_semaphore go(0), done(0);
        std::vector<std::uint64_t> words;
        bool refused = false;
        std::thread thread([&] {
            for (const bool session : {true, false, true}) {
                go.acquire();
                try {
                    for (int draw = 0; draw < 3; ++draw)
                        words.push_back(task_rng()());
                    DEMAND(session);
                } catch (const std::logic_error&) {
                    refused = !session;
                }
                done.release();
            }
        });
        const auto next_step = [&] {
            go.release();
            done.acquire();
        };
        const auto in_a_session = [&](std::uint64_t seed) {
            const Session session(options(0, seed));
            next_step();
        };
        in_a_session(1);
        next_step();
        in_a_session(1);
        thread.join();
        DEMAND(refused && words.size() == 6);
        DEMAND(std::equal(words.begin(), words.begin() + 3, words.begin() + 3));
        DEMAND(words[0] != words[1] && words[1] != words[2]);
    });
    CHECK(left_well(wait_for(child)));
}

TEST_CASE("every thread and every process has its own numbers") {
    in_session(2, [] {
        std::set<std::uint64_t> seen{task_rng()()};
        for (int i = 0; i < 4; ++i)
            std::thread([&seen] {
                seen.insert(task_rng()());
                seen.insert(fetch(spawn([] { return task_rng()(); })));
            }).join();
        DEMAND(seen.size() == 9);
        const SharedArray<std::uint64_t> words(nprocs());
        everywhere([words] { words[static_cast<std::size_t>(myid() - 1)] = task_rng()(); });
        seen.insert(words.begin(), words.end());
        DEMAND(seen.size() == 12);
    });
}

TEST_CASE("without a seed, every session gives the same numbers") {
    const auto number = [] {
        SessionOptions none;
        none.workers = 0;
        return outcome_of(none, [] { print(task_rng()()); }).output;
    };
    CHECK(number() == number());
}
