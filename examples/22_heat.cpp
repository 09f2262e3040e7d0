// 22: heat in a plate, on a grid that other programs watch while it is computed.
//
// Julia: u = SharedArray{Float64,3}(...); for t in 1:T; @sync @distributed for j in ...; u[:, j, new] = ...; end; end
//
//     22_heat [STEPS]                     5000 steps, or as many as are given; 0: until a watcher says "stop"
//     22_heat_watch [PICTURES [NAME]]     another program, which prints the plate (22_heat_watch.py: in Python)
//
// The session is called "heat" unless DSHM_NAME says otherwise. It shares, by name: "grid", rows × columns × 2,
// whose two planes take turns; "steps", the number of steps that are done, which says which plane is valid; and
// a channel "commands".

#include <dshm/dshm.hpp>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace {

constexpr const char* usage = R"(usage: 22_heat [STEPS]

Computes how heat spreads in a plate: 5000 steps, or STEPS; 0: until "22_heat_watch stop" tells it to end.
Meanwhile 22_heat_watch and 22_heat_watch.py can look at the session, which is called "heat" unless DSHM_NAME
says otherwise.
)";

constexpr std::ptrdiff_t rows = 64;
constexpr std::ptrdiff_t columns = 128;

using Grid = dshm::SharedArray<double, 3>;

/// One edge is hot, and stays so; the others stay cold.
double at_first(std::ptrdiff_t, std::ptrdiff_t column) { return column == 0 ? 100 : 0; }

/// A column of the next plane: every point goes a part of the way to the mean of its neighbours.
void step_column(const double* from, double* to, std::ptrdiff_t j) {
    const double* const left = from + (j - 1) * rows;
    const double* const here = from + j * rows;
    const double* const right = from + (j + 1) * rows;
    for (std::ptrdiff_t i = 1; i < rows - 1; ++i)
        to[j * rows + i] =
            here[i] + 0.2 * (here[i - 1] + here[i + 1] + left[i] + right[i] - 4 * here[i]);
}

double* plane(const Grid& grid, long step) { return &grid(0, 0, step % 2); }

/// Leaves process 1 waiting until all columns are done: the barrier between two steps.
void step_by_workers(const Grid& grid, long step) {
    dshm::sync([&] {
        dshm::distributed(dshm::range(1, columns - 1), [grid, step](std::ptrdiff_t j) {
            step_column(plane(grid, step), plane(grid, step + 1), j);
        });
    });
}

std::vector<double> serial(long steps) {
    std::vector<double> planes[2];
    for (std::ptrdiff_t j = 0; j < columns; ++j)
        for (std::ptrdiff_t i = 0; i < rows; ++i)
            planes[0].push_back(at_first(i, j));
    planes[1] = planes[0];
    for (long step = 0; step < steps; ++step)
        for (std::ptrdiff_t j = 1; j < columns - 1; ++j)
            step_column(planes[step % 2].data(), planes[(step + 1) % 2].data(), j);
    return planes[steps % 2];
}

/// FNV-1a over the bits of all numbers.
std::uint64_t checksum(const double* numbers) {
    std::uint64_t sum = 0xcbf29ce484222325;
    for (std::ptrdiff_t i = 0; i < rows * columns; ++i)
        sum = (sum ^ std::bit_cast<std::uint64_t>(numbers[i])) * 0x100000001b3;
    return sum;
}

/// Ends the program if it is asked for help or given what is no number of steps.
long wanted_steps(int argc, char** argv) {
    const std::string_view text = argc > 1 ? argv[1] : "5000";
    if (text == "--help" || text == "-h") {
        std::fputs(usage, stdout);
        std::exit(0);
    }
    long steps = 0;
    const auto [after, error] = std::from_chars(text.data(), text.data() + text.size(), steps);
    if (argc > 2 || error != std::errc() || after != text.data() + text.size() || steps < 0) {
        std::fputs(usage, stderr);
        std::exit(2);
    }
    return steps;
}

dshm::SessionOptions called_heat() {
    dshm::SessionOptions options;
    if (std::getenv("DSHM_NAME") == nullptr)
        options.name = "heat";
    return options;
}

} // namespace

int main(int argc, char** argv) {
    const long wanted = wanted_steps(argc, argv); // first: help needs no session
    dshm::Session session(argc, argv, called_heat());
    if (dshm::nprocs() == 1)
        dshm::addprocs(2);

    const Grid grid({rows, columns, 2}, dshm::init([](const Grid& all) {
                        for (const std::ptrdiff_t k : all.localindices())
                            all[static_cast<std::size_t>(k)] =
                                at_first(k % rows, k / rows % columns);
                    }),
                    dshm::named("grid"));
    const dshm::SharedVector<long> steps(1, dshm::named("steps"));
    const auto commands = dshm::RemoteChannel<std::string>::create("commands", 8);
    std::printf("a plate of %td by %td points\n", rows, columns);
    std::fflush(stdout);

    long done = 0;
    const auto told_to_stop = [&] { return commands.try_take() == std::string("stop"); };
    while (wanted > 0 ? done < wanted : !told_to_stop()) {
        step_by_workers(grid, done);
        steps.atomic(0).store(++done, std::memory_order_release); // acquired by the watchers
    }

    const double* const result = plane(grid, done);
    const std::vector<double> expected = serial(done);
    std::printf("after %ld steps: %.6f in the middle, checksum %016jx\n", done,
                result[columns / 2 * rows + rows / 2], std::uintmax_t{checksum(result)});
    if (!std::equal(expected.begin(), expected.end(), result)) {
        std::printf("and that is not what one process computes\n");
        return 1;
    }
    std::printf("bit by bit what one process computes\n");
}
