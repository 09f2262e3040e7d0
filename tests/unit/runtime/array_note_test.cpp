// What lies behind the elements of an array, and how an array is divided.

#include <random>

#include "catch.hpp"
#include "dshm/detail/array_storage.hpp"
#include "test_segment.hpp"

using namespace dshm;
using namespace dshm::runtime;
using namespace dshm::test;

namespace {

struct Scene {
    shm::Segment segment = make_segment();
    shm::Heap heap{segment, {0, 1}};
    shm::ObjectTable objects{segment, heap, {0, 1}};

    shm::ObjectTable::Ref make(std::uint64_t kind, std::size_t bytes, const ArrayPlan& plan) {
        const std::size_t need = ArrayNote::bytes_for(plan);
        const bool in_file = kind == object_kind::file_array;
        const auto ref = in_file ? objects.create(need, {.kind = kind})
                                 : objects.create(bytes, {.kind = kind}, need);
        const auto view = objects.view(ref);
        ArrayNote::write(segment.at<std::byte>(view.block) +
                             (in_file ? 0 : shm::ObjectTable::note_offset(0, bytes)),
                         plan);
        return ref;
    }
    ArrayNote* note_of(shm::ObjectTable::Ref ref) {
        return ArrayNote::find(segment, objects.view(ref));
    }
};

ArrayPlan plan() {
    return {.dimensions = 3,
            .participants = {4, 2, 9},
            .name = "grid",
            .type = "double",
            .type_key = "d",
            .file = {}};
}

} // namespace

TEST_CASE("a note is found again behind elements of any size") {
    Scene scene;
    for (const std::size_t bytes : {0, 1, 63, 64, 65, 4096, 65'536, 1'000'000}) {
        const auto ref = scene.make(object_kind::array, bytes, plan());
        const ArrayNote* note = scene.note_of(ref);
        REQUIRE(note != nullptr);
        const auto ids = note->participants();
        CHECK(std::vector(ids.begin(), ids.end()) == std::vector<WorkerId>{4, 2, 9});
        CHECK((note->name() == "grid" && note->type() == "double" && note->path().empty()));
        CHECK((note->dimensions == 3 && !note->read_only()));
        CHECK(scene.objects.view(ref).bytes == bytes);
        scene.objects.release(ref);
    }
    CHECK(scene.objects.live_count() == 0);
}

TEST_CASE("the note of an array in a file says where that is") {
    Scene scene;
    ArrayPlan in_file = plan();
    in_file.file =
        FilePlace{.path = "/data/a b", .offset = 12, .device = 3, .inode = 5, .read_only = true};
    const ArrayNote* note = scene.note_of(scene.make(object_kind::file_array, 0, in_file));
    REQUIRE(note != nullptr);
    CHECK((note->path() == "/data/a b" && note->read_only() && note->name() == "grid"));
    CHECK((note->file_offset == 12 && note->file_device == 3 && note->file_inode == 5));
}

TEST_CASE("a note that was not written yet is one without name and participants") {
    Scene scene;
    const auto ref = scene.objects.create(100, {.kind = object_kind::array}, 200);
    const ArrayNote* note = scene.note_of(ref);
    REQUIRE(note != nullptr);
    CHECK((note->participants().empty() && note->name().empty() && note->type().empty()));
}

TEST_CASE("a note of random bytes is read inside the segment or not at all") {
    Scene scene;
    std::mt19937_64 random(1);
    const auto ref = scene.objects.create(100, {.kind = object_kind::array}, 200);
    auto* const bytes = reinterpret_cast<unsigned char*>(scene.note_of(ref));
    const std::byte* const end = scene.segment.base() + scene.segment.geometry().capacity;
    unsigned read = 0;
    for (int round = 0; round < 2000; ++round) {
        // Half of them with lengths that are only a little wrong.
        for (std::size_t i = 0; i < 64; ++i)
            bytes[i] = round % 2 == 0 || i % 4 < 2 ? static_cast<unsigned char>(random()) : 0;
        const ArrayNote* note = scene.note_of(ref);
        if (note == nullptr)
            continue;
        ++read;
        std::size_t sum = 0;
        for (const char c :
             std::string(note->name()) + std::string(note->type()) + std::string(note->path()))
            sum += static_cast<unsigned char>(c);
        for (const WorkerId id : note->participants())
            sum += static_cast<std::size_t>(id);
        static_cast<void>(sum);
        REQUIRE(reinterpret_cast<const std::byte*>(note->path().data() + note->path_length) <= end);
    }
    CHECK(read < 2000);
}

// parity with SharedArrays: part i of w is [i p, (i + 1) p) with p = l div w, the last takes the rest.
TEST_CASE("parts of an array are of one length and the last takes the rest") {
    for (std::size_t n = 0; n < 40; ++n)
        for (std::size_t parts = 1; parts < 12; ++parts) {
            std::ptrdiff_t next = 0;
            for (std::size_t part = 0; part < parts; ++part) {
                const Range range = dshm::detail::part_of_array(n, parts, part);
                if (range.empty()) {
                    CHECK(range == Range(0, 0));
                    CHECK(part >= n);
                    continue;
                }
                CHECK(range.first() == next);
                next = range.last();
                const std::size_t each = n < parts ? 1 : n / parts;
                CHECK((part + 1 == std::min(n, parts) || range.size() == each));
            }
            CHECK(next == static_cast<std::ptrdiff_t>(n));
        }
}
