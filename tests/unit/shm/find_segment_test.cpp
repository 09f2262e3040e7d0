// Segments that are opened by their names: nothing of a file is believed before it is checked.
#include "catch.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "child_process.hpp"
#include "dshm/os/file_lock.hpp"
#include "dshm/shm/find_segment.hpp"

using namespace dshm::shm;
using dshm::os::Fd;
using dshm::test::contains;

namespace {

std::string unique(const std::string& name) {
    return "find_segment." + std::to_string(getpid()) + "." + name;
}
std::string link_of(const std::string& name) {
    return "dshm." + std::to_string(getuid()) + "." + unique(name);
}
std::string path_of(const std::string& name) { return "/dev/shm/" + link_of(name); }

SegmentOptions options(const std::string& name) {
    SegmentOptions result;
    result.name = unique(name);
    result.capacity = min_capacity;
    return result;
}

// A file under a segment's name, gone with this object.
class File {
public:
    File(const std::string& name, const std::vector<char>& bytes, mode_t mode = 0600)
        : path_(path_of(name)), file_(open(path_.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600)) {
        REQUIRE(write(file_.get(), bytes.data(), bytes.size()) ==
                static_cast<ssize_t>(bytes.size()));
        REQUIRE(fchmod(file_.get(), mode) == 0);
    }
    ~File() { unlink(path_.c_str()); }
    int number() const { return file_.get(); }

private:
    std::string path_;
    Fd file_;
};

// The file of a good segment whose header is changed.
template <class Change>
void check_refused(const std::string& name, Change&& change, const std::string& one,
                   const std::string& other) {
    const Segment segment = Segment::create(options(name));
    change(segment);
    CHECK_THROWS_WITH(open_segment(link_of(name)), contains("dshm: attach: " + path_of(name)) &&
                                                       contains(one) && contains(other));
    segment.unlink();
}

bool anonymous() {
    const Segment segment = Segment::create(options("probe"));
    segment.unlink();
    return segment.kind() == SegmentKind::anonymous;
}

} // namespace

TEST_CASE("names of sessions and of links") {
    const std::string mine = "dshm." + std::to_string(getuid()) + ".";
    CHECK(link_name_of("weather") == mine + "weather");
    CHECK(link_name_of(mine + "weather") == mine + "weather");
    CHECK(link_name_of("dshm.4711.weather") == "dshm.4711.weather");
    CHECK(link_name_of("dshm.x") == mine + "dshm.x");
    CHECK(link_name_of("dshm..x") == mine + "dshm..x");
    CHECK(link_name_of("dshm.1.") == mine + "dshm.1.");
    for (const std::string name : {"", "a/b", "../x"})
        CHECK_THROWS_AS(link_name_of(name), std::invalid_argument);
    CHECK_THROWS_AS(link_name_of(std::string("a\0b", 3)), std::invalid_argument);
    CHECK_THROWS_AS(link_name_of(std::string(300, 'x')), std::invalid_argument);
}

TEST_CASE("a live segment is opened, and listed while its launcher lives") {
    if (anonymous())
        return;
    const Segment segment = Segment::create(options("live"));
    segment.header().seed = 4711;
    CHECK(open_segment(link_of("live")).header().seed == 4711);
    CHECK(locks_of(segment.file()).members);
    CHECK(locks_of(segment.file()).launcher == 0);
    const auto listed = [] {
        const auto live = live_segments();
        return std::count(live.begin(), live.end(), unique("live"));
    };
    CHECK(listed() == 0);
    int ready[2], go[2];
    REQUIRE(pipe(ready) == 0);
    REQUIRE(pipe(go) == 0);
    const pid_t launcher = dshm::test::start_child([&] {
        char c = 0;
        dshm::os::lock_byte_for_process(segment.file(), 0);
        dshm::test::demand(write(ready[1], &c, 1) == 1, "said");
        close(go[1]);
        static_cast<void>(!read(go[0], &c, 1));
    });
    char c;
    REQUIRE(read(ready[0], &c, 1) == 1);
    CHECK(locks_of(segment.file()).launcher == launcher);
    CHECK(listed() == 1);
    CHECK_THROWS_WITH(open_segment(link_of("missing")),
                      contains("no such session") && contains("'" + unique("live") + "'"));
    close(go[1]);
    CHECK(dshm::test::left_well(dshm::test::wait_for(launcher)));
    for (const int file : {ready[0], ready[1], go[0]})
        close(file);
    segment.unlink();
}

TEST_CASE("a segment whose session is dead is stale") {
    if (anonymous())
        return;
    REQUIRE(
        dshm::test::left_well(dshm::test::run_in_child([] { Segment::create(options("stale")); })));
    CHECK_THROWS_WITH(open_segment(link_of("stale")), contains("stale"));
    unlink(path_of("stale").c_str());
}

TEST_CASE("segments of other builds, or damaged, are refused with both values") {
    if (anonymous())
        return;
    check_refused(
        "abi", [](const Segment& s) { s.header().abi = 77; }, "abi 77",
        "abi " + std::to_string(abi_number));
    check_refused(
        "hash", [](const Segment& s) { s.header().layout_hash = 4711; }, "layout 4711",
        std::to_string(layout_hash()));
    check_refused(
        "magic", [](const Segment& s) { s.header().magic = 0xabcd; }, "0x000000000000abcd",
        "0x6d68736467657331");
    check_refused(
        "geometry", [](const Segment& s) { s.header().geometry.heap = 4711; }, "byte 4711",
        std::to_string(Geometry::of(min_capacity).heap));
    check_refused(
        "state", [](const Segment& s) { s.header().state.store(0, std::memory_order_release); },
        "it has 0", "expected 1");
    check_refused(
        "user", [](const Segment& s) { ++s.header().user; }, std::to_string(getuid() + 1),
        std::to_string(getuid()));
    check_refused(
        "length",
        [](const Segment& s) {
            REQUIRE(ftruncate(s.file(), static_cast<off_t>(min_capacity / 2)) == 0);
        },
        std::to_string(min_capacity / 2), std::to_string(min_capacity));
}

TEST_CASE("a header that lies about its own size is refused and not followed") {
    if (anonymous())
        return;
    for (const std::uint64_t capacity :
         {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{extent_size}, std::uint64_t{1} << 62,
          ~std::uint64_t{0}}) {
        const Segment segment = Segment::create(options("liar"));
        segment.header().geometry = Geometry::of(capacity);
        CHECK_THROWS_AS(open_segment(link_of("liar")), std::runtime_error);
        segment.header().geometry = segment.geometry();
        segment.header().geometry.capacity = capacity;
        CHECK_THROWS_AS(open_segment(link_of("liar")), std::runtime_error);
        segment.unlink();
    }
}

TEST_CASE("files that are no segments are refused") {
    SECTION("an empty one") {
        const File file("empty", {});
        CHECK_THROWS_WITH(open_segment(link_of("empty")), contains("too short") && contains("0 "));
    }
    SECTION("one cut in its header") {
        const File file("cut", std::vector<char>(100, 'x'));
        CHECK_THROWS_WITH(open_segment(link_of("cut")), contains("100 bytes"));
    }
    SECTION("random bytes") {
        std::minstd_rand random(4711);
        for (int round = 0; round < 100; ++round) {
            std::vector<char> bytes(3 * 4096);
            std::generate(bytes.begin(), bytes.end(), [&] { return static_cast<char>(random()); });
            const File file("random", bytes);
            CHECK_THROWS_WITH(open_segment(link_of("random")), contains("no segment of dshm"));
        }
    }
    SECTION("a good header with random bytes in it") {
        std::minstd_rand random(42);
        const Segment segment = Segment::create(options("good"));
        segment.unlink();
        std::vector<char> bytes(sizeof(Header));
        std::memcpy(bytes.data(), segment.base(), bytes.size());
        for (int round = 0; round < 300; ++round) {
            std::vector<char> damaged = bytes;
            damaged[random() % offsetof(Header, build_id)] ^= static_cast<char>(1 + random() % 255);
            const File file("good", damaged); // too short in any case
            CHECK_THROWS_AS(open_segment(link_of("good")), std::runtime_error);
        }
    }
    SECTION("one that others may read") {
        const File file("open", std::vector<char>(5000, 'x'), 0640);
        CHECK_THROWS_WITH(open_segment(link_of("open")), contains("0640") && contains("0600"));
    }
    SECTION("a directory") {
        REQUIRE(mkdir(path_of("directory").c_str(), 0700) == 0);
        CHECK_THROWS_AS(open_segment(link_of("directory")), std::runtime_error);
        rmdir(path_of("directory").c_str());
    }
    SECTION("a pipe") {
        REQUIRE(mkfifo(path_of("pipe").c_str(), 0600) == 0);
        CHECK_THROWS_WITH(open_segment(link_of("pipe")), contains("not a regular file"));
        unlink(path_of("pipe").c_str());
    }
}

TEST_CASE("a symbolic link is not followed") {
    const Segment segment = Segment::create(options("target"));
    REQUIRE(symlink(path_of("target").c_str(), path_of("link").c_str()) == 0);
    CHECK_THROWS_WITH(open_segment(link_of("link")), contains("symbolic link"));
    unlink(path_of("link").c_str());
    segment.unlink();
}

TEST_CASE("another user's segment is refused") {
    if (getuid() != 0) {
        WARN("only root can give a file away");
        return;
    }
    const File file("others", std::vector<char>(5000, 'x'));
    REQUIRE(fchown(file.number(), 4711, 4711) == 0);
    CHECK_THROWS_WITH(open_segment(link_of("others")), contains("user 4711") && contains("user 0"));
}
