// The pages of large new arrays are made by their participants, where those are, and nobody waits
// for one that is busy, stopped or dead.
#include "session_case.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "dshm/memory.hpp"
#include "dshm/os/pages.hpp"
#include "dshm/runtime/first_touch.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

constexpr std::size_t mebibyte = std::size_t{1} << 20;
constexpr std::size_t array_bytes = 64 * mebibyte;

runtime::ObjectHandle make_array(const std::vector<WorkerId>& participants,
                                 std::size_t bytes = array_bytes) {
    const runtime::FirstTouch touch(runtime::current(), participants, bytes, 1);
    return runtime::ObjectHandle(bytes, {.kind = runtime::object_kind::value});
}

bool reads_as_zeros(const runtime::ObjectHandle& array, std::size_t bytes = array_bytes) {
    const auto* const first = static_cast<const char*>(array.address());
    return std::all_of(first, first + bytes, [](char byte) { return byte == 0; });
}

// Pages of [first, first + size) that are mapped in this process.
std::size_t mapped_pages(const char* first, std::size_t size) {
    const int file = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    std::vector<std::uint64_t> entries(size / 4096);
    const auto bytes = entries.size() * sizeof entries[0];
    const auto at = static_cast<off_t>(reinterpret_cast<std::uintptr_t>(first) / 4096 * 8);
    const bool read = pread(file, entries.data(), bytes, at) == static_cast<ssize_t>(bytes);
    close(file);
    return read ? static_cast<std::size_t>(
                      std::count_if(entries.begin(), entries.end(),
                                    [](std::uint64_t entry) { return (entry >> 63) != 0; }))
                : 0;
}

// Those of the part of a worker, seen from there.
std::size_t mapped_there(WorkerId worker, const runtime::ObjectHandle& array, std::size_t first,
                         std::size_t size) {
    return fetch_from(worker, [array, first, size] {
        return mapped_pages(static_cast<const char*>(array.address()) + first, size);
    });
}

void expect_nothing_left() {
    until([] {
        everywhere([] {});
        return counters().objects == 0;
    });
    dshm::trim();
    DEMAND(counters().heap_used < mebibyte);
    DEMAND(counters().memory_backed < 16 * mebibyte);
}

} // namespace

TEST_CASE("idle participants make their own parts") {
    in_session(2, [] {
        // Under load a worker may begin too late: then the caller makes its part.
        until([] {
            const auto array = make_array({2, 3});
            DEMAND(reads_as_zeros(array));
            const std::size_t half = array_bytes / 2;
            const std::size_t some = half / 4096 / 8;
            DEMAND(mapped_there(2, array, half, half) == 0);
            DEMAND(mapped_there(3, array, 0, half) == 0);
            return mapped_there(2, array, 0, half) >= some &&
                   mapped_there(3, array, half, half) >= some;
        });
        expect_nothing_left();
    });
}

TEST_CASE("nobody waits for participants that are busy or stopped") {
    in_session(2, [] {
        const Flag begun, end;
        const auto busy = spawn_at(2, [begun, end] {
            begun.raise();
            end.await();
        });
        begun.await();
        kill(worker_info(3).os_pid, SIGSTOP);
        for (int i = 0; i < 3; ++i) {
            const auto array = make_array({2, 3, 1});
            DEMAND(reads_as_zeros(array));
        }
        DEMAND(!isready(busy));
        kill(worker_info(3).os_pid, SIGCONT);
        end.raise();
        fetch(busy);
    });
}

TEST_CASE("a busy participant is sent nothing, and a stopped one no more than one task") {
    in_session(3, [] {
        const Flag begun, end;
        const auto busy = spawn_at(2, [begun, end] {
            begun.raise();
            end.await();
        });
        begun.await();
        kill(worker_info(3).os_pid, SIGSTOP);
        for (int i = 0; i < 5; ++i)
            make_array({2, 3, 4}, runtime::FirstTouch::least_bytes);
        runtime::Process& process = runtime::current();
        const auto tasks_waiting = [&](WorkerId worker) {
            const auto& inbox =
                process.processes().area(process.find_member(worker)->owner.slot).inbox;
            const auto front = inbox.peek();
            return !front ? 0 : inbox.peek_behind(front->position, 1) ? 2 : 1;
        };
        DEMAND(tasks_waiting(2) == 0);
        DEMAND(tasks_waiting(3) <= 1);
        kill(worker_info(3).os_pid, SIGCONT);
        end.raise();
        fetch(busy);
    });
}

TEST_CASE("a task that is cut short with its maker is nobody's failure to report") {
    const Outcome outcome = in_session(1, [] {
        for (int i = 0; i < 10; ++i) {
            const auto both = addprocs(2);
            const auto maker = spawn_at(both[0], [helper = both[1], me = both[0]] {
                make_array({helper, me});
            });
            usleep(static_cast<useconds_t>(i) * 2000);
            for (const WorkerId worker : both)
                kill(worker_info(worker).os_pid, SIGKILL);
            until([&] { return has_ended(both[0]) && has_ended(both[1]); });
            try {
                fetch(maker);
            } catch (const ProcessExitedException&) {
                // as far as it had come
            }
        }
        expect_nothing_left();
    });
    CHECK(!has(outcome.errors, "nobody waited"));
}

TEST_CASE("participants that die meanwhile cost nothing") {
    in_session(1, [] {
        for (int i = 0; i < 10; ++i) {
            const WorkerId victim = addprocs(1).front();
            const auto doomed = spawn_at(victim, [i] {
                usleep(static_cast<useconds_t>(i) * 2000);
                raise(SIGKILL);
            });
            const auto array = make_array({victim, 2});
            DEMAND(reads_as_zeros(array));
            until([victim] { return has_ended(victim); });
            thrown_by<ProcessExitedException>([&] { fetch(doomed); });
            DEMAND(reads_as_zeros(make_array({victim, 2}))); // and those who are dead already
        }
        expect_nothing_left();
    });
}

TEST_CASE("an array made in a worker, of memory that was used before, holds zeros") {
    in_session(2, [] {
        std::fill_n(static_cast<char*>(make_array({2, 3}, 100 * mebibyte).address()),
                    100 * mebibyte, 'x');
        DEMAND(fetch_from(2, [] { return reads_as_zeros(make_array({2, 3}, 80 * mebibyte)); }));
        DEMAND(reads_as_zeros(make_array({3}, 40 * mebibyte), 40 * mebibyte));
    });
}

TEST_CASE("an array that does not fit leaves no page behind") {
    SessionOptions options;
    options.capacity = 256 * mebibyte;
    options.workers = 2;
    const Outcome outcome = outcome_of(options, [] {
        const std::size_t before = counters().memory_backed;
        thrown_by<SharedMemoryExhausted>([] { make_array({2, 3}, 250 * mebibyte); });
        until([] {
            everywhere([] {});
            return counters().objects == 0;
        });
        dshm::trim();
        DEMAND(counters().memory_backed <= before);
    });
    INFO(outcome.errors);
    CHECK(outcome.exited_with(0));
}

TEST_CASE("with several nodes of memory each part is preferred on its participant's") {
    // Read by the session's process, which is forked from here: two nodes, where there may be one.
    setenv("DSHM_NODES", "2", 1);
    const Outcome outcome = in_session(2, [] {
        std::vector<std::byte> room(3 * 4096);
        const auto page = base::round_up(reinterpret_cast<std::uintptr_t>(room.data()), 4096);
        if (!os::prefer_node(reinterpret_cast<std::byte*>(page), 4096, 0)) {
            std::puts("no policies");
            return;
        }
        const auto preferred = [](const runtime::ObjectHandle& array, std::size_t at) {
            return os::preferred_node(static_cast<const std::byte*>(array.address()) + at);
        };
        const runtime::ObjectHandle small(mebibyte, {.kind = runtime::object_kind::value});
        const std::byte* freed = nullptr;
        {
            const auto array = make_array({2, 3});
            DEMAND(reads_as_zeros(array));
            for (std::size_t at = 0; at < array_bytes; at += mebibyte)
                DEMAND(preferred(array, at).has_value());
            DEMAND(!preferred(small, 0));
            // The policy is the memory's, not the process's.
            DEMAND(fetch_from(2, [array, preferred] { return preferred(array, 0).has_value(); }));
            freed = static_cast<const std::byte*>(array.address());
            // Memory that has pages already gets others.
            std::fill_n(static_cast<char*>(array.address()), array_bytes, 'x');
        }
        DEMAND(reads_as_zeros(make_array({3, 2})));
        until([] {
            everywhere([] {});
            return counters().objects == 1;
        });
        dshm::trim();
        DEMAND(!os::preferred_node(freed));
    });
    unsetenv("DSHM_NODES");
    if (has(outcome.output, "no policies"))
        WARN("this system has no policies of memory: not tested");
}

TEST_CASE("on one node nothing is said about where pages lie") {
    setenv("DSHM_NODES", "1", 1);
    in_session(2, [] {
        const auto array = make_array({2, 3});
        DEMAND(!os::preferred_node(static_cast<const std::byte*>(array.address())));
    });
    unsetenv("DSHM_NODES");
}
