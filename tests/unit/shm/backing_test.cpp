#include "catch.hpp"

#include <sched.h>
#include <sys/mount.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "child_process.hpp"
#include "dshm/shm/heap.hpp"
#include "dshm/shm/object_table.hpp"
#include "test_segment.hpp"

using namespace dshm::shm;
using dshm::SharedMemoryExhausted;
using dshm::test::demand;
using dshm::test::make_segment;

namespace {

constexpr Owner me{2, 1};
constexpr Tag mine = Tag::own(me);
constexpr std::size_t mebibyte = std::size_t{1} << 20;
constexpr int cannot_mount = 77;

// Makes /dev/shm a small file system of this process's own. Needs to be allowed a user namespace,
// or to be root.
void mount_small_directory(const char* size) {
    const bool apart = unshare(CLONE_NEWNS) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0;
    if (!apart || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("dshm", "/dev/shm", "tmpfs", 0, size) != 0)
        _exit(cannot_mount);
}

void use_all_of_it() {
    mount_small_directory("size=40m");
    Segment segment = make_segment();
    Heap heap(segment, me);
    ObjectTable objects(segment, heap, me);
    objects.release(objects.create(64, {})); // gives the object table its first page
    std::vector<Block> blocks;
    // The request that fails does not spoil the rest.
    try {
        heap.allocate(60 * mebibyte, mine);
        demand(false, "60 MiB do not fit into 40");
    } catch (const SharedMemoryExhausted& error) {
        demand(error.asked() == 60 * mebibyte, "asked");
        demand(error.left() > 30 * mebibyte && error.left() < 40 * mebibyte, "left");
        demand(std::strstr(error.what(), "/dev/shm") != nullptr, "the remedy");
    }
    try {
        for (;;)
            blocks.push_back(heap.allocate(blocks.size() % 2 == 0 ? 3000 : 300'000, mine));
    } catch (const SharedMemoryExhausted&) {
    }
    demand(blocks.size() > 180, "nearly all of the file system was had");
    for (const Block& block : blocks) // no SIGBUS
        std::memset(segment.at<void>(block.offset), 0xff, block.size);
    for (const Block& block : blocks)
        demand(heap.free(block.offset, mine), "free");
    // What was given back is found again, as large pieces and as objects.
    heap.trim();
    const Block large = heap.allocate(10 * mebibyte, mine);
    std::memset(segment.at<void>(large.offset), 1, large.size);
    demand(heap.free(large.offset, mine), "free of the large block");
    try {
        for (int i = 0; i < 100; ++i)
            objects.create(mebibyte, {});
        demand(false, "100 MiB do not fit into 40");
    } catch (const SharedMemoryExhausted&) {
    }
    demand(objects.live_count() > 20, "objects in what was given back");
    const HeapStatistics count = heap.statistics();
    demand(count.accounted() == count.opened && count.unfinished == 0, "account");
}

} // namespace

TEST_CASE("chunks are backed when they are asked for") {
    const Segment segment = make_segment();
    Backing backing = segment.backing();
    const Offset heap = segment.geometry().heap;
    const std::size_t before = backing.backed_bytes();
    CHECK_FALSE(backing.backed(heap / chunk_size));
    backing.ensure(heap + chunk_size - 1, 2);
    CHECK(backing.backed(heap / chunk_size));
    CHECK(backing.backed(heap / chunk_size + 1));
    CHECK_FALSE(backing.backed(heap / chunk_size + 2));
    CHECK(backing.backed_bytes() == before + 2 * chunk_size);
    backing.ensure(heap, 2 * chunk_size);
    CHECK(backing.backed_bytes() == before + 2 * chunk_size);
    backing.ensure(heap, 30 * mebibyte); // in several calls
    CHECK(backing.backed_bytes() == before + 30 * mebibyte);
}

TEST_CASE("a full /dev/shm is an exception at the call that asked, never a signal") {
    const int status = dshm::test::run_in_child(use_all_of_it);
    if (WIFEXITED(status) && WEXITSTATUS(status) == cannot_mount)
        WARN("no private mount is allowed here: not tested");
    else
        CHECK(dshm::test::left_well(status));
}

TEST_CASE("a token /dev/shm is not used: the segment has no name then") {
    const int status = dshm::test::run_in_child([] {
        mount_small_directory("size=1m");
        Segment segment = make_segment();
        demand(segment.kind() == SegmentKind::anonymous && segment.link_name().empty(), "no name");
        Heap heap(segment, me);
        const Block block = heap.allocate(20 * mebibyte, mine);
        std::memset(segment.at<void>(block.offset), 1, block.size);
        const Segment other = Segment::adopt(dshm::os::Fd(dup(segment.file())));
        demand(other.kind() == SegmentKind::anonymous, "adopted as what it is");
    });
    if (WIFEXITED(status) && WEXITSTATUS(status) == cannot_mount)
        WARN("no private mount is allowed here: not tested");
    else
        CHECK(dshm::test::left_well(status));
}
