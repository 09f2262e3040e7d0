// RemoteChannel: every member, any processes and threads, and deaths.

#include <algorithm>
#include <chrono>
#include <map>
#include <numeric>
#include <set>
#include <thread>

#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;
using namespace std::chrono_literals;

namespace {

std::size_t live_objects() { return runtime::current().objects().live_count(); }
std::size_t blocks() { return runtime::current().heap().statistics().blocks_in_use; }

struct Big {
    std::array<long, 40> numbers;
    friend bool operator==(const Big&, const Big&) = default;
};

} // namespace

TEST_CASE("messages come in order, through any capacity") {
    in_session(1, [] {
        for (const std::size_t capacity :
             {std::size_t{0}, std::size_t{1}, std::size_t{3}, std::size_t{100}, unlimited}) {
            const RemoteChannel<long> channel(capacity);
            DEMAND(channel.capacity() == capacity && channel.where() == 1);
            const auto producer = spawn_at(2, [channel] {
                for (long i = 0; i < 5000; ++i)
                    channel.put(i);
                channel.close();
            });
            long expected = 0;
            for (const long got : channel)
                DEMAND(got == expected++);
            DEMAND(expected == 5000);
            producer.wait();
            thrown_by<InvalidStateException>([&] { channel.put(1); });
            thrown_by<InvalidStateException>([&] { channel.take(); });
            DEMAND(!channel.isopen() && channel.isempty());
        }
    });
}

TEST_CASE("messages of any type") {
    in_session(1, [] {
        const RemoteChannel<std::string> texts(4);
        const RemoteChannel<std::map<int, std::vector<double>>> maps(2);
        const RemoteChannel<Big> bigs(1);
        const RemoteChannel<Eigen::MatrixXd> matrices(1);
        const RemoteChannel<std::unique_ptr<int>> pointers(1);
        const RemoteChannel<bool> flags(2);
        Big big{};
        big.numbers[39] = 7;
        const auto producer = spawn_at(2, [=] {
            texts.put("text");
            texts.put(std::string(100'000, 'x'));
            maps.put({{1, {1.5, 2.5}}});
            matrices.put(Eigen::MatrixXd::Constant(50, 50, 2.0));
            pointers.put(std::make_unique<int>(5));
            flags.put(true);
        });
        bigs.put(big);
        DEMAND(fetch_from(2, [bigs] { return bigs.take(); }) == big);
        DEMAND(texts.take() == "text" && texts.take().size() == 100'000);
        DEMAND(maps.take().at(1).at(1) == 2.5);
        DEMAND(matrices.take().sum() == 5000);
        DEMAND(*pointers.take() == 5);
        DEMAND(flags.take());
        producer.wait();
    });
}

TEST_CASE("handles in messages keep what they name") {
    in_session(2, [] {
        const std::size_t before = live_objects();
        {
            const RemoteChannel<SharedArray<int>> arrays(2);
            const RemoteChannel<Future<int>> futures(2);
            const RemoteChannel<RemoteChannel<int>> channels(2);
            spawn_at(2, [=] {
                SharedArray<int> array(100);
                array[99] = 3;
                arrays.put(array);
                futures.put(spawn_at(3, [] { return 4; }));
                const RemoteChannel<int> inner(1, 1); // else it would go with its owner
                inner.put(5);
                channels.put(inner);
            }).wait();
            kill_worker(2); // which had pinned them
            DEMAND(arrays.take()[99] == 3);
            DEMAND(futures.take().get() == 4);
            DEMAND(channels.take().take() == 5);
        }
        until([&] {
            for (const WorkerId id : procs())
                fetch_from(id, [] { runtime::current().holdings().release_pins(); });
            return live_objects() == before;
        });
    });
}

TEST_CASE("capacity, tries and limits of time") {
    in_session(0, [] {
        const RemoteChannel<int> channel(2);
        DEMAND(!channel.try_take() && !channel.take_for(1ms) && channel.isempty());
        DEMAND(channel.try_put(1) && channel.put_for(2, 1h) && channel.isfull());
        DEMAND(!channel.try_put(3) && !channel.put_for(3, 1ms));
        DEMAND(channel.size() == 2 && channel.fetch() == 1 && channel.fetch() == 1);
        DEMAND(*channel.try_take() == 1 && !channel.isfull() && channel.isready());
        DEMAND(*channel.take_for(1h) == 2 && channel.size() == 0);
        const RemoteChannel<std::string> text(1);
        text.put("a");
        DEMAND(text.fetch() == "a" && text.fetch() == "a" && !text.try_put("b"));
        DEMAND(text.take() == "a" && !text.try_take());
        const RemoteChannel<int> hidden(0);
        DEMAND(!hidden.try_put(1) && !hidden.put_for(1, 2ms) && hidden.isempty() &&
               hidden.isfull());
        thrown_by<std::logic_error>([&] { hidden.fetch(); });
        thrown_by<std::invalid_argument>([] { RemoteChannel<int>(static_cast<std::size_t>(-1)); });
        thrown_by<std::invalid_argument>([] { RemoteChannel<int>(1, 55); });
        thrown_by<SharedMemoryExhausted>([] { RemoteChannel<long>(std::size_t{1} << 39); });
        wait(channel.isopen() ? spawn([channel] { channel.put(4); }) : Future<void>());
        DEMAND(isready(channel) && take(channel) == 4);
        close(channel);
        DEMAND(!isopen(channel));
    });
}

TEST_CASE("bulk forms, and what is left after close") {
    in_session(1, [] {
        const RemoteChannel<int> channel(10);
        const auto producer = spawn_at(2, [channel] {
            std::vector<int> numbers(95);
            std::iota(numbers.begin(), numbers.end(), 0);
            channel.append(numbers);
            channel.close();
        });
        DEMAND(channel.take(50).back() == 49);
        DEMAND(channel.take(50).size() == 45);
        thrown_by<InvalidStateException>([&] { channel.take(1); });
        producer.wait();
    });
}

TEST_CASE("a rendezvous hands over: put returns when its message has been taken") {
    in_session(2, [] {
        const RemoteChannel<int> channel(0);
        const SharedArray<int> taken(1);
        const auto putter = spawn_at(2, [channel, taken] {
            channel.put(1);
            return std::atomic_ref(taken[0]).load();
        });
        until([&] { return channel.isready(); });
        DEMAND(!putter.isready());
        const auto taker = spawn_at(3, [channel, taken] {
            std::atomic_ref(taken[0]).store(1);
            return channel.take();
        });
        DEMAND(fetch(taker) == 1 && fetch(putter) == 1);
        const auto waiting = spawn_at(3, [channel] { return channel.take(); });
        until([&] { return channel.try_put(2); });
        DEMAND(fetch(waiting) == 2);
        const auto left = spawn_at(2, [channel] { channel.put(3); });
        until([&] { return channel.isready(); });
        channel.close();
        thrown_by<InvalidStateException>([&] { left.wait(); });
        thrown_by<InvalidStateException>([&] { channel.take(); });
    });
}

TEST_CASE("close wakes everybody, drains first, and throws what it was given") {
    in_session(3, [] {
        const RemoteChannel<int> channel(1);
        const Future<int> never;
        std::vector<Future<int>> takers;
        for (int i = 0; i < 6; ++i)
            takers.push_back(spawn_at(2 + i % 3, [channel] { return channel.take(); }));
        fetch_from(2, [] {});
        channel.close(std::out_of_range("no more"));
        for (const auto& taker : takers)
            DEMAND(has(thrown_by<std::out_of_range>([&] { taker.wait(); }), "no more"));
        const RemoteChannel<std::string> texts(3);
        texts.put("left");
        texts.close(std::domain_error("late"));
        DEMAND(texts.take() == "left");
        thrown_by<std::domain_error>([&] { texts.take(); });
        thrown_by<std::domain_error>([&] { texts.put("x"); });
        const RemoteChannel<int> full(1);
        full.put(1);
        const auto putter = spawn_at(2, [full] { full.put(2); });
        fetch_from(2, [] {});
        full.close();
        thrown_by<InvalidStateException>([&] { putter.wait(); });
        DEMAND(full.take() == 1);
    });
}

TEST_CASE("many producers and consumers in processes and threads lose and double nothing") {
    in_session(3, [] {
        for (const std::size_t capacity : {std::size_t{1}, std::size_t{7}, unlimited}) {
            const RemoteChannel<std::pair<int, int>> channel(capacity);
            const int each = 2000;
            std::vector<Future<void>> producers;
            for (int p = 0; p < 6; ++p)
                producers.push_back(spawn([channel, p] {
                    for (int i = 0; i < each; ++i)
                        channel.put({p, i});
                }));
            const auto consume = [channel] {
                std::vector<std::pair<int, int>> seen;
                for (const auto& message : channel)
                    seen.push_back(message);
                return seen;
            };
            std::vector<Future<std::vector<std::pair<int, int>>>> consumers;
            for (int c = 0; c < 3; ++c)
                consumers.push_back(spawn_at(2 + c, consume));
            std::vector<std::pair<int, int>> mine;
            std::thread here([&] { mine = consume(); });
            wait_all(producers);
            channel.close();
            here.join();
            std::set<std::pair<int, int>> all(mine.begin(), mine.end());
            std::size_t count = mine.size();
            const auto check = [&](const std::vector<std::pair<int, int>>& seen) {
                std::map<int, int> last;
                for (const auto& [p, i] : seen) { // in each producer's order
                    DEMAND(!last.contains(p) || last[p] < i);
                    last[p] = i;
                }
            };
            check(mine);
            for (const auto& consumer : consumers) {
                const auto seen = fetch(consumer);
                check(seen);
                all.insert(seen.begin(), seen.end());
                count += seen.size();
            }
            DEMAND(count == 6 * each && all.size() == 6 * each);
        }
    });
}

TEST_CASE("messages in blocks between threads of one process") {
    in_session(0, [] {
        for (const std::size_t capacity : {std::size_t{0}, std::size_t{1}, std::size_t{16}}) {
            const RemoteChannel<std::string> there(capacity), back(capacity);
            const int rounds = 3000;
            const auto text = [](int i) { return std::to_string(i) + std::string(40, 'x'); };
            std::thread other([&] {
                for (int i = 0; i < rounds; ++i)
                    back.put(there.take());
            });
            std::thread putter([&] {
                for (int i = 0; i < rounds; ++i)
                    there.put(text(i));
            });
            bool right = true;
            for (int i = 0; i < rounds; ++i)
                right = back.take() == text(i) && right;
            putter.join();
            other.join();
            DEMAND(right);
        }
    });
}

TEST_CASE("tasks of one worker hand messages to each other, thousands wait") {
    in_session(1, [] {
        const RemoteChannel<int> there(1), back(1);
        const auto echo = spawn_at(2, [there, back] {
            for (const int value : there)
                back.put(value + 1);
        });
        const auto asking = spawn_at(2, [there, back] {
            int value = 0;
            for (int i = 0; i < 1000; ++i) {
                there.put(value);
                value = back.take();
            }
            there.close();
            return value;
        });
        DEMAND(fetch(asking) == 1000);
        echo.wait();
        const RemoteChannel<int> many(1);
        std::vector<Future<int>> takers;
        for (int i = 0; i < 1000; ++i)
            takers.push_back(spawn_at(2, [many] { return many.take(); }));
        for (int i = 0; i < 1000; ++i)
            many.put(i);
        long sum = 0;
        for (const auto& taker : takers)
            sum += fetch(taker);
        DEMAND(sum == 999 * 500);
    });
}

TEST_CASE("bound to a process, a task, or its owner") {
    in_session(3, [] {
        const RemoteChannel<int> bound(4);
        bound.bind(2);
        bound.put(1);
        const RemoteChannel<int> owned(4, 2);
        owned.put(1);
        const auto waiting = spawn_at(3, [bound] { return bound.take() + bound.take(); });
        const auto lost = spawn_at(3, [owned] { return owned.take() + owned.take(); });
        kill_worker(2);
        DEMAND(has(thrown_by<ProcessExitedException>([&] { waiting.wait(); }), "SIGKILL"));
        thrown_by<ProcessExitedException>([&] { lost.wait(); });
        thrown_by<ProcessExitedException>([&] { owned.put(2); });
        const RemoteChannel<int> late(1);
        late.bind(2);
        thrown_by<ProcessExitedException>([&] { late.take(); });

        const RemoteChannel<int> to_task(4), to_failure(4);
        to_task.bind(spawn_at(3, [to_task] { to_task.put(7); }));
        DEMAND(to_task.take() == 7);
        thrown_by<InvalidStateException>([&] { to_task.take(); });
        to_failure.bind(spawn_at(3, [] { throw std::range_error("failed"); }));
        DEMAND(has(thrown_by<std::range_error>([&] { to_failure.take(); }), "failed"));
    });
}

TEST_CASE("processes that die in put and take leave the channel working") {
    in_session(2, [] {
        for (int round = 0; round < 12; ++round) {
            const RemoteChannel<int> numbers(4);
            const RemoteChannel<std::string> texts(4);
            const auto dies = [numbers, texts](bool puts) {
                for (int i = 0;; ++i)
                    if (puts) {
                        numbers.put(i);
                        texts.put(std::to_string(i));
                    } else {
                        numbers.take();
                        texts.take();
                    }
            };
            const auto ids = workers();
            const auto putter = spawn_at(ids[0], dies, true);
            const auto taker = spawn_at(ids[1], dies, false);
            until([&] { return worker_info(ids[1]).current_task != ""; });
            sleep_for(std::chrono::microseconds(200 * round));
            const WorkerId victim = ids[static_cast<std::size_t>(round % 2)];
            kill_worker(victim);
            if (victim == ids[0]) {
                until([&] { return numbers.isempty() && texts.isempty(); });
                numbers.put(1);
                texts.put("1");
            } else {
                DEMAND(numbers.take() >= 0);
                DEMAND(!texts.take().empty());
            }
            kill_worker(ids[static_cast<std::size_t>(1 - round % 2)]);
            thrown_by<ProcessExitedException>([&] { putter.wait(); });
            thrown_by<ProcessExitedException>([&] { taker.wait(); });
            addprocs(2);
        }
    });
}

TEST_CASE("a channel and its messages go with the last handle") {
    in_session(1, [] {
        until([] {
            runtime::current().holdings().release_pins();
            return live_objects() == 0;
        });
        const std::size_t before = blocks();
        {
            const RemoteChannel<std::string> texts(100), endless(unlimited), handed(0);
            for (int i = 0; i < 50; ++i)
                texts.put(std::string(1000, 'x'));
            for (int i = 0; i < 5000; ++i)
                endless.put("y");
            texts.close(std::runtime_error("with an exception"));
            DEMAND(!handed.put_for("never", 1ms));
            const auto taker = spawn_at(2, [handed] { return handed.take(); });
            handed.put("z");
            DEMAND(fetch(taker) == "z");
        }
        until([] {
            fetch_from(2, [] { runtime::current().holdings().release_pins(); });
            runtime::current().holdings().release_pins();
            return live_objects() == 0;
        });
        DEMAND(blocks() == before);
    });
}

TEST_CASE("a message that cannot be encoded or decoded harms nobody else") {
    in_session(1, [] {
        struct Picky {
            std::string text;
            void save(ship::WriteArchive& archive) const {
                if (text == "unwritable")
                    throw std::domain_error(text);
                archive(text);
            }
            void load(ship::ReadArchive& archive) {
                archive(text);
                if (text == "unreadable")
                    throw std::range_error(text);
            }
        };
        const RemoteChannel<Picky> channel(4);
        thrown_by<std::domain_error>([&] { channel.put({"unwritable"}); });
        DEMAND(channel.isempty());
        channel.put({"unreadable"});
        channel.put({"good"});
        thrown_by<std::range_error>([&] { channel.take(); });
        DEMAND(channel.take().text == "good");
        struct Huge { // 1 TiB
            std::string text;
            void save(ship::WriteArchive& archive) const {
                archive.writer().reserve(std::size_t{1} << 40, 8);
            }
            void load(ship::ReadArchive&) {}
        };
        const RemoteChannel<Huge> huge(1);
        thrown_by<SharedMemoryExhausted>([&] { huge.put({}); });
        DEMAND(huge.isempty());
    });
}

TEST_CASE("select over channels and futures") {
    in_session(2, [] {
        const RemoteChannel<int> numbers(1);
        const RemoteChannel<std::string> texts(1);
        const Future<int> future;
        spawn_at(2, [texts] { texts.put("first"); });
        DEMAND(dshm::select(numbers, texts, future) == 1);
        DEMAND(texts.take() == "first");
        spawn_at(3, [future] { future.put(1); });
        DEMAND(dshm::select(numbers, texts, future) == 2);
        spawn_at(3, [numbers] { numbers.close(); });
        DEMAND(dshm::select(numbers, texts) == 0);
        // A select that leaves the message hands the wake on.
        const RemoteChannel<int> shared(1);
        const auto looking =
            spawn_at(2, [shared, future] { return dshm::select(shared, Future<int>()); });
        const auto taking = spawn_at(3, [shared] { return shared.take(); });
        fetch_from(2, [] {});
        fetch_from(3, [] {});
        shared.put(9);
        DEMAND(fetch(taking) == 9);
        shared.put(10);
        DEMAND(fetch(looking) == 0);
    });
}

TEST_CASE("channels by name") {
    in_session(2, [] {
        const std::size_t before = live_objects();
        {
            const auto jobs = RemoteChannel<int>::create("jobs", 5);
            const auto answer = spawn_at(2, [] { return RemoteChannel<int>::open("jobs").take(); });
            jobs.put(3);
            DEMAND(fetch(answer) == 3);
            DEMAND(RemoteChannel<int>::open("jobs").capacity() == 5);
            DEMAND(
                has(thrown_by<std::invalid_argument>([] { RemoteChannel<int>::create("jobs", 1); }),
                    "jobs"));
            thrown_by<std::invalid_argument>([] { RemoteChannel<long>::open("jobs"); });
            DEMAND(has(thrown_by<std::out_of_range>([] { RemoteChannel<int>::open("none"); }),
                       "none"));
            thrown_by<std::invalid_argument>([] { RemoteChannel<int>::create("", 1); });
        }
        until([&] { return live_objects() == before; });
        thrown_by<std::out_of_range>([] { RemoteChannel<int>::open("jobs"); });
        // Of many that try at once, one makes it.
        const RemoteChannel<int> go(1);
        std::vector<Future<int>> makers;
        std::vector<RemoteChannel<int>> made;
        for (int i = 0; i < 20; ++i)
            makers.push_back(spawn_at(2 + i % 2, [go] {
                try {
                    const auto mine = RemoteChannel<int>::create("contested");
                    go.take(); // holds it until told
                    return 1;
                } catch (const std::invalid_argument&) {
                    return 0;
                }
            }));
        until([&] {
            return std::count_if(makers.begin(), makers.end(),
                                 [](const auto& maker) { return maker.isready(); }) == 19;
        });
        go.put(1);
        int winners = 0;
        for (const auto& maker : makers)
            winners += fetch(maker);
        DEMAND(winners == 1);
    });
}

TEST_CASE("a cancelled take leaves the message to the next") {
    in_session(2, [] {
        const RemoteChannel<int> channel(1);
        const auto cancelled = spawn_at(2, [channel] { return channel.take(); });
        const auto next = spawn_at(3, [channel] { return channel.take(); });
        fetch_from(2, [] {});
        cancelled.cancel();
        thrown_by<InterruptException>([&] { cancelled.wait(); });
        channel.put(4);
        DEMAND(fetch(next) == 4);
    });
}

TEST_CASE("a channel of a session that is over is refused") {
    const int status = run_in_child([] {
        alarm(case_seconds);
        std::optional<RemoteChannel<int>> left;
        {
            Session session;
            left.emplace(1);
        }
        thrown_by<std::logic_error>([&] { left->put(1); });
        Session next;
        thrown_by<std::logic_error>([&] { left->take(); });
    });
    CHECK(left_well(status));
}
