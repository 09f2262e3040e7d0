// pmap when elements fail and workers die: the first failure, handlers, retries, for every batch size.

#include <chrono>
#include <numeric>

#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;
using namespace std::chrono_literals;

namespace {

std::vector<int> count_to(int n) {
    std::vector<int> numbers(static_cast<std::size_t>(n));
    std::iota(numbers.begin(), numbers.end(), 0);
    return numbers;
}
std::size_t at(long i) { return static_cast<std::size_t>(i); }
const auto negated = [](const auto& x) { return -x; };

// How often each element has been tried.
struct Attempts {
    SharedArray<int> counts;
    explicit Attempts(std::size_t n) : counts(n) {}
    int next(int i) const { return std::atomic_ref(counts[at(i)]).fetch_add(1) + 1; }
};

// first, first + 1, ... made by make(i) when they are asked for.
template <class Make>
class Made {
public:
    struct End {};
    struct iterator {
        using value_type = int;
        using difference_type = std::ptrdiff_t;
        Made* from;
        int operator*() const { return from->make(from->next); }
        iterator& operator++() {
            ++from->next;
            return *this;
        }
        void operator++(int) { ++from->next; }
        friend bool operator==(const iterator& i, End) { return i.from->next >= i.from->count; }
    };
    Made(int n, Make f) : count(n), make(std::move(f)) {}
    iterator begin() { return {this}; }
    End end() { return {}; }

    int count;
    Make make;
    int next = 0;
};

} // namespace

TEST_CASE("without handlers the first failure ends a map") {
    const Outcome outcome = in_session(2, [] {
        for (const std::ptrdiff_t batch : {0, 1, 7, 1000}) {
            const SharedArray<int> calls(1);
            const auto fail_at_ten = [calls](int i) {
                std::atomic_ref(calls[0]).fetch_add(1);
                if (i == 10)
                    throw std::out_of_range("the eleventh");
                return i;
            };
            const std::string text = thrown_by<std::out_of_range>([&] {
                if (batch == 0)
                    pmap(fail_at_ten, range(0, 1'000'000'000));
                else
                    pmap(fail_at_ten, range(0, 1'000'000'000), batch_size(batch));
            });
            DEMAND(has(text, "On worker ") && has(text, "the eleventh"));
            DEMAND(calls[0] < 1'000'000);
        }
        // What the collection throws is thrown as it is.
        Made broken(100, [](int i) {
            if (i == 50)
                throw std::domain_error("no more");
            return i;
        });
        DEMAND(thrown_by<std::domain_error>([&] { pmap(negated, broken); }) == "no more");
        DEMAND(pmap(negated, count_to(5)).at(4) == -4);
        for (const WorkerId id : workers())
            fetch_from(id, [] {});
    });
    CHECK(outcome.errors == "");
}

TEST_CASE("on_error gives the values of elements that fail, for every batch size") {
    for (const int workers : {0, 2})
        in_session(workers, [] {
            const auto odd_fails = [](int i) {
                if (i % 2 != 0)
                    throw std::invalid_argument("odd " + std::to_string(i));
                return std::to_string(i);
            };
            std::vector<std::string> expected;
            for (int i = 0; i < 300; ++i)
                expected.push_back(i % 2 != 0 ? "-" : std::to_string(i));
            int called = 0;
            const auto handler = [&called](const std::exception& error) {
                DEMAND(dynamic_cast<const std::invalid_argument*>(&error) != nullptr);
                DEMAND(dynamic_cast<const RemoteException*>(&error) != nullptr);
                ++called;
                return "-";
            };
            for (const std::ptrdiff_t batch : {1, 2, 100, 1000})
                DEMAND(pmap(odd_fails, count_to(300), batch_size(batch), on_error(handler)) ==
                       expected);
            DEMAND(pmap(odd_fails, count_to(300), on_error(handler)) == expected);
            DEMAND(pmap(odd_fails, count_to(300), locally, on_error(handler)) == expected);
            DEMAND(called == 6 * 150);
            const auto numbers = pmap(
                [](double x) {
                    if (x > 2)
                        throw 5;
                    return 2 * x;
                },
                std::vector<double>{1, 2, 3, 4},
                on_error([](const std::exception&) { return -1; }));
            DEMAND((numbers == std::vector<double>{2, 4, -1, -1}));
            int failures = 0;
            pmap(
                [](int i) {
                    if (i == 3)
                        throw std::runtime_error("three");
                },
                count_to(5), on_error([&](const std::exception&) { ++failures; }));
            DEMAND(failures == 1);
            // An exception of the handler is the error.
            DEMAND(thrown_by<std::logic_error>([&] {
                       pmap(odd_fails, count_to(300),
                            on_error([](const std::exception&) -> std::string {
                                throw std::logic_error("no value");
                            }));
                   }) == "no value");
        });
}

TEST_CASE("an element is tried again as often as there are delays") {
    for (const int workers : {0, 2})
        in_session(workers, [] {
            for (const std::ptrdiff_t batch : {1, 8, 1000}) {
                const Attempts tried(100);
                const auto third_time = [tried](int i) {
                    if (tried.next(i) < 3 && i % 10 == 0)
                        throw std::runtime_error("not yet");
                    return i;
                };
                const RetryDelays two{1ms, 1ms};
                DEMAND(pmap(third_time, count_to(100), batch_size(batch), retry_delays(two)) ==
                       count_to(100));
                for (int i = 0; i < 100; ++i)
                    DEMAND(tried.counts[at(i)] == (i % 10 == 0 ? 3 : 1));
                const Attempts again(100);
                const auto never = [again](int i) -> int {
                    if (again.next(i) > 0 && i == 50)
                        throw std::out_of_range("never");
                    return i;
                };
                DEMAND(has(thrown_by<std::out_of_range>([&] {
                               pmap(never, count_to(100), batch_size(batch), retry_delays(two));
                           }),
                           "never"));
                DEMAND(again.counts[50] == 3);
            }
            const Attempts local(10);
            DEMAND(pmap(
                       [local](int i) {
                           if (local.next(i) < 2)
                               throw std::runtime_error("not yet");
                           return i;
                       },
                       count_to(10), locally, retry_delays({1ms})) == count_to(10));
        });
}

TEST_CASE("retry_check and on_error decide for each element") {
    in_session(2, [] {
        for (const std::ptrdiff_t batch : {1, 5, 100}) {
            const Attempts tried(100);
            const auto fail = [tried](int i) {
                const int attempt = tried.next(i);
                if (i % 10 == 1 && attempt == 1)
                    throw std::runtime_error("passing");
                if (i % 10 == 2)
                    throw std::invalid_argument("lasting");
                return i;
            };
            const auto passing = [](const std::exception& e) {
                return dynamic_cast<const std::invalid_argument*>(&e) == nullptr;
            };
            // A handler that throws lets the retry happen.
            const auto handler = [](const std::exception& e) {
                if (dynamic_cast<const std::invalid_argument*>(&e) == nullptr)
                    throw std::logic_error("handler");
                return -1;
            };
            const auto results = pmap(fail, count_to(100), batch_size(batch), retry_check(passing),
                                      retry_delays({1ms, 1ms}), on_error(handler));
            for (int i = 0; i < 100; ++i) {
                DEMAND(results[at(i)] == (i % 10 == 2 ? -1 : i));
                DEMAND(tried.counts[at(i)] == (i % 10 == 1 ? 2 : 1));
            }
            thrown_by<std::invalid_argument>([&] {
                pmap(fail, count_to(100), batch_size(batch), retry_check(passing),
                     retry_delays({1ms, 1ms}));
            });
        }
    });
}

TEST_CASE("a delay holds up no other element") {
    in_session(1, [] {
        const Attempts tried(200);
        const SharedArray<int> done(1);
        // Element 0 succeeds only after all the others have.
        const auto last = [tried, done](int i) {
            if (i != 0) {
                std::atomic_ref(done[0]).fetch_add(1);
            } else if (tried.next(0) == 1 || std::atomic_ref(done[0]).load() < 199) {
                throw std::runtime_error("not yet");
            }
            return i;
        };
        const std::vector<std::chrono::milliseconds> delays(1000, 20ms);
        DEMAND(pmap(last, count_to(200), batch_size(1), retry_delays(delays)) == count_to(200));
    });
}

TEST_CASE("a death is the failure of the element that ran") {
    for (const std::ptrdiff_t batch : {0, 1, 10}) {
        const Outcome outcome = in_session(4, [batch] {
            const auto mapped = [batch](const auto& f, const auto&... keywords) {
                return batch == 0 ? pmap(f, count_to(100), keywords...)
                                  : pmap(f, count_to(100), batch_size(batch), keywords...);
            };
            const auto deadly = [](int i) {
                if (i == 42 || i == 77)
                    kill(getpid(), SIGKILL);
                return i;
            };
            int deaths = 0;
            const auto results =
                mapped(deadly, on_error([&](const std::exception& error) {
                           const auto* exit = dynamic_cast<const ProcessExitedException*>(&error);
                           DEMAND(exit != nullptr && has(exit->reason(), "SIGKILL"));
                           ++deaths;
                           return -1;
                       }));
            DEMAND(deaths == 2 && nworkers() == 2);
            for (int i = 0; i < 100; ++i)
                DEMAND(results[at(i)] == (i == 42 || i == 77 ? -1 : i));

            const Attempts tried(100);
            const auto once = [tried](int i) {
                if (i == 30 && tried.next(i) == 1)
                    std::_Exit(3);
                return i;
            };
            DEMAND(mapped(once, retry_delays({1ms}), retry_check([](const std::exception& error) {
                              return dynamic_cast<const ProcessExitedException*>(&error) != nullptr;
                          })) == count_to(100));
            DEMAND(nworkers() == 1);
            // The last worker dies, and with it all that remain fail.
            const auto left = mapped([](int i) -> int { return i >= 50 ? std::_Exit(1), 0 : i; },
                                     on_error([](const std::exception&) { return -2; }));
            for (int i = 0; i < 50; ++i)
                DEMAND(left[at(i)] == i || left[at(i)] == -2);
            for (int i = 50; i < 100; ++i)
                DEMAND(left[at(i)] == -2);
        });
        CHECK(!has(outcome.errors, "nobody waited"));
    }
}

TEST_CASE("without handlers a death ends the map") {
    in_session(3, [] {
        const std::string text = thrown_by<ProcessExitedException>([] {
            pmap(
                [](int i) {
                    if (i == 42)
                        kill(getpid(), SIGKILL);
                    return i;
                },
                count_to(100));
        });
        DEMAND(has(text, "SIGKILL"));
        DEMAND(pmap(negated, count_to(10)).at(9) == -9);
        // One that dies while it has nothing to do is no failure.
        const auto idle = workers();
        Made slow(50, [&](int i) {
            if (i == 25)
                kill_worker(idle[0]);
            return i;
        });
        DEMAND(pmap(negated, slow, batch_size(1)).at(49) == -49);
    });
}

TEST_CASE("workers are killed at random under a map that tries again") {
    in_session(4, [] {
        const SharedArray<int> victims(1);
        const auto results = pmap(
            [victims](int i) {
                if (i % 97 == 50 && std::atomic_ref(victims[0]).fetch_add(1) < 3)
                    kill(getpid(), SIGKILL);
                return std::to_string(i);
            },
            count_to(2000), retry_delays({1ms, 1ms, 1ms}));
        for (int i = 0; i < 2000; ++i)
            DEMAND(results[at(i)] == std::to_string(i));
        DEMAND(nworkers() == 1);
    });
}

namespace {

// Odd ones cannot be sent.
struct Odd {
    int value = 0;
    std::string text = {}; // not just bytes
    template <class Archive>
    void save(Archive& archive) const {
        if (value % 2 != 0)
            throw std::domain_error("odd");
        archive(value);
    }
    template <class Archive>
    void load(Archive& archive) {
        archive(value);
    }
};

} // namespace

TEST_CASE("a result that cannot be sent fails its element alone") {
    in_session(2, [] {
        const auto made = pmap(
            [](int i) {
                return Odd{i, {}};
            },
            count_to(20), batch_size(5), on_error([](const std::exception&) {
                return Odd{-1, {}};
            }));
        for (int i = 0; i < 20; ++i)
            DEMAND(made[at(i)].value == (i % 2 != 0 ? -1 : i));
        const auto values = pmap([](const Odd& o) { return o.value; }, made, batch_size(5),
                                 on_error([](const std::exception&) { return -2; }));
        for (int i = 0; i < 20; ++i)
            DEMAND(values[at(i)] == (i % 2 != 0 ? -2 : i));
        thrown_by<std::domain_error>([&] { pmap([](const Odd& o) { return o.value; }, made); });
    });
}
