#include "dshm/os/pages.hpp"

#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <vector>

namespace dshm::os {

namespace {

// Numbers of the kernel's that the C library's headers may be too old for.
constexpr int madv_populate_write = 23;
constexpr int mpol_default = 0;
constexpr int mpol_preferred = 1;
constexpr unsigned mpol_f_addr = 2;

std::string first_line(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

// "0-3,8" as numbers; stops at what is no list.
std::vector<int> numbers_in(const std::string& list) {
    std::vector<int> numbers;
    const char* at = list.data();
    const char* const end = at + list.size();
    while (at != end) {
        int first = 0;
        const auto number = std::from_chars(at, end, first);
        if (number.ec != std::errc())
            break;
        int last = first;
        at = number.ptr;
        if (at != end && *at == '-')
            at = std::from_chars(at + 1, end, last).ptr;
        for (int i = first; i <= last; ++i)
            numbers.push_back(i);
        at += at != end && *at == ',' ? 1 : 0;
    }
    return numbers;
}

struct Nodes {
    int forced = 0;                // 0: as the system says
    std::vector<int> numbers{0};   // the system's
    std::vector<int> of_processor; // by its number

    Nodes() {
        const std::string directory = "/sys/devices/system/node/";
        if (auto found = numbers_in(first_line(directory + "has_memory")); !found.empty())
            numbers = std::move(found);
        for (const int node : numbers)
            for (const int processor :
                 numbers_in(first_line(directory + "node" + std::to_string(node) + "/cpulist"))) {
                of_processor.resize(
                    std::max(of_processor.size(), static_cast<std::size_t>(processor) + 1));
                of_processor[static_cast<std::size_t>(processor)] = node;
            }
        if (const char* const text = std::getenv("DSHM_NODES"))
            forced = std::clamp(std::atoi(text), 0, 1024);
    }
    int count() const { return forced != 0 ? forced : static_cast<int>(numbers.size()); }
    int of(std::size_t processor) const {
        if (forced != 0)
            return static_cast<int>(processor % static_cast<std::size_t>(forced));
        return processor < of_processor.size() ? of_processor[processor] : numbers.front();
    }
    // The number by which the system knows it.
    int real(int node) const {
        return forced == 0 ? node : numbers[static_cast<std::size_t>(node) % numbers.size()];
    }
};

const Nodes& nodes() {
    static const Nodes all;
    return all;
}

// The field behind the name in parentheses, which may hold anything, is the third.
std::optional<std::size_t> last_processor_of(pid_t process) {
    const std::string line = first_line("/proc/" + std::to_string(process) + "/stat");
    const auto name_end = line.rfind(')');
    if (name_end == std::string::npos)
        return std::nullopt;
    std::istringstream fields(line.substr(name_end + 1));
    std::string field;
    for (int number = 3; number <= 39; ++number)
        fields >> field;
    return fields ? std::optional<std::size_t>(std::strtoull(field.c_str(), nullptr, 10))
                  : std::nullopt;
}

} // namespace

int populate(std::byte* first, std::size_t size) noexcept {
    while (madvise(first, size, madv_populate_write) != 0)
        if (errno != EINTR && errno != EAGAIN)
            return errno;
    return 0;
}

void advise_huge_pages(std::byte* first, std::size_t size) noexcept {
    madvise(first, size, MADV_HUGEPAGE);
}

// Looks for the mapping in smaps; "ShmemPmdMapped" counts what is mapped by huge pages.
bool is_huge_page(const std::byte* address) {
    std::ifstream regions("/proc/self/smaps");
    bool here = false;
    for (std::string line; std::getline(regions, line);) {
        std::uintptr_t first = 0, last = 0;
        const auto dash = std::from_chars(line.data(), line.data() + line.size(), first, 16);
        if (dash.ec == std::errc() && *dash.ptr == '-') {
            std::from_chars(dash.ptr + 1, line.data() + line.size(), last, 16);
            const auto at = reinterpret_cast<std::uintptr_t>(address);
            here = at >= first && at < last;
        } else if (here && line.rfind("ShmemPmdMapped:", 0) == 0) {
            return std::strtoull(line.c_str() + 15, nullptr, 10) != 0;
        }
    }
    return false;
}

int node_count() { return nodes().count(); }

std::optional<int> node_of_process(pid_t process) {
    const auto last = last_processor_of(process);
    if (!last)
        return std::nullopt;
    std::array<unsigned long, 65536 / (8 * sizeof(unsigned long))> mask{};
    auto* const set = reinterpret_cast<cpu_set_t*>(mask.data());
    if (sched_getaffinity(process, sizeof mask, set) != 0)
        return nodes().of(*last);
    std::optional<int> only;
    for (std::size_t processor = 0; processor < 8 * sizeof mask; ++processor)
        if (CPU_ISSET_S(processor, sizeof mask, set)) {
            const int node = nodes().of(processor);
            if (only && *only != node)
                return nodes().of(*last);
            only = node;
        }
    return only;
}

bool prefer_node(std::byte* first, std::size_t size, int node) noexcept {
    const auto number = static_cast<std::size_t>(nodes().real(node));
    std::array<unsigned long, 16> mask{}; // 1024 nodes: the most that the kernel can be built for
    constexpr std::size_t bits = 8 * sizeof(unsigned long);
    if (number >= mask.size() * bits)
        return false;
    mask[number / bits] = 1ul << (number % bits);
    return syscall(SYS_mbind, first, size, mpol_preferred, mask.data(), mask.size() * bits, 0) == 0;
}

void prefer_no_node(std::byte* first, std::size_t size) noexcept {
    syscall(SYS_mbind, first, size, mpol_default, nullptr, 0, 0);
}

std::optional<int> preferred_node(const std::byte* address) noexcept {
    int policy = mpol_default;
    std::array<unsigned long, 16> mask{};
    constexpr std::size_t bits = 8 * sizeof(unsigned long);
    if (syscall(SYS_get_mempolicy, &policy, mask.data(), mask.size() * bits, address,
                mpol_f_addr) != 0 ||
        policy != mpol_preferred)
        return std::nullopt;
    for (std::size_t number = 0; number < mask.size() * bits; ++number)
        if ((mask[number / bits] >> (number % bits) & 1) != 0)
            return static_cast<int>(number);
    return std::nullopt;
}

} // namespace dshm::os
