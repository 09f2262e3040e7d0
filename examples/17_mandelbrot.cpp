// 17: the Mandelbrot set, a loop over two indices into a SharedMatrix, and a picture of it.
//
// Julia: S = SharedMatrix{Int}(m, n); @sync @distributed for ij in CartesianIndices(S); S[ij] = escape(ij); end
//
//     17_mandelbrot picture.ppm
//
// Points inside the set take a hundred times as long as those far away, so the chunks are guided: large at
// first, small towards the end, each for whichever worker is free.

#include <dshm/dshm.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>

namespace {

constexpr std::ptrdiff_t width = 750;
constexpr std::ptrdiff_t height = 500;
constexpr int most = 250;

/// How often z² + c can be taken before |z| exceeds 2: `most` inside the set. (The build keeps the compiler from
/// fusing the products and sums, so that every machine draws the same picture.)
int escape(std::ptrdiff_t column, std::ptrdiff_t row) {
    const double x = -2.1 + 2.85 * static_cast<double>(column) / width;
    const double y = 0.95 - 1.9 * static_cast<double>(row) / height;
    double re = 0, im = 0;
    int steps = 0;
    for (; steps < most && re * re + im * im <= 4; ++steps) {
        const double next = re * re - im * im + x;
        im = 2 * re * im + y;
        re = next;
    }
    return steps;
}

/// Red, green and blue: black inside, from night to sunrise outside.
std::string colour(int steps) {
    if (steps == most)
        return std::string(3, '\0');
    const auto up_to = [steps](int full) {
        return static_cast<char>(steps < full ? steps * 255 / full : 255);
    };
    return {up_to(60), up_to(120), up_to(20)};
}

/// A PPM file: a head of text, then the points row by row, which is the order of the matrix.
std::string ppm(const dshm::SharedMatrix<int>& steps) {
    std::string picture = "P6\n" + std::to_string(width) + ' ' + std::to_string(height) + "\n255\n";
    for (const int point : steps)
        picture += colour(point);
    return picture;
}

/// FNV-1a.
std::uint64_t checksum(const std::string& bytes) {
    std::uint64_t sum = 0xcbf29ce484222325;
    for (const char byte : bytes)
        sum = (sum ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
    return sum;
}

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    if (dshm::nprocs() == 1)
        dshm::addprocs(2);

    const dshm::SharedMatrix<int> steps(width, height); // its first index runs fastest
    dshm::sync([&] {
        dshm::distributed(
            dshm::range2(width, height),
            [steps](std::ptrdiff_t column, std::ptrdiff_t row) {
                steps(column, row) = escape(column, row);
            },
            dshm::schedule(dshm::Schedule::guided), dshm::progress("mandelbrot"));
    });

    const std::string picture = ppm(steps);
    std::printf("%td by %td points, checksum %016jx\n", width, height,
                std::uintmax_t{checksum(picture)});
    if (argc > 1 && !(std::ofstream(argv[1], std::ios::binary) << picture << std::flush)) {
        std::fprintf(stderr, "cannot write %s\n", argv[1]);
        return 1;
    }
}
