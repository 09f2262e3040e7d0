// Philox4x32-10: 128 random bits as a pure function of a key and a counter.
//
// J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw: Parallel random numbers: as easy as 1, 2, 3
// (SC 2011). It passes BigCrush, needs no state, and any block can be had without those before it.
//
// A key, and a counter of two words (first the low one), give a block of two words. The 32-bit words
// of the paper are the halves of these, low half first. Everything here may be called by any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace dshm::runtime {

struct PhiloxCounter {
    std::uint64_t low = 0;
    std::uint64_t high = 0;
};
using PhiloxBlock = std::array<std::uint64_t, 2>;

namespace philox {

inline constexpr unsigned rounds = 10;
inline constexpr std::uint32_t multipliers[2] = {0xd2511f53, 0xcd9e8d57};
inline constexpr std::uint32_t key_steps[2] = {0x9e3779b9, 0xbb67ae85};

} // namespace philox

constexpr PhiloxBlock philox_block(std::uint64_t key, PhiloxCounter counter) noexcept {
    auto words = std::array{
        static_cast<std::uint32_t>(counter.low), static_cast<std::uint32_t>(counter.low >> 32),
        static_cast<std::uint32_t>(counter.high), static_cast<std::uint32_t>(counter.high >> 32)};
    auto first_key = static_cast<std::uint32_t>(key);
    auto second_key = static_cast<std::uint32_t>(key >> 32);
    for (unsigned round = 0; round < philox::rounds; ++round) {
        const std::uint64_t first = std::uint64_t{philox::multipliers[0]} * words[0];
        const std::uint64_t second = std::uint64_t{philox::multipliers[1]} * words[2];
        words = {static_cast<std::uint32_t>(second >> 32) ^ words[1] ^ first_key,
                 static_cast<std::uint32_t>(second),
                 static_cast<std::uint32_t>(first >> 32) ^ words[3] ^ second_key,
                 static_cast<std::uint32_t>(first)};
        first_key += philox::key_steps[0];
        second_key += philox::key_steps[1];
    }
    return {words[0] | std::uint64_t{words[1]} << 32, words[2] | std::uint64_t{words[3]} << 32};
}

// Which word of the counter goes up by one from block to block.
enum class PhiloxAxis { low, high };

// `count` blocks that begin with `first`, to out[0], out[1], ... out[2 * count - 1]: what
// philox_block gives for each, in the widest vectors that the processor has.
void philox_blocks(std::uint64_t key, PhiloxCounter first, PhiloxAxis axis, std::uint64_t* out,
                   std::size_t count) noexcept;

// The kernels behind it, those that this processor can run: for tests and measurements.
struct PhiloxKernel {
    const char* name;
    // `count` is a multiple of `lanes`.
    void (*run)(std::uint64_t key, PhiloxCounter first, PhiloxAxis axis, std::uint64_t* out,
                std::size_t count) noexcept;
    std::size_t lanes;
    bool supported;
};
// The widest first. The last one is scalar and always there.
std::array<PhiloxKernel, 4> philox_kernels() noexcept;

} // namespace dshm::runtime
