// Containers in the segment: filled by one process and read, changed and destroyed by another.

#include <boost/container/map.hpp>
#include <boost/container/string.hpp>
#include <boost/interprocess/containers/vector.hpp>

#include <deque>
#include <map>
#include <numeric>
#include <scoped_allocator>
#include <string>
#include <unordered_map>
#include <vector>

#include "dshm/memory_resource.hpp"
#include "dshm/runtime/process.hpp"
#include "dshm/segment_ptr.hpp"
#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

using Ints = boost::interprocess::vector<int, Allocator<int>>;
using StandardInts = std::vector<int, Allocator<int>>;
using Text = boost::container::basic_string<char, std::char_traits<char>, Allocator<char>>;
using TextMap =
    boost::container::map<int, Text, std::less<int>,
                          std::scoped_allocator_adaptor<Allocator<std::pair<const int, Text>>>>;
using Rows = std::vector<StandardInts, std::scoped_allocator_adaptor<Allocator<StandardInts>>>;
using Names = std::pmr::map<int, std::pmr::string>;

std::size_t blocks() { return runtime::current().heap().statistics().blocks_in_use; }

// What tasks have left behind is freed by whoever looks next.
void await_blocks(std::size_t number) {
    until([number] {
        fetch([] {});
        return blocks() <= number;
    });
}

struct Tracked {
    explicit Tracked(int v) : value(v) {
        if (v < 0)
            throw std::runtime_error("negative");
    }
    ~Tracked() { value = -1; }
    int value;
};

struct alignas(256) Wide {
    double values[32];
};

} // namespace

TEST_CASE("containers of Boost and of the standard library are filled by one worker and read by "
          "another") {
    in_session(2, [] {
        const auto ints = construct<Ints>();
        const auto standard = construct<StandardInts>(3u, 7);
        const auto texts = construct<TextMap>();
        const auto rows = construct<Rows>();
        const auto names = construct<Names>();
        fetch_from(2, [=] {
            for (int i = 0; i < 10'000; ++i) {
                ints->push_back(i);
                standard->push_back(i);
            }
            (*texts)[5] = "a text that is too long to lie in the string itself, and so has a block";
            rows->emplace_back(1000, 3);
            for (int i = 0; i < 100; ++i)
                names->emplace(i, std::to_string(i) + " and so on, long enough for a block");
        });
        const auto sum = fetch_from(3, [=] {
            long total = std::accumulate(ints->begin(), ints->end(), 0L);
            total += std::accumulate(standard->begin(), standard->end(), 0L);
            total += std::accumulate(rows->front().begin(), rows->front().end(), 0L);
            return total + static_cast<long>(texts->at(5).size() + names->at(42).size());
        });
        DEMAND(sum == 2 * 49'995'000L + 21 + 3000 +
                          static_cast<long>((*texts)[5].size() + names->at(42).size()));
        DEMAND((*names)[99].starts_with("99 and"));
        fetch_from(3, [=] { // freed by another process
            destroy(ints);
            destroy(texts);
            destroy(names);
        });
        destroy(standard);
        destroy(rows);
    });
}

TEST_CASE("what was in the segment is given back with its container") {
    in_session(2, [] {
        fetch_from(2, [] {});
        fetch_from(3, [] {});
        const std::size_t before = blocks();
        for (int round = 0; round < 3; ++round) {
            const auto rows = construct<Rows>();
            const auto names = construct<Names>();
            fetch_from(2, [=] {
                for (int i = 0; i < 100; ++i) {
                    rows->emplace_back(static_cast<std::size_t>(i) * 100, i);
                    names->emplace(i, std::string(static_cast<std::size_t>(i), 'x'));
                }
            });
            DEMAND(blocks() > before + 100);
            destroy(rows);
            fetch_from(3, [=] { destroy(names); });
        }
        await_blocks(before);
    });
}

TEST_CASE("containers with offset pointers can be read where the segment lies elsewhere") {
    in_session(0, [] {
        const auto ints = construct<Ints>(1000u, 3);
        const auto standard = construct<StandardInts>(1000u, 4);
        const auto rows = construct<Rows>();
        rows->emplace_back(10, 5);
        using Queue = std::deque<int, Allocator<int>>;
        const auto queue = construct<Queue>(5000u, 6);
        const auto texts = construct<TextMap>();
        (*texts)[1] = "one";
        (*texts)[2] = std::string(100, 'z').c_str();

        const shm::Segment& segment = runtime::current().segment();
        const os::Mapping elsewhere(segment.file(), segment.geometry().capacity);
        DEMAND(elsewhere.data() != segment.base());
        const auto there = [&]<class T>(SegmentPtr<T> pointer) -> const T& {
            return *reinterpret_cast<const T*>(elsewhere.data() + segment.offset_of(pointer.get()));
        };
        DEMAND(std::accumulate(there(ints).begin(), there(ints).end(), 0) == 3000);
        DEMAND(std::accumulate(there(standard).begin(), there(standard).end(), 0) == 4000);
        DEMAND(std::accumulate(there(queue).begin(), there(queue).end(), 0) == 30'000);
        DEMAND(&there(standard)[0] != standard->data());
        DEMAND(there(rows)[0][9] == 5);
        DEMAND(there(texts).at(1) == "one" && there(texts).at(2).size() == 100);
        for (const auto& pair : there(texts))
            DEMAND(reinterpret_cast<const std::byte*>(&pair) >= elsewhere.data());
    });
}

TEST_CASE("pointers into the segment travel as numbers and know where they belong") {
    in_session(2, [] {
        const auto object = construct<Tracked>(5);
        DEMAND(fetch_from(
                   2, [](SegmentPtr<Tracked> p) { return p; }, object) == object);
        DEMAND(fetch_from(3, [object] { return ++object->value; }) == 6 && (*object).value == 6);
        const SegmentPtr<Tracked> null;
        DEMAND(!null && null.get() == nullptr && null != object && null < object);
        DEMAND(SegmentPtr<Tracked>(object.get()) == object);
        const SegmentPtr<const Tracked> read_only = object;
        DEMAND(read_only->value == 6);
        DEMAND(fetch_from(2, [null] { return !null; }));
        const SharedVector<int> array(10);
        const SegmentPtr<int> element(&array[5]);
        fetch_from(2, [element] { *element = 55; });
        DEMAND(array[5] == 55);
        int local = 0;
        DEMAND(
            has(thrown_by<std::invalid_argument>([&] { SegmentPtr<int> p(&local); }), "segment"));
        const std::vector<SegmentPtr<Tracked>> many(3, object);
        DEMAND(fetch_from(
                   3, [](const std::vector<SegmentPtr<Tracked>>& all) { return all[2]->value; },
                   many) == 6);
        destroy(null);
        destroy(object);
    });
}

TEST_CASE("a constructor that fails leaves nothing, and alignment is kept") {
    in_session(0, [] {
        const std::size_t before = blocks();
        thrown_by<std::runtime_error>([] { construct<Tracked>(-1); });
        DEMAND(blocks() == before);
        const auto wide = construct<std::vector<Wide, Allocator<Wide>>>(10u);
        DEMAND(reinterpret_cast<std::uintptr_t>(&(*wide)[0]) % 256 == 0);
        destroy(wide);
        void* const aligned = memory_resource()->allocate(10, 4096);
        DEMAND(reinterpret_cast<std::uintptr_t>(aligned) % 4096 == 0);
        memory_resource()->deallocate(aligned, 10, 4096);
        thrown_by<std::bad_alloc>(
            [] { static_cast<void>(memory_resource()->allocate(10, 1 << 20)); });
        DEMAND(blocks() == before);
    });
}

TEST_CASE("a full segment is an error and the container stays as it was") {
    SessionOptions options;
    options.workers = 1;
    options.capacity = std::size_t{160} << 20;
    const Outcome outcome = outcome_of(options, [] {
        const auto ints = construct<Ints>(100u, 1);
        thrown_by<SharedMemoryExhausted>([&] { ints->resize(1u << 30); });
        DEMAND(ints->size() == 100 && (*ints)[99] == 1);
        thrown_by<std::length_error>(
            [] { static_cast<void>(Allocator<long>().allocate(~std::size_t{0} / 4)); });
        const auto list = construct<std::pmr::vector<std::pmr::string>>();
        thrown_by<SharedMemoryExhausted>([&] {
            for (;;)
                list->emplace_back(std::size_t{1} << 20, 'x');
        });
        destroy(list);
        ints->resize(1'000'000);
        destroy(ints);
    });
    INFO(outcome.errors);
    CHECK(outcome.exited_with(0));
}

TEST_CASE("a worker that is killed while it fills a container leaves it to the others") {
    in_session(2, [] {
        fetch_from(3, [] {});
        const std::size_t before = blocks();
        const auto names = construct<Names>();
        const Flag filling;
        const auto never = spawn_at(2, [names, filling] {
            for (int i = 0;; ++i) {
                names->emplace(i, "a text that is long enough for a block of its own");
                if (i == 1000)
                    filling.raise();
                if (i >= 1000)
                    for (;;)
                        sched_yield();
            }
        });
        filling.await();
        kill_worker(2);
        thrown_by<ProcessExitedException>([&] { fetch(never); });
        DEMAND(fetch_from(3, [names] { return names->size(); }) == 1001);
        fetch_from(3, [names] { names->emplace(-1, "by another"); });
        destroy(names);
        await_blocks(before + 1); // the flag
    });
}

TEST_CASE("freeing what was not allocated is said, and does nothing") {
    const Outcome outcome = in_session(0, [] {
        const auto block = Allocator<int>().allocate(10);
        Allocator<int>().deallocate(block, 10);
        Allocator<int>().deallocate(block, 10);
        const SharedVector<int> array(1000);
        Allocator<int>().deallocate(array.data(), 1000);
        DEMAND(array.at(5) == 0);
    });
    CHECK(times(outcome.errors, "no block of a dshm::Allocator") == 2);
}
