// Constants and integer helpers that every layer shares.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace dshm::base {

// Distance that keeps two words from disturbing each other: two 64-byte lines, because the
// adjacent-line prefetcher fetches pairs. A constant of our own, since
// std::hardware_destructive_interference_size differs between compilers that may share one segment.
inline constexpr std::size_t cache_line = 128;
inline constexpr std::size_t page_size = 4096;

constexpr std::size_t kibibytes(std::size_t n) { return n << 10; }
constexpr std::size_t mebibytes(std::size_t n) { return n << 20; }

// The smallest multiple of `multiple` that is not less than `value`.
constexpr std::size_t round_up(std::size_t value, std::size_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

constexpr std::size_t ceil_div(std::size_t value, std::size_t divisor) {
    return (value + divisor - 1) / divisor;
}

// A bit field inside a 64-bit word: `Field<4, 8>` is eight bits wide, the lowest of them bit 4.
template <unsigned Low, unsigned Width>
struct Field {
    static_assert(Width > 0 && Low + Width <= 64);
    static constexpr std::uint64_t limit =
        Width == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << Width) - 1;
    static constexpr std::uint64_t mask = limit << Low;

    static constexpr std::uint64_t get(std::uint64_t word) { return (word >> Low) & limit; }
    static constexpr std::uint64_t put(std::uint64_t value) { return (value & limit) << Low; }
};

} // namespace dshm::base
