// SharedArrays: seen by all, and freed with the last handle wherever it is.

#include <cstdlib>

#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

std::uint64_t objects() { return counters().objects; }

// Pins of tasks that have ended are let go lazily: by then nothing but the tested handles may hold an array.
void await_objects(std::uint64_t number) {
    until([number] {
        fetch([] {});
        const SharedArray<int> nudge(1);
        return objects() == number + 1;
    });
}

} // namespace

TEST_CASE("an array is seen by all processes, zeroed when new") {
    in_session(2, [] {
        const SharedArray<int, 2> array({3, 4});
        DEMAND(array.size() == 12 && array.dims() == (std::array<std::size_t, 2>{3, 4}));
        for (const int one : array)
            DEMAND(one == 0);
        fetch_from(2, [array] { array(1, 2) = 7; });
        DEMAND(array[1 + 3 * 2] == 7 && array.matrix()(1, 2) == 7);
        DEMAND(fetch_from(3, [array] { return array(1, 2); }) == 7);
        thrown_by<std::out_of_range>([&] { array.at(3, 0); });
    });
}

TEST_CASE("an array goes with its last handle") {
    in_session(2, [] {
        const auto before = objects();
        {
            const SharedArray<double> array(1000);
            const SharedArray<double> copy = array;
            SharedArray<double> other(10);
            DEMAND(objects() == before + 2);
            other = copy;
            DEMAND(objects() == before + 1);
        }
        DEMAND(objects() == before);
    });
}

TEST_CASE("arrays captured by tasks, passed and returned are freed") {
    in_session(2, [] {
        {
            const SharedArray<int> array(100);
            std::vector<Future<void>> captured;
            for (int i = 0; i < 100; ++i)
                captured.push_back(spawn([array, i] { array[static_cast<std::size_t>(i)] = i; }));
            for (const auto& future : captured)
                fetch(future);
            for (int i = 0; i < 100; ++i)
                DEMAND(array[static_cast<std::size_t>(i)] == i);
            DEMAND(fetch([](const SharedArray<int>& a) { return a[5]; }, array) == 5);
            const SharedArray<int> back = fetch([array] { return array; });
            DEMAND(back.data() == array.data());
        }
        await_objects(0);
        // The only handle left is the one in the task.
        for (int i = 0; i < 50; ++i)
            DEMAND(fetch([array = [] {
                       SharedArray<int> made(10);
                       made[3] = 3;
                       return made;
                   }()] { return array[3]; }) == 3);
        await_objects(0);
    });
}

TEST_CASE("the sender may let go of an array that is under way") {
    in_session(1, [] {
        const Flag go;
        const auto first = spawn_at(2, [go] { go.await(); });
        std::vector<Future<int>> futures;
        for (int i = 0; i < 20; ++i) {
            const SharedArray<int> array(10);
            array[0] = i;
            futures.push_back(spawn_at(2, [array] { return array[0]; }));
        }
        go.raise();
        for (int i = 0; i < 20; ++i)
            DEMAND(fetch(futures[static_cast<std::size_t>(i)]) == i);
        first.wait();
    });
}

TEST_CASE("an array made on a worker comes back, also when its maker is killed before the fetch") {
    in_session(2, [] {
        const auto make = [](int value) {
            SharedArray<int> array(1000);
            std::fill(array.begin(), array.end(), value);
            return array;
        };
        {
            const SharedArray<int> array = fetch_from(2, make, 4);
            DEMAND(array[999] == 4);
            DEMAND(fetch_from(3, [array] { return array[998]; }) == 4);
        }
        const auto future = spawn_at(2, make, 5);
        future.wait();
        kill_worker(2);
        {
            const SharedArray<int> array = fetch(future);
            DEMAND(array[0] == 5 && array[999] == 5);
            DEMAND(fetch_from(3, [array] { return array[998]; }) == 5);
            const SharedArray<int> again = fetch(future);
            DEMAND(again.data() == array.data());
        }
    });
}

TEST_CASE("a result with an array that nobody fetches is freed with its future") {
    in_session(1, [] {
        for (int i = 0; i < 10; ++i) {
            const auto future = spawn_at(2, [] { return SharedArray<int>(10); });
            future.wait();
        }
        for (int i = 0; i < 10; ++i)
            static_cast<void>(spawn_at(2, [] { return SharedArray<int>(10); }));
        fetch_from(2, [] {});
        // The worker's own pins go when it next looks.
        until([] {
            fetch_from(2, [] { const SharedArray<int> nudge(1); });
            return objects() == 0;
        });
    });
}

TEST_CASE("arrays held by a worker that is killed are freed, those of others stay") {
    in_session(2, [] {
        const Flag held;
        const SharedArray<int> mine(100);
        mine[50] = 9;
        const auto holder = spawn_at(2, [held, mine] {
            const SharedArray<int> own(1000), other(10);
            held.raise();
            for (;;)
                pause();
        });
        held.await();
        DEMAND(objects() == 4);
        kill_worker(2);
        thrown_by<ProcessExitedException>([&] { fetch(holder); });
        until([] { return objects() == 2; });
        DEMAND(mine[50] == 9 && fetch_from(3, [mine] { return mine[50]; }) == 9);
    });
}

TEST_CASE("arguments under way to a worker that is killed are freed") {
    in_session(1, [] {
        {
            const Flag started;
            const auto running = spawn_at(2, [started] {
                started.raise();
                for (;;)
                    pause();
            });
            started.await();
            std::vector<Future<int>> futures;
            for (int i = 0; i < 20; ++i) {
                const SharedArray<int> array(10);
                futures.push_back(spawn_at(2, [array] { return array[0]; }));
            }
            DEMAND(objects() == 21);
            kill_worker(2);
            for (const auto& future : futures)
                thrown_by<ProcessExitedException>([&] { fetch(future); });
            thrown_by<ProcessExitedException>([&] { fetch(running); });
        }
        await_objects(0);
    });
}

TEST_CASE("what a killed worker had sent on with its arrays still runs") {
    in_session(2, [] {
        const Flag sent, go;
        const SharedArray<int> result(1);
        const auto blocker = spawn_at(3, [go] { go.await(); });
        const auto spawner = spawn_at(2, [sent, result] {
            SharedArray<int> array(100);
            array[7] = 77;
            remote_do([array, result] { result[0] = array[7]; }, 3);
            array = SharedArray<int>(1); // only the task has it now
            sent.raise();
            for (;;)
                pause();
        });
        sent.await();
        kill_worker(2);
        go.raise();
        blocker.wait();
        fetch_from(3, [] {});
        DEMAND(result[0] == 77);
        thrown_by<ProcessExitedException>([&] { fetch(spawner); });
        until([] {
            fetch_from(3, [] {});
            return objects() == 3;
        });
    });
}

TEST_CASE("an array in a container, a pair or an exception-free failure is let go") {
    in_session(1, [] {
        const SharedArray<int> array(4);
        std::vector<SharedArray<int>> several{array, array, SharedArray<int>(2)};
        DEMAND(fetch([](const std::vector<SharedArray<int>>& all) { return all.size(); },
                     several) == 3);
        const auto pair = fetch([array] { return std::pair(array, 5); });
        DEMAND(pair.second == 5 && pair.first.data() == array.data());
        thrown_by<std::runtime_error>([&] { fetch([array] { throw std::runtime_error("no"); }); });
        several.clear();
        await_objects(1);
    });
}

TEST_CASE("an array that was dropped has gone, with its name and its memory") {
    in_session(2, [] {
        const auto nothing = [](const SharedArray<int>&) {};
        for (int i = 0; i < 50; ++i) {
            const SharedArray<int> made(10, named("again"), init(nothing));
            sync([&] { distributed(made.indices(), [made](std::size_t k) { made[k] = 1; }); });
        }
        for (int i = 0; i < 50; ++i) {
            const SharedArray<int> sent(10, named("again"));
            everywhere(workers(), nothing, sent);
        }
        // Its maker keeps it until it hears that the result is gone.
        for (int i = 0; i < 20; ++i) {
            const auto back = fetch([] { return SharedArray<int>(10, named("again")); });
            DEMAND(back.size() == 10);
        }
    });
}

TEST_CASE("large arrays one after the other need the memory of one") {
    setenv("DSHM_CAPACITY", "600000000", 1);
    in_session(2, [] {
        for (int i = 0; i < 5; ++i) {
            const SharedArray<char> big(300'000'000, init([](const SharedArray<char>&) {}));
            big[299'999'999] = 1;
        }
        for (int i = 0; i < 5; ++i)
            DEMAND(fetch([] { return SharedArray<char>(300'000'000); }).size() == 300'000'000);
    });
    unsetenv("DSHM_CAPACITY");
}

TEST_CASE("a handle of no array is one of a closed array, here and there") {
    in_session(1, [] {
        SharedArray<int> none;
        thrown_by<std::out_of_range>([&] { none.at(0); });
        const SharedArray<int> closed(5, named("closed")), other = closed;
        closed.close();
        DEMAND(closed.size() == 0 && fetch([closed] { return closed.size(); }) == 0);
        thrown_by<std::out_of_range>([&] { other.at(0); });
        none = SharedArray<int>(2, named("closed")); // the name is free again
        DEMAND(none.size() == 2 && SharedArray<int>::open("closed").data() == none.data());
    });
}

TEST_CASE("dimensions may be of any integer types") {
    in_session(0, [] {
        const std::size_t n = 4;
        const SharedArray<double, 2> mixed({n, 3});
        const SharedArray<float, 4> four({2, 3, 4, 5u});
        DEMAND(mixed.dims()[0] == 4 && mixed.dims()[1] == 3 && four.size() == 120);
    });
}

TEST_CASE("an array is wide enough for what its dimensions say, or refused") {
    in_session(0, [] {
        thrown_by<std::length_error>([] { SharedArray<double>(std::size_t{1} << 62); });
        thrown_by<SharedMemoryExhausted>([] { SharedArray<char>(std::size_t{1} << 45); });
        DEMAND(SharedArray<int>(0).size() == 0);
        DEMAND(objects() == 0);
    });
}
