// 23: how often each byte occurs in a file, which may be larger than any cache, or than the memory.
//
// Julia: A = SharedArray{UInt8}(path, filesize(path); mode = "r"); bins = SharedArray{Int}(256)
//
//     23_file_histogram FILE         the ten most frequent bytes
//     23_file_histogram --all FILE   all 256
//
// Every worker maps the file for itself and reads its own part; nothing is sent, and nothing is copied. It counts
// in memory of its own, and then adds up in the bins that all share.

#include <dshm/dshm.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <iostream>
#include <numeric>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

namespace {

using Bytes = dshm::SharedVector<std::uint8_t>;
using Bins = dshm::SharedVector<std::uint64_t>;

const char usage[] = "usage: 23_file_histogram [--all] FILE\n\n"
                     "Counts how often each byte occurs in FILE, by all workers at the same time,\n"
                     "and prints the ten most frequent ones.\n\n"
                     "  --all     all 256, in their order\n"
                     "  --help    this text\n";

void count_part(const Bytes& bytes, const Bins& bins) {
    std::array<std::uint64_t, 256> counts{};
    for (const std::ptrdiff_t i : bytes.localindices())
        ++counts[bytes[static_cast<std::size_t>(i)]];
    for (std::size_t byte = 0; byte < counts.size(); ++byte)
        bins.atomic(byte).fetch_add(counts[byte],
                                    std::memory_order_relaxed); // relaxed: fetched below
}

/// Throws std::runtime_error for what is no file.
std::size_t size_of(const std::string& path) {
    std::error_code error;
    const auto size = std::filesystem::file_size(path, error);
    if (error)
        throw std::runtime_error("cannot read " + path + ": " + error.message());
    return size;
}

Bins histogram(const std::string& path, std::size_t size) {
    const Bins bins(256);
    const auto bytes = Bytes::map_file(std::filesystem::absolute(path), size, dshm::mode("r"));
    dshm::everywhere(bytes.procs(), count_part, bytes, bins);
    return bins;
}

/// "A" or "0x0a".
std::string name_of(std::size_t byte) {
    if (byte > ' ' && byte < 0x7f)
        return std::string(1, static_cast<char>(byte));
    char text[8];
    std::snprintf(text, sizeof text, "0x%02zx", byte);
    return text;
}

/// Up to 40 characters.
std::string bar(double share) {
    const auto length = static_cast<std::size_t>(40 * share);
    return length == 0 ? "" : " " + std::string(length, '#');
}

void print(const Bins& bins, std::size_t size, bool all) {
    std::vector<std::size_t> order(bins.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    if (!all) {
        std::stable_sort(order.begin(), order.end(),
                         [&](std::size_t a, std::size_t b) { return bins[a] > bins[b]; });
        order.resize(10);
    }
    std::printf("%zu bytes\n", size);
    for (const std::size_t byte : order) {
        const double share =
            size == 0 ? 0 : static_cast<double>(bins[byte]) / static_cast<double>(size);
        std::printf("%-4s %12ju %6.2f %%%s\n", name_of(byte).c_str(), std::uintmax_t{bins[byte]},
                    100 * share, bar(share).c_str());
    }
}

struct Options {
    bool all = false;
    bool help = false;
    std::string path;
};

/// Throws std::invalid_argument.
Options options_of(int argc, char** argv) {
    Options options;
    for (int i = 1; i < argc; ++i) {
        const std::string argument = argv[i];
        if (argument == "--all")
            options.all = true;
        else if (argument == "--help" || argument == "-h")
            options.help = true;
        else if (argument.size() > 1 && argument[0] == '-')
            throw std::invalid_argument("there is no option " + argument + "; see --help");
        else if (!options.path.empty())
            throw std::invalid_argument("one file at a time; see --help");
        else
            options.path = argument;
    }
    if (options.path.empty() && !options.help)
        throw std::invalid_argument("which file? See --help");
    return options;
}

int run(int argc, char** argv) {
    const Options options = options_of(argc, argv);
    if (options.help) {
        std::cout << usage;
        return 0;
    }
    if (dshm::nprocs() == 1)
        dshm::addprocs(2);
    const std::size_t size = size_of(options.path);
    print(histogram(options.path, size), size, options.all);
    return 0;
}

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "23_file_histogram: %s\n", error.what());
        return 2;
    }
}
