#include "dshm/os/memory_left.hpp"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

namespace dshm::os {

namespace {

constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

// The number behind a key in a file of "key number" lines; of meminfo in kB, "key:".
std::optional<std::size_t> number_of(const std::string& path, const std::string& key) {
    std::ifstream file(path);
    for (std::string name, rest; file >> name; std::getline(file, rest))
        if (std::size_t value; name == key && file >> value)
            return value;
    return std::nullopt;
}

// "max" and the like are no number.
std::optional<std::size_t> number_in(const std::string& path) {
    std::ifstream file(path);
    std::size_t value = 0;
    return file >> value ? std::optional(value) : std::nullopt;
}

std::size_t left_in_machine() {
    const auto available = number_of("/proc/meminfo", "MemAvailable:");
    const auto swap = number_of("/proc/meminfo", "SwapFree:");
    return available ? (*available + swap.value_or(0)) * 1024 : unlimited;
}

std::size_t left_in_group(const std::string& directory, const char* limit_file,
                          const char* usage_file, const char* cache) {
    const auto limit = number_in(directory + limit_file);
    const auto usage = number_in(directory + usage_file);
    if (!limit || !usage)
        return unlimited;
    const std::string total = cache;
    const std::size_t droppable =
        number_of(directory + "/memory.stat", total + "inactive_file").value_or(0) +
        number_of(directory + "/memory.stat", total + "active_file").value_or(0);
    const std::size_t used = *usage - std::min(droppable, *usage);
    return *limit > used ? *limit - used : 0;
}

// Of a group and all above it, as far as they are seen here: in a container the path may be one of
// outside.
template <class Left>
std::size_t left_in_groups(const std::string& root, std::string path, Left&& left) {
    std::size_t least = left(root);
    for (; path.size() > 1; path.resize(std::max<std::size_t>(path.rfind('/'), 1)))
        least = std::min(least, left(root + path));
    return least;
}

std::size_t left_in_version_1(const std::string& path) {
    return left_in_groups("/sys/fs/cgroup/memory", path, [](const std::string& directory) {
        return left_in_group(directory, "/memory.limit_in_bytes", "/memory.usage_in_bytes",
                             "total_");
    });
}

std::size_t left_in_version_2(const std::string& path) {
    return left_in_groups("/sys/fs/cgroup", path, [](const std::string& directory) {
        return left_in_group(directory, "/memory.max", "/memory.current", "");
    });
}

} // namespace

std::size_t memory_left() {
    std::size_t least = left_in_machine();
    std::ifstream groups("/proc/self/cgroup");
    for (std::string line; std::getline(groups, line);) {
        if (const auto memory = line.find(":memory:"); memory != std::string::npos)
            least = std::min(least, left_in_version_1(line.substr(memory + 8)));
        else if (line.rfind("0::", 0) == 0)
            least = std::min(least, left_in_version_2(line.substr(3)));
    }
    return least;
}

} // namespace dshm::os
