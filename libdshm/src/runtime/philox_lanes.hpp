// Philox in vectors: included once for each width, with DSHM_LANES_TARGET naming the instructions
// and a `Vector` with its functions in the enclosing namespace. One block to a lane of 64 bits; each
// of the paper's four words lies in the low half of a vector of its own, and what is left in the
// high halves is garbage that the multiplication does not read.

struct KeySchedule {
    Vector first[philox::rounds];
    Vector second[philox::rounds];
};

DSHM_LANES_TARGET inline void expand(KeySchedule& keys, std::uint64_t key) noexcept {
    auto first = static_cast<std::uint32_t>(key);
    auto second = static_cast<std::uint32_t>(key >> 32);
    for (unsigned round = 0; round < philox::rounds; ++round) {
        keys.first[round] = Vector{} + first;
        keys.second[round] = Vector{} + second;
        first += philox::key_steps[0];
        second += philox::key_steps[1];
    }
}

DSHM_LANES_TARGET void run(std::uint64_t key, PhiloxCounter start, PhiloxAxis axis,
                           std::uint64_t* out, std::size_t count) noexcept {
    KeySchedule keys;
    expand(keys, key);
    const Vector multiplier0 = Vector{} + philox::multipliers[0];
    const Vector multiplier1 = Vector{} + philox::multipliers[1];
    Vector low = Vector{} + start.low;
    Vector high = Vector{} + start.high;
    Vector& moving = axis == PhiloxAxis::low ? low : high;
    for (std::size_t lane = 0; lane < lanes; ++lane)
        moving[lane] += lane;
    for (; count >= lanes; count -= lanes, out += 2 * lanes, moving += lanes) {
        Vector word0 = low, word1 = low >> 32, word2 = high, word3 = high >> 32;
#pragma GCC unroll 10
        for (unsigned round = 0; round < philox::rounds; ++round) {
            const Vector product0 = multiply_low_halves(word0, multiplier0);
            const Vector product1 = multiply_low_halves(word2, multiplier1);
            word0 = (product1 >> 32) ^ word1 ^ keys.first[round];
            word1 = product1;
            word2 = (product0 >> 32) ^ word3 ^ keys.second[round];
            word3 = product0;
        }
        constexpr std::uint64_t low_half = 0xffffffff;
        store_pairs((word0 & low_half) | word1 << 32, (word2 & low_half) | word3 << 32, out);
    }
}
