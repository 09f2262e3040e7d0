// What workers print: whole lines, prefixed, and before the result of the task that printed it.
//
// Both streams of a case are files that the launcher and the master append to, so their order is the order of the writes.

#include <cstdlib>
#include <sstream>

#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

// What the master says, to the same place, when it has the result.
void mark(int number) {
    const std::string text = "result " + std::to_string(number) + "\n";
    DEMAND(write(STDOUT_FILENO, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
}

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);)
        lines.push_back(line);
    return lines;
}

SessionOptions untagged() {
    SessionOptions options;
    options.workers = 1;
    options.tag_output = false;
    return options;
}

} // namespace

TEST_CASE("lines of a worker carry its number, on the stream they were written to") {
    const Outcome outcome = in_session(2, [] {
        for (const int id : {2, 3, 2})
            fetch_from(id, [] {
                std::printf("out of %d\nand more\n", myid());
                std::cerr << "error of " << myid() << "\n";
            });
        std::puts("master");
    });
    CHECK(outcome.output == "      From worker 2:\tout of 2\n      From worker 2:\tand more\n"
                            "      From worker 3:\tout of 3\n      From worker 3:\tand more\n"
                            "      From worker 2:\tout of 2\n      From worker 2:\tand more\n"
                            "master\n");
    CHECK(outcome.errors == "      From worker 2:\terror of 2\n      From worker 3:\terror of 3\n"
                            "      From worker 2:\terror of 2\n");
}

TEST_CASE("all that a task printed is shown before its result, however it printed") {
    const auto shown_before = [](auto task, const char* text) {
        const Outcome outcome = in_session(1, [task] {
            for (int i = 0; i < 50; ++i) {
                fetch_from(2, task);
                mark(i);
            }
        });
        const std::vector<std::string> lines = lines_of(outcome.output);
        INFO(outcome.output);
        REQUIRE(lines.size() == 100);
        for (std::size_t i = 0; i < 50; ++i) {
            CHECK(lines[2 * i] == "      From worker 2:\t" + std::string(text));
            CHECK(lines[2 * i + 1] == "result " + std::to_string(i));
        }
    };
    shown_before([] { std::printf("no newline"); }, "no newline");
    shown_before([] { std::printf("printf\n"); }, "printf");
    shown_before([] { std::cout << "cout"; }, "cout");
    shown_before([] { std::cout << "endl" << std::endl; }, "endl");
    shown_before([] { static_cast<void>(!write(STDOUT_FILENO, "write", 5)); }, "write");
    shown_before(
        [] {
            std::fputs("stderr\n", stdout);
            std::fflush(stdout);
        },
        "stderr");
    shown_before([] { static_cast<void>(!std::system("echo child")); }, "child");
    shown_before(
        [] {
            std::printf("then it ");
            std::fflush(stdout);
            std::printf("goes on");
        },
        "then it goes on");
}

TEST_CASE("output of a task that fails is shown before its failure") {
    const Outcome outcome = in_session(1, [] {
        for (int i = 0; i < 20; ++i) {
            thrown_by<std::runtime_error>([] {
                fetch_from(2, [] {
                    std::printf("before");
                    throw std::runtime_error("failed");
                });
            });
            mark(i);
        }
    });
    const std::vector<std::string> lines = lines_of(outcome.output);
    REQUIRE(lines.size() == 40);
    for (std::size_t i = 0; i < 20; ++i)
        CHECK(lines[2 * i] == "      From worker 2:\tbefore");
}

TEST_CASE("standard error is shown before the result, too") {
    SessionOptions options = untagged();
    const Outcome outcome = outcome_of(options, [] {
        for (int i = 0; i < 50; ++i) {
            fetch_from(2, [i] { std::cerr << "line " << i << "\n"; });
            std::fprintf(stderr, "result %d\n", i);
        }
    });
    const std::vector<std::string> lines = lines_of(outcome.errors);
    REQUIRE(lines.size() == 100);
    for (std::size_t i = 0; i < 50; ++i) {
        CHECK(lines[2 * i] == "line " + std::to_string(i));
        CHECK(lines[2 * i + 1] == "result " + std::to_string(i));
    }
}

TEST_CASE("a stream that the program untied from stdio is shown before the result") {
    const Outcome outcome = outcome_of(untagged(), [] {
        fetch_from(2, [] { std::ios::sync_with_stdio(false); });
        for (int i = 0; i < 2000; ++i)
            if (const int value = fetch_from(2,
                                             [i] {
                                                 std::cout << "line " << i << '\n';
                                                 return i;
                                             });
                value % 100 == 0)
                mark(value);
    });
    const std::vector<std::string> lines = lines_of(outcome.output);
    REQUIRE(lines.size() == 2020);
    for (std::size_t at = 0, i = 0; i < 2000; ++i) {
        REQUIRE(lines[at++] == "line " + std::to_string(i));
        if (i % 100 == 0)
            REQUIRE(lines[at++] == "result " + std::to_string(i));
    }
}

TEST_CASE("quick tasks that print now and then are in order with their results") {
    const Outcome outcome = outcome_of(untagged(), [] {
        for (int i = 0; i < 5000; ++i)
            if (fetch_from(2, [i] {
                    if (i % 7 == 0)
                        static_cast<void>(!write(STDOUT_FILENO, "quick\n", 6));
                    return i % 7 == 0;
                }))
                mark(i);
    });
    const std::vector<std::string> lines = lines_of(outcome.output);
    REQUIRE(lines.size() == 2 * 715);
    for (std::size_t i = 0; i < lines.size(); i += 2) {
        REQUIRE(lines[i] == "quick");
        REQUIRE(lines[i + 1] == "result " + std::to_string(7 * (i / 2)));
    }
}

TEST_CASE("long lines of many workers at once are never mixed") {
    constexpr int workers_count = 4, lines_each = 200;
    constexpr std::size_t length = 9000;
    const Outcome outcome = in_session(workers_count, [] {
        everywhere(workers(), [] {
            for (int i = 0; i < lines_each; ++i)
                std::cout << std::string(length, static_cast<char>('a' + myid())) << "\n";
        });
        std::printf("master\n");
    });
    const std::vector<std::string> lines = lines_of(outcome.output);
    REQUIRE(lines.size() == workers_count * lines_each + 1);
    CHECK(lines.back() == "master");
    std::vector<int> count(workers_count + 2, 0);
    for (std::size_t i = 0; i + 1 < lines.size(); ++i) {
        const int id = lines[i].size() > 18 ? lines[i][18] - '0' : 0;
        REQUIRE((id >= 2 && id < workers_count + 2));
        ++count[static_cast<std::size_t>(id)];
        REQUIRE(lines[i] == "      From worker " + std::to_string(id) + ":\t" +
                                std::string(length, static_cast<char>('a' + id)));
    }
    for (int id = 2; id < workers_count + 2; ++id)
        CHECK(count[static_cast<std::size_t>(id)] == lines_each);
}

TEST_CASE("output beyond what the pipes hold, to both streams, arrives whole") {
    const Outcome outcome = outcome_of(untagged(), [] {
        fetch_from(2, [] {
            for (int i = 0; i < 20'000; ++i) {
                std::printf("output line %d\n", i);
                std::fprintf(stderr, "error line %d\n", i);
            }
        });
        mark(0);
    });
    CHECK(times(outcome.output, "output line ") == 20'000);
    CHECK(times(outcome.errors, "error line ") == 20'000);
    CHECK(outcome.output.ends_with("output line 19999\nresult 0\n"));
}

TEST_CASE("a line of a megabyte and bytes of every value arrive") {
    const Outcome outcome = outcome_of(untagged(), [] {
        fetch_from(2, [] { std::cout << std::string(1'000'000, 'x') << std::endl; });
        fetch_from(2, [] {
            std::string all;
            for (int c = 0; c < 256; ++c)
                all += static_cast<char>(c);
            std::cout << all;
        });
    });
    REQUIRE(outcome.output.size() == 1'000'001 + 256 + 1);
    CHECK(outcome.output.substr(0, 1'000'001) == std::string(1'000'000, 'x') + "\n");
}

TEST_CASE("the last words of a worker that ends or is killed are shown") {
    const Outcome outcome = in_session(2, [] {
        thrown_by<ProcessExitedException>([] {
            fetch_from(2, [] {
                std::printf("goes by itself");
                std::exit(1);
            });
        });
        thrown_by<ProcessExitedException>([] {
            fetch_from(3, [] {
                static_cast<void>(!write(STDOUT_FILENO, "is killed", 9));
                raise(SIGKILL);
            });
        });
    });
    CHECK(outcome.output ==
          "      From worker 2:\tgoes by itself\n      From worker 3:\tis killed\n");
}

TEST_CASE("what the master had in its buffers is printed once") {
    const Outcome outcome = in_session(0, [] {
        std::printf("buffered ");
        addprocs(2);
        fetch_from(2, [] { std::printf("worker\n"); });
        std::printf("text\n");
    });
    CHECK(times(outcome.output, "buffered") == 1);
    CHECK(times(outcome.output, "worker\n") == 1);
}
