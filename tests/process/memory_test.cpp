// What is in the heap is what counters() says, and arrays that are dropped leave nothing behind.
#include "session_case.hpp"

#include <dirent.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

#include "dshm/memory.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

constexpr std::size_t mebibyte = std::size_t{1} << 20;
constexpr std::size_t chunk_bytes = std::size_t{1} << 16;

// Number of open files of a process.
std::size_t open_files(pid_t process) {
    DIR* const directory = opendir(("/proc/" + std::to_string(process) + "/fd").c_str());
    std::size_t count = 0;
    while (const dirent* entry = directory == nullptr ? nullptr : readdir(directory))
        count += entry->d_name[0] != '.' ? 1 : 0;
    if (directory != nullptr)
        closedir(directory);
    return count;
}

// What a session has open and in use when nothing goes on.
struct Remains {
    std::size_t files = 0; // of all processes
    std::size_t objects = 0;
    std::size_t blocks = 0;
    std::size_t used = 0;
    std::size_t backed = 0;

    bool operator==(const Remains&) const = default;
};

Remains remains() {
    everywhere([] {}); // results that are looked at are let go of
    dshm::trim();
    std::set<pid_t> processes{getpid()};
    for (const WorkerId worker : workers()) {
        processes.insert(worker_info(worker).os_pid);
        processes.insert(fetch_from(worker, [] { return getppid(); })); // the launcher
    }
    const Counters now = counters();
    Remains found{0, now.objects, now.heap_blocks, now.heap_used, now.memory_backed};
    for (const pid_t process : processes)
        found.files += open_files(process);
    return found;
}

// `work` once, for what stays for good with the first, then again and again.
template <class Work>
void expect_nothing_of(Work&& work) {
    work();
    const Remains before = remains();
    DEMAND(before.files >= 4 * 3 && before.backed >= before.used);
    work();
    Remains after;
    until([&] {
        after = remains();
        return after.objects <= before.objects && after.blocks <= before.blocks;
    });
    DEMAND(after.files == before.files);
    DEMAND(after.objects == before.objects);
    DEMAND(after.blocks == before.blocks);
    DEMAND(after.used == before.used);
    DEMAND(after.backed <= before.backed + mebibyte); // half-used chunks of small blocks
}

// A byte to 4 MiB, as many small ones as large ones.
std::size_t any_size(std::mt19937& random) {
    const unsigned bits = std::uniform_int_distribution<unsigned>(0, 21)(random);
    return (std::size_t{1} << bits) + random() % (std::size_t{1} << bits);
}

void use(const SharedArray<char>& array) {
    const std::size_t last = array.size() - 1;
    DEMAND(array[0] == 0 && array[last] == 0);
    array[0] = array[last] = 'x';
}

} // namespace

TEST_CASE("a thousand arrays of 1 MiB leave nothing behind") {
    in_session(2, [] {
        expect_nothing_of([] {
            for (int i = 0; i < 1000; ++i)
                use(SharedArray<char>(mebibyte));
        });
    });
}

TEST_CASE("a thousand arrays of all sizes, several at a time, leave nothing behind") {
    in_session(2, [] {
        expect_nothing_of([] {
            std::mt19937 random(7);
            std::vector<SharedArray<char>> held;
            for (int i = 0; i < 1000; ++i) {
                const SharedArray<char> made(any_size(random));
                use(made);
                if (held.size() < 10)
                    held.push_back(made);
                else
                    held[random() % held.size()] = made;
            }
        });
    });
}

TEST_CASE("a thousand arrays that were made or used elsewhere leave nothing behind") {
    in_session(2, [] {
        expect_nothing_of([] {
            std::mt19937 random(8);
            for (int i = 0; i < 500; ++i) {
                const std::size_t size = any_size(random);
                const SharedArray<char> here(size);
                fetch_from(2, [here] { use(here); });
                const auto there = fetch_from(3, [size] { return SharedArray<char>(size); });
                use(there);
                DEMAND(here[0] == 'x');
            }
        });
    });
}

TEST_CASE("the numbers of the heap follow an array") {
    in_session(1, [] {
        remains();
        const Counters none = counters();
        DEMAND(none.heap_warm == 0);
        DEMAND(none.heap_used <= none.memory_backed && none.memory_backed < none.heap_capacity);
        DEMAND(none.heap_capacity <= runtime::current().segment().geometry().capacity);

        // The elements, and the note behind them.
        const std::size_t size = 10 * mebibyte, whole = size + chunk_bytes;
        {
            const SharedArray<char> array(size);
            const Counters one = counters();
            DEMAND(one.objects == none.objects + 1);
            DEMAND(one.heap_blocks == none.heap_blocks + 1);
            DEMAND(one.heap_used == none.heap_used + whole);
            DEMAND(one.memory_backed >= none.memory_backed + whole);
            DEMAND(one.heap_warm == 0);
            DEMAND(one.heap_capacity == none.heap_capacity);
            const Counters there = fetch_from(2, [] { return counters(); });
            DEMAND(there.memory_backed == counters().memory_backed);
            DEMAND(there.heap_capacity == none.heap_capacity);
        }
        everywhere([] {});
        const Counters warm = counters();
        DEMAND(warm.objects == none.objects);
        DEMAND(warm.heap_blocks == none.heap_blocks);
        DEMAND(warm.heap_used == none.heap_used);
        DEMAND(warm.heap_warm == whole);

        DEMAND(dshm::trim() >= whole);
        const Counters cold = counters();
        DEMAND(cold.heap_warm == 0);
        DEMAND(cold.heap_used == none.heap_used);
        DEMAND(cold.memory_backed <= warm.memory_backed - whole);
        DEMAND(dshm::trim() == 0);
    });
}

TEST_CASE(
    "what is too large to be kept warm is free at once, and what is small counts by its block") {
    in_session(1, [] {
        remains();
        const Counters none = counters();
        {
            const SharedArray<char> large(80 * mebibyte);
            DEMAND(counters().heap_used >= none.heap_used + 80 * mebibyte);
        }
        const Counters free = counters();
        DEMAND(free.heap_warm == 0);
        DEMAND(free.heap_free >= none.heap_free + 80 * mebibyte);
        DEMAND(free.memory_backed >= none.memory_backed + 80 * mebibyte);

        std::vector<SharedArray<char>> small;
        for (int i = 0; i < 1000; ++i)
            small.emplace_back(100);
        const Counters many = counters();
        DEMAND(many.objects == none.objects + 1000);
        DEMAND(many.heap_blocks == none.heap_blocks + 1000);
        const std::size_t each = (many.heap_used - none.heap_used) / 1000;
        DEMAND(each * 1000 == many.heap_used - none.heap_used);
        DEMAND((each >= 128 && each <= 512 && each % 64 == 0));
        small.clear();
        DEMAND(counters().heap_blocks == none.heap_blocks);
        DEMAND(counters().heap_used == none.heap_used);
        DEMAND(dshm::trim() >= 80 * mebibyte);
        DEMAND(counters().memory_backed <= free.memory_backed - 80 * mebibyte);
    });
}

TEST_CASE("a difference of counters has what there is later") {
    in_session(1, [] {
        const Counters before = counters();
        const SharedArray<char> array(mebibyte);
        fetch_from(2, [] {});
        const Counters after = counters();
        const Counters difference = after - before;
        DEMAND(difference.tasks_spawned == 1);
        DEMAND(difference.objects == after.objects);
        DEMAND(difference.heap_blocks == after.heap_blocks);
        DEMAND(difference.heap_used == after.heap_used);
        DEMAND(difference.heap_capacity == after.heap_capacity);
        DEMAND(difference.memory_backed == after.memory_backed);
    });
}

TEST_CASE("trim takes the warm memory of all processes, and may be called by any") {
    in_session(2, [] {
        remains();
        const auto make_and_drop = [] { use(SharedArray<char>(5 * mebibyte)); };
        for (const WorkerId worker : procs())
            fetch_from(worker, make_and_drop);
        DEMAND(counters().heap_warm >= 15 * mebibyte);
        DEMAND(fetch_from(3, [] { return dshm::trim(); }) >= 15 * mebibyte);
        DEMAND(counters().heap_warm == 0);
        for (const WorkerId worker : procs())
            fetch_from(worker, make_and_drop); // which reads as zeros again
    });
}

TEST_CASE("without a session there is nothing to trim") {
    CHECK(has(thrown_by<std::logic_error>([] { dshm::trim(); }), "dshm: "));
}
