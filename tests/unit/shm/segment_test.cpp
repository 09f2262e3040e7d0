#include "catch.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>

#include <algorithm>
#include <string>
#include <vector>

#include "child_process.hpp"
#include "dshm/os/file_lock.hpp"
#include "dshm/shm/find_segment.hpp"
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

TEST_CASE("what is in the way of a name and is no segment is told, and let be") {
    const Segment probe = Segment::create(options("probe"));
    probe.unlink();
    if (probe.kind() == SegmentKind::anonymous)
        return;
    const std::string path =
        "/dev/shm/dshm." + std::to_string(getuid()) + ".in-the-way." + std::to_string(getpid());
    SegmentOptions named = options("in-the-way");
    named.name = "in-the-way." + std::to_string(getpid());
    REQUIRE(symlink("/etc/passwd", path.c_str()) == 0);
    CHECK_THROWS_WITH(Segment::create(named), contains(path) && contains("a symbolic link") &&
                                                  contains("user " + std::to_string(getuid())) &&
                                                  contains("choose another DSHM_NAME"));
    CHECK(unlink(path.c_str()) == 0);
    REQUIRE(mkdir(path.c_str(), 0700) == 0);
    CHECK_THROWS_WITH(Segment::create(named), contains("no regular file"));
    CHECK(rmdir(path.c_str()) == 0);
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

TEST_CASE("a segment that is unfinished, of another user or of another length is refused") {
    const Segment segment = Segment::create(options("checked"));
    segment.unlink();
    Header& header = segment.header();
    const auto state = header.state.exchange(static_cast<std::uint64_t>(SegmentState::making),
                                             std::memory_order_relaxed);
    CHECK_THROWS_WITH(Segment::adopt(duplicate(segment)),
                      contains("not ready") && contains("it has 0, expected 1"));
    header.state.store(state, std::memory_order_relaxed);
    ++header.user;
    CHECK_THROWS_WITH(Segment::adopt(duplicate(segment)),
                      contains("another user") && contains(std::to_string(getuid())));
    --header.user;
    const std::size_t size = segment.geometry().capacity;
    REQUIRE(ftruncate(segment.file(), static_cast<off_t>(size + 4096)) == 0);
    CHECK_THROWS_WITH(Segment::adopt(duplicate(segment)),
                      contains(std::to_string(size + 4096)) && contains(std::to_string(size)));
    REQUIRE(ftruncate(segment.file(), static_cast<off_t>(size)) == 0);
    CHECK_NOTHROW(Segment::adopt(duplicate(segment)));
    header.magic ^= 1;
    CHECK_THROWS_WITH(Segment::adopt(duplicate(segment)), contains("no segment of dshm"));
    CHECK_THROWS_WITH(Segment::adopt(Fd(open("/etc/hostname", O_RDONLY))), contains("too short"));
}

TEST_CASE("the header says which program made the segment") {
    SegmentOptions given = options("identified");
    given.build_id = "\x01\x02\x03";
    const Segment segment = Segment::create(given);
    segment.unlink();
    CHECK(segment.header().build_id[2] == 3);
    CHECK(segment.header().build_id[3] == 0);
    given.build_id = std::string(32, '\x7f');
    given.name += "2";
    const Segment other = Segment::create(given);
    other.unlink();
    CHECK(other.header().build_id[19] == 0x7f);
    CHECK(other.header().task_top.load(std::memory_order_relaxed) == 0);
}

TEST_CASE("any number of cleaners leave a name's next holder alone") {
    const SegmentOptions given = options("raced");
    const std::string path = "/dev/shm/dshm." + std::to_string(getuid()) + "." + given.name;
    for (int round = 0; round < 50; ++round) {
        REQUIRE(dshm::test::left_well(dshm::test::run_in_child([&] { Segment::create(given); })));
        std::vector<pid_t> cleaners;
        for (int i = 0; i < 3; ++i)
            cleaners.push_back(dshm::test::start_child([] { remove_stale_segments(); }));
        while (exists(path)) // the first of them has been at it; the others are still under way
            sched_yield();
        const Segment next = Segment::create(given);
        for (const pid_t cleaner : cleaners)
            CHECK(dshm::test::left_well(dshm::test::wait_for(cleaner)));
        CHECK(exists(path) == (next.kind() == SegmentKind::named));
        next.unlink();
    }
}

TEST_CASE("a cleaner that is at it keeps others from it") {
    const SegmentOptions given = options("locked");
    REQUIRE(dshm::test::left_well(dshm::test::run_in_child([&] { Segment::create(given); })));
    const std::string path = "/dev/shm/dshm." + std::to_string(getuid()) + "." + given.name;
    if (!exists(path))
        return; // anonymous here
    Fd file(open(path.c_str(), O_RDWR));
    REQUIRE(dshm::os::try_lock_bytes_for_open_file(file.get(), 0, 2));
    remove_stale_segments();
    CHECK(exists(path));
    file.reset();
    remove_stale_segments();
    CHECK_FALSE(exists(path));
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
