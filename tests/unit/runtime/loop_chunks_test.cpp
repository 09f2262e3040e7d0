// How loops are cut into chunks, who claims which, and what becomes of the chunks of the dead: states
// put into memory by hand, and threads that claim side by side.

#include <algorithm>
#include <numeric>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "dshm/runtime/loop_chunks.hpp"

using namespace dshm::runtime;

namespace {

std::vector<std::size_t> sizes(const LoopPlan& plan) {
    const ChunkStarts starts(plan);
    std::vector<std::size_t> sizes;
    for (std::size_t chunk = 0; chunk < plan.chunks; ++chunk)
        sizes.push_back(starts.first(chunk + 1) - starts.first(chunk));
    return sizes;
}

using Sizes = std::vector<std::size_t>;

// A loop's object in memory of its own.
struct Loop {
    explicit Loop(const LoopPlan& plan, std::size_t result_size = 8, bool travels = false)
        : memory(LoopChunks::bytes(plan, result_size, 0) / alignof(LoopHead) + 1),
          chunks(memory.data()) {
        chunks.lay_out(plan, result_size, 0);
        chunks.head().travels = travels;
    }
    std::size_t claimed_by(std::uint32_t number, std::uint32_t lane = 0, bool again = false) {
        ChunkCursor cursor(chunks, {number, lane, again});
        std::size_t count = 0;
        while (cursor.claim())
            ++count;
        return count;
    }

    struct alignas(LoopHead) Line {
        std::byte bytes[alignof(LoopHead)];
    };
    std::vector<Line> memory;
    LoopChunks chunks;
};

constexpr Participant first{0, 0, false};

} // namespace

TEST_CASE("the static split is Julia's") {
    CHECK(sizes(LoopPlan::split(10, 3)) == Sizes{4, 3, 3});
    CHECK(sizes(LoopPlan::split(11, 3)) == Sizes{4, 4, 3});
    CHECK(sizes(LoopPlan::split(2, 3)) == Sizes{1, 1});
    CHECK(sizes(LoopPlan::split(0, 3)).empty());
    CHECK(sizes(LoopPlan::split(3, 1)) == Sizes{3});
}

TEST_CASE("chunks of any plan cover the range once") {
    for (const std::size_t elements : {1u, 2u, 7u, 64u, 1000u, 99'991u})
        for (const std::size_t lanes : {1u, 2u, 7u, 64u, 255u})
            for (const std::size_t size : {1u, 3u, 50u, 100'000u})
                for (const LoopPlan& plan :
                     {LoopPlan::split(elements, lanes),
                      LoopPlan::equal(elements, size, lanes, LoopLanes::shared),
                      LoopPlan::guided(elements, size, lanes)}) {
                    const Sizes chunks = sizes(plan);
                    REQUIRE(std::accumulate(chunks.begin(), chunks.end(), std::size_t{0}) ==
                            elements);
                    REQUIRE(*std::min_element(chunks.begin(), chunks.end()) > 0);
                    REQUIRE(chunks.size() <= most_chunks);
                }
}

TEST_CASE("guided chunks become smaller, down to the smallest") {
    const Sizes chunks = sizes(LoopPlan::guided(1000, 10, 2));
    CHECK(chunks.front() == 250);
    CHECK(std::is_sorted(chunks.rbegin(), chunks.rend()));
    CHECK(*(chunks.end() - 2) == 10);
}

TEST_CASE("a loop has a bounded number of chunks") {
    CHECK(LoopPlan::equal(1'000'000, 1, 2, LoopLanes::shared).chunks <= most_chunks);
    CHECK(LoopPlan::guided(100'000'000, 1, 2).chunks <= most_chunks);
}

TEST_CASE("each chunk is claimed once, in order, by whoever comes") {
    Loop loop(LoopPlan::equal(10, 2, 2, LoopLanes::shared));
    ChunkCursor one(loop.chunks, {0, 0, false}), two(loop.chunks, {1, 1, false});
    CHECK(one.claim() == 0u);
    CHECK(two.claim() == 1u);
    CHECK(two.claim() == 2u);
    CHECK(one.claim() == 3u);
    CHECK(one.claim() == 4u);
    CHECK(!one.claim());
    CHECK(!two.claim());
    CHECK((loop.chunks.state(2) == ChunkState{ChunkPhase::claimed, 0, 1}));
}

TEST_CASE("lanes keep their chunks to themselves") {
    Loop split(LoopPlan::split(12, 3));
    CHECK(split.claimed_by(0, 1) == 1);
    CHECK(split.chunks.state(0).phase == ChunkPhase::free);
    CHECK(split.chunks.state(1).phase == ChunkPhase::claimed);
    Loop dealt(LoopPlan::equal(10, 1, 3, LoopLanes::dealt));
    CHECK(dealt.claimed_by(0, 0) == 4);
    CHECK(dealt.claimed_by(1, 2) == 3);
    CHECK(dealt.chunks.state(3).participant == 0);
    CHECK(dealt.chunks.state(8).participant == 1);
    CHECK(dealt.chunks.state(7).phase == ChunkPhase::free);
}

TEST_CASE("no chunk is begun once the loop was stopped") {
    Loop loop(LoopPlan::equal(10, 1, 2, LoopLanes::shared));
    ChunkCursor cursor(loop.chunks, first);
    CHECK(cursor.claim());
    loop.chunks.stop();
    CHECK(!cursor.claim());
    CHECK(loop.chunks.stopped());
}

TEST_CASE("threads that claim side by side share the chunks out") {
    constexpr std::size_t chunks = 20'000;
    Loop loop(LoopPlan::equal(chunks, 1, 3, LoopLanes::shared));
    std::vector<std::size_t> counts(3);
    {
        std::vector<std::jthread> threads;
        for (std::uint32_t number = 0; number < 3; ++number)
            threads.emplace_back([&, number] { counts[number] = loop.claimed_by(number); });
    }
    CHECK(counts[0] + counts[1] + counts[2] == chunks);
    std::vector<std::size_t> named(3);
    for (std::size_t chunk = 0; chunk < chunks; ++chunk)
        ++named[loop.chunks.state(chunk).participant];
    CHECK(named == counts);
}

TEST_CASE("what a dead participant had claimed is free again, or has failed") {
    Loop loop(LoopPlan::equal(4, 1, 2, LoopLanes::shared));
    const Participant dead{7, 0, false};
    REQUIRE(loop.chunks.claim(0, dead));
    REQUIRE(loop.chunks.claim(1, dead));
    REQUIRE(loop.chunks.claim(2, first));
    loop.chunks.finish(0, dead, ChunkPhase::done);
    SECTION("with a retry") {
        const auto loss = loop.chunks.take_back(dead, 1);
        CHECK((loss.chunks == 1 && !loss.last_straw));
        CHECK(loop.chunks.state(0).phase == ChunkPhase::done); // its result lies there
        CHECK(
            (loop.chunks.state(1).phase == ChunkPhase::free && loop.chunks.state(1).attempt == 1));
        CHECK(loop.chunks.state(2).phase == ChunkPhase::claimed);
        // Taking back again changes nothing: it may be stopped and started anew.
        CHECK(loop.chunks.take_back(dead, 1).chunks == 0);
        // The hint says that chunk 1 was claimed; whoever is sent after a death looks all the same.
        loop.chunks.head().next.store(4, std::memory_order_relaxed);
        CHECK(loop.claimed_by(8, 0, false) == 0);
        CHECK(loop.claimed_by(9, 0, true) == 2);
        CHECK(loop.chunks.take_back({9, 0, true}, 1).last_straw == 1u);
        for (const std::size_t chunk : {0, 1, 2, 3})
            CHECK((loop.chunks.state(chunk).phase == ChunkPhase::failed) == (chunk == 1));
    }
    SECTION("without one") {
        const auto loss = loop.chunks.take_back(dead, 0);
        CHECK((loss.chunks == 0 && loss.last_straw == 1u));
        CHECK(loop.chunks.state(1).phase == ChunkPhase::failed);
    }
}

TEST_CASE("results that travel with a participant are lost with it") {
    Loop loop(LoopPlan::equal(3, 1, 2, LoopLanes::shared), 0, true);
    const Participant dead{7, 0, false};
    REQUIRE(loop.chunks.claim(0, dead));
    loop.chunks.finish(0, dead, ChunkPhase::done);
    CHECK(loop.chunks.take_back(dead, 2).chunks == 1);
    CHECK(loop.chunks.state(0).phase == ChunkPhase::free);
}

TEST_CASE("a lane is done when all its chunks are") {
    Loop loop(LoopPlan::equal(4, 1, 2, LoopLanes::dealt));
    CHECK(!loop.chunks.all_done(0));
    for (const std::size_t chunk : {0, 2}) {
        REQUIRE(loop.chunks.claim(chunk, first));
        loop.chunks.finish(chunk, first, ChunkPhase::done);
    }
    CHECK(loop.chunks.all_done(0));
    CHECK(!loop.chunks.all_done(1));
}
