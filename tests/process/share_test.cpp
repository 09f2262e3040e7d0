// share: one value for all processes; everywhere(replay, ...): one call for all processes, and for
// those that come later.

#include <map>

#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

std::size_t live_objects() { return runtime::current().objects().live_count(); }

struct Point {
    double x, y;
    friend bool operator==(const Point&, const Point&) = default;
};

std::string& greeting() {
    static std::string text;
    return text;
}

} // namespace

TEST_CASE("a shared value is read by every process, whatever its type") {
    in_session(2, [] {
        const Shared<Point> point = share(Point{1, 2});
        const auto table = share(std::map<std::string, std::vector<int>>{{"a", {1, 2}}, {"b", {}}});
        const auto matrix = share(Eigen::MatrixXd::Constant(3, 3, 2.0));
        const auto text = share("literal");
        static_assert(std::is_same_v<decltype(text), const Shared<std::string>>);
        for (const WorkerId id : procs()) {
            DEMAND(fetch_from(id, [point] { return *point; }) == Point{1, 2});
            DEMAND(fetch_from(id, [table] { return table->at("a").at(1); }) == 2);
            DEMAND(fetch_from(id, [matrix] { return matrix->sum(); }) == 18);
            DEMAND(fetch_from(
                       id, [](const Shared<std::string>& s) { return s->size(); }, text) == 7);
        }
        DEMAND(point.get() == &*point && point->y == 2);
        // From a worker, back and on.
        const auto made_there = fetch_from(2, [] { return share(std::vector<int>(10, 3)); });
        DEMAND(made_there->size() == 10);
        DEMAND(fetch_from(3, [made_there] { return made_there->back(); }) == 3);
    });
}

TEST_CASE("a process decodes a shared value once, however many closures bring it") {
    in_session(1, [] {
        struct Counted {
            std::string value = "x";
            void save(ship::WriteArchive& archive) const { archive(value); }
            void load(ship::ReadArchive& archive) {
                archive(value);
                ++decoded();
            }
            static int& decoded() {
                static int count = 0;
                return count;
            }
        };
        const auto shared = share(Counted{"five"});
        for (int i = 0; i < 100; ++i)
            DEMAND(fetch([shared] { return shared->value; }) == "five");
        DEMAND(fetch([] { return Counted::decoded(); }) == 1);
    });
}

TEST_CASE("a closure over 8 MB that are shared moves them once for a thousand elements") {
    in_session(2, [] {
        const std::vector<double> big(1'000'000, 1.0);
        const Counters before = counters();
        const auto shared = share(big);
        std::vector<int> elements(1000);
        for (int i = 0; i < 1000; ++i)
            elements[static_cast<std::size_t>(i)] = i;
        const std::vector<double> values =
            pmap([shared](int i) { return (*shared)[static_cast<std::size_t>(i)] + i; }, elements);
        DEMAND(values.at(999) == 1000);
        const auto moved = (counters() - before).bytes_moved;
        DEMAND(moved >= 8'000'000 && moved < 8'500'000);
    });
}

TEST_CASE("a shared value goes with its last handle") {
    in_session(2, [] {
        const std::size_t before = live_objects();
        {
            const auto shared = share(std::string(1'000'000, 's'));
            DEMAND(fetch([shared] { return shared->size(); }) == 1'000'000);
            auto copy = shared;
            copy = share(std::string("other"));
            DEMAND(*copy == "other" && shared->size() == 1'000'000);
        }
        until([before] {
            for (const WorkerId id : procs())
                fetch_from(id, [] { runtime::current().holdings().release_pins(); });
            return live_objects() == before;
        });
        for (const WorkerId id : procs()) { // and its decoded form with it
            DEMAND(fetch_from(id, [] {
                runtime::current().shared_values().forget_dead();
                return runtime::current().shared_values().empty();
            }));
        }
    });
}

TEST_CASE("what cannot be shared is refused and leaves nothing") {
    in_session(1, [] {
        const std::size_t before = live_objects();
        {
            const SharedArray<int> array(3);
            const std::string text =
                thrown_by<std::invalid_argument>([&] { share(std::vector{array}); });
            DEMAND(has(text, "capture"));
        }
        DEMAND(live_objects() == before);
    });
}

TEST_CASE("replayed calls are made by those that are there and those that come later, in order") {
    in_session(2, [] {
        greeting() = "m";
        everywhere(
            replay, [](const std::string& text) { greeting() += text; }, std::string("a"));
        everywhere(
            replay, [](char letter) { greeting() += letter; }, 'b');
        DEMAND(greeting() == "mab");
        for (const WorkerId id : workers())
            DEMAND(fetch_from(id, [] { return greeting(); }) == "ab");
        const auto late = addprocs(2);
        everywhere(replay, [] { greeting() += "c"; });
        for (const WorkerId id : late)
            DEMAND(fetch_from(id, [] { return greeting(); }) == "abc");
        const WorkerId last = addprocs(1).front();
        DEMAND(fetch_from(last, [] { return greeting(); }) == "abc");
    });
}

TEST_CASE("a replayed call keeps what it holds, also when its author dies") {
    in_session(2, [] {
        {
            const SharedArray<int> array(4);
            array[3] = 12;
            fetch_from(2, [array] {
                everywhere(replay, [array] { greeting() = std::to_string(array[3]); });
            });
        }
        kill_worker(2);
        const WorkerId late = addprocs(1).front();
        DEMAND(fetch_from(late, [] { return greeting(); }) == "12");
        DEMAND(greeting() == "12");
    });
}

TEST_CASE("a worker on which a replayed call throws does not start") {
    in_session(1, [] {
        const WorkerId here = workers().front();
        everywhere(
            replay,
            [](WorkerId known) {
                if (myid() > known)
                    throw std::runtime_error("not in this process");
            },
            here);
        const std::string text = thrown_by<std::runtime_error>([] { addprocs(1); });
        DEMAND(has(text, "not in this process"));
        DEMAND(workers() == std::vector{here});
        const std::string composite = thrown_by<CompositeException>(
            [] { everywhere(replay, [] { throw std::domain_error("nowhere"); }); });
        DEMAND(has(composite, "nowhere"));
    });
}

TEST_CASE("workers that join while calls are kept miss none and make none twice") {
    in_session(1, [] {
        const auto caller = spawn_at(2, [] {
            for (int i = 0; i < 50; ++i)
                everywhere(
                    replay, [](int number) { greeting() += std::to_string(number) + ","; }, i);
        });
        std::vector<WorkerId> late;
        while (!caller.wait_for(std::chrono::milliseconds(1)))
            late.push_back(addprocs(1).front());
        caller.wait();
        std::string expected;
        for (int i = 0; i < 50; ++i)
            expected += std::to_string(i) + ",";
        for (const WorkerId id : late)
            DEMAND(fetch_from(id, [] { return greeting(); }) == expected);
    });
}
