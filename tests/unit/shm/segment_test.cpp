#include "catch.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <string>

#include "child_process.hpp"
#include "dshm/shm/segment.hpp"

using namespace dshm::shm;
using dshm::os::Fd;
using dshm::test::contains;

namespace {

SegmentOptions options(const std::string& name) {
    SegmentOptions result;
    result.name = "segment_test." + std::to_string(getpid()) + "." + name;
    result.capacity = min_capacity;
    return result;
}

std::string path_of(const Segment& segment) { return "/dev/shm/" + segment.link_name(); }

bool exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

Fd duplicate(const Segment& segment) { return Fd(dup(segment.file())); }

} // namespace

TEST_CASE("a segment is linked complete, for its user alone, and unlinked once") {
    const Segment segment = Segment::create(options("linked"));
    if (segment.kind() == SegmentKind::anonymous) {
        WARN("/dev/shm is too small here: nothing is linked");
        return;
    }
    struct stat info {};
    REQUIRE(stat(path_of(segment).c_str(), &info) == 0);
    CHECK((info.st_mode & 0777) == 0600);
    CHECK(static_cast<std::size_t>(info.st_size) == segment.geometry().capacity);
    CHECK(info.st_blocks * 512 < 1 << 20); // sparse
    CHECK(segment.header().magic == segment_magic);
    CHECK_THROWS_WITH(Segment::create(options("linked")), contains("already exists"));
    segment.unlink();
    CHECK_FALSE(exists(path_of(segment)));
    segment.unlink();
}

TEST_CASE("unlinking leaves another segment of the same name alone") {
    const Segment first = Segment::create(options("twice"));
    first.unlink();
    const Segment second = Segment::create(options("twice"));
    first.unlink();
    CHECK(exists(path_of(second)) == (second.kind() == SegmentKind::named));
    second.unlink();
}

TEST_CASE("names and capacities are checked") {
    for (const char* name : {"", "a/b", "a b", "\xc3\xa9", "..\n"}) {
        SegmentOptions bad;
        bad.name = name;
        CHECK_THROWS_AS(Segment::create(bad), std::invalid_argument);
    }
    SegmentOptions bad = options("small");
    bad.capacity = 4096;
    CHECK_THROWS_WITH(Segment::create(bad), contains("128 MiB"));
    bad.name = std::string(64, 'x');
    CHECK_THROWS_AS(Segment::create(bad), std::invalid_argument);
}

TEST_CASE("a relative adopts the segment by its file, at another address") {
    const Segment segment = Segment::create(options("adopted"));
    const Segment other = Segment::adopt(duplicate(segment));
    CHECK(other.base() != segment.base());
    CHECK(other.geometry() == segment.geometry());
    CHECK(other.kind() == segment.kind());
    CHECK(other.link_name() == segment.link_name());
    segment.header().seed = 4711;
    CHECK(other.header().seed == 4711);
    segment.unlink();
}

TEST_CASE("a segment of another build is refused with both versions") {
    const Segment segment = Segment::create(options("build"));
    segment.unlink();
    segment.header().abi = 77;
    CHECK_THROWS_WITH(Segment::adopt(duplicate(segment)), contains("abi 77"));
    segment.header().abi = abi_number;
    segment.header().layout_hash ^= 1;
    CHECK_THROWS_WITH(Segment::adopt(duplicate(segment)), contains("layout"));
    segment.header().layout_hash ^= 1;
    segment.header().geometry.heap += 64;
    CHECK_THROWS_WITH(Segment::adopt(duplicate(segment)), contains("damaged"));
    segment.header().geometry.heap -= 64;
    CHECK_NOTHROW(Segment::adopt(duplicate(segment)));
    CHECK_THROWS(Segment::adopt(Fd(open("/dev/null", O_RDWR))));
}

TEST_CASE("what nobody holds is stale and goes, what somebody holds stays") {
    const Segment live = Segment::create(options("live"));
    if (live.kind() == SegmentKind::anonymous)
        return;
    std::string stale_path;
    const SegmentOptions stale = options("stale");
    REQUIRE(dshm::test::left_well(dshm::test::run_in_child([&] { Segment::create(stale); })));
    stale_path = "/dev/shm/dshm." + std::to_string(getuid()) + "." + stale.name;
    REQUIRE(exists(stale_path));
    const auto removed = remove_stale_segments();
    CHECK(std::count(removed.begin(), removed.end(), stale_path.substr(9)) == 1);
    CHECK_FALSE(exists(stale_path));
    CHECK(exists(path_of(live)));
    live.unlink();
}
