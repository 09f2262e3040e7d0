// The progress bar: what a terminal shows of it, alone and beside what workers print.

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "dshm/progress.hpp"
#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;
using detail::progress_line;
using detail::ProgressBar;

namespace {

// What a terminal that got these bytes would show, line by line.
std::vector<std::string> screen(const std::string& bytes) {
    std::vector<std::string> lines(1);
    std::size_t column = 0;
    for (const char c : bytes) {
        if (c == '\r') {
            column = 0;
        } else if (c == '\n') {
            lines.emplace_back();
        } else {
            std::string& line = lines.back();
            if (line.size() <= column)
                line.resize(column + 1, ' ');
            line[column++] = c;
        }
    }
    for (std::string& line : lines)
        line.erase(line.find_last_not_of(' ') + 1);
    return lines;
}

// Runs `body` in a session whose standard error is a terminal of so many columns; gives what came there.
template <class Body>
std::string on_terminal(unsigned short columns, int workers, Body&& body) {
    const int leader = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    REQUIRE(leader >= 0);
    REQUIRE(grantpt(leader) == 0);
    REQUIRE(unlockpt(leader) == 0);
    const winsize size{24, columns, 0, 0};
    ioctl(leader, TIOCSWINSZ, &size);
    const pid_t child = start_child([&] {
        const int follower = open(ptsname(leader), O_RDWR | O_NOCTTY);
        dup2(follower, STDERR_FILENO);
        close(follower);
        SessionOptions options;
        options.workers = workers;
        Session session(options);
        body();
    });
    const int follower = open(ptsname(leader), O_RDWR | O_NOCTTY); // so that reading does not fail
    int status = 0;
    std::string bytes;
    const auto read_some = [&] {
        char buffer[4096];
        const ssize_t done = read(leader, buffer, sizeof buffer);
        REQUIRE(done > 0);
        bytes.append(buffer, static_cast<std::size_t>(done));
    };
    while (waitpid(child, &status, WNOHANG) == 0) {
        for (int left = 0; ioctl(leader, FIONREAD, &left) == 0 && left > 0;)
            read_some();
        sched_yield();
    }
    // The kernel brings what was written some time later: a zero behind it says that all is here.
    REQUIRE(write(follower, "", 1) == 1);
    while (bytes.empty() || bytes.back() != '\0')
        read_some();
    bytes.pop_back();
    close(follower);
    close(leader);
    INFO(bytes);
    CHECK(left_well(status));
    return bytes;
}

} // namespace

TEST_CASE("a line says how much, how fast and how long") {
    CHECK(progress_line("svd", 4300, 10'000, 3.6, false, 80) ==
          "svd  43 % |##############                    | 4300/10000 [1.19 k/s, 00:04 left]");
    CHECK(progress_line("svd", 10'000, 10'000, 65, true, 79) ==
          "svd 100 % |########################################| 10000/10000 [154/s, 01:05]");
    CHECK(progress_line("", 0, 10, 0, false, 60) ==
          "  0 % |                                       | 0/10 [00:00]");
    CHECK(progress_line("jobs", 17, 0, 2, false, 80) == "jobs 17 [8.50/s, 00:02]");
    CHECK(progress_line("", 0, 0, 0, true, 80) == " 0 [00:00]");
    CHECK(progress_line("slow", 1, 10, 3600, false, 80).find("[0.00/s, 9:00:00 left]") !=
          std::string::npos);
    CHECK(
        progress_line("big", 3'000'000'000'000, 4'000'000'000'000, 1, false, 80).find("3.00 T/s") !=
        std::string::npos);
    // Not 100 % before the end; more than all is all.
    CHECK(progress_line("x", 9'999, 10'000, 1, false, 80).find(" 99 %") != std::string::npos);
    CHECK(progress_line("x", 11, 10, 1, true, 80).find("100 %") != std::string::npos);
}

TEST_CASE("a line fits any width, whatever the text") {
    const std::string text = "größe\n\x1b[2J" + std::string(100, 'x');
    for (std::size_t width = 0; width < 200; ++width)
        for (const std::size_t total : {std::size_t{0}, std::size_t{100}}) {
            const std::string line = progress_line(text, 50, total, 7, false, width);
            const auto columns =
                std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xc0) != 0x80; });
            REQUIRE(static_cast<std::size_t>(columns) <= width);
            REQUIRE(
                std::none_of(line.begin(), line.end(), [](char c) { return c >= 0 && c < ' '; }));
        }
}

TEST_CASE("a bar is drawn to its end, and stays") {
    for (const unsigned short columns : {0, 20, 40, 80, 200}) {
        const auto lines = screen(on_terminal(columns, 0, [] {
            ProgressBar bar("work", 10);
            DEMAND(bar.shown());
            for (std::size_t done = 0; done < 10; ++done)
                bar.update(done);
            bar.finish();
            DEMAND(!bar.shown());
        }));
        REQUIRE(lines.size() == 2);
        CHECK(lines[0].find("work 100 %") == 0);
        CHECK(lines[0].size() < (columns == 0 ? 80u : columns));
        CHECK(lines[1].empty());
    }
}

TEST_CASE("a bar that an exception ends leaves a clean line") {
    const auto lines = screen(on_terminal(80, 0, [] {
        try {
            ProgressBar bar("work", 10);
            bar.update(5);
            throw 1;
        } catch (int) {
        }
        std::fprintf(stderr, "caught\n");
    }));
    CHECK(lines == std::vector<std::string>{"caught", ""});
}

TEST_CASE("at most ten updates a second, and few of millions cost anything") {
    using Clock = std::chrono::steady_clock;
    double seconds = 0;
    const std::string bytes = on_terminal(80, 0, [] {
        const auto start = Clock::now();
        {
            ProgressBar bar("work", 30'000'000);
            for (std::size_t done = 0; done < 30'000'000; ++done)
                bar.update(done);
            bar.finish();
        }
        std::fprintf(stderr, "%f\n", std::chrono::duration<double>(Clock::now() - start).count());
    });
    const auto lines = screen(bytes);
    REQUIRE(lines.size() == 3);
    seconds = std::stod(lines[1]);
    // The first one, the last one, and those between.
    CHECK(static_cast<double>(times(bytes, "work")) <= 2 + 10 * seconds + 1);
}

TEST_CASE("an unknown total has a count, and zero of zero ends well") {
    const auto lines = screen(on_terminal(80, 0, [] {
        ProgressBar bar("work", 0);
        bar.finish();
    }));
    REQUIRE(lines.size() == 2);
    CHECK(lines[0].find("work 0 [00:00]") == 0);
}

TEST_CASE("what workers print has lines of its own, with the bar below") {
    const std::string bytes = on_terminal(80, 2, [] {
        ProgressBar bar("a text that is longer than what the workers print here", 10);
        const auto hello = [](int i) { std::fprintf(stderr, "hello %d\n", i); };
        for (int i = 0; i < 5; ++i) {
            fetch_from(2, hello, i);
            bar.update(static_cast<std::size_t>(i));
        }
        bar.finish();
        fetch_from(3, hello, 99);
    });
    INFO(bytes);
    const auto lines = screen(bytes);
    REQUIRE(lines.size() == 8);
    for (int i = 0; i < 5; ++i)
        CHECK(lines[static_cast<std::size_t>(i)] ==
              "      From worker 2:\thello " + std::to_string(i));
    CHECK(lines[5].find("a text that is longer than what the workers print here 100 %") == 0);
    CHECK(lines[6] == "      From worker 3:\thello 99");
}

TEST_CASE("one bar at a time, and none where there is no terminal") {
    const auto lines = screen(on_terminal(80, 1, [] {
        {
            ProgressBar outer("outer", 10);
            ProgressBar inner("inner", 10);
            DEMAND(outer.shown() && !inner.shown());
            inner.update(5);
            inner.finish();
            DEMAND(!fetch_from(2, [] { return ProgressBar("worker", 3).shown(); }));
            outer.finish();
        }
        ProgressBar("later", 1).finish();
    }));
    REQUIRE(lines.size() == 3);
    CHECK(lines[0].find("outer 100 %") == 0);
    CHECK(lines[1].find("later 100 %") == 0);
    const Outcome outcome = in_session(0, [] {
        ProgressBar bar("hidden", 10);
        DEMAND(!bar.shown());
        bar.update(3);
        bar.finish();
    });
    CHECK(outcome.errors.empty());
}
