// Loops over a SharedArray: in one process against the same loop over a raw pointer, and over the workers against
// bare forked processes on one mapping.
//
// Two loops: every element is squared in place, and the triad a = b + 3 c. The small arrays stay in the cache, so that an
// instruction too many shows; the large ones do not.
#include <dshm/dshm.hpp>

#include "baselines/crew.hpp"
#include "baselines/openmp.hpp"
#include "support/comparison.hpp"

#include <cmath>
#include <span>

namespace {

using Array = dshm::SharedArray<double>;
using Mapping = bench::SharedMapping<double>;

double initial(std::size_t i) { return 0.5 + static_cast<double>(i % 1000) / 1000; }

void refill(double* values, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i)
        values[i] = initial(i);
}

/// Seconds of one squaring; the values are made anew before and checked after.
template <class Square>
bench::Turn squaring(double* values, std::size_t count, Square square) {
    return [=] {
        refill(values, count);
        const double seconds = bench::seconds_of(square);
        for (std::size_t i = 0; i < count; ++i)
            bench::require(values[i] == initial(i) * initial(i), "wrong square");
        return seconds;
    };
}

/// Seconds of one triad.
template <class Triad>
bench::Turn triad_of(double* a, const double* b, std::size_t count, int repeats, Triad triad) {
    return [=] {
        std::fill(a, a + count, 0.0);
        triad();
        const double seconds = bench::seconds_of([&] {
            for (int i = 0; i < repeats; ++i) {
                triad();
                benchmark::ClobberMemory();
            }
        });
        for (std::size_t i = 0; i < count; ++i)
            bench::require(std::abs(a[i] - 4 * b[i]) <= 1e-12, "wrong triad");
        return seconds / repeats;
    };
}

void fill_inputs(double* b, double* c, std::size_t count) {
    refill(b, count);
    refill(c, count);
}

/// The same loop over elements, whatever gives them. Kept out of line so that no contender is specialised for its array.
template <class Elements>
[[gnu::noinline]] void triad_loop(const Elements& a, const Elements& b, const Elements& c,
                                  std::size_t count) {
    for (std::size_t i = 0; i < count; ++i)
        a[i] = b[i] + 3 * c[i];
}

struct Arrays {
    explicit Arrays(std::size_t count) : a(count), b(count), c(count) {
        fill_inputs(b.data(), c.data(), count);
    }
    Array a, b, c;
};

void compare_one_process(bench::Program& program, const Arrays& arrays) {
    const std::size_t count = arrays.a.size();
    const int repeats = program.size(20'000, 2);
    program.compare("shared_array/triad_in_one_process")
        .rounds(21)
        .subject("SharedArray", triad_of(arrays.a.data(), arrays.b.data(), count, repeats,
                                         [=] { triad_loop(arrays.a, arrays.b, arrays.c, count); }))
        .peer(
            "raw pointer",
            triad_of(arrays.a.data(), arrays.b.data(), count, repeats,
                     [=] { triad_loop(arrays.a.data(), arrays.b.data(), arrays.c.data(), count); }),
            0.98);
}

/// The part of [0, count) that member `member` of `members` does.
std::span<double> part(const Mapping& mapping, int member, int members) {
    const auto first =
        mapping.size() * static_cast<std::size_t>(member) / static_cast<std::size_t>(members);
    const auto last =
        mapping.size() * static_cast<std::size_t>(member + 1) / static_cast<std::size_t>(members);
    return mapping.span().subspan(first, last - first);
}

struct Bare {
    Bare(std::size_t count, int members)
        : a(count), b(count), c(count), squares(members,
                                                [=, this](int member) {
                                                    for (double& value : part(a, member, members))
                                                        value = value * value;
                                                }),
          triads(members, [=, this](int member) {
              const auto to = part(a, member, members);
              triad_loop(to.data(), part(b, member, members).data(),
                         part(c, member, members).data(), to.size());
          }) {
        fill_inputs(b.data(), c.data(), count);
    }
    Mapping a, b, c;
    bench::Crew squares;
    bench::Crew triads;
};

void compare_squares(bench::Program& program, const Arrays& arrays, Bare& bare) {
    const std::size_t count = arrays.a.size();
    const int threads = program.workers();
    const auto distributed = [S = arrays.a] {
        dshm::sync(
            [S] { dshm::distributed(S.indices(), [S](std::size_t i) { S[i] = S[i] * S[i]; }); });
    };
    auto& squares = program.compare("shared_array/squares_over_workers").rounds(21);
    squares.subject("libdshm", squaring(arrays.a.data(), count, distributed));
    squares.peer("bare forked processes",
                 squaring(bare.a.data(), count, [&bare] { bare.squares.run(); }), 0.98);
    const auto square_at = [a = bare.a.data()](long i) { a[i] = a[i] * a[i]; };
    if (bench::has_openmp)
        squares.peer("OpenMP", squaring(bare.a.data(), count, [=] {
                         bench::openmp_for(static_cast<long>(count), threads, square_at);
                     }));
    squares.peer("serial", squaring(bare.a.data(), count, [=] {
                     for (std::size_t i = 0; i < count; ++i)
                         square_at(static_cast<long>(i));
                 }));
}

void compare_triads(bench::Program& program, const Arrays& arrays, Bare& bare) {
    const std::size_t count = arrays.a.size();
    const auto distributed = [a = arrays.a, b = arrays.b, c = arrays.c] {
        dshm::sync([=] {
            dshm::distributed(a.indices(), [a, b, c](std::size_t i) { a[i] = b[i] + 3 * c[i]; });
        });
    };
    program.compare("shared_array/triad_over_workers")
        .rounds(21)
        .subject("libdshm", triad_of(arrays.a.data(), arrays.b.data(), count, 2, distributed))
        .peer("bare forked processes",
              triad_of(bare.a.data(), bare.b.data(), count, 2, [&bare] { bare.triads.run(); }),
              0.98)
        .peer("serial", triad_of(bare.a.data(), bare.b.data(), count, 2, [&bare, count] {
                  triad_loop(bare.a.data(), bare.b.data(), bare.c.data(), count);
              }));
}

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    bench::Program program(argc, argv);
    dshm::addprocs(program.workers());

    const Arrays small(program.size<std::size_t>(1'000, 100));
    const Arrays large(program.size<std::size_t>(16'000'000, 1'000));
    Bare bare(large.a.size(), program.workers());

    compare_one_process(program, small);
    compare_squares(program, large, bare);
    compare_triads(program, large, bare);
    return program.run();
}
