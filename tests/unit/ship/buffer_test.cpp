// Payload cursors: positions, alignment, and their two refusals.
#include <array>
#include <cstdint>

#include "dshm/ship/buffer.hpp"
#include "support/catch.hpp"

namespace ship = dshm::ship;

TEST_CASE("a sizer, a writer and a reader visit the same positions") {
    alignas(64) std::array<std::byte, 256> bytes = {};
    const auto put_all = [](ship::Writer& writer) {
        const char one = 1;
        const std::uint64_t two = 2;
        const std::uint16_t three = 3;
        writer.copy(&one, sizeof one, 1);
        writer.copy(&two, sizeof two, 8);
        writer.copy(&three, sizeof three, 2);
        writer.copy(&two, sizeof two, 64);
        return writer.footprint();
    };
    ship::Sizer sizer;
    CHECK(put_all(sizer) == ship::Footprint{72, 64});
    ship::Writer writer(bytes.data(), 72);
    CHECK(put_all(writer) == ship::Footprint{72, 64});

    ship::Reader reader(bytes.data(), 72);
    CHECK(reader.take(1, 1) == bytes.data());
    CHECK(reader.take(8, 8) == bytes.data() + 8);
    CHECK(reader.take(2, 2) == bytes.data() + 16);
    CHECK(reader.take(8, 64) == bytes.data() + 64);
    CHECK(reader.remaining() == 0);
}

TEST_CASE("alignment above that of a block is not asked for") {
    ship::Sizer sizer;
    sizer.reserve(1, 1);
    sizer.reserve(1, 4096);
    CHECK(sizer.footprint() == ship::Footprint{65, 64});
}

TEST_CASE("a writer refuses what does not fit, and stays where it was") {
    std::array<std::byte, 16> bytes;
    ship::Writer writer(bytes.data(), bytes.size());
    writer.reserve(10, 1);
    CHECK_THROWS_AS(writer.reserve(7, 1), dshm::EncodeError);
    CHECK_THROWS_AS(writer.reserve(1, 64), dshm::EncodeError);
    CHECK_THROWS_AS(writer.reserve(~std::size_t{0}, 1), dshm::EncodeError);
    CHECK(writer.written() == 10);
    CHECK(writer.reserve(6, 1) == bytes.data() + 10);
}

TEST_CASE("a reader refuses what is not there, and stays where it was") {
    const std::array<std::byte, 16> bytes = {};
    ship::Reader reader(bytes.data(), bytes.size());
    reader.take(10, 1);
    CHECK_THROWS_AS(reader.take(7, 1), dshm::DecodeError);
    CHECK_THROWS_AS(reader.take(1, 64), dshm::DecodeError);
    CHECK_THROWS_AS(reader.take(~std::size_t{0}, 1), dshm::DecodeError);
    CHECK(reader.position() == 10);
    CHECK(reader.remaining() == 6);
}

TEST_CASE("nothing can be taken from nothing, except nothing") {
    ship::Reader reader(nullptr, 0);
    CHECK_NOTHROW(reader.take(0, 8));
    CHECK_THROWS_AS(reader.take(1, 1), dshm::DecodeError);
    CHECK_THROWS_AS(reader.take_count(1), dshm::DecodeError);
}
