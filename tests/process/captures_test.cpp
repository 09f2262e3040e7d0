// What closures may hold, seen from a session: what is refused is not sent, what is translated is
// right where it arrives.

#include <functional>
#include <numeric>

#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

int twice(int x) { return 2 * x; }
int largest(int a, int b) { return std::max(a, b); }

struct Model {
    std::vector<int> weights = {1, 2, 3};

    auto by_this() const {
        return [this](int i) { return weights[static_cast<std::size_t>(i)]; };
    }
};

// Each way of sending refuses the callable, and nothing was sent.
template <class F>
void demand_refused_everywhere(const F& f) {
    const auto before = counters().tasks_spawned;
    const auto demand = [](auto&& send) {
        const std::string text = thrown_by<std::invalid_argument>(send);
        DEMAND(has(text, "cannot be sent to another process"));
        DEMAND(has(text, "offset "));
        DEMAND(has(text, "dshm::trust(f)"));
    };
    demand([&] { spawn(f, 0); });
    demand([&] { spawn_at(2, f, 0); });
    demand([&] { fetch(f, 0); });
    demand([&] { fetch_from(1, f, 0); });
    demand([&] { remote_do(f, 2, 0); });
    demand([&] { everywhere(std::vector<int>{2}, f, 0); });
    demand([&] { distributed(range(0, 4), f); });
    demand([&] { distributed(std::plus<>{}, range(0, 4), f); });
    demand([&] { distributed([f](int a, int b) { return f(a) + b; }, range(0, 4), twice); });
    demand([&] { pmap(f, std::vector<int>{0, 1, 2}); });
    DEMAND(counters().tasks_spawned == before);
    DEMAND(fetch_from(2, myid) == 2);
}

} // namespace

TEST_CASE("callables that hold private memory are refused wherever they are passed") {
    in_session(2, [] {
        const std::vector<int> vector{1, 2, 3};
        demand_refused_everywhere([vector](int i) { return vector[static_cast<std::size_t>(i)]; });
        const std::string text(100, 'x'), brief("brief");
        demand_refused_everywhere([text](int i) { return text[static_cast<std::size_t>(i)] + 0; });
        demand_refused_everywhere(
            [brief](int i) { return brief[static_cast<std::size_t>(i)] + 0; });
        const Model model;
        demand_refused_everywhere(model.by_this());
        std::array<int, 4> numbers{};
        demand_refused_everywhere(
            [view = std::span<int>(numbers)](int i) { return view[static_cast<std::size_t>(i)]; });
        demand_refused_everywhere([address = numbers.data()](int i) { return address[i]; });
    });
}

TEST_CASE("a raw address of shared memory is refused, the array itself arrives") {
    in_session(2, [] {
        const SharedArray<int> array(1000);
        std::iota(array.begin(), array.end(), 0);
        demand_refused_everywhere([raw = &array[0]](int i) { return raw[i]; });
        demand_refused_everywhere([array, raw = &array[0]](int i) { return array[0] + raw[i]; });
        const std::string text =
            thrown_by<std::invalid_argument>([&] { fetch([raw = &array[0]] { return raw[1]; }); });
        DEMAND(has(text, "the shared memory segment"));
        DEMAND(fetch([array](int i) { return array[static_cast<std::size_t>(i)]; }, 7) == 7);
        DEMAND(distributed(std::plus<>{}, array.indices(),
                           [array](std::size_t i) { return array[i]; }) == 499'500);
    });
}

TEST_CASE("literals, functions and globals arrive") {
    in_session(2, [] {
        const char* const literal = "a literal";
        int (*const function)(int) = &twice;
        for (int repeat = 0; repeat < 3; ++repeat)
            DEMAND(fetch_from(
                       2,
                       [literal, function, n = 4L, view = std::string_view("view")](int x) {
                           return std::string(literal) + std::to_string(function(x) + n) +
                                  std::string(view);
                       },
                       3) == "a literal10view");
        DEMAND(
            distributed([](int (*op)(int, int)) { return [op](int a, int b) { return op(a, b); }; }(
                            &largest),
                        range(0, 10),
                        [function](long i) { return function(static_cast<int>(i)); }) == 18);
        DEMAND(distributed(&largest, range(0, 10), &twice) == 18);
        DEMAND(pmap([function](int x) { return function(x); }, std::vector<int>{1, 2, 3}) ==
               std::vector<int>{2, 4, 6});
        DEMAND(pmap(&twice, std::vector<int>{5}) == std::vector<int>{10});
    });
}

TEST_CASE("trust sends what it is given") {
    in_session(1, [] {
        const Model model;
        const auto by_this = trust(model.by_this());
        DEMAND(fetch_from(1, by_this, 2) == 3); // the address is right here
        int count = 0;
        sync([&] { distributed(range(0, 5), trust([&count](long) { ++count; })); });
        DEMAND(count == 0); // the worker counts in what is there in its own memory
    });
}

namespace deep {

[[gnu::noinline]] static int innermost(int depth) {
    if (depth > 0)
        throw std::out_of_range("deep down");
    return depth;
}
[[gnu::noinline]] int middle(int depth) { return innermost(depth) + 1; }
[[gnu::noinline]] int outermost(int depth) { return middle(depth) + 1; }
[[gnu::noinline]] int by_way_of(int worker) { return fetch_from(worker, outermost, 1) + 1; }

} // namespace deep

TEST_CASE("an exception brings the names of the functions it was thrown in") {
    in_session(2, [] {
        const auto stack_of = [](auto&& call) {
            try {
                call();
            } catch (const RemoteException& error) {
                return error.stacktrace();
            }
            return std::string("nothing was thrown");
        };
        for (const int worker : {1, 2}) { // calls to the caller itself are no different
            const std::string stack =
                stack_of([worker] { fetch_from(worker, deep::outermost, 1); });
            const std::size_t inner = stack.find("deep::innermost(");
            const std::size_t middle = stack.find("deep::middle(int)");
            const std::size_t outer = stack.find("deep::outermost(int)");
            DEMAND(inner < middle && middle < outer && outer != std::string::npos);
            DEMAND(times(stack, "\n") == 3); // the machinery is left out
        }
        // From two processes away: the stack is that of the origin.
        const std::string stack = stack_of([] { fetch_from(2, deep::by_way_of, 3); });
        DEMAND(has(stack, "deep::innermost(") && !has(stack, "by_way_of"));
        DEMAND(
            has(stack_of([] { pmap(deep::outermost, std::vector<int>{1}); }), "deep::middle(int)"));
    });
}
