// The shared heap: blocks and runs against malloc, a SharedArray made and dropped against clearing its memory, and a large
// one made with its pages by its participants against one whose pages come when they are touched; what giving memory back costs.
#include <dshm/dshm.hpp>

#include "support/comparison.hpp"

#include <cstdlib>
#include <cstring>
#include <vector>

#include "dshm/memory.hpp"
#include "dshm/runtime/first_touch.hpp"

namespace {

constexpr std::size_t mebibyte = std::size_t{1} << 20;

/// Takes a block and gives it back. The first word is written, so that the memory is there.
void take_and_free(dshm::shm::Heap& heap, const dshm::shm::Segment& segment, std::size_t bytes) {
    const auto mine = dshm::shm::Tag::own(dshm::runtime::current().me());
    const auto block = heap.allocate(bytes, mine);
    *segment.at<std::size_t>(block.offset) = bytes;
    bench::require(heap.free(block.offset, mine), "the block was not free");
}

void compare_blocks(bench::Program& program, const std::string& name, std::size_t bytes,
                    double target) {
    auto& process = dshm::runtime::current();
    const bench::Batch batch = program.batch(20'000);
    program.compare("heap/" + name)
        .rounds(21)
        .subject("libdshm",
                 bench::back_to_back(batch,
                                     [&process, bytes] {
                                         take_and_free(process.heap(), process.segment(), bytes);
                                     }),
                 target)
        .peer("malloc", bench::back_to_back(batch, [bytes] {
                  auto* const block = static_cast<volatile std::size_t*>(std::malloc(bytes));
                  *block = bytes;
                  std::free(const_cast<std::size_t*>(block));
              }));
}

void compare_warm_arrays(bench::Program& program) {
    const bench::Batch batch = program.batch(500);
    static std::vector<char> memory(mebibyte);
    program.compare("heap/array_of_1_MiB")
        .rounds(21)
        .subject("SharedArray made and dropped",
                 bench::back_to_back(batch,
                                     [] {
                                         const dshm::SharedArray<char> array(mebibyte);
                                         bench::require(array[mebibyte - 1] == 0, "not cleared");
                                     }),
                 20e-6)
        .peer("memset of 1 MiB",
              bench::back_to_back(batch,
                                  [] {
                                      std::memset(memory.data(), 0, memory.size());
                                      benchmark::ClobberMemory();
                                  }),
              0.5)
        .peer("calloc", bench::back_to_back(batch, [] {
                  auto* const block = static_cast<volatile char*>(std::calloc(mebibyte, 1));
                  for (std::size_t at = 0; at < mebibyte; at += 4096)
                      block[at] = 1;
                  std::free(const_cast<char*>(block));
              }));
}

using dshm::runtime::ObjectHandle;
enum class Pages { by_participants, on_demand };

ObjectHandle make_array(const std::vector<dshm::WorkerId>& participants, std::size_t bytes,
                        Pages pages) {
    const dshm::shm::ObjectDescription description{.kind = dshm::runtime::object_kind::value};
    if (pages == Pages::on_demand)
        return ObjectHandle(bytes, description);
    const dshm::runtime::FirstTouch touch(dshm::runtime::current(), participants, bytes, 1);
    return ObjectHandle(bytes, description);
}

/// Every participant writes its part.
void write_parts(const std::vector<dshm::WorkerId>& participants, const ObjectHandle& array,
                 std::size_t bytes) {
    const std::size_t part = bytes / participants.size();
    dshm::sync([&] {
        for (std::size_t i = 0; i < participants.size(); ++i)
            dshm::spawn_at(participants[i], [array, part, i] {
                std::memset(static_cast<char*>(array.address()) + i * part, 1, part);
            });
    });
}

/// Seconds of making an array of fresh pages, and with `written` of its participants' first writing to it.
bench::Turn making(const std::vector<dshm::WorkerId>& participants, std::size_t bytes, Pages pages,
                   bool written) {
    return [=] {
        double seconds = 0;
        {
            std::optional<ObjectHandle> array;
            seconds = bench::seconds_of([&] {
                array.emplace(make_array(participants, bytes, pages));
                if (written)
                    write_parts(participants, *array, bytes);
            });
            const auto* const first = static_cast<const char*>(array->address());
            bench::require(first[0] == written && first[bytes - 1] == written, "wrong contents");
        }
        dshm::everywhere([] {}); // nobody holds it any more
        dshm::trim();
        return seconds;
    };
}

void compare_first_touch(bench::Program& program, const std::vector<dshm::WorkerId>& participants) {
    const std::size_t full = 512 * mebibyte;
    for (const std::size_t bytes : {full, full / 4, full / 8, full / 16}) {
        const std::size_t size = program.size(bytes, 33 * mebibyte);
        const std::string name = std::to_string(bytes / mebibyte) + "_MiB";
        program.compare("heap/first_touch_" + name)
            .rounds(9)
            .subject("pages by participants",
                     making(participants, size, Pages::by_participants, true))
            .peer("pages on demand", making(participants, size, Pages::on_demand, true), 1)
            .peer("made by one process, touched by one", [=] {
                const double seconds = bench::seconds_of([&] {
                    const ObjectHandle array = make_array(participants, size, Pages::on_demand);
                    std::memset(array.address(), 1, size);
                });
                dshm::trim();
                return seconds;
            });
        program.compare("heap/making_" + name)
            .rounds(9)
            .subject("pages by participants",
                     making(participants, size, Pages::by_participants, false))
            .peer("pages promised only", making(participants, size, Pages::on_demand, false));
    }
}

/// Seconds of a trim that finds an array with all its pages.
double trimming_full(std::size_t bytes) {
    {
        const ObjectHandle array(bytes, {.kind = dshm::runtime::object_kind::value});
        std::memset(array.address(), 1, bytes);
    }
    std::size_t given = 0;
    const double seconds = bench::seconds_of([&] { given = dshm::trim(); });
    bench::require(given >= bytes, "the memory has not gone back");
    return seconds;
}

/// Comes last: how much of the heap has ever been used is what looking through it costs.
void compare_trim(bench::Program& program) {
    const std::size_t size = program.size(512 * mebibyte, mebibyte);
    program.compare("heap/trim_512_MiB")
        .rounds(9)
        .subject("all of it goes back", [size] { return trimming_full(size); })
        .peer("nothing there", [] { return bench::seconds_of([] { dshm::trim(); }); })
        .peer("counters()", [] { return bench::seconds_of([] { dshm::counters(); }); });
}

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    bench::Program program(argc, argv);
    const auto participants = dshm::addprocs(program.workers());
    compare_blocks(program, "block_of_100_bytes", 100, 30e-9);
    compare_blocks(program, "block_of_20_KB", 20'000, 30e-9);
    compare_blocks(program, "run_of_1_MiB", mebibyte, 2e-6);
    compare_warm_arrays(program);
    compare_first_touch(program, participants);
    compare_trim(program);
    return program.run();
}
