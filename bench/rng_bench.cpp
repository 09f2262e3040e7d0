// Random numbers: task_rng() in loops, and in bulk, against generators of the standard library and the literature in
// the same loops, serially. What is random is compared with its expectation, to six standard deviations.
#include <dshm/dshm.hpp>
#include <dshm/task_rng.hpp>

#include "baselines/xoshiro.hpp"
#include "support/comparison.hpp"

#include <cmath>
#include <random>

namespace {

/// A mean of `count` samples with this deviation each.
struct About {
    double mean;
    double deviation;
    friend bool operator==(double actual, const About& expected) {
        return std::abs(actual - expected.mean) < 6 * expected.deviation;
    }
    friend std::ostream& operator<<(std::ostream& out, const About& expected) {
        return out << "about " << expected.mean;
    }
};

/// A turn in nanoseconds a draw.
template <class Work>
bench::Turn each_of(long count, Work work, About expected) {
    return
        [count, turn = bench::once(work, expected)] { return turn() / static_cast<double>(count); };
}

// ---- heads -------------------------------------------------------------------------------------

double heads_by_loop(long count) {
    const auto toss = [](long) { return static_cast<long>(dshm::task_rng()() & 1); };
    return static_cast<double>(
               dshm::distributed(std::plus<>{}, dshm::range(0, count), toss, dshm::on(1))) /
           static_cast<double>(count);
}

template <class Engine>
double heads_by(long count) {
    static Engine engine;
    long heads = 0;
    for (long i = 0; i < count; ++i)
        heads += static_cast<long>(engine() & 1);
    return static_cast<double>(heads) / static_cast<double>(count);
}

double heads_by_fill(long count) {
    std::uint64_t words[1024];
    long heads = 0;
    for (long i = 0; i < count;) {
        const auto size = static_cast<std::size_t>(std::min<long>(count - i, 1024));
        dshm::task_rng().fill({words, size});
        for (std::size_t k = 0; k < size; ++k)
            heads += static_cast<long>(words[k] & 1);
        i += static_cast<long>(size);
    }
    return static_cast<double>(heads) / static_cast<double>(count);
}

// ---- points in a circle: two draws an iteration ------------------------------------------------

template <class Engine>
long inside(Engine&& engine) {
    const auto coordinate = [&] { return static_cast<double>(engine() >> 11) * 0x1p-53; };
    const double x = coordinate(), y = coordinate();
    return x * x + y * y < 1;
}

double circle_by_loop(long count) {
    const auto point = [](long) { return inside(dshm::task_rng()); };
    return static_cast<double>(
               dshm::distributed(std::plus<>{}, dshm::range(0, count), point, dshm::on(1))) /
           static_cast<double>(count);
}

template <class Engine>
double circle_by(long count) {
    static Engine engine;
    long hits = 0;
    for (long i = 0; i < count; ++i)
        hits += inside(engine);
    return static_cast<double>(hits) / static_cast<double>(count);
}

// ---- one task that draws on and on -------------------------------------------------------------

double heads_in_a_row(long count) {
    auto& rng = dshm::task_rng();
    long heads = 0;
    for (long i = 0; i < count; ++i)
        heads += static_cast<long>(rng() & 1);
    return static_cast<double>(heads) / static_cast<double>(count);
}

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    bench::Program program(argc, argv);

    const long count = program.size(20'000'000L, 10'000L);
    const auto samples = static_cast<double>(count);
    const About half{0.5, 0.5 / std::sqrt(samples)};
    const double quarter_of_pi = std::atan(1.0);
    const About circle{quarter_of_pi, std::sqrt(quarter_of_pi * (1 - quarter_of_pi) / samples)};
    const auto toss = [&](auto work) {
        return each_of(
            count, [=] { return work(count); }, half);
    };
    const auto throw_at = [&](auto work) {
        return each_of(
            count, [=] { return work(count); }, circle);
    };

    auto& heads = program.compare("rng/heads_in_a_loop").rounds(15).counted_in("tosses");
    heads.subject("task_rng in distributed", toss(heads_by_loop));
    heads.peer("std::mt19937_64, serial", toss(heads_by<std::mt19937_64>), 0.8);
    heads.peer("xoshiro256**, serial", toss(heads_by<bench::Xoshiro256>));

    auto& points = program.compare("rng/circle_two_draws").rounds(15).counted_in("points");
    points.subject("task_rng in distributed", throw_at(circle_by_loop));
    points.peer("std::mt19937_64, serial", throw_at(circle_by<std::mt19937_64>), 0.8);
    points.peer("xoshiro256**, serial", throw_at(circle_by<bench::Xoshiro256>));

    auto& row = program.compare("rng/one_stream").rounds(15).counted_in("tosses");
    row.subject("task_rng draw by draw", toss(heads_in_a_row));
    row.peer("std::mt19937_64, serial", toss(heads_by<std::mt19937_64>), 0.8);
    row.peer("xoshiro256**, serial", toss(heads_by<bench::Xoshiro256>));

    auto& bulk = program.compare("rng/bulk").rounds(15).counted_in("tosses");
    bulk.subject("task_rng().fill", toss(heads_by_fill));
    bulk.peer("std::mt19937_64, serial", toss(heads_by<std::mt19937_64>), 0.8);
    bulk.peer("xoshiro256**, serial", toss(heads_by<bench::Xoshiro256>));
    return program.run();
}
