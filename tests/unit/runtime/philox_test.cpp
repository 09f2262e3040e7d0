// Philox4x32-10 gives the published numbers, by every kernel, and streams share none of them.
#include "catch.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include "dshm/runtime/philox.hpp"
#include "dshm/runtime/task_stream.hpp"
#include "dshm/task_rng.hpp"

using namespace dshm;
using namespace dshm::runtime;

namespace {

// "philox4x32 10" in tests/kat_vectors of Random123 1.14 (D. E. Shaw Research): counter, key, result.
struct KnownAnswer {
    std::uint32_t counter[4];
    std::uint32_t key[2];
    std::uint32_t result[4];
};
constexpr KnownAnswer known_answers[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

constexpr std::uint64_t joined(std::uint32_t low, std::uint32_t high) {
    return low | std::uint64_t{high} << 32;
}
constexpr std::uint64_t key_of(const KnownAnswer& answer) {
    return joined(answer.key[0], answer.key[1]);
}
constexpr PhiloxCounter counter_of(const KnownAnswer& answer) {
    return {joined(answer.counter[0], answer.counter[1]),
            joined(answer.counter[2], answer.counter[3])};
}
constexpr PhiloxBlock result_of(const KnownAnswer& answer) {
    return {joined(answer.result[0], answer.result[1]), joined(answer.result[2], answer.result[3])};
}

static_assert(std::all_of(std::begin(known_answers), std::end(known_answers),
                          [](const KnownAnswer& answer) {
                              return philox_block(key_of(answer), counter_of(answer)) ==
                                     result_of(answer);
                          }),
              "the published vectors");

constexpr std::uint64_t a_key = 0x0123456789abcdef;

// What the header of RandomStream promises.
std::uint64_t promised(std::uint64_t id, std::uint64_t index, std::uint64_t draw) {
    return draw < 4 ? philox_block(id, {index / 2, draw})[index % 2]
                    : philox_block(id, {index, 4 + (draw - 4) / 2})[draw % 2];
}

// Draws that many in each of these iterations, and compares.
bool keeps_promise(const std::vector<std::uint64_t>& iterations, std::uint64_t draws) {
    IterationStream stream(a_key);
    for (const std::uint64_t index : iterations) {
        stream.at(index);
        for (std::uint64_t draw = 0; draw < draws; ++draw)
            if (task_rng()() != promised(a_key, index, draw))
                return false;
    }
    return true;
}

std::vector<std::uint64_t> in_order(std::uint64_t first, std::size_t count) {
    std::vector<std::uint64_t> iterations(count);
    std::iota(iterations.begin(), iterations.end(), first);
    return iterations;
}

} // namespace

TEST_CASE("every kernel gives the known answers and what the scalar one gives") {
    for (const PhiloxKernel& kernel : philox_kernels()) {
        if (!kernel.supported)
            continue;
        INFO(kernel.name);
        for (const PhiloxAxis axis : {PhiloxAxis::low, PhiloxAxis::high}) {
            for (const KnownAnswer& answer : known_answers) {
                std::vector<std::uint64_t> words(2 * kernel.lanes);
                kernel.run(key_of(answer), counter_of(answer), axis, words.data(), kernel.lanes);
                CHECK(words[0] == result_of(answer)[0]);
                CHECK(words[1] == result_of(answer)[1]);
            }
            // Across the carry into the upper half of a counter word.
            const PhiloxCounter start{0xffff'fff0, 0xffff'fff0};
            std::vector<std::uint64_t> words(128), scalar(128);
            kernel.run(a_key, start, axis, words.data(), 64);
            philox_kernels().back().run(a_key, start, axis, scalar.data(), 64);
            CHECK(words == scalar);
        }
    }
}

TEST_CASE("any number of blocks is what single blocks are") {
    for (std::size_t count = 0; count < 40; ++count) {
        std::vector<std::uint64_t> words(2 * count + 1, 77);
        philox_blocks(a_key, {5, 9}, PhiloxAxis::low, words.data(), count);
        for (std::size_t block = 0; block < count; ++block) {
            const PhiloxBlock expected = philox_block(a_key, {5 + block, 9});
            REQUIRE(words[2 * block] == expected[0]);
            REQUIRE(words[2 * block + 1] == expected[1]);
        }
        CHECK(words.back() == 77);
    }
}

TEST_CASE("a draw is a function of stream, iteration and its number, in whatever order") {
    const std::vector<std::uint64_t> draws{1, 2, 3, 4, 5, 6, 12, 13, 40, 200};
    std::mt19937_64 random(1);
    for (const std::uint64_t count : draws) {
        INFO(count << " draws");
        for (const std::uint64_t first : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{63},
                                          std::uint64_t{1} << 40, ~std::uint64_t{0} - 299})
            CHECK(keeps_promise(in_order(first, 300), count));
        std::vector<std::uint64_t> iterations = in_order(1000, 300);
        std::reverse(iterations.begin(), iterations.end());
        CHECK(keeps_promise(iterations, count));
        std::shuffle(iterations.begin(), iterations.end(), random);
        CHECK(keeps_promise(iterations, count));
        for (std::uint64_t& index : iterations)
            index *= 1000;
        CHECK(keeps_promise(iterations, count));
    }
}

TEST_CASE("iterations that draw now and then, or each another number") {
    std::mt19937_64 random(2);
    IterationStream stream(a_key);
    std::size_t wrong = 0;
    for (std::uint64_t index = 0; index < 5000; ++index) {
        stream.at(index);
        const std::uint64_t draws = random() % 3 == 0 ? random() % 20 : random() % 2;
        for (std::uint64_t draw = 0; draw < draws; ++draw)
            wrong += task_rng()() != promised(a_key, index, draw);
    }
    CHECK(wrong == 0);
}

TEST_CASE("fill gives what single draws give") {
    for (std::size_t before = 0; before < 9; ++before)
        for (const std::size_t size : {0, 1, 2, 3, 4, 5, 7, 64, 65, 1000}) {
            IterationStream stream(a_key);
            stream.at(7);
            std::uint64_t draw = 0;
            for (; draw < before; ++draw)
                REQUIRE(task_rng()() == promised(a_key, 7, draw));
            std::vector<std::uint64_t> words(size);
            task_rng().fill(words);
            for (const std::uint64_t word : words)
                REQUIRE(word == promised(a_key, 7, draw++));
            for (int after = 0; after < 100; ++after)
                REQUIRE(task_rng()() == promised(a_key, 7, draw++));
            stream.at(8);
            REQUIRE(task_rng()() == promised(a_key, 8, 0));
        }
}

TEST_CASE("a nested loop does not disturb the outer one's draws") {
    IterationStream outer(a_key);
    for (std::uint64_t i = 0; i < 200; ++i) {
        outer.at(i);
        REQUIRE(task_rng()() == promised(a_key, i, 0));
        {
            IterationStream inner(~a_key);
            for (std::uint64_t j = 0; j < i % 70; ++j) {
                inner.at(j);
                REQUIRE(task_rng()() == promised(~a_key, j, 0));
            }
        }
        REQUIRE(task_rng()() == promised(a_key, i, 1));
    }
}

TEST_CASE("ids of children do not depend on the order of iterations, and none occurs twice") {
    const auto children = [](const std::vector<std::uint64_t>& iterations) {
        IterationStream stream(a_key);
        std::vector<std::pair<std::uint64_t, std::uint64_t>> ids;
        for (const std::uint64_t index : iterations) {
            stream.at(index);
            for (int child = 0; child < 20; ++child)
                ids.emplace_back(next_stream(), index);
        }
        std::sort(ids.begin(), ids.end());
        return ids;
    };
    auto iterations = in_order(0, 5000);
    const auto ids = children(iterations);
    std::shuffle(iterations.begin(), iterations.end(), std::mt19937_64(3));
    CHECK(children(iterations) == ids);
    CHECK(std::adjacent_find(ids.begin(), ids.end(), [](const auto& a, const auto& b) {
              return a.first == b.first;
          }) == ids.end());
}

TEST_CASE("no draw occurs twice, and every bit is as often one as zero") {
    std::vector<std::uint64_t> words;
    for (const std::uint64_t id : {a_key, a_key + 1}) {
        IterationStream stream(id);
        for (std::uint64_t index = 0; index < 20'000; ++index) {
            stream.at(index);
            for (int draw = 0; draw < 12; ++draw)
                words.push_back(task_rng()());
        }
    }
    const double six_deviations = 3 * std::sqrt(static_cast<double>(words.size()));
    for (unsigned bit = 0; bit < 64; ++bit) {
        const auto ones = std::count_if(words.begin(), words.end(),
                                        [&](std::uint64_t word) { return (word >> bit & 1) != 0; });
        CHECK(std::abs(static_cast<double>(ones) - static_cast<double>(words.size()) / 2) <
              six_deviations);
    }
    // How many bits neighbours share: iterations (12 words apart), and draws of one.
    for (const std::size_t distance : {1, 2, 12, 24}) {
        double differing = 0;
        const std::size_t pairs = words.size() - distance;
        for (std::size_t i = 0; i < pairs; ++i)
            differing += std::popcount(words[i] ^ words[i + distance]);
        // 64 fair bits a pair: deviation 4.
        CHECK(std::abs(differing / static_cast<double>(pairs) - 32) <
              6 * 4 / std::sqrt(static_cast<double>(pairs)));
    }
    std::sort(words.begin(), words.end());
    CHECK(std::adjacent_find(words.begin(), words.end()) == words.end());
}

TEST_CASE("the standard library takes it as a generator") {
    static_assert(std::uniform_random_bit_generator<TaskRng>);
    IterationStream stream(a_key);
    stream.at(3);
    std::uniform_real_distribution<double> uniform;
    std::normal_distribution<double> normal;
    double sum = 0, squares = 0;
    for (int i = 0; i < 100'000; ++i) {
        sum += uniform(task_rng());
        squares += std::pow(normal(task_rng()), 2);
    }
    CHECK(std::abs(sum / 100'000 - 0.5) < 0.006);
    CHECK(std::abs(squares / 100'000 - 1) < 0.03);
    std::vector<int> cards(52);
    std::iota(cards.begin(), cards.end(), 0);
    std::vector<int> shuffled = cards;
    std::shuffle(shuffled.begin(), shuffled.end(), task_rng());
    CHECK(shuffled != cards);
    CHECK(std::is_permutation(shuffled.begin(), shuffled.end(), cards.begin()));
}
