// Stacks of throws: noted when thrown, told apart, carried as words, read as names.
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "dshm/errors.hpp"
#include "dshm/ship/module_table.hpp"
#include "dshm/ship/stack_text.hpp"
#include "dshm/ship/throw_recorder.hpp"
#include "payload.hpp"
#include "support/catch.hpp"

namespace ship = dshm::ship;
using dshm::test::contains;
using dshm::test::packed;
using ship::ThrowRecorder;

namespace app {

// Not inlined and not the last thing that their callers do, so that each has a frame. The first is
// not even known outside this file.
[[gnu::noinline, maybe_unused]] static int innermost(int depth) {
    if (depth >= 0)
        throw std::out_of_range("deep down");
    return depth;
}
[[gnu::noinline]] int middle(int depth) { return innermost(depth) + 1; }
[[gnu::noinline]] int outermost(const std::string& text) {
    return middle(static_cast<int>(text.size())) + 1;
}
[[gnu::noinline]] int inside_library() { return std::vector<int>(3).at(7) + 1; }
[[gnu::noinline]] int another() {
    throw std::logic_error("another");
    return 0;
}

} // namespace app

namespace {

struct Registry {
    Registry() { registry.make_current(); }
    std::unique_ptr<ship::ModuleTable> table = std::make_unique<ship::ModuleTable>();
    ship::ModuleRegistry registry{*table};
};

// As a task: what `body` throws, captured, written, read and rebuilt.
template <class Body>
[[gnu::noinline]] std::exception_ptr run_as_task(Body&& body, int worker = 3) {
    const ThrowRecorder::Scope scope;
    try {
        body();
    } catch (...) {
        const auto payload = packed(ship::capture(std::current_exception(), worker));
        ship::Reader reader = payload.reader();
        return ship::rebuild(ship::decode<ship::ExceptionRecord>(reader));
    }
    return nullptr;
}

std::string stack_of(const std::exception_ptr& exception) {
    try {
        std::rethrow_exception(exception);
    } catch (const dshm::RemoteException& error) {
        return error.stacktrace();
    }
}

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    for (std::size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1)
        lines.push_back(text.substr(at, end - at));
    return lines;
}

} // namespace

TEST_CASE("the stack has the names of the throwing side's functions, the innermost first") {
    const Registry registry;
    const std::string stack = stack_of(run_as_task([] { app::outermost("text"); }));
    INFO(stack);
    const std::vector<std::string> lines = lines_of(stack);
    REQUIRE(lines.size() >= 3);
    CHECK_THAT(lines[0], contains("app::innermost(") && contains(" [") && contains("+0x"));
    CHECK_THAT(lines[1], contains("app::middle(int)"));
    CHECK_THAT(lines[2], contains("app::outermost("));
    CHECK_THAT(stack, !contains("run_as_task") && !contains("main"));
}

TEST_CASE("what the standard library throws has a stack, too") {
    const Registry registry;
    const std::string stack = stack_of(run_as_task([] { app::inside_library(); }));
    CHECK_THAT(stack, contains("app::inside_library()"));
    CHECK_THAT(stack, contains("libstdc++"));
}

TEST_CASE("an exception that is thrown again keeps its first stack") {
    const Registry registry;
    const auto again = [] {
        try {
            app::outermost("text");
        } catch (...) {
            for (int i = 0; i < 3; ++i)
                try {
                    app::another();
                } catch (const std::logic_error&) {
                }
            throw;
        }
    };
    CHECK_THAT(stack_of(run_as_task(again)), contains("app::innermost("));
    const auto elsewhere = [] {
        std::exception_ptr kept;
        try {
            app::outermost("text");
        } catch (...) {
            kept = std::current_exception();
        }
        std::rethrow_exception(kept);
    };
    CHECK_THAT(stack_of(run_as_task(elsewhere)), contains("app::innermost("));
}

TEST_CASE("stacks are those of their own exceptions") {
    const Registry registry;
    const auto first_caught = [] {
        try {
            app::outermost("text");
        } catch (const std::out_of_range&) {
        }
        app::another();
    };
    const std::string stack = stack_of(run_as_task(first_caught));
    CHECK_THAT(stack, contains("app::another()") && !contains("app::innermost("));
    // Never thrown before, so it has none.
    const auto made = [] {
        std::rethrow_exception(std::make_exception_ptr(std::range_error("x")));
    };
    CHECK(stack_of(run_as_task(made)).empty());
}

TEST_CASE("each hop keeps the stack of the origin") {
    const Registry registry;
    const auto first = run_as_task([] { app::outermost("text"); }, 3);
    const auto second = run_as_task([&first] { std::rethrow_exception(first); }, 2);
    CHECK(stack_of(second) == stack_of(first));
    CHECK_THAT(stack_of(second), contains("app::innermost("));
}

TEST_CASE("a task inside a task has its own stack, and hides nothing of the outer one") {
    const Registry registry;
    const auto outer = [] {
        CHECK_THAT(stack_of(run_as_task([] { app::another(); })), contains("app::another()"));
        app::outermost("text");
    };
    CHECK_THAT(stack_of(run_as_task(outer)), contains("app::innermost("));
}

TEST_CASE("nothing is noted outside tasks, and in threads only of those that run one") {
    CHECK(ThrowRecorder::calls_of(nullptr).empty());
    try {
        app::another();
    } catch (...) {
        CHECK(ThrowRecorder::calls_of(std::current_exception()).empty());
    }
    const ThrowRecorder::Scope scope;
    std::thread([] {
        try {
            app::another();
        } catch (...) {
            CHECK(ThrowRecorder::calls_of(std::current_exception()).empty());
        }
    }).join();
    try {
        app::another();
    } catch (...) {
        CHECK_FALSE(ThrowRecorder::calls_of(std::current_exception()).empty());
        ThrowRecorder::Scope* const here = ThrowRecorder::exchange(nullptr);
        CHECK(here == &scope);
        CHECK(ThrowRecorder::calls_of(std::current_exception()).empty());
        ThrowRecorder::exchange(here);
        CHECK_FALSE(ThrowRecorder::calls_of(std::current_exception()).empty());
    }
}

TEST_CASE("a stack can be read after the session, and is bounded") {
    std::exception_ptr exception;
    {
        const Registry registry;
        struct Deep {
            [[gnu::noinline]] static int down(int left) {
                static volatile bool throws = true; // else g++ sees that it never returns
                if (left == 0)
                    return throws ? app::another() : 0;
                return down(left - 1) + 1;
            }
        };
        exception = run_as_task([] { Deep::down(500); });
    }
    const std::vector<std::string> lines = lines_of(stack_of(exception));
    CHECK(lines.size() <= ThrowRecorder::most_frames);
    CHECK_THAT(lines.at(0), contains("app::another()"));
}

TEST_CASE("frames of unknown modules are given by their offsets") {
    const std::vector<ship::StackFrame> frames{
        {"/no/such/libsolver.so", "0123", 0x4f21}, {"", "", 0}, {"[vdso]", "none", 0x10}};
    CHECK(ship::stack_text(frames) == "[libsolver.so+0x4f21]\n[unknown]\n[[vdso]+0x10]\n");
    CHECK(ship::stack_text({}).empty());
}
