// The session that attach.py attaches programs to: shares arrays and channels under names, has its
// workers write, and does what its standard input says until that ends.
#include <dshm/dshm.hpp>

#include <atomic>
#include <complex>
#include <cstdint>
#include <iostream>
#include <string>

#include "dshm/attach.hpp"
#include "dshm/runtime/process.hpp"

namespace {

struct Particle {
    double x;
    std::int32_t charge;
    std::int32_t id;
};

std::uint64_t blocks_in_use() { return dshm::runtime::current().heap().statistics().blocks_in_use; }

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    dshm::addprocs(2);
    std::optional<dshm::SharedMatrix<double>> grid;
    grid.emplace(3, 4, dshm::named("grid"));
    for (std::size_t i = 0; i < grid->size(); ++i)
        (*grid)[i] = static_cast<double>(i) / 2;
    const dshm::SharedArray<std::int32_t, 3> cube({2, 3, 4}, dshm::named("cube"));
    const dshm::SharedArray<std::complex<double>> waves(5, dshm::named("waves"));
    waves[2] = {1.5, -2.5};
    const dshm::SharedArray<Particle> particles(6, dshm::named("particles"));
    particles[1] = {2.5, -1, 7};
    const dshm::SharedArray<bool> flags(3, dshm::named("flags"));
    flags[1] = true;
    const dshm::SharedArray<long double> precise(2, dshm::named("precise"));
    precise[1] = 0.25L;
    const dshm::SharedArray<std::uint8_t> none(0, dshm::named("none"));
    const auto numbers = dshm::RemoteChannel<int>::create("numbers", 4);
    const auto texts = dshm::RemoteChannel<std::string>::create("texts", 4);
    const std::string path = argc > 1 ? argv[1] : "";
    std::optional<dshm::SharedArray<float>> file;
    if (!path.empty())
        file.emplace(
            dshm::SharedArray<float>::map_file(path, 8, dshm::mode("r"), dshm::named("file")));
    std::cout << "working" << std::endl;
    for (std::string word; std::cin >> word;) {
        if (word == "write") // adds 1 to every element, each by the worker that has its part
            dshm::sync([&] {
                dshm::distributed(grid->indices(), [g = *grid](std::size_t i) { g[i] += 1; });
            });
        if (word == "drop")
            grid.reset();
        if (word == "echo") {
            numbers.put(42);
            std::cout << texts.take() << ' ';
        }
        if (word == "blocks")
            std::cout << blocks_in_use() << ' ';
        std::cout << "done" << std::endl;
    }
}
