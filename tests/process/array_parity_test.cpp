// What the documentation says of SharedArrays, sentence by sentence, as a stranger reads it.

#include <array>
#include <cmath>
#include <complex>
#include <map>
#include <memory>
#include <numeric>
#include <optional>

#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

using Dims2 = std::array<std::size_t, 2>;

// Pins of tasks that have ended are let go lazily.
void await_objects(std::uint64_t number) {
    until([number] {
        for (const WorkerId id : workers())
            fetch_from(id, [] { const SharedArray<int> nudge(1); });
        return counters().objects == number;
    });
}

struct Particle {
    double x;
    int charge;
    char kind[3];
    friend bool operator==(const Particle&, const Particle&) = default;
};

// What a reduction saw, first and last: tells the order of operands.
struct Run {
    int first, last;
    bool in_order;
};
Run joined(const Run& a, const Run& b) {
    return {a.first, b.last, a.in_order && b.in_order && a.last + 1 == b.first};
}

Run alone(const Run&) { return {0, 0, true}; }

// A type of cereal's with a handle in it.
struct Labelled {
    std::string label;
    SharedArray<int> values{0};
    template <class Archive>
    void serialize(Archive& archive) {
        archive(label, values);
    }
};

std::vector<WorkerId> reversed(std::vector<WorkerId> ids) {
    std::reverse(ids.begin(), ids.end());
    return ids;
}

} // namespace

// ---- making one ---------------------------------------------------------------------------------

TEST_CASE("dimensions in every spelling, one to four of them, and keywords after any") {
    in_session(2, [] {
        const Dims2 wanted{3, 2};
        const std::array<int, 2> ints{3, 2};
        DEMAND(SharedArray<int>(10).size() == 10);
        DEMAND(SharedArray<int>({10}).size() == 10);
        DEMAND(SharedVector<int>(10u).dims() == std::array<std::size_t, 1>{10});
        DEMAND(SharedMatrix<double>(3, 2).dims() == wanted);
        DEMAND(SharedMatrix<double>(3L, std::size_t{2}).dims() == wanted);
        DEMAND(SharedMatrix<double>({3, 2}).dims() == wanted);
        DEMAND((SharedArray<double, 2>(wanted).dims() == wanted));
        DEMAND((SharedArray<double, 2>(ints).dims() == wanted));
        DEMAND((SharedArray<double, 3>({2, 3, 4}).size() == 24));
        DEMAND((SharedArray<double, 4>(2, 3, 4, 5).size() == 120));
        DEMAND((SharedArray<double, 4>({2, 3, 4, 5}, on(3)).procs() == std::vector{3}));
        const auto set = [](const auto& S) { S[0] = 4; };
        DEMAND(SharedMatrix<int>(3, 2, on({3}), init(set)).procs() == std::vector{3});
        DEMAND((SharedArray<int, 2>({3, 2}, init(set), on({3}))[0] == 4));
        DEMAND((SharedArray<int, 2>(wanted, named("n"), on({3, 2}), init(set)).procs() ==
                std::vector{3, 2}));
        DEMAND(SharedVector<int>(3, init(set), named("m"))[0] == 4);
    });
}

TEST_CASE("elements of every plain type") {
    in_session(1, [] {
        const SharedArray<bool> flags(5);
        const SharedArray<char> text(5);
        const SharedArray<std::complex<double>> waves(5);
        const SharedArray<Particle> particles(5);
        const SharedArray<std::array<float, 3>> points(5);
        fetch_from(2, [=] {
            flags[4] = true;
            text[4] = 'x';
            waves[4] = {1, -1};
            particles[4] = {1.5, -1, {'a', 'b', 'c'}};
            points[4][2] = 2;
        });
        DEMAND(flags.at(4) && !flags.at(3) && text.at(4) == 'x' && points[4][2] == 2);
        DEMAND((waves[4] == std::complex<double>{1, -1}) && waves[0] == 0.0);
        DEMAND((particles[4] == Particle{1.5, -1, {'a', 'b', 'c'}}));
        fill(flags, true);
        fill(particles, Particle{2, 3, {}});
        DEMAND(reduce([](bool a, bool b) { return a && b; }, flags));
        DEMAND(particles[0].charge == 3);
        rand(waves);
        DEMAND(waves[0] != waves[1] && std::abs(waves[3]) < 2);
        DEMAND(std::abs(waves.vector().sum() - reduce(std::plus<>{}, waves)) < 1e-12);
    });
}

TEST_CASE("arrays of nothing") {
    in_session(2, [] {
        const SharedMatrix<int> none(0, 5, named("none"),
                                     init([](const auto& S) { DEMAND(S.localindices().empty()); }));
        DEMAND(none.size() == 0 && none.begin() == none.end() && none.span().empty());
        DEMAND(none.dims() == (Dims2{0, 5}) && none.matrix().cols() == 5);
        DEMAND(none.procs() == workers() && none.indices().empty());
        fill(none, 1);
        rand(none);
        map_inplace([](int x) { return x; }, none);
        copyto(none, none);
        DEMAND(reduce(std::plus<>{}, none, init(7)) == 7);
        thrown_by<std::invalid_argument>([&] { reduce(std::plus<>{}, none); });
        thrown_by<std::out_of_range>([&] { none.at(0, 0); });
        DEMAND(none.deepcopy().size() == 0 && none.reshape<1>(0).size() == 0);
        DEMAND(SharedMatrix<int>::open("none").dims() == none.dims());
        DEMAND(fetch_from(2, [none] { return none; }).dims() == none.dims());
    });
}

TEST_CASE("bad dimensions, participants and names are refused, and nothing is left") {
    in_session(2, [] {
        const auto refused = [](auto make) {
            return thrown_by<std::invalid_argument>([&] { make(); });
        };
        DEMAND(has(refused([] { SharedArray<int>(-1); }), "-1"));
        refused([] { SharedMatrix<int>(3, -2); });
        refused([] { SharedMatrix<int>({-3, 2}); });
        thrown_by<std::length_error>([] { SharedMatrix<int>(std::size_t{1} << 40, 1 << 30); });
        refused([] { SharedArray<int>(3, on({2, 3, 2})); });
        refused([] { SharedArray<int>(3, on({2, 9})); });
        refused([] { SharedArray<int>(3, on(std::vector<WorkerId>{})); });
        refused([] { SharedArray<int>(3, on(-1)); });
        refused([] { SharedArray<int>(3, named("")); });
        const SharedArray<int> first(3, named("A"));
        DEMAND(has(refused([] { SharedArray<int>(4, named("A")); }), "A"));
        kill_worker(3);
        thrown_by<ProcessExitedException>([] { SharedArray<int>(3, on({2, 3})); });
        DEMAND(SharedArray<int>(3).procs() == std::vector{2});
        await_objects(1);
    });
}

TEST_CASE("alone, the master is the participant") {
    in_session(0, [] {
        const SharedArray<int> array(3, init([](const auto& S) {
                                         for (const long i : S.localindices())
                                             S[static_cast<std::size_t>(i)] = 5;
                                     }));
        DEMAND(array.procs() == std::vector{1} && array.indexpids() == 0);
        DEMAND(array.localindices() == range(0, 3) && array[2] == 5);
        map_inplace([](int x) { return x + 1; }, array);
        DEMAND(reduce(std::plus<>{}, array) == 18);
    });
}

TEST_CASE("init runs once on every participant, at the same time") {
    in_session(3, [] {
        const SharedArray<int> calls(4);
        const SharedArray<int> array(10, on({4, 2}), init([calls](const SharedArray<int>& S) {
                                         calls.atomic(0).fetch_add(1);
                                         until([&] { return calls.atomic(0).load() == 2; });
                                         calls[static_cast<std::size_t>(S.indexpids() + 1)] =
                                             myid();
                                         for (const long i : S.localindices())
                                             S[static_cast<std::size_t>(i)] = myid();
                                     }));
        DEMAND(calls[0] == 2 && calls[1] == 4 && calls[2] == 2);
        DEMAND(array[0] == 4 && array[4] == 4 && array[5] == 2 && array[9] == 2);
        DEMAND(array.indexpids() == -1 && array.localindices().empty());
    });
}

TEST_CASE("an init that fails on one or all participants leaves nothing") {
    in_session(2, [] {
        for (const bool all : {false, true}) {
            try {
                const SharedArray<int> array(10, named("failed"), init([all](const auto& S) {
                                                 if (all || S.indexpids() == 1)
                                                     throw std::domain_error("not here");
                                             }));
                DEMAND(false);
            } catch (const CompositeException& failure) {
                DEMAND(failure.size() == (all ? 2u : 1u));
                DEMAND(has(thrown_by<std::domain_error>(
                               [&] { std::rethrow_exception(failure.exceptions().front()); }),
                           "not here"));
            }
            thrown_by<std::out_of_range>([] { SharedArray<int>::open("failed"); });
            await_objects(0);
        }
        const SharedArray<int> again(10, named("failed"));
    });
}

TEST_CASE("a participant that dies in init") {
    in_session(2, [] {
        thrown_by<CompositeException>([] {
            SharedArray<int>(10, named("died"), init([](const auto& S) {
                                 if (S.indexpids() == 1)
                                     raise(SIGKILL);
                             }));
        });
        until([] { return has_ended(3); });
        thrown_by<std::out_of_range>([] { SharedArray<int>::open("died"); });
        await_objects(0);
    });
}

TEST_CASE("copies of matrices and vectors") {
    in_session(1, [] {
        Eigen::MatrixXd values(2, 3);
        values << 1, 2, 3, 4, 5, 6;
        const SharedArray matrix(values);
        static_assert(std::is_same_v<decltype(matrix), const SharedArray<double, 2>>);
        DEMAND(matrix[1] == 4 && matrix(0, 2) == 3 && matrix.matrix() == values);
        const SharedArray vector(Eigen::VectorXf::LinSpaced(3, 0, 2).eval(), on(2));
        static_assert(std::is_same_v<decltype(vector), const SharedArray<float, 1>>);
        DEMAND(vector[2] == 2 && vector.procs() == std::vector{2});
        const SharedArray<double, 2> sum(values + values);
        DEMAND(sum(1, 2) == 12);
        const SharedVector<int> list(std::vector<int>{1, 2, 3});
        DEMAND(list.size() == 3 && list[2] == 3);
        thrown_by<DimensionMismatch>([&] { SharedVector<double> wrong(values); });
        values.setZero();
        DEMAND(matrix(0, 0) == 1);
    });
}

// ---- names --------------------------------------------------------------------------------------

TEST_CASE("by name, from any process, with the type checked") {
    in_session(2, [] {
        std::optional<SharedMatrix<double>> made(std::in_place, 2, 3, named("A"));
        (*made)(1, 2) = 8;
        for (const WorkerId id : procs())
            DEMAND(fetch_from(id, [] { return SharedMatrix<double>::open("A").at(1, 2); }) == 8);
        DEMAND(SharedMatrix<double>::open("A").data() == made->data());
        DEMAND(has(thrown_by<std::invalid_argument>([] { SharedMatrix<float>::open("A"); }), "A"));
        thrown_by<std::invalid_argument>([] { SharedMatrix<long>::open("A"); });
        thrown_by<std::invalid_argument>([] { SharedVector<double>::open("A"); });
        thrown_by<std::out_of_range>([] { SharedVector<double>::open("B"); });
        // The name goes with the last handle.
        made.reset();
        until([] {
            fetch_from(2, [] {});
            fetch_from(3, [] {});
            try {
                SharedMatrix<double>::open("A");
                return false;
            } catch (const std::out_of_range&) {
                return true;
            }
        });
        // Made by a worker, which goes; kept by another.
        const auto kept = fetch_from(2, [] { return SharedArray<int>(5, named("W"), on(3)); });
        kill_worker(2);
        DEMAND(SharedArray<int>::open("W").data() == kept.data());
        DEMAND(fetch_from(3, [] { return SharedArray<int>::open("W").indexpids(); }) == 0);
    });
}

// ---- members ------------------------------------------------------------------------------------

TEST_CASE("elements, column-major, checked by at") {
    in_session(1, [] {
        const SharedArray<int, 3> box({2, 3, 4});
        std::iota(box.begin(), box.end(), 0);
        DEMAND(box(1, 2, 3) == 23 && box(0, 1, 0) == 2 && box(0, 0, 1) == 6);
        DEMAND(box.at(1, 2, 3) == 23 && box.at(23) == 23 && box[23] == 23);
        DEMAND(has(thrown_by<std::out_of_range>([&] { box.at(0, 3, 0); }), "3"));
        thrown_by<std::out_of_range>([&] { box.at(24); });
        thrown_by<std::out_of_range>([&] { box.at(-1); });
        thrown_by<std::out_of_range>([&] { box.at(-1, 0, 0); });
        DEMAND(box.end() - box.begin() == 24 && box.span().size() == 24);
        DEMAND(box.sdata().data() == box.data() && sdata(box).data() == box.data());
        std::vector<int> ordinary{1, 2};
        DEMAND(&sdata(ordinary) == &ordinary);
        const SharedMatrix<double> matrix(3, 2);
        matrix.matrix()(2, 1) = 4;
        DEMAND(matrix(2, 1) == 4 && matrix.vector()[5] == 4);
        DEMAND(indices(matrix) == matrix.indices() && matrix.indices() == range(0, 6));
    });
}

TEST_CASE("parts are equal and the last takes the rest") {
    in_session(4, [] {
        const auto parts = [](const SharedArray<int>& S) {
            std::vector<std::pair<long, long>> all;
            for (const WorkerId id : S.procs()) {
                const Range mine = fetch_from(id, [S] { return S.localindices(); });
                all.emplace_back(mine.first(), mine.last());
            }
            return all;
        };
        using Parts = std::vector<std::pair<long, long>>;
        DEMAND(parts(SharedArray<int>(11)) == Parts{{0, 2}, {2, 4}, {4, 6}, {6, 11}});
        DEMAND(parts(SharedArray<int>(4)) == Parts{{0, 1}, {1, 2}, {2, 3}, {3, 4}});
        DEMAND(parts(SharedArray<int>(2)) == Parts{{0, 1}, {1, 2}, {0, 0}, {0, 0}});
        DEMAND(parts(SharedArray<int>(0)) == Parts{{0, 0}, {0, 0}, {0, 0}, {0, 0}});
        const SharedArray<int> backwards(7, on(reversed(workers())));
        DEMAND(parts(backwards) == Parts{{0, 1}, {1, 2}, {2, 3}, {3, 7}});
        DEMAND(fetch_from(5, [backwards] { return backwards.indexpids(); }) == 0);
        DEMAND(backwards.indexpids() == -1);
        const SharedArray<int> with_master(4, on({1, 3}));
        DEMAND(with_master.indexpids() == 0 && with_master.localindices() == range(0, 2));
    });
}

TEST_CASE("other shapes are the same memory, also on another participant") {
    in_session(1, [] {
        const SharedMatrix<int> matrix(3, 4);
        const auto vector = matrix.reshape<1>(12);
        const auto box = matrix.reshape<3>({2, 3, 2});
        const auto again = matrix.reshape<2>(Dims2{4, 3});
        fetch_from(2, [vector] { vector[11] = 5; });
        fetch_from(2, [matrix] { matrix.reshape<2>(6, 2)(0, 0) = 6; });
        DEMAND(matrix(2, 3) == 5 && box(1, 2, 1) == 5 && again(3, 2) == 5 && vector[0] == 6);
        thrown_by<DimensionMismatch>([&] { matrix.reshape<2>(5, 2); });
        thrown_by<DimensionMismatch>([&] { matrix.reshape<1>(13); });
        thrown_by<std::invalid_argument>([&] { matrix.reshape<2>(-3, -4); });
    });
}

TEST_CASE("atomic elements changed by all workers at once") {
    in_session(3, [] {
        const SharedArray<long> count(2);
        const SharedArray<double> sum(1);
        everywhere(workers(), [count, sum] {
            for (int i = 0; i < 10'000; ++i) {
                count.atomic(1).fetch_add(1);
                sum.atomic(0).fetch_add(0.5);
            }
        });
        DEMAND(count[1] == 30'000 && sum[0] == 15'000);
    });
}

TEST_CASE("a deep copy has memory of its own, and the participants that live") {
    in_session(3, [] {
        SharedMatrix<int> matrix(3, 4, on({4, 2, 3}), named("original"));
        fill(matrix, 3);
        kill_worker(2);
        const auto copy = matrix.deepcopy();
        matrix[0] = 9;
        DEMAND(copy[0] == 3 && copy.dims() == matrix.dims() && copy.data() != matrix.data());
        DEMAND(copy.procs() == (std::vector{4, 3}) && matrix.procs() == (std::vector{4, 2, 3}));
        DEMAND(fetch_from(3, [copy] { return copy.deepcopy().at(11); }) == 3);
        kill_worker(3);
        kill_worker(4);
        DEMAND(matrix.deepcopy().procs() == std::vector{1});
    });
}

TEST_CASE("close, for all handles") {
    in_session(1, [] {
        SharedArray<int> array(4, named("closing"));
        const SharedArray<int> other = array;
        const Flag closed, seen;
        const auto holder = spawn_at(2, [array, closed, seen] {
            seen.raise();
            closed.await();
            thrown_by<std::out_of_range>([&] { array.at(0); });
            return array[1]; // the memory is there as long as somebody holds it
        });
        seen.await();
        array[1] = 6;
        array.close();
        array.close();
        closed.raise();
        DEMAND(array.size() == 0 && array.data() == nullptr && array.span().empty());
        DEMAND(has(thrown_by<std::out_of_range>([&] { other.at(1); }), "closed"));
        thrown_by<std::out_of_range>([&] { array.at(0); });
        thrown_by<std::out_of_range>([&] { other.procs(); });
        thrown_by<std::out_of_range>([&] { fill(other, 1); });
        DEMAND(holder.fetch() == 6 && other[1] == 6);
        array = SharedArray<int>(2); // as good as new
        DEMAND(array.at(1) == 0);
    });
}

// ---- operations on all of it --------------------------------------------------------------------

TEST_CASE("fill, rand, map_inplace and copyto do what they say, whoever calls them") {
    in_session(2, [] {
        const auto test = [] {
            const SharedMatrix<double> a(7, 3), b(7, 3), c(7, 3);
            fill(a, 1.5);
            fill(b, 2);
            map_inplace([](double x, double y) { return x + 10 * y; }, c, a, b);
            DEMAND(std::all_of(c.begin(), c.end(), [](double x) { return x == 21.5; }));
            map_inplace([](double x) { return -x; }, c);
            DEMAND(c[20] == -21.5);
            copyto(a, c);
            DEMAND(std::equal(a.begin(), a.end(), c.begin()));
            rand(a);
            rand(b);
            DEMAND(*std::min_element(a.begin(), a.end()) >= 0);
            DEMAND(*std::max_element(a.begin(), a.end()) < 1);
            DEMAND(!std::equal(a.begin(), a.end(), b.begin()));
            std::vector<double> list(21, 4);
            copyto(a, list);
            DEMAND(a[20] == 4);
            Eigen::MatrixXd matrix(7, 3);
            copyto(matrix, a);
            DEMAND(matrix(6, 2) == 4);
            thrown_by<std::out_of_range>([&] { copyto(a, SharedArray<double>(20)); });
            list.pop_back();
            thrown_by<std::out_of_range>([&] { copyto(a, list); });
            thrown_by<std::out_of_range>([&] { copyto(list, a); });
            thrown_by<DimensionMismatch>(
                [&] { map_inplace([](double x) { return x; }, a, SharedArray<double>(20)); });
            thrown_by<std::invalid_argument>([&] {
                map_inplace([](double x) { return x; }, a, SharedArray<double>(21, on(3)));
            });
            thrown_by<std::invalid_argument>(
                [&] { copyto(SharedArray<double>(21, on(2)), SharedArray<double>(21, on(3))); });
        };
        test();
        fetch_from(2, test);
    });
}

TEST_CASE("random numbers are the same whoever draws them, and different each time") {
    std::vector<std::string> outputs;
    for (const int count : {1, 3})
        outputs.push_back(in_session(count, [] {
                              const SharedArray<double> S(1000);
                              for (int i = 0; i < 2; ++i) {
                                  rand(S);
                                  std::printf("%a %a %a\n", S[0], S[500], S[999]);
                              }
                          }).output);
    CHECK(outputs[0] == outputs[1]);
    CHECK(outputs[0].substr(0, outputs[0].find('\n')) !=
          outputs[0].substr(outputs[0].find('\n') + 1, outputs[0].find('\n')));
}

TEST_CASE("a reduction keeps the order of elements and participants") {
    in_session(3, [] {
        for (const int n : {1, 2, 3, 5, 100}) {
            const SharedArray<Run> runs(n, on({3, 4, 2}));
            for (int i = 0; i < n; ++i)
                runs[static_cast<std::size_t>(i)] = {i, i, true};
            const Run all = reduce(joined, runs);
            DEMAND(all.first == 0 && all.last == n - 1 && all.in_order);
            DEMAND(reduce(joined, runs, init(Run{-1, -1, true})).first == -1);
        }
        // A function by its name, here and as the function of a map.
        const SharedArray<Run> runs(4);
        map_inplace(alone, runs);
        DEMAND(!reduce(joined, runs).in_order);
        // The result is of the operator's type.
        const SharedArray<char> letters(1000);
        fill(letters, 'z');
        DEMAND(reduce([](int a, int b) { return a + b; }, letters) == 1000 * 'z');
        DEMAND(reduce(std::plus<>{}, letters) == 1000 * 'z');
        thrown_by<std::domain_error>(
            [&] { reduce([](int, int) -> int { throw std::domain_error("no"); }, letters); });
    });
}

// ---- who may use it -----------------------------------------------------------------------------

TEST_CASE("processes that are not participants, or came later, use it all the same") {
    in_session(2, [] {
        const SharedArray<int> array(6, on(2));
        fetch_from(3, [array] {
            DEMAND(array.indexpids() == -1 && array.localindices().empty());
            array[5] = 1;
            map_inplace([](int x) { return x + 1; }, array);
        });
        const WorkerId late = addprocs(1).front();
        fetch_from(late, [array] {
            DEMAND(array.at(5) == 2 && array.indexpids() == -1);
            fill(array, 8);
        });
        DEMAND(array[0] == 8 && array.procs() == std::vector{2});
    });
}

TEST_CASE("sent back to its maker it is the same object") {
    in_session(1, [] {
        const SharedMatrix<int> array(3, 4);
        const auto back = fetch_from(2, [array] { return array; });
        DEMAND(back.data() == array.data() && back.dims() == array.dims());
        DEMAND(fetch_from(
                   2, [](const SharedMatrix<int>& a) { return a; }, array)
                   .data() == array.data());
        DEMAND(fetch_from(2, [] {
            const SharedArray<int> mine(3);
            const auto returned = fetch_from(1, [mine] { return mine; });
            return returned.data() == mine.data();
        }));
    });
}

TEST_CASE("in pairs, optionals, vectors, maps and cereal types, there and back") {
    in_session(1, [] {
        const auto before = counters().objects;
        {
            const SharedArray<int> array(4);
            array[3] = 3;
            using Pair = std::pair<SharedArray<int>, int>;
            DEMAND(fetch_from(
                       2, [](const Pair& p) { return p; }, Pair(array, 5))
                       .first.data() == array.data());
            const std::optional<SharedArray<int>> maybe(array);
            DEMAND(fetch_from(2, [maybe] { return maybe; })->at(3) == 3);
            using List = std::vector<SharedArray<int>>;
            const List list = fetch_from(
                2,
                [](List all) {
                    all.emplace_back(2);
                    all.back()[1] = 7;
                    return all;
                },
                List{array, array});
            DEMAND(list.size() == 3 && list[1].data() == array.data() && list[2].at(1) == 7);
            using Table = std::map<std::string, SharedArray<int>>;
            DEMAND(fetch_from(
                       2, [](const Table& t) { return t.at("a").at(3); }, Table{{"a", array}}) ==
                   3);
            const Labelled labelled = fetch_from(
                2,
                [](Labelled l) {
                    l.label += "!";
                    return l;
                },
                Labelled{"x", array});
            DEMAND(labelled.label == "x!" && labelled.values.data() == array.data());
        }
        await_objects(before);
    });
}

// ---- deaths -------------------------------------------------------------------------------------

TEST_CASE("a participant that is dead already is done without") {
    in_session(3, [] {
        const SharedArray<int> array(100, on({4, 3, 2})), other(100, on({4, 3, 2}));
        kill_worker(3);
        const auto test = [&] {
            fill(array, 2);
            DEMAND(reduce(std::plus<>{}, array) == 200);
            map_inplace([](int x) { return x + 1; }, other, array);
            map_inplace([](int x) { return x + 1; }, other);
            DEMAND(reduce(std::plus<>{}, other) == 400);
            copyto(array, other);
            DEMAND(reduce(std::plus<>{}, array) == 400);
            rand(other);
            DEMAND(other[99] != other[98] || other[50] != other[49]);
        };
        test();
        kill_worker(2);
        kill_worker(4);
        test();
    });
}

TEST_CASE("a participant that dies over its part is stood in for") {
    in_session(3, [] {
        const SharedArray<int> array(9), source(9), tries(1);
        std::iota(source.begin(), source.end(), 0);
        // Process 3 dies over the first element that it meets.
        const auto dying = [tries](int x) {
            if (myid() == 3) {
                tries[0] = 1;
                raise(SIGKILL);
            }
            return 2 * x;
        };
        map_inplace(dying, array, source);
        DEMAND(tries[0] == 1 && reduce(std::plus<>{}, array) == 72);
        until([] { return has_ended(3); });
        const WorkerId next = addprocs(1).front();
        const SharedArray<int> more(9, on({2, next}));
        fill(more, 1);
        const auto dying_sum = [next](int a, int b) {
            if (myid() == next)
                raise(SIGKILL);
            return a + b;
        };
        DEMAND(reduce(dying_sum, more) == 9);
        // What was half-done in place cannot be repeated.
        const WorkerId last = addprocs(1).front();
        const SharedArray<int> in_place(9, on({2, last}));
        thrown_by<ProcessExitedException>([&] {
            map_inplace(
                [last](int x) {
                    if (myid() == last)
                        raise(SIGKILL);
                    return x + 1;
                },
                in_place);
        });
    });
}

TEST_CASE("participants killed at any moment of large operations") {
    in_session(2, [] {
        for (int round = 0; round < 6; ++round) {
            const SharedArray<double> a(300'000), b(300'000);
            const WorkerId victim = workers().back();
            const Flag started;
            const auto killer = spawn_at(workers().front(), [started, victim, round] {
                started.await();
                for (int i = 0; i < round * 300; ++i)
                    sched_yield();
                kill(worker_info(victim).os_pid, SIGKILL);
            });
            started.raise();
            fill(a, 1);
            map_inplace([](double x) { return x + 1; }, b, a);
            DEMAND(reduce(std::plus<>{}, b) == 600'000);
            copyto(a, b);
            DEMAND(reduce(std::plus<>{}, a) == 600'000);
            killer.wait();
            until([victim] { return has_ended(victim); });
            addprocs(1);
        }
        await_objects(0);
    });
}
