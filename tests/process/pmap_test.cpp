// pmap: every kind of collection, element and result; who runs what; bounded memory. The basics are in
// loops_test.cpp, failures in pmap_failures_test.cpp.

#include <array>
#include <chrono>
#include <deque>
#include <forward_list>
#include <list>
#include <map>
#include <memory>
#include <numeric>
#include <set>
#include <sstream>
#include <thread>

#include "dshm/asyncmap.hpp"
#include "dshm/runtime/process.hpp"
#include "dshm/task_rng.hpp"
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

// 0, 1, ... n - 1, each made when it is asked for, and gone then.
template <class Make>
class Generator {
public:
    struct End {};
    class iterator {
    public:
        using value_type = std::decay_t<std::invoke_result_t<Make&, int>>;
        using difference_type = std::ptrdiff_t;
        explicit iterator(Generator& from) : from_(&from) {}
        value_type operator*() const { return from_->make_(from_->next_); }
        iterator& operator++() {
            ++from_->next_;
            return *this;
        }
        void operator++(int) { ++from_->next_; }
        friend bool operator==(const iterator& i, End) { return i.at_end(); }

    private:
        bool at_end() const { return from_->next_ >= from_->count_; }
        Generator* from_;
    };
    Generator(int count, Make make) : count_(count), make_(std::move(make)) {}
    iterator begin() { return iterator(*this); }
    End end() { return {}; }
    int made() const { return next_; }

private:
    int count_;
    Make make_;
    int next_ = 0;
};

// Bytes of the heap that are in use.
std::size_t heap_in_use() {
    const shm::HeapStatistics now = runtime::current().heap().statistics();
    return now.used_small + now.used_large;
}

void spin_for(std::chrono::microseconds time) {
    const auto end = os::Clock::now() + time;
    until([end] { return os::Clock::now() >= end; });
}

const auto negated = [](const auto& x) { return -x; };

} // namespace

TEST_CASE("anything that can be gone through is mapped in its order") {
    for (const int workers : {0, 1, 3})
        in_session(workers, [] {
            const std::vector<int> expected{-3, -1, -2};
            DEMAND(pmap(negated, std::vector<int>{3, 1, 2}) == expected);
            DEMAND(pmap(negated, std::list<int>{3, 1, 2}) == expected);
            DEMAND(pmap(negated, std::deque<int>{3, 1, 2}) == expected);
            DEMAND(pmap(negated, std::forward_list<int>{3, 1, 2}) == expected);
            DEMAND(pmap(negated, std::array{3, 1, 2}) == expected);
            const int plain[] = {3, 1, 2};
            DEMAND(pmap(negated, plain) == expected);
            DEMAND(pmap(negated, std::span(plain)) == expected);
            DEMAND((pmap(negated, std::set<int>{3, 1, 2}) == std::vector<int>{-1, -2, -3}));
            DEMAND((pmap([](const std::pair<const int, std::string>& p) { return p.second; },
                         std::map<int, std::string>{{2, "b"}, {1, "a"}}) ==
                    std::vector<std::string>{"a", "b"}));
            DEMAND((pmap([](char c) { return static_cast<char>(c - 32); }, std::string("abc")) ==
                    std::vector<char>{'A', 'B', 'C'}));
            DEMAND((pmap(negated, range(4, -3, -3)) == std::vector<std::ptrdiff_t>{-4, -1, 2}));
            std::istringstream text("3 1 2");
            struct Numbers {
                std::istream& from;
                std::istream_iterator<int> begin() { return std::istream_iterator<int>(from); }
                std::istream_iterator<int> end() { return {}; }
            };
            DEMAND(pmap(negated, Numbers{text}) == expected);
            Generator made(3, [](int i) { return "x" + std::to_string(i); });
            DEMAND((pmap([](const std::string& s) { return s + "!"; }, made) ==
                    std::vector<std::string>{"x0!", "x1!", "x2!"}));
            DEMAND(pmap(negated, std::vector<int>()).empty());
            DEMAND(pmap(negated, Generator(0, [](int i) { return i; })).empty());
            DEMAND(pmap(negated, range(0, 0)).empty());
        });
}

TEST_CASE("matrices and shared arrays are mapped column by column") {
    in_session(2, [] {
        Eigen::MatrixXd m(2, 3);
        m << 1, 2, 3, 4, 5, 6;
        const std::vector<double> expected{-1, -4, -2, -5, -3, -6};
        DEMAND(pmap(negated, m) == expected);
        const Eigen::Matrix<double, 2, 3, Eigen::RowMajor> by_row = m;
        DEMAND(pmap(negated, by_row) == expected);
        DEMAND(pmap(negated, m.array() * 1.0) == expected);
        DEMAND(pmap(negated, m.transpose().transpose()) == expected);
        DEMAND((pmap(negated, m.row(1)) == std::vector<double>{-4, -5, -6}));
        DEMAND((pmap(negated, Eigen::Vector3d(1, 2, 3)) == std::vector<double>{-1, -2, -3}));
        const SharedMatrix<double> shared(m);
        DEMAND(pmap(negated, shared) == expected);
        const auto sum = [](double a, double b) { return a + b; };
        DEMAND((pmap(sum, m, m) == std::vector<double>{2, 8, 4, 10, 6, 12}));
        DEMAND((pmap(sum, shared, by_row) == std::vector<double>{2, 8, 4, 10, 6, 12}));
        const Eigen::MatrixXd turned = m.transpose();
        DEMAND(has(thrown_by<DimensionMismatch>([&] { pmap(sum, m, turned); }), "2 x 3 and 3 x 2"));
        DEMAND(has(thrown_by<DimensionMismatch>([&] { pmap(sum, shared, turned); }), "2 x 3"));
        // What has one dimension is only gone through.
        DEMAND((pmap(sum, m, std::vector<double>{1, 1}) == std::vector<double>{2, 5}));
    });
}

TEST_CASE("several collections end with the shortest") {
    for (const int workers : {0, 2})
        in_session(workers, [] {
            const auto joined = [](const std::string& a, int b, long c, char d) {
                return a + std::to_string(b) + std::to_string(c) + d;
            };
            const std::list<std::string> texts{"a", "b", "c", "d"};
            const std::vector<int> numbers{1, 2, 3};
            const std::vector<std::string> expected{"a10x", "b22y", "c34z"};
            DEMAND(pmap(joined, texts, numbers, range(0, 100, 2), std::string("xyzuvw")) ==
                   expected);
            const SharedArray<int> shared(numbers.size());
            std::copy(numbers.begin(), numbers.end(), shared.begin());
            Generator letters(10, [](int i) { return static_cast<char>('x' + i); });
            DEMAND(pmap(joined, texts, shared, range(0, 100, 2), letters) == expected);
            DEMAND(pmap(joined, std::vector<std::string>(), numbers, numbers, letters).empty());
            // Two columns of encoded elements take turns.
            DEMAND((pmap([](const std::string& a, const std::string& b) { return a + b; }, texts,
                         std::vector<std::string>{"1", "2", "3", "4", "5"}) ==
                    std::vector<std::string>{"a1", "b2", "c3", "d4"}));
        });
}

TEST_CASE("elements and results of every kind cross") {
    in_session(2, [] {
        std::vector<std::unique_ptr<int>> owners;
        for (int i = 0; i < 100; ++i)
            owners.push_back(std::make_unique<int>(i));
        const auto doubled =
            pmap([](std::unique_ptr<int> p) { return std::make_unique<int>(2 * *p); }, owners);
        for (int i = 0; i < 100; ++i)
            DEMAND(*doubled[at(i)] == 2 * i && *owners[at(i)] == i);
        Generator given(50, [](int i) { return std::make_unique<int>(i); });
        DEMAND(pmap([](const std::unique_ptr<int>& p) { return *p; }, given) == count_to(50));

        std::vector<bool> bits(1000);
        for (std::size_t i = 0; i < bits.size(); ++i)
            bits[i] = i % 3 == 0;
        const std::vector<bool> flipped = pmap([](bool b) { return !b; }, bits);
        for (std::size_t i = 0; i < bits.size(); ++i)
            DEMAND(flipped[i] == !bits[i]);

        // Views read in place, results of views are owned.
        const std::vector<std::string> words{"one", "two", ""};
        DEMAND(pmap([](std::string_view w) { return w; }, words) == words);
        const std::vector<Eigen::MatrixXd> matrices(5, Eigen::MatrixXd::Identity(3, 3));
        DEMAND(pmap([](Eigen::Map<const Eigen::MatrixXd> m) { return m.trace(); }, matrices) ==
               std::vector<double>(5, 3.0));
        DEMAND(pmap([](const Eigen::MatrixXd& m) { return 2 * m; }, matrices)[4](2, 2) == 2);
        DEMAND((pmap([](std::span<const int> s) { return s.size(); },
                     std::vector<std::vector<int>>{{1, 2}, {}}) == std::vector<std::size_t>{2, 0}));
        struct Point {
            double x, y;
            bool operator==(const Point&) const = default;
        };
        DEMAND((pmap(
                    [](Point p) {
                        return Point{p.y, p.x};
                    },
                    std::vector<Point>{{1, 2}, {3, 4}}) == std::vector<Point>{{2, 1}, {4, 3}}));
        // A copy of its own for an f that wants one.
        DEMAND(
            (pmap([](int&& i) { return ++i; }, std::vector<int>{1, 2}) == std::vector<int>{2, 3}));
        DEMAND((pmap(static_cast<int (*)(int)>(std::abs), std::vector<int>{-1, 2}) ==
                std::vector<int>{1, 2}));

        const SharedArray<int> seen(1000);
        pmap([seen](int i) { seen[at(i)] += 1; }, count_to(1000));
        DEMAND(std::count(seen.begin(), seen.end(), 1) == 1000);
    });
}

TEST_CASE("elements of shared arrays and ranges are not copied") {
    in_session(2, [] {
        const SharedArray<double> big(1 << 20);
        big[12345] = 7;
        const auto sent_by = [](auto&& body) {
            const Counters before = counters();
            body();
            return (counters() - before).bytes_sent;
        };
        DEMAND(sent_by([&] {
                   const auto values = pmap([](double x) { return static_cast<char>(x); }, big);
                   DEMAND(values.size() == big.size() && values[12345] == 7);
               }) < 1 << 20);
        DEMAND(sent_by([&] { pmap([](long) {}, range(0, 1 << 20)); }) < 1 << 20);
    });
}

TEST_CASE("a large closure is stored once, whatever the number of batches or workers") {
    in_session(3, [] {
        std::array<double, 2000> table{};
        table[7] = 3.5;
        const auto look_up = [table](long i) { return table[static_cast<std::size_t>(i) % 10]; };
        const auto sent_by = [](const auto& work) {
            const auto before = counters().bytes_sent;
            work();
            return counters().bytes_sent - before;
        };
        const std::vector<long> sevens(500, 7);
        std::vector<double> found;
        const auto sent = sent_by([&] { found = pmap(look_up, sevens, batch_size(1)); });
        DEMAND(found == std::vector<double>(500, 3.5));
        DEMAND(sent < 500 * sizeof table / 2);
        double sum = 0;
        DEMAND(sent_by([&] { sum = distributed(std::plus<>{}, range(0, 30), look_up); }) <
               2 * sizeof table);
        DEMAND(sum == 3 * 3.5);
    });
}

TEST_CASE("a batch has so many neighbours, and each runs on one worker") {
    in_session(3, [] {
        const auto runners = pmap([](int) { return myid(); }, count_to(100), batch_size(8));
        for (std::size_t i = 0; i < runners.size(); ++i)
            DEMAND(runners[i] == runners[i / 8 * 8]);
        DEMAND(pmap(negated, count_to(10), batch_size(1'000'000)).size() == 10);
        thrown_by<std::invalid_argument>([] { batch_size(0); });
        thrown_by<std::invalid_argument>([] { batch_size(-1); });
    });
}

TEST_CASE("a map runs on the workers of the moment, or on those that are named") {
    in_session(3, [] {
        // No element ends before so many processes have begun one.
        const auto used = [](long processes, const auto&... keywords) {
            const SharedArray<int> seen(10);
            const auto meet = [seen, processes](int) {
                std::atomic_ref(seen[static_cast<std::size_t>(myid())]).store(1);
                until([&] { return std::count(seen.begin(), seen.end(), 1) >= processes; });
                return myid();
            };
            const auto ids = pmap(meet, count_to(2000), keywords...);
            return std::set<int>(ids.begin(), ids.end());
        };
        DEMAND(!used(1).contains(1));
        DEMAND((used(2, on({2, 4}), batch_size(1)) == std::set<int>{2, 4}));
        DEMAND((used(1, on(3)) == std::set<int>{3}));
        DEMAND((used(1, on(1)) == std::set<int>{1}));
        DEMAND((used(2, on({1, 2}), batch_size(1)) == std::set<int>{1, 2}));
        thrown_by<std::invalid_argument>([&] { used(1, on({2, 99})); });
        thrown_by<std::invalid_argument>([] { on(std::vector<WorkerId>()); });

        // A worker that comes later is not used.
        const Flag go;
        const SharedArray<int> begun(1);
        const auto map = spawn_at(2, [go, begun] {
            return pmap(
                [go, begun](int) {
                    std::atomic_ref(begun[0]).store(1);
                    until([go] { return go.raised(); });
                    return myid();
                },
                count_to(50), batch_size(1), on({3, 4}));
        });
        until([&] { return std::atomic_ref(begun[0]).load() == 1; });
        addprocs(1);
        go.raise();
        for (const int id : fetch(map))
            DEMAND(id == 3 || id == 4);

        kill_worker(3);
        DEMAND((used(1, on({3, 4})) == std::set<int>{4}));
        thrown_by<ProcessExitedException>([&] { used(1, on(3)); });
    });
    in_session(0, [] { DEMAND(pmap([](int) { return myid(); }, count_to(3)).at(2) == 1); });
}

TEST_CASE("what a worker has not begun is taken by others that have nothing to do") {
    in_session(2, [] {
        // Whichever batch element 500 is in, all others must end before it does. They take longer than
        // a block is made to take, so it is alone in its own.
        const SharedArray<int> left(1);
        left[0] = 999;
        const auto results = pmap(
            [left](int i) {
                std::atomic_ref<int> count(left[0]);
                if (i == 500)
                    until([&] { return count.load() == 0; });
                else
                    spin_for(5us), count.fetch_sub(1);
                return i;
            },
            count_to(1000));
        DEMAND(results == count_to(1000));
        // A worker that is busy with something else.
        const Flag go;
        const auto busy = spawn_at(2, [go] { go.await(); });
        DEMAND(pmap(negated, count_to(10)).at(9) == -9);
        DEMAND(pmap(negated, count_to(10), batch_size(2)).at(9) == -9);
        go.raise();
        busy.wait();
    });
}

TEST_CASE("elements made one by one take bounded memory, however many there are") {
    in_session(2, [] {
        constexpr std::size_t size = 256 * 1024;
        const std::size_t before = heap_in_use();
        std::size_t most = 0;
        Generator made(1000, [&](int i) {
            most = std::max(most, heap_in_use() - before);
            return std::vector<char>(size, static_cast<char>(i));
        });
        const auto firsts = pmap([](const std::vector<char>& v) { return v[size / 2]; }, made);
        DEMAND(made.made() == 1000);
        for (int i = 0; i < 1000; ++i)
            DEMAND(firsts[at(i)] == static_cast<char>(i));
        std::cout << "window: " << most / 1024 << " KiB\n";
        // Two batches of a MiB and one element for each worker, and a little.
        DEMAND(most < 2 * 2 * 5 * size + (1u << 20));
        // Results are fetched as they come, too.
        most = 0;
        Generator numbers(1000, [&](int i) {
            most = std::max(most, heap_in_use() - before);
            return i;
        });
        std::size_t bytes = 0;
        for (const auto& v : pmap([](int i) { return std::string(size, char(i)); }, numbers))
            bytes += v.size();
        DEMAND(bytes == 1000 * size);
        std::cout << "results: " << most / 1024 << " KiB\n";
        DEMAND(most < 2 * 2 * 5 * size + (1u << 20));
    });
}

TEST_CASE("random numbers depend on the element alone") {
    std::vector<std::string> all;
    for (const int workers : {0, 1, 3})
        for (const int batch : {0, 1, 7}) {
            SessionOptions options;
            options.workers = workers;
            options.seed = 42;
            all.push_back(outcome_of(options, [batch] {
                              const auto draw = [](int) { return task_rng()() + task_rng()(); };
                              const auto xs = batch == 0
                                                  ? pmap(draw, count_to(300))
                                                  : pmap(draw, count_to(300), batch_size(batch));
                              std::uint64_t sum = 0;
                              for (std::size_t i = 0; i < xs.size(); ++i)
                                  sum = sum * 31 + xs[i];
                              DEMAND(pmap(draw, count_to(300), locally) != xs); // another map
                              std::cout << sum << "\n";
                          }).output);
        }
    for (const std::string& one : all) {
        CHECK(one == all.front());
        CHECK(!one.empty());
    }
}

namespace {

int nested(int depth) {
    if (depth == 0)
        return 1;
    const auto parts = pmap([depth](int) { return nested(depth - 1); }, std::vector<int>{0, 1});
    return parts[0] + parts[1];
}

} // namespace

TEST_CASE("maps nest ten deep, run on workers and from several threads at once") {
    in_session(2, [] {
        DEMAND(nested(10) == 1024);
        const auto sum = fetch_from(3, [] {
            const auto squares = pmap([](long i) { return i * i; }, range(0, 1000));
            return std::accumulate(squares.begin(), squares.end(), 0L);
        });
        DEMAND(sum == 332'833'500);
        std::vector<std::thread> threads;
        std::atomic<int> right{0};
        for (int t = 0; t < 4; ++t)
            threads.emplace_back([&right, t] {
                for (int round = 0; round < 20; ++round) {
                    const auto xs = pmap([t](int i) { return i * t; }, count_to(500));
                    const auto bits = pmap([](int i) { return i % 2 == 0; }, count_to(100));
                    right += xs[499] == 499 * t && bits[98] && !bits[99];
                }
            });
        for (std::thread& thread : threads)
            thread.join();
        DEMAND(right == 80);
    });
}

TEST_CASE("an interrupt ends what runs, and the map with it") {
    const Outcome outcome = in_session(2, [] {
        const SharedArray<int> begun(1);
        const auto endless = [begun](int i) {
            std::atomic_ref(begun[0]).fetch_add(1);
            sleep_for(1h);
            return i;
        };
        const auto map = spawn_at(1, [=] { return pmap(endless, count_to(1000)); });
        until([&] { return timedwait([&] { return std::atomic_ref(begun[0]).load() >= 2; }, 1h); });
        interrupt();
        thrown_by<InterruptException>([&] { map.wait(); });
        // The caller of a map is told to stop: it leaves, and takes its batches along.
        begun[0] = 0;
        const auto second = spawn_at(2, [=] { return pmap(endless, count_to(1000), on(3)); });
        until([&] { return std::atomic_ref(begun[0]).load() >= 1; });
        DEMAND(second.cancel());
        thrown_by<InterruptException>([&] { second.wait(); });
        DEMAND(pmap(negated, count_to(100)).at(99) == -99);
        DEMAND(begun[0] <= 2);
    });
    CHECK(!has(outcome.errors, "nobody waited"));
}

TEST_CASE("with locally a map stays in this process") {
    for (const int workers : {0, 3})
        in_session(workers, [] {
            int sum = 0;
            const auto ids = pmap(
                [&](int i) {
                    sum += i;
                    return myid();
                },
                count_to(100), locally, batch_size(10));
            DEMAND(ids == std::vector<int>(100, 1) && sum == 4950);
            // As many at a time as there are workers.
            int at_once = 0, most = 0;
            pmap(
                [&](int) {
                    most = std::max(most, ++at_once);
                    sleep_for(1ms);
                    --at_once;
                },
                count_to(20), locally);
            DEMAND(most == nworkers());
            const std::string text = thrown_by<std::out_of_range>(
                [] { pmap([](int) { throw std::out_of_range("here"); }, count_to(3), locally); });
            DEMAND(has(text, "On worker 1") && has(text, "here"));
            DEMAND((pmap([](Eigen::Map<const Eigen::VectorXd> v) { return v.sum(); },
                         std::vector<Eigen::VectorXd>(2, Eigen::VectorXd::Ones(3)),
                         locally) == std::vector<double>{3, 3}));
        });
}

TEST_CASE("a bar is not drawn where there is no terminal") {
    const Outcome outcome = in_session(2, [] {
        DEMAND(pmap(negated, count_to(1000), progress("negating")).at(999) == -999);
        DEMAND(pmap(negated, count_to(10), progress("here"), locally).at(9) == -9);
    });
    CHECK(outcome.errors == "");
}

TEST_CASE("with DSHM_VERIFY a map is compared with a serial one") {
    setenv("DSHM_VERIFY", "1", 1);
    in_session(2, [] {
        DEMAND(pmap(negated, count_to(100)).at(99) == -99);
        DEMAND(pmap([](int) { return task_rng()(); }, count_to(100)).size() == 100);
        const std::vector<std::string> words{"a", "b"};
        DEMAND(pmap([](std::string_view w) { return w; }, words) == words);
        thrown_by<VerificationFailed>([] { pmap([](int) { return getpid(); }, count_to(3)); });
        const auto handled = pmap([](int i) -> int { return i == 1 ? throw 1 : getpid(); },
                                  count_to(3), on_error([](const std::exception&) { return 0; }));
        DEMAND(handled[1] == 0);
    });
    unsetenv("DSHM_VERIFY");
}
