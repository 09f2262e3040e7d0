// distributed with its keywords: who runs what, what comes out, and what deaths and failures do.

#include <deque>
#include <limits>
#include <memory>
#include <numeric>
#include <set>
#include <sstream>
#include <thread>

#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

constexpr Schedule schedules[] = {Schedule::static_, Schedule::dynamic, Schedule::guided};

std::string letter(long i) { return std::string(1, static_cast<char>('a' + i)); }
constexpr auto* alphabet = "abcdefghijklmnopqrstuvwxyz";

// Which process ran each of n elements of a loop.
template <class... Ks>
std::vector<int> runners(long n, const Ks&... keywords) {
    const SharedArray<int> who(static_cast<std::size_t>(n));
    distributed(
        range(0, n), [who](long i) { who[static_cast<std::size_t>(i)] = myid(); }, keywords...)
        .wait();
    return {who.begin(), who.end()};
}
using Ids = std::vector<int>;

std::set<int> distinct(const Ids& ids) { return {ids.begin(), ids.end()}; }

// Ends the process that comes first.
class OneDeath {
public:
    void here() const {
        if (std::atomic_ref(deaths_[0]).fetch_add(1) == 0)
            raise(SIGKILL);
    }

private:
    SharedArray<int> deaths_{1};
};

// How often each element of a loop was run.
class Runs {
public:
    explicit Runs(std::size_t n) : counts_(n) {}
    void count(long i) const { std::atomic_ref(counts_[static_cast<std::size_t>(i)]).fetch_add(1); }
    bool each_at_least_once() const {
        return std::all_of(counts_.begin(), counts_.end(), [](int c) { return c >= 1; });
    }
    int total() const { return std::accumulate(counts_.begin(), counts_.end(), 0); }

private:
    SharedArray<int> counts_;
};

} // namespace

TEST_CASE("every schedule gives what the serial loop gives, in its order") {
    for (const int count : {0, 1, 2, 3})
        in_session(count, [] {
            for (const Schedule kind : schedules) {
                const auto joined = [&](const Range& r, const auto&... keywords) {
                    return distributed(std::plus<>{}, r, letter, schedule(kind), keywords...);
                };
                DEMAND(joined(range(0, 26)) == alphabet);
                DEMAND(joined(range(0, 26), chunk(1)) == alphabet);
                DEMAND(joined(range(0, 26), chunk(5), retries(2)) == alphabet);
                DEMAND(joined(range(0, 26), chunk(1000)) == alphabet);
                DEMAND(joined(range(0, 26), on(procs())) == alphabet);
                DEMAND(joined(range(0, 26), on(procs()), chunk(3)) == alphabet);
                DEMAND(joined(range(0, 26), init(std::string(">"))) == std::string(">") + alphabet);
                DEMAND(joined(range(0, 1)) == "a");
                DEMAND(joined(range(9, 0, -2)) == "jhfdb");
                DEMAND(joined(range(0, 10, 3), chunk(2)) == "adgj");
                DEMAND(joined(range(3, 3), init(std::string("none"))) == "none");
                thrown_by<std::invalid_argument>([&] { joined(range(3, 3)); });
                DEMAND(distributed(
                           std::plus<>{}, range(0, 1000), [](long) { return true; },
                           schedule(kind)) == 1000);
                DEMAND(distributed(
                           std::plus<>{}, range(0, 100), [](long i) { return i; }, schedule(kind),
                           init(50)) == 5000);
            }
        });
}

TEST_CASE("a loop runs over pairs of indices, i running fastest") {
    for (const int count : {0, 2})
        in_session(count, [] {
            for (const Schedule kind : schedules) {
                const SharedMatrix<long> S(5, 7);
                sync([&] {
                    distributed(
                        range2(5, 7), [S](long i, long j) { S(i, j) = 10 * i + j; },
                        schedule(kind));
                });
                for (long i = 0; i < 5; ++i)
                    for (long j = 0; j < 7; ++j)
                        DEMAND(S(i, j) == 10 * i + j);
                const auto text = [](long i, long j) {
                    return std::to_string(i) + std::to_string(j) + " ";
                };
                DEMAND(distributed(std::plus<>{}, range2(3, 2), text, schedule(kind)) ==
                       "00 10 20 01 11 21 ");
                DEMAND(distributed(std::plus<>{}, range2(range(4, -1, -2), range(1, 6, 4)), text,
                                   schedule(kind), chunk(1)) == "41 21 01 45 25 05 ");
                distributed(
                    range2(0, 5), [](long, long) {}, schedule(kind))
                    .wait();
            }
            thrown_by<std::invalid_argument>([] { range2(-1, 2); });
            thrown_by<std::invalid_argument>([] { range(0, 5, 0); });
        });
}

TEST_CASE("a loop runs over the elements of containers and shared arrays") {
    in_session(2, [] {
        for (const Schedule kind : schedules) {
            const auto sum = [&](const auto& elements) {
                return distributed(
                    std::plus<>{}, elements, [](double x) { return x; }, schedule(kind));
            };
            DEMAND(sum(std::vector<double>{1, 2.5, 3}) == 6.5);
            DEMAND(sum(std::deque<int>{1, 2, 3, 4}) == 10);
            DEMAND(sum(std::array<float, 3>{1, 2, 3}) == 6);
            DEMAND(sum(std::vector<bool>{true, false, true}) == 2);
            DEMAND(sum(Eigen::VectorXd(Eigen::VectorXd::LinSpaced(5, 0, 4))) == 10);
            const std::vector<std::string> words{"one ", "two ", "three"};
            DEMAND(distributed(
                       std::plus<>{}, words, [](std::string_view w) { return std::string(w); },
                       schedule(kind)) == "one two three");
            std::vector<std::unique_ptr<int>> owners;
            for (int i = 0; i < 10; ++i)
                owners.push_back(std::make_unique<int>(i));
            DEMAND(distributed(
                       std::plus<>{}, owners, [](const std::unique_ptr<int>& i) { return *i; },
                       schedule(kind)) == 45);
            const SharedArray<double> S(1000);
            sync([&] {
                distributed(
                    S, [](double& x) { x += 1; }, schedule(kind));
            });
            sync([&] {
                distributed(
                    S, [](double& x) { x += 1; }, schedule(kind), chunk(7));
            });
            DEMAND(sum(S) == 2000);
        }
    });
}

TEST_CASE("on says who runs what") {
    in_session(3, [] {
        DEMAND((runners(4, on({3, 4})) == Ids{3, 3, 4, 4}));
        DEMAND((runners(4, on(4)) == Ids{4, 4, 4, 4}));
        DEMAND((runners(5, on(procs())) == Ids{1, 1, 2, 3, 4}));
        DEMAND((runners(4, on({4, 2})) == Ids{4, 4, 2, 2}));
        DEMAND((runners(6, chunk(1)) == Ids{2, 3, 4, 2, 3, 4}));
        DEMAND((runners(6, chunk(2), on({4, 2})) == Ids{4, 4, 2, 2, 4, 4}));
        const int mine = distributed([](int a, int b) { return std::max(a, b); }, range(0, 10),
                                     [](long) { return myid(); }, on(1));
        DEMAND(mine == 1);
        for (const Schedule kind : {Schedule::dynamic, Schedule::guided}) {
            const auto who = distinct(runners(1000, schedule(kind), on({2, 4})));
            DEMAND(!who.contains(1) && !who.contains(3));
            DEMAND(!distinct(runners(1000, schedule(kind))).contains(1));
        }
        thrown_by<std::invalid_argument>([] { on(std::vector<WorkerId>{}); });
        DEMAND(has(thrown_by<std::invalid_argument>([] { runners(4, on({2, 99})); }), "99"));
        kill_worker(3);
        thrown_by<ProcessExitedException>([] { runners(4, on({2, 3})); });
        DEMAND((runners(4) == Ids{2, 2, 4, 4}));
    });
}

TEST_CASE("a dynamic loop waits for nobody who has not begun") {
    in_session(2, [] {
        for (const Schedule kind : {Schedule::dynamic, Schedule::guided}) {
            const Flag go, begun;
            const auto busy = spawn_at(2, [go, begun] {
                begun.raise();
                until([&] { return go.raised(); });
            });
            begun.await();
            DEMAND(distinct(runners(100, schedule(kind))) == std::set<int>{3});
            DEMAND(distributed(
                       std::plus<>{}, range(0, 100), [](long i) { return i; }, schedule(kind)) ==
                   4950);
            go.raise();
            busy.wait();
        }
    });
}

TEST_CASE("a slow chunk of a dynamic loop does not hold up the others") {
    in_session(2, [] {
        const SharedArray<int> left(1);
        left[0] = 99;
        distributed(
            range(0, 100),
            [left](long i) {
                std::atomic_ref count(left[0]);
                if (i == 0)
                    until([&] { return count.load() == 0; });
                else
                    count.fetch_sub(1);
            },
            schedule(Schedule::dynamic), chunk(1))
            .wait();
        DEMAND(left[0] == 0);
    });
}

TEST_CASE("chunks of a worker that died are run again") {
    in_session(3, [] {
        for (const Schedule kind : schedules) {
            const auto survivors = workers();
            const OneDeath death;
            const Runs runs(60);
            const auto body = [death, runs](long i) {
                runs.count(i);
                if (i == 17)
                    death.here();
                return i;
            };
            DEMAND(distributed(std::plus<>{}, range(0, 60), body, schedule(kind), retries(1)) ==
                   59 * 30);
            DEMAND(runs.each_at_least_once());
            DEMAND(workers().size() + 1 == survivors.size());
            // What was done before the death is kept where it lies in shared memory.
            DEMAND(kind == Schedule::static_ || runs.total() < 2 * 60);
            addprocs(1);
        }
    });
}

TEST_CASE("values that travel with their worker are computed again when it dies") {
    in_session(2, [] {
        for (const Schedule kind : schedules) {
            const OneDeath death;
            const auto body = [death](long i) {
                if (i == 20)
                    death.here();
                return letter(i);
            };
            DEMAND(distributed(std::plus<>{}, range(0, 26), body, schedule(kind), chunk(1),
                               retries(1)) == alphabet);
            addprocs(1);
        }
    });
}

TEST_CASE("an asynchronous loop runs lost chunks again while somebody waits") {
    in_session(2, [] {
        for (const Schedule kind : schedules) {
            const OneDeath death;
            const Runs runs(40);
            const auto body = [death, runs](long i) {
                runs.count(i);
                if (i == 39)
                    death.here();
            };
            if (kind == Schedule::static_)
                sync([&] { distributed(range(0, 40), body, schedule(kind), retries(1)); });
            else
                distributed(range(0, 40), body, schedule(kind), retries(1)).wait();
            DEMAND(runs.each_at_least_once());
            addprocs(1);
        }
    });
}

TEST_CASE("a death fails the loop when retries are used up") {
    in_session(2, [] {
        for (const Schedule kind : schedules)
            for (const int allowed : {0, 2}) {
                const Runs runs(10);
                const auto deadly = [runs](long i) {
                    runs.count(i);
                    if (i == 3)
                        raise(SIGKILL);
                    return i;
                };
                addprocs(3);
                const auto before = static_cast<int>(workers().size());
                DEMAND(has(thrown_by<ProcessExitedException>([&] {
                               distributed(std::plus<>{}, range(0, 10), deadly, schedule(kind),
                                           retries(allowed), chunk(1));
                           }),
                           "SIGKILL"));
                until([&] { return static_cast<int>(workers().size()) == before - allowed - 1; });
            }
    });
}

TEST_CASE("the failure of the first chunk in order is thrown") {
    in_session(3, [] {
        for (const Schedule kind : schedules) {
            const Flag failed;
            // Element 52 fails first in time, element 2 first in order.
            const auto body = [failed](long i) -> long {
                if (i == 52) {
                    failed.raise();
                    throw std::out_of_range("fifty-two");
                }
                if (i == 2) {
                    failed.await();
                    throw std::out_of_range("two");
                }
                return i;
            };
            DEMAND(has(thrown_by<std::out_of_range>([&] {
                           distributed(std::plus<>{}, range(0, 60), body, schedule(kind), chunk(2),
                                       on(procs()));
                       }),
                       "two"));
        }
    });
}

TEST_CASE("an operator that throws, in a worker and over the chunks' values") {
    in_session(2, [] {
        for (const Schedule kind : schedules) {
            const auto refuse_large = [](long a, long b) {
                if (a + b > 3000)
                    throw std::overflow_error("too large in process " + std::to_string(myid()));
                return a + b;
            };
            const auto value = [](long i) { return i; };
            DEMAND(has(thrown_by<RemoteException>([&] {
                           distributed(refuse_large, range(0, 1000), value, schedule(kind),
                                       chunk(500));
                       }),
                       "On worker"));
            const std::string here = thrown_by<std::overflow_error>([&] {
                distributed(
                    refuse_large, range(0, 100), [](long) { return 40; }, schedule(kind),
                    chunk(50));
            });
            DEMAND(here == "too large in process 1");
        }
    });
}

TEST_CASE("a dynamic loop begins no chunk after a failure was seen") {
    in_session(2, [] {
        const Runs runs(100'000);
        thrown_by<std::runtime_error>([&] {
            distributed(
                std::plus<>{}, range(0, 100'000),
                [runs](long i) -> int {
                    runs.count(i);
                    if (i == 100)
                        throw std::runtime_error("stop");
                    return 1;
                },
                schedule(Schedule::dynamic), chunk(10));
        });
        DEMAND(runs.total() < 100'000);
    });
}

TEST_CASE("the failure of an asynchronous loop is never silent") {
    for (const bool dynamic : {false, true}) {
        const Outcome outcome = in_session(2, [dynamic] {
            const auto fail = [](long i) {
                if (i == 3)
                    throw std::runtime_error("unseen failure");
            };
            const Schedule kind = dynamic ? Schedule::dynamic : Schedule::static_;
            {
                const auto loop = distributed(range(0, 10), fail, schedule(kind));
                until([&] { return loop.isready(); });
            } // dropped without a look
            const auto seen = distributed(range(0, 10), fail, schedule(kind));
            thrown_by<std::runtime_error>([&] { seen.wait(); });
            try {
                sync([&] { distributed(range(0, 10), fail, schedule(kind)); });
                DEMAND(false);
            } catch (const CompositeException& error) {
                DEMAND(error.size() == 1);
            }
        });
        CHECK(times(outcome.errors, "unseen failure") == 1);
    }
}

TEST_CASE("a sync block's failures come in the order in which its loops and tasks were started") {
    in_session(2, [] {
        const auto failing = [](const char* text) {
            return [text](long) { throw std::runtime_error(text); };
        };
        try {
            sync([&] {
                spawn([] { throw std::runtime_error("one"); });
                distributed(range(0, 1), failing("two"), schedule(Schedule::dynamic));
                spawn([] { throw std::runtime_error("three"); });
                distributed(range(0, 1), failing("four"), schedule(Schedule::guided));
            });
            DEMAND(false);
        } catch (const CompositeException& error) {
            const char* expected[] = {"one", "two", "three", "four"};
            DEMAND(error.size() == 4);
            for (std::size_t i = 0; i < 4; ++i)
                DEMAND(has(thrown_by<std::runtime_error>(
                               [&] { std::rethrow_exception(error.exceptions()[i]); }),
                           expected[i]));
        }
    });
}

TEST_CASE("loops are called on workers, in loops, and by several threads at once") {
    in_session(2, [] {
        for (const Schedule kind : schedules) {
            const auto inner = [kind](long i) {
                return distributed(
                    std::plus<>{}, range(0, 10), [i](long j) { return i * j; }, schedule(kind));
            };
            DEMAND(fetch_from(2, inner, 2L) == 90);
            DEMAND(distributed(std::plus<>{}, range(0, 6), inner, schedule(kind)) == 15 * 45);
            std::vector<long> sums(3);
            {
                std::vector<std::jthread> threads;
                for (std::size_t t = 0; t < sums.size(); ++t)
                    threads.emplace_back([&, t] {
                        for (int round = 0; round < 50; ++round)
                            sums[t] += distributed(
                                std::plus<>{}, range(0, 100), [](long i) { return i; },
                                schedule(kind));
                    });
            }
            DEMAND((sums == std::vector<long>(3, 50 * 4950)));
        }
    });
}

TEST_CASE("a loop's handles and memory go with it") {
    in_session(2, [] {
        const SharedArray<long> S(100);
        const auto before = counters().objects;
        for (int round = 0; round < 20; ++round)
            for (const Schedule kind : schedules) {
                distributed(
                    range(0, 100), [S](long i) { S[static_cast<std::size_t>(i)] += i; },
                    schedule(kind), chunk(9))
                    .wait();
                // The array lives as long as the loop that captured it, though nobody here holds it.
                const auto sum = [] {
                    const SharedArray<long> own(100);
                    return distributed(
                        range(0, 100), [own](long i) { own[static_cast<std::size_t>(i)] = i; },
                        schedule(Schedule::dynamic), chunk(10));
                }();
                sum.wait();
            }
        DEMAND(S[99] == 99 * 60);
        until([&] {
            sleep_for(std::chrono::milliseconds(1)); // what is kept for others goes while one waits
            return counters().objects == before;
        });
    });
}

TEST_CASE("random numbers belong to the iteration, whoever runs it") {
    std::set<long> heads;
    for (const int count : {0, 1, 2, 7}) {
        const Outcome outcome = in_session(count, [] {
            for (const Schedule kind : schedules) {
                const auto toss = [](long) { return static_cast<long>(task_rng()() & 1); };
                std::cout << distributed(std::plus<>{}, range(0, 100'000), toss, schedule(kind))
                          << "\n";
            }
        });
        std::istringstream text(outcome.output);
        std::vector<long> values(std::istream_iterator<long>(text), {});
        REQUIRE(values.size() == 3);
        // Three loops, three streams: the i-th loop of a program has the same one in every run.
        static std::vector<long> first = values;
        CHECK(values == first);
        for (const long value : values)
            CHECK((49'000 < value && value < 51'000));
    }
}

TEST_CASE("a loop that is cancelled says so") {
    in_session(2, [] {
        for (const Schedule kind : {Schedule::dynamic, Schedule::guided}) {
            const Flag begun;
            const Runs runs(200);
            const auto loop = distributed(
                range(0, 200),
                [begun, runs](long i) {
                    runs.count(i);
                    begun.raise();
                    until([] { return stop_requested(); });
                },
                schedule(kind), chunk(1));
            begun.await();
            DEMAND(loop.cancel());
            thrown_by<InterruptException>([&] { loop.wait(); });
            DEMAND(runs.total() < 200);
        }
    });
}

TEST_CASE("what an asynchronous loop runs over lives as long as it does") {
    in_session(2, [] {
        const OneDeath death;
        const auto loop = [&] {
            const SharedArray<int> own(64);
            return distributed(
                own,
                [death](int& x) {
                    if (++x == 1)
                        death.here();
                },
                chunk(32), retries(2));
        }();
        loop.wait();
    });
}

TEST_CASE("wait_any and select wait for the whole of a loop") {
    in_session(3, [] {
        for (const bool selected : {false, true}) {
            const OneDeath death;
            const Runs runs(30);
            const std::vector<Future<void>> loops{distributed(
                range(0, 30),
                [death, runs](long i) {
                    runs.count(i);
                    if (i == 7)
                        death.here();
                },
                schedule(Schedule::dynamic), retries(1))};
            DEMAND((selected ? select(loops[0]) : wait_any(loops)) == 0);
            DEMAND(runs.each_at_least_once());
            addprocs(1);
        }
    });
}

TEST_CASE("a sync block may start any number of loops") {
    in_session(1, [] {
        sync([] {
            for (int i = 0; i < 20'000; ++i)
                distributed(
                    range(0, 2), [](long) {}, schedule(Schedule::dynamic));
        });
    });
}

TEST_CASE("ranges of any extent have the size that they have") {
    constexpr auto most = std::numeric_limits<std::ptrdiff_t>::max();
    constexpr auto least = std::numeric_limits<std::ptrdiff_t>::min();
    CHECK(range(least, most).size() == std::numeric_limits<std::size_t>::max());
    CHECK(range(0, 10, most).size() == 1);
    CHECK(range(0, most, std::ptrdiff_t{1} << 62).size() == 2);
    CHECK(range(most, least, least).size() == 2);
    CHECK(range(most, least, -1)[5] == most - 5);
    CHECK(range(10, 0, -3).part(1, 4) == Range(7, 0, -3));
    CHECK_THROWS_AS(range2(std::ptrdiff_t{1} << 32, std::ptrdiff_t{1} << 32), std::length_error);
    in_session(2, [] {
        const auto ones = [](long) { return 1; };
        DEMAND(distributed(std::plus<>{}, range(0, most, std::ptrdiff_t{1} << 62), ones) == 2);
        DEMAND(distributed(std::plus<>{}, range(0, 10, most), ones) == 1);
    });
}

TEST_CASE("bad keywords are refused where they are made") {
    thrown_by<std::invalid_argument>([] { chunk(0); });
    thrown_by<std::invalid_argument>([] { chunk(-3); });
    thrown_by<std::invalid_argument>([] { retries(-1); });
    thrown_by<std::invalid_argument>([] { batch_size(0); });
    thrown_by<std::invalid_argument>([] { ntasks(0); });
}

TEST_CASE("many chunks are bounded, and none is left out") {
    in_session(2, [] {
        const Runs runs(200'000);
        distributed(
            range(0, 200'000), [runs](long i) { runs.count(i); }, schedule(Schedule::dynamic),
            chunk(1))
            .wait();
        DEMAND(runs.each_at_least_once());
        DEMAND(runs.total() == 200'000);
    });
}
