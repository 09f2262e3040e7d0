#include "dshm/runtime/philox.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace dshm::runtime {

namespace {

#if defined(__x86_64__)

namespace avx512 {

using Vector [[gnu::vector_size(64)]] = std::uint64_t;
constexpr std::size_t lanes = 8;
#define DSHM_LANES_TARGET __attribute__((target("avx512f")))

DSHM_LANES_TARGET inline Vector multiply_low_halves(Vector a, Vector b) noexcept {
    // With a mask of all lanes, because g++ 12 warns about its own header without one.
    return reinterpret_cast<Vector>(
        _mm512_maskz_mul_epu32(0xff, reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}
DSHM_LANES_TARGET inline void store_pairs(Vector first, Vector second,
                                          std::uint64_t* out) noexcept {
    const auto a = reinterpret_cast<__m512i>(first), b = reinterpret_cast<__m512i>(second);
    const __m512i front = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
    const __m512i back = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
    _mm512_storeu_si512(out, _mm512_permutex2var_epi64(a, front, b));
    _mm512_storeu_si512(out + 8, _mm512_permutex2var_epi64(a, back, b));
}
#include "philox_lanes.hpp"
#undef DSHM_LANES_TARGET

} // namespace avx512

namespace avx2 {

using Vector [[gnu::vector_size(32)]] = std::uint64_t;
constexpr std::size_t lanes = 4;
#define DSHM_LANES_TARGET __attribute__((target("avx2")))

DSHM_LANES_TARGET inline Vector multiply_low_halves(Vector a, Vector b) noexcept {
    return reinterpret_cast<Vector>(
        _mm256_mul_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
}
DSHM_LANES_TARGET inline void store_pairs(Vector first, Vector second,
                                          std::uint64_t* out) noexcept {
    const auto a = reinterpret_cast<__m256i>(first), b = reinterpret_cast<__m256i>(second);
    const __m256i even = _mm256_unpacklo_epi64(a, b), odd = _mm256_unpackhi_epi64(a, b);
    auto* const target = reinterpret_cast<__m256i*>(out);
    _mm256_storeu_si256(target, _mm256_permute2x128_si256(even, odd, 0x20));
    _mm256_storeu_si256(target + 1, _mm256_permute2x128_si256(even, odd, 0x31));
}
#include "philox_lanes.hpp"
#undef DSHM_LANES_TARGET

} // namespace avx2

namespace sse2 {

using Vector [[gnu::vector_size(16)]] = std::uint64_t;
constexpr std::size_t lanes = 2;
#define DSHM_LANES_TARGET

inline Vector multiply_low_halves(Vector a, Vector b) noexcept {
    return reinterpret_cast<Vector>(
        _mm_mul_epu32(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
}
inline void store_pairs(Vector first, Vector second, std::uint64_t* out) noexcept {
    const auto a = reinterpret_cast<__m128i>(first), b = reinterpret_cast<__m128i>(second);
    auto* const target = reinterpret_cast<__m128i*>(out);
    _mm_storeu_si128(target, _mm_unpacklo_epi64(a, b));
    _mm_storeu_si128(target + 1, _mm_unpackhi_epi64(a, b));
}
#include "philox_lanes.hpp"
#undef DSHM_LANES_TARGET

} // namespace sse2

#endif

PhiloxCounter later(PhiloxCounter counter, PhiloxAxis axis, std::uint64_t blocks) noexcept {
    (axis == PhiloxAxis::low ? counter.low : counter.high) += blocks;
    return counter;
}

void run_scalar(std::uint64_t key, PhiloxCounter first, PhiloxAxis axis, std::uint64_t* out,
                std::size_t count) noexcept {
    for (std::size_t block = 0; block < count; ++block) {
        const PhiloxBlock words = philox_block(key, later(first, axis, block));
        out[2 * block] = words[0];
        out[2 * block + 1] = words[1];
    }
}

PhiloxKernel widest() noexcept {
    for (const PhiloxKernel& kernel : philox_kernels())
        if (kernel.supported)
            return kernel;
    return {"scalar", run_scalar, 1, true};
}

} // namespace

std::array<PhiloxKernel, 4> philox_kernels() noexcept {
#if defined(__x86_64__)
    return {{{"avx512f", avx512::run, avx512::lanes, __builtin_cpu_supports("avx512f") != 0},
             {"avx2", avx2::run, avx2::lanes, __builtin_cpu_supports("avx2") != 0},
             {"sse2", sse2::run, sse2::lanes, true},
             {"scalar", run_scalar, 1, true}}};
#else
    const PhiloxKernel scalar{"scalar", run_scalar, 1, true};
    return {scalar, scalar, scalar, scalar};
#endif
}

void philox_blocks(std::uint64_t key, PhiloxCounter first, PhiloxAxis axis, std::uint64_t* out,
                   std::size_t count) noexcept {
    static const PhiloxKernel kernel = widest();
    const std::size_t whole = count - count % kernel.lanes;
    kernel.run(key, first, axis, out, whole);
    run_scalar(key, later(first, axis, whole), axis, out + 2 * whole, count - whole);
}

} // namespace dshm::runtime
