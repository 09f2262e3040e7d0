// What is done to whole SharedArrays, and to files as arrays, against bare forked processes on one mapping: triad, copy,
// fill and sum, in the caches and beyond them; names and `init`; checked access.
//
// shared_array_bench has the loops whose bodies are the program's own over arrays that fit no cache.
#include <dshm/dshm.hpp>

#include "baselines/crew.hpp"
#include "support/comparison.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace {

using Array = dshm::SharedArray<double>;
using Mapping = bench::SharedMapping<double>;

/// Small whole numbers, so that sums are exact in any order.
double initial(std::size_t i) { return static_cast<double>(i % 7); }

void refill(std::span<double> values) {
    for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = initial(i);
}

double exact_sum(std::size_t count) {
    double sum = 0;
    for (std::size_t i = 0; i < count; ++i)
        sum += initial(i);
    return sum;
}

/// The part that `localindices` would give.
std::span<double> part(const Mapping& mapping, int member, int members) {
    const dshm::Range range = dshm::detail::part_of_array(
        mapping.size(), static_cast<std::size_t>(members), static_cast<std::size_t>(member));
    return mapping.span().subspan(static_cast<std::size_t>(range.first()), range.size());
}

constexpr auto triad_of = [](double b, double c) { return b + 3 * c; };

struct Arrays {
    explicit Arrays(std::size_t count) : a(count), b(count), c(count) {
        refill(b.span());
        refill(c.span());
    }
    Array a, b, c;
};

/// The same work on bare forked processes.
struct Bare {
    Bare(std::size_t count, int members)
        : a(count), b(count), c(count), sums(static_cast<std::size_t>(members) * 16),
          triad(members,
                [=, this](int member) {
                    const auto to = part(a, member, members), from = part(b, member, members),
                               other = part(c, member, members);
                    for (std::size_t i = 0; i < to.size(); ++i)
                        to[i] = triad_of(from[i], other[i]);
                }),
          copy(members,
               [=, this](int member) {
                   const auto from = part(b, member, members);
                   std::copy(from.begin(), from.end(), part(a, member, members).begin());
               }),
          fill(members,
               [=, this](int member) {
                   const auto to = part(a, member, members);
                   std::fill(to.begin(), to.end(), 2.5);
               }),
          sum(members, [=, this](int member) {
              const auto from = part(b, member, members);
              sums[static_cast<std::size_t>(member) * 16] =
                  std::accumulate(from.begin(), from.end(), 0.0);
          }) {
        refill(b.span());
        refill(c.span());
    }
    Mapping a, b, c, sums; // a sum to a line
    bench::Crew triad, copy, fill, sum;
};

/// Seconds of one call; before, the destination is spoilt, and after, it is checked.
template <class Call, class Expected>
bench::Turn writing(std::span<double> dest, int repeats, Call call, Expected expected) {
    return [=] {
        std::fill(dest.begin(), dest.end(), -1.0);
        call();
        const double seconds = bench::seconds_of([&] {
            for (int i = 0; i < repeats; ++i) {
                call();
                benchmark::ClobberMemory();
            }
        });
        for (std::size_t i = 0; i < dest.size(); ++i)
            bench::require(dest[i] == expected(i), "wrong element");
        return seconds / repeats;
    };
}

double three_more(std::size_t i) { return 4 * initial(i); }

/// Seconds of one call, which gives `expected`.
template <class Call>
bench::Turn giving(double expected, int repeats, Call call) {
    return [=] {
        double value = call();
        const double seconds = bench::seconds_of([&] {
            for (int i = 0; i < repeats; ++i)
                benchmark::DoNotOptimize(value = call());
        });
        bench::require_equal(value, expected);
        return seconds / repeats;
    };
}

double total(std::span<const double> values) {
    return std::accumulate(values.begin(), values.end(), 0.0);
}

struct Size {
    std::string name;
    std::size_t count;
    int repeats;
    double wanted;
};

void compare_triads(bench::Program& program, const Size& size, const Arrays& arrays, Bare& bare) {
    const Array a = arrays.a, b = arrays.b, c = arrays.c;
    program.compare("array/triad_" + size.name)
        .rounds(21)
        .subject("distributed", writing(
                                    a.span(), size.repeats,
                                    [=] {
                                        dshm::sync([&] {
                                            dshm::distributed(a.indices(),
                                                              [a, b, c](std::size_t i) {
                                                                  a[i] = triad_of(b[i], c[i]);
                                                              });
                                        });
                                    },
                                    three_more))
        .peer("map_inplace", writing(
                                 a.span(), size.repeats,
                                 [=] { dshm::map_inplace(triad_of, a, b, c); }, three_more))
        .peer("bare forked processes",
              writing(
                  bare.a.span(), size.repeats, [&bare] { bare.triad.run(); }, three_more),
              size.wanted);
}

void compare_copies(bench::Program& program, const Size& size, const Arrays& arrays, Bare& bare) {
    const Array a = arrays.a, b = arrays.b;
    program.compare("array/copy_" + size.name)
        .rounds(21)
        .subject("copyto", writing(
                               a.span(), size.repeats, [=] { dshm::copyto(a, b); }, initial))
        .peer("distributed", writing(
                                 a.span(), size.repeats,
                                 [=] {
                                     dshm::sync([&] {
                                         dshm::distributed(a.indices(),
                                                           [a, b](std::size_t i) { a[i] = b[i]; });
                                     });
                                 },
                                 initial))
        .peer("bare forked processes",
              writing(
                  bare.a.span(), size.repeats, [&bare] { bare.copy.run(); }, initial),
              size.wanted);
}

void compare_fills(bench::Program& program, const Size& size, const Arrays& arrays, Bare& bare) {
    const auto value = [](std::size_t) { return 2.5; };
    program.compare("array/fill_" + size.name)
        .rounds(21)
        .subject("fill",
                 writing(
                     arrays.a.span(), size.repeats, [a = arrays.a] { dshm::fill(a, 2.5); }, value))
        .peer("bare forked processes",
              writing(
                  bare.a.span(), size.repeats, [&bare] { bare.fill.run(); }, value),
              size.wanted)
        .peer("std::fill", writing(
                               bare.a.span(), size.repeats,
                               [a = bare.a.span()] { std::fill(a.begin(), a.end(), 2.5); }, value));
}

void compare_sums(bench::Program& program, const Size& size, const Arrays& arrays, Bare& bare) {
    const double expected = exact_sum(size.count);
    const auto bare_sum = [&bare] {
        bare.sum.run();
        return total(bare.sums.span());
    };
    program.compare("array/sum_" + size.name)
        .rounds(21)
        .subject("reduce", giving(expected, size.repeats,
                                  [b = arrays.b] { return dshm::reduce(std::plus<>{}, b); }))
        .peer("bare forked processes", giving(expected, size.repeats, bare_sum), size.wanted)
        .peer("std::accumulate",
              giving(expected, size.repeats, [b = bare.b.span()] { return total(b); }));
}

/// Uniform numbers are checked by their mean.
template <class Call>
bench::Turn drawing(std::span<double> dest, Call call) {
    return [=] {
        const double seconds = bench::seconds_of(call);
        const double mean =
            std::accumulate(dest.begin(), dest.end(), 0.0) / static_cast<double>(dest.size());
        bench::require(mean > 0.4 && mean < 0.6, "the numbers are not uniform");
        return seconds;
    };
}

void compare_random(bench::Program& program, const Arrays& arrays) {
    program.compare("array/rand")
        .rounds(21)
        .subject("rand", drawing(arrays.a.span(), [a = arrays.a] { dshm::rand(a); }))
        .peer("std::mt19937_64, serial", drawing(arrays.a.span(), [a = arrays.a] {
                  std::mt19937_64 engine(1);
                  for (double& x : a)
                      x = static_cast<double>(engine() >> 11) * 0x1p-53;
              }));
}

// ---- making and dropping ------------------------------------------------------------------------

void compare_making(bench::Program& program) {
    constexpr std::size_t mebibyte = std::size_t{1} << 20;
    const bench::Batch batch = program.batch(500);
    using Bytes = dshm::SharedArray<char>;
    program.compare("array/making_1_MiB")
        .subject("made and dropped",
                 bench::back_to_back(batch,
                                     [] {
                                         const Bytes bytes(mebibyte);
                                         bench::require(bytes[mebibyte - 1] == 0, "it is not zero");
                                         bytes[mebibyte - 1] = 1;
                                     }),
                 20e-6)
        .peer("with a name", bench::back_to_back(batch,
                                                 [] {
                                                     const Bytes bytes(mebibyte,
                                                                       dshm::named("bench"));
                                                     bytes[mebibyte - 1] = 1;
                                                 }))
        .peer("with init",
              bench::back_to_back(batch,
                                  [] {
                                      const Bytes bytes(
                                          mebibyte, dshm::init([](const Bytes& all) {
                                              all[static_cast<std::size_t>(all.indexpids())] = 1;
                                          }));
                                      bench::require(bytes[0] == 1, "init did not run");
                                  }))
        .peer("mmap, memset and munmap", bench::back_to_back(batch, [] {
                  const bench::SharedMapping<char> bytes(mebibyte);
                  std::fill_n(bytes.data(), mebibyte, '\0');
                  benchmark::ClobberMemory();
              }));
}

// ---- access -------------------------------------------------------------------------------------

template <class Element>
bench::Turn summing(const Array& array, int repeats, Element element) {
    const double expected = exact_sum(array.size());
    return [=] {
        double sum = 0;
        const double seconds = bench::seconds_of([&] {
            for (int r = 0; r < repeats; ++r) {
                sum = 0;
                for (std::size_t i = 0; i < array.size(); ++i)
                    sum += element(array, i);
                benchmark::DoNotOptimize(sum);
            }
        });
        bench::require_equal(sum, expected);
        return seconds / repeats / static_cast<double>(array.size());
    };
}

void compare_access(bench::Program& program, const Array& array) {
    const int repeats = program.size(20'000, 2);
    program.compare("array/checked_access")
        .subject("S[i]",
                 summing(array, repeats, [](const Array& S, std::size_t i) { return S[i]; }))
        .peer("S.at(i)",
              summing(array, repeats, [](const Array& S, std::size_t i) { return S.at(i); }));
}

// ---- files --------------------------------------------------------------------------------------

/// A file of whole numbers, gone with this object.
class File {
public:
    explicit File(std::size_t count) : count_(count) {
        const int file = ::mkostemp(path_.data(), O_CLOEXEC);
        bench::require(file >= 0, "no temporary file");
        std::vector<double> values(count);
        refill(values);
        const auto bytes = static_cast<ssize_t>(count * sizeof(double));
        bench::require(::write(file, values.data(), count * sizeof(double)) == bytes,
                       "the temporary file is not complete");
        ::close(file);
    }
    ~File() { ::unlink(path_.c_str()); }
    File(const File&) = delete;
    File& operator=(const File&) = delete;

    const std::string& path() const { return path_; }
    std::size_t count() const { return count_; }
    /// Read-only, as the array of mode "r" is.
    std::span<const double> map() const {
        const int file = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
        void* address = ::mmap(nullptr, count_ * sizeof(double), PROT_READ, MAP_SHARED, file, 0);
        ::close(file);
        bench::require(address != MAP_FAILED, "mmap of the temporary file");
        return {static_cast<const double*>(address), count_};
    }

private:
    std::string path_ = "/tmp/dshm_array_bench_XXXXXX";
    std::size_t count_;
};

/// The mapping is made once, before the members are forked.
struct BareFile {
    BareFile(const File& file, int members)
        : values(file.map()), sums(static_cast<std::size_t>(members) * 16),
          sum(members, [=, this](int member) {
              const dshm::Range range =
                  dshm::detail::part_of_array(values.size(), static_cast<std::size_t>(members),
                                              static_cast<std::size_t>(member));
              const auto mine =
                  values.subspan(static_cast<std::size_t>(range.first()), range.size());
              sums[static_cast<std::size_t>(member) * 16] = total(mine);
          }) {}
    std::span<const double> values;
    Mapping sums;
    bench::Crew sum;
};

/// On every worker.
void hold(const Array& array) {
    static std::vector<Array> held;
    held.push_back(array);
}

/// `held` is a second array over the same file, which all workers hold.
void compare_files(bench::Program& program, const Array& array, const Array& held, BareFile& bare) {
    const double expected = exact_sum(array.size());
    const int repeats = program.size(2, 1);
    const auto sum_of = [](const Array& S) {
        return [S] { return dshm::reduce(std::plus<>{}, S); };
    };
    const auto bare_sum = [&bare] {
        bare.sum.run();
        return total(bare.sums.span());
    };
    dshm::everywhere(dshm::workers(), hold, held);
    program.compare("array/sum_of_a_file")
        .rounds(21)
        .subject("map_file, reduce", giving(expected, repeats, sum_of(held)))
        .peer("held by nobody between two calls", giving(expected, repeats, sum_of(array)))
        .peer("mmap, bare forked processes", giving(expected, repeats, bare_sum), 0.98)
        .peer("mmap, serial",
              giving(expected, repeats, [values = bare.values] { return total(values); }));
}

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    bench::Program program(argc, argv);
    dshm::addprocs(program.workers());

    // In the second-level caches, in the third, and in memory alone. The target is for the last: in the caches a loop is
    // so short that the call counts.
    const std::vector<Size> sizes = {
        {"of_512_KiB", program.size<std::size_t>(21'000, 100), program.size(500, 2), 0},
        {"of_12_MiB", program.size<std::size_t>(524'288, 1'000), program.size(20, 2), 0.9},
        {"of_384_MiB", program.size<std::size_t>(16'777'216, 10'000), program.size(2, 1), 0.98},
    };
    std::deque<Arrays> arrays;
    std::deque<Bare> bare;
    for (const Size& size : sizes) {
        arrays.emplace_back(size.count);
        bare.emplace_back(size.count, program.workers());
    }
    const Array small(1'000);
    refill(small.span());
    const File file(program.size<std::size_t>(16'777'216, 10'000));
    const Array in_file = Array::map_file(file.path(), file.count(), dshm::mode("r"));
    const Array also_in_file = Array::map_file(file.path(), file.count(), dshm::mode("r"));
    BareFile bare_file(file, program.workers());

    for (std::size_t i = 0; i < sizes.size(); ++i) {
        compare_triads(program, sizes[i], arrays[i], bare[i]);
        compare_copies(program, sizes[i], arrays[i], bare[i]);
        compare_fills(program, sizes[i], arrays[i], bare[i]);
        compare_sums(program, sizes[i], arrays[i], bare[i]);
    }
    compare_random(program, arrays.back());
    compare_making(program);
    compare_access(program, small);
    compare_files(program, in_file, also_in_file, bare_file);
    return program.run();
}
