// The bytes of the segment as written down: a change here is a change of the ABI and needs a new
// abi_number.
#include "catch.hpp"

#include <cstddef>

#include "dshm/shm/shm.hpp"

using namespace dshm::shm;

namespace {

constexpr Owner somebody{0x12, 0x3456};

// Offsets that strangers (tools, other languages) read by.
static_assert(offsetof(Header, magic) == 0 && offsetof(Header, abi) == 8 &&
              offsetof(Header, user) == 12 && offsetof(Header, layout_hash) == 16 &&
              offsetof(Header, state) == 24 && offsetof(Header, seed) == 32 &&
              offsetof(Header, master_pid) == 40 && offsetof(Header, name) == 48);
static_assert(offsetof(Header, geometry) == 128 && sizeof(Geometry) == 88);
static_assert(offsetof(Header, build_id) == 216);
static_assert(offsetof(Header, bar_columns) == 112 && offsetof(Header, master_address) == 120 &&
              offsetof(Header, huge_pages) == 240);
static_assert(offsetof(Header, task_top) == 256 && offsetof(Header, object_top) == 384 &&
              offsetof(Header, heap_top) == 512 && offsetof(Header, membership_epoch) == 640 &&
              offsetof(Header, table_waiters) == 1280 && offsetof(Header, kept_calls) == 1408 &&
              offsetof(Header, default_pool) == 1536 && offsetof(Header, joins) == 1664 &&
              offsetof(Header, tag_readers) == 1792 && offsetof(Header, made_since_look) == 1920 &&
              sizeof(Header) == 2048);
static_assert(abi_number == 5, "what is asserted here is what this number stands for");
static_assert(join_places * sizeof(Word64) == 128 && sizeof(ProcessMask) == max_processes / 8);
static_assert(sizeof(ChunkRecord) == 16 && offsetof(ChunkRecord, state) == 0 &&
              offsetof(ChunkRecord, tag) == 8);
static_assert(sizeof(ObjectRecord) == 128 && offsetof(ObjectRecord, state) == 0 &&
              offsetof(ObjectRecord, block) == 8 && offsetof(ObjectRecord, bytes) == 16 &&
              offsetof(ObjectRecord, kind) == 24 && offsetof(ObjectRecord, type_hash) == 32 &&
              offsetof(ObjectRecord, user) == 40 && offsetof(ObjectRecord, holders) == 72 &&
              offsetof(ObjectRecord, name_hash) == 104);

} // namespace

TEST_CASE("regions start on chunks and do not overlap") {
    const Geometry g = Geometry::of(std::size_t{3} << 30);
    CHECK(g.processes % chunk_size == 0);
    CHECK(g.tasks % chunk_size == 0);
    CHECK(g.objects % chunk_size == 0);
    CHECK(g.chunks % chunk_size == 0);
    CHECK(g.heap % extent_size == 0);
    CHECK(g.modules >= sizeof(Header));
    CHECK(g.obituaries >= g.modules + module_region_size);
    CHECK(g.backing >= g.obituaries + obituary_region_size);
    CHECK(g.processes >= g.backing + g.capacity / extent_size * sizeof(Word64));
    CHECK(g.tasks >= g.processes + max_processes * process_area_size);
    CHECK(g.objects >= g.tasks + max_tasks * task_record_size);
    CHECK(g.chunks >= g.objects + max_objects * object_record_size);
    CHECK(g.heap >= g.chunks + g.heap_chunks * chunk_record_size);
    CHECK(g.heap + g.heap_chunks * chunk_size == g.capacity);
}

TEST_CASE("the words of the heap") {
    CHECK(Tag{}.bits == 0);
    CHECK(Tag::own(somebody).bits == 0xd500'0000'0345'6121);
    CHECK(Tag::argument(0xabcde, 0x89abcdef).bits == 0xd589'abcd'efab'cde2);
    CHECK(Tag::result(1, 2).bits == 0xd500'0000'0200'0013);
    CHECK(Tag::object(1, 2).bits == 0xd500'0000'0200'0014);
    CHECK(Tag::leaving(somebody).bits == 0xd500'0000'0345'6125);
    CHECK(Tag::warm(somebody, 7).bits == 0xd500'0000'7345'6126);
    CHECK(Tag::session().bits == 0xd500'0000'0000'0007);
    CHECK(ChunkState::clean().bits == 0);
    CHECK(ChunkState::free().bits == 1);
    CHECK(ChunkState::small(5, somebody).bits == 0x5'3456'1202);
    CHECK(ChunkState::part(somebody).bits == 0x3456'1203);
    CHECK(ChunkState::pristine_part(somebody).bits == 0x1'3456'1203);
    CHECK(ChunkState::head(9).bits == 0x9'0000'0004);
    CHECK(ChunkState::orphan(5).bits == 0x5'0000'0005);
}

TEST_CASE("what is put into a word comes out of it") {
    CHECK(Tag::own(somebody).owner() == somebody);
    CHECK(Tag::argument(65'535, ~0u).index() == 65'535);
    CHECK(Tag::argument(65'535, ~0u).generation() == ~0u);
    CHECK(Tag::warm(somebody, 1u << 27).chunks() == 1u << 27);
    CHECK(Tag::warm(somebody, 1u << 27).owner() == somebody);
    CHECK(Tag{0x1234}.kind() == TagKind::foreign);
    CHECK(Tag{~std::uint64_t{0}}.kind() == TagKind::foreign);
    CHECK(ChunkState::small(29, somebody).owner() == somebody);
    CHECK(ChunkState::small(29, somebody).size_class() == 29);
    CHECK(ObjectState::make(ObjectPhase::freeing, 77, somebody).owner() == somebody);
    CHECK(ObjectState::make(ObjectPhase::freeing, 77, somebody).generation() == 77);
    CHECK(ObjectState::make(ObjectPhase::freeing, 77, somebody).phase() == ObjectPhase::freeing);
}

TEST_CASE("the size classes") {
    const std::pair<std::uint32_t, std::uint32_t> expected[] = {
        {64, 910},  {128, 481}, {192, 327}, {256, 248}, {320, 199}, {384, 167},
        {448, 143}, {512, 126}, {640, 101}, {768, 84},  {896, 72},  {1024, 63},
        {1280, 50}, {1536, 42}, {1792, 36}, {2048, 31}, {2560, 25}, {3072, 21},
        {3584, 18}, {4352, 15}, {5440, 12}, {6528, 10}, {7232, 9},  {8128, 8},
        {9344, 7},  {10880, 6}, {13056, 5}, {16320, 4}, {21824, 3}, {32704, 2},
    };
    REQUIRE(size_class_count == std::size(expected));
    for (std::size_t i = 0; i < size_class_count; ++i) {
        CAPTURE(i);
        CHECK(size_classes[i].block_size == expected[i].first);
        CHECK(size_classes[i].block_count == expected[i].second);
    }
}
