// What programs do with their standard streams and other files: closed before the Session, after it and in tasks, full,
// and without a reader.

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

SessionOptions with_workers(int workers) {
    SessionOptions options;
    options.workers = workers;
    return options;
}

// Everything a session does, with output of both kinds.
void use_session() {
    for (const int id : workers())
        for (int i = 0; i < 3; ++i)
            DEMAND(fetch_from(id, [i] {
                       std::printf("output\n");
                       std::fprintf(stderr, "errors\n");
                       return i;
                   }) == i);
    const SharedArray<int> array(100'000);
    DEMAND(fetch([array] { return array[99'999] = 5; }) == 5 && array[99'999] == 5);
    const std::vector<int> ids = addprocs(1);
    DEMAND(fetch_from(ids[0], myid) == ids[0]);
    rmprocs(ids).wait();
}

void close_from(unsigned first) { syscall(SYS_close_range, first, ~0u, 0); }

void send_to(const char* path, int stream) {
    const int file = open(path, O_RDWR);
    dup2(file, stream);
    close(file);
}

} // namespace

TEST_CASE("a session whose program was started without some of its standard streams") {
    for (unsigned closed = 1; closed < 8; ++closed) {
        INFO("closed: " << closed);
        CHECK(left_well(run_in_child([closed] {
            alarm(case_seconds);
            send_to("/dev/null", STDOUT_FILENO);
            send_to("/dev/null", STDERR_FILENO);
            for (int stream = 0; stream < 3; ++stream)
                if ((closed >> stream & 1) != 0)
                    close(stream);
            Session session(with_workers(2));
            use_session();
            for (int stream = 0; stream < 3; ++stream)
                DEMAND(fcntl(stream, F_GETFD) >=
                       0); // /dev/null is better than a file of the session
        })));
    }
}

TEST_CASE("a master that closes its standard streams after the Session") {
    const Outcome outcome = in_session(2, [] {
        close(STDIN_FILENO);
        close(STDOUT_FILENO);
        close(STDERR_FILENO);
        use_session();
    });
    // The launcher has its own: what workers print is shown still.
    CHECK(times(outcome.output, "output\n") == 6);
    CHECK(times(outcome.errors, "errors\n") == 6);
}

TEST_CASE("a worker that closes its standard streams, or gives them another end") {
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        const Outcome outcome = in_session(2, [stream] {
            fetch_from(2, [stream] { close(stream); });
            use_session();
            fetch_from(2, [stream] { // a file under its number, as open gives one
                DEMAND(open("/dev/null", O_RDWR) == stream);
            });
            use_session();
        });
        CHECK(times(outcome.output, "From worker 3:\toutput\n") == 6);
        CHECK(times(outcome.output, "From worker 2:\toutput\n") ==
              (stream == STDOUT_FILENO ? 0 : 6));
        CHECK(times(outcome.errors, "From worker 2:\terrors\n") ==
              (stream == STDERR_FILENO ? 0 : 6));
    }
}

TEST_CASE("a disk that is full for output is said once, and results are as ever") {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    const int status = run_in_child([&] {
        alarm(case_seconds);
        send_to("/dev/full", STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        Session session(with_workers(2));
        for (int i = 0; i < 100; ++i)
            DEMAND(fetch([i] { return std::printf("lost\n"), i; }) == i);
    });
    close(ends[1]);
    std::string errors(4096, '\0');
    const ssize_t size = read(ends[0], errors.data(), errors.size());
    errors.resize(static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
    close(ends[0]);
    CHECK(left_well(status));
    CHECK(times(errors, "No space left") == 1);
}

TEST_CASE("standard error that is full costs nothing but its text") {
    CHECK(left_well(run_in_child([] {
        alarm(case_seconds);
        send_to("/dev/full", STDERR_FILENO);
        Session session(with_workers(2));
        for (int i = 0; i < 100; ++i)
            DEMAND(fetch([i] { return std::fprintf(stderr, "lost\n"), i; }) == i);
        kill_worker(2);
        DEMAND(fetch(myid) == 3);
    })));
}

TEST_CASE("a reader of the output that goes away") {
    // As if the program had written: SIGPIPE ends it, or the program ignores that and goes on.
    for (const bool ignores : {false, true}) {
        const int status = run_in_child([&] {
            alarm(case_seconds);
            int ends[2];
            DEMAND(pipe2(ends, O_CLOEXEC) == 0);
            dup2(ends[1], STDOUT_FILENO);
            close(ends[1]);
            if (ignores)
                std::signal(SIGPIPE, SIG_IGN);
            Session session(with_workers(2));
            fetch_from(2, [] { std::printf("read\n"); });
            close(ends[0]);
            for (int i = 0; i < 100; ++i)
                DEMAND(fetch([i] { return std::printf("dropped\n"), i; }) == i);
            if (!ignores)
                pause();
        });
        CHECK((ignores ? left_well(status) : WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE));
    }
}

TEST_CASE("a worker that closes all files above the standard streams") {
    const Outcome outcome = in_session(2, [] {
        fetch_from(2, [] { close_from(3); });
        for (int i = 0; i < 20; ++i)
            DEMAND(fetch_from(2, [i] { return std::printf("output\n"), i; }) == i);
        DEMAND(fetch_from(2, [] { return fetch_from(3, myid); }) == 3);
        // What needs new pages there is refused with the reason; elsewhere it goes on.
        DEMAND(fetch_from(2, [] { // the text is longer than what needs no new pages
            return has(thrown_by<SharedMemoryExhausted>(
                           [] { SharedArray<char> large(std::size_t{64} << 20); }),
                       "has been closed");
        }));
        DEMAND(fetch_from(3, [] { return SharedArray<char>(std::size_t{64} << 20).size(); }) ==
               std::size_t{64} << 20);
        rmprocs(2).wait();
        DEMAND(!has(worker_info(2).exit_reason, "SIG")); // it left by itself
    });
    CHECK(times(outcome.output, "output\n") == 20);
}

TEST_CASE("files under the numbers that a worker has closed are not written to") {
    in_session(2, [] {
        const long total = fetch_from(2, [] {
            close_from(3);
            long sum = 0;
            for (int i = 0; i < 30; ++i) {
                const int file = memfd_create("own", MFD_CLOEXEC);
                sum += file >= 3;
            }
            return sum;
        });
        DEMAND(total == 30);
        for (int i = 0; i < 20; ++i)
            fetch_from(2, [] { std::printf("output\n"); });
        thrown_by<SharedMemoryExhausted>(
            [] { fetch_from(2, [] { SharedArray<char> large(std::size_t{64} << 20); }); });
        fetch_from(2, [] { trim(); });
        DEMAND(fetch_from(2, [] {
                   long bytes = 0;
                   for (int file = 3; file < 33; ++file) {
                       struct stat info {};
                       DEMAND(fstat(file, &info) == 0);
                       bytes += info.st_size;
                   }
                   return bytes;
               }) == 0);
    });
}

TEST_CASE("a master that closes all files above the standard streams has ended its session") {
    const Outcome outcome = outcome_of(2, [] {
        close_from(3);
        DEMAND(has(thrown_by<std::runtime_error>([] {
                       for (;;)
                           addprocs(1);
                   }),
                   "session"));
    });
    CHECK(outcome.exited_with(0));
}
