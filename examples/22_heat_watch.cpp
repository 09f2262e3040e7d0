// 22: watches the plate of 22_heat, from outside of its session.
//
//     22_heat_watch [PICTURES [NAME]]      3 pictures of the session "heat", each of a later step
//     22_heat_watch stop [NAME]            tells it to end
//
// This program is no worker: it is started by anybody at any time, attaches, and looks at the same memory.

#include <dshm/attach.hpp>
#include <dshm/dshm.hpp>

#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <string>
#include <system_error>
#include <thread>

namespace {

constexpr const char* usage = R"(usage: 22_heat_watch [PICTURES [NAME]]
       22_heat_watch stop [NAME]

Prints the plate of a running 22_heat, 3 times unless PICTURES says otherwise, each time after a later step; or
tells it to end. NAME is the session's, "heat" unless 22_heat was given another DSHM_NAME.
)";

struct Plate {
    explicit Plate(const dshm::Client& client)
        : grid(client.array<double, 3>("grid")), steps(client.array<long>("steps")) {}

    /// How many steps are done; what they wrote is visible to whoever has read this.
    long done() const { return steps.atomic(0).load(std::memory_order_acquire); }

    dshm::SharedArray<double, 3> grid;
    dshm::SharedVector<long> steps;
};

/// The mean of some neighbouring points, as a character: the hotter, the darker.
char shade(const Plate& plate, std::size_t i, std::size_t j, std::size_t size, long step) {
    double sum = 0;
    for (std::size_t k = 0; k < size * size; ++k)
        sum += plate.grid(i + k % size, j + k / size, static_cast<std::size_t>(step % 2));
    const std::string shades = " .:-=+*#%@";
    const auto which = static_cast<std::size_t>(sum / static_cast<double>(size * size) / 10);
    return shades[which < shades.size() ? which : shades.size() - 1];
}

/// As it was after `step` steps, or, when the workers are quick, partly one or more later.
void print_plate(const Plate& plate, long step) {
    constexpr std::size_t size = 4;
    const auto& dims = plate.grid.dims();
    std::printf("step %ld\n", step);
    for (std::size_t i = 0; i + size <= dims[0]; i += size) {
        std::string line;
        for (std::size_t j = 0; j + size <= dims[1]; j += size)
            line += shade(plate, i, j, size, step);
        std::printf("|%s|\n", line.c_str());
    }
    std::fflush(stdout);
}

/// -1 for what is no number of pictures.
int number_of(const std::string& text) {
    int number = 0;
    const char* const end = text.data() + text.size();
    const auto [after, error] = std::from_chars(text.data(), end, number);
    return error == std::errc() && after == end ? number : -1;
}

void watch(const dshm::Client& client, int pictures) {
    const Plate plate(client);
    for (long seen = -1; pictures > 0; --pictures) {
        while (plate.done() <= seen) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
            static_cast<void>(client.names()); // throws when the session has ended
        }
        seen = plate.done();
        print_plate(plate, seen);
    }
}

} // namespace

int main(int argc, char** argv) try {
    const std::string what = argc > 1 ? argv[1] : "3";
    const bool help = what == "--help" || what == "-h";
    if (help || argc > 3 || (what != "stop" && number_of(what) < 0)) {
        std::fputs(usage, help ? stdout : stderr);
        return help ? 0 : 2;
    }
    const dshm::Client client = dshm::attach(argc > 2 ? argv[2] : "heat");
    if (what == "stop")
        client.channel<std::string>("commands").put("stop");
    else
        watch(client, number_of(what));
} catch (const std::exception& error) {
    std::fprintf(stderr, "22_heat_watch: %s\n", error.what());
    return 1;
}
