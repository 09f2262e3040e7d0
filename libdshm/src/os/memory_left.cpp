#include "dshm/os/memory_left.hpp"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

#include "dshm/base/bits.hpp"

namespace dshm::os {

namespace {

constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();
constexpr std::size_t most_reserved = base::mebibytes(64);

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

// What one level has: the machine, or a group.
struct Level {
    std::size_t all = unlimited;
    std::size_t left = unlimited;

    std::size_t to_spare() const {
        const std::size_t reserve = std::min(most_reserved, all / 8);
        return left - std::min(left, reserve);
    }
};

Level machine() {
    const std::string path = "/proc/meminfo";
    const auto all = number_of(path, "MemTotal:");
    const auto available = number_of(path, "MemAvailable:");
    const auto swap = number_of(path, "SwapFree:");
    return all && available ? Level{*all * 1024, (*available + swap.value_or(0)) * 1024} : Level{};
}

Level group(const std::string& directory, const char* limit_file, const char* usage_file,
            const std::string& cache) {
    const auto limit = number_in(directory + limit_file);
    const auto usage = number_in(directory + usage_file);
    if (!limit || !usage)
        return {};
    const std::size_t droppable =
        number_of(directory + "/memory.stat", cache + "inactive_file").value_or(0) +
        number_of(directory + "/memory.stat", cache + "active_file").value_or(0);
    const std::size_t used = *usage - std::min(droppable, *usage);
    return {*limit, *limit > used ? *limit - used : 0};
}

// f(directory) for a group and all above it, as far as they are seen here: in a container the path
// may be one of outside.
template <class F>
void for_each_above(const std::string& root, std::string path, F&& f) {
    f(root);
    for (; path.size() > 1; path.resize(std::max<std::size_t>(path.rfind('/'), 1)))
        f(root + path);
}

bool is_listed(const std::string& list, const std::string& name) {
    return ("," + list + ",").find("," + name + ",") != std::string::npos;
}

// f(Level) for the groups of a line "number:controllers:path"; no controllers: version 2. Version 1
// may have several mounted together, at the name of the list or at each one's.
template <class F>
void for_each_level(const std::string& line, F&& f) {
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos)
        return;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1), root = "/sys/fs/cgroup";
    const auto version_1 = [&](const std::string& directory) {
        f(group(directory, "/memory.limit_in_bytes", "/memory.usage_in_bytes", "total_"));
    };
    if (controllers.empty())
        for_each_above(root, path, [&](const std::string& directory) {
            f(group(directory, "/memory.max", "/memory.current", ""));
        });
    if (is_listed(controllers, "memory"))
        for_each_above(root + "/memory", path, version_1);
    if (is_listed(controllers, "memory") && controllers != "memory")
        for_each_above(root + "/" + controllers, path, version_1);
}

template <class Number>
std::size_t least(Number&& number) {
    std::size_t found = number(machine());
    std::ifstream groups("/proc/self/cgroup");
    for (std::string line; std::getline(groups, line);)
        for_each_level(line, [&](const Level& level) { found = std::min(found, number(level)); });
    return found;
}

} // namespace

std::size_t memory_left() {
    return least([](const Level& level) { return level.left; });
}

std::size_t memory_to_spare() {
    return least([](const Level& level) { return level.to_spare(); });
}

} // namespace dshm::os
