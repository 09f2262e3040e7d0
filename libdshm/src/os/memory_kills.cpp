#include "dshm/os/memory_kills.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <fstream>
#include <optional>
#include <string_view>
#include <utility>

namespace dshm::os {

namespace {

constexpr std::string_view key = "oom_kill ";
constexpr const char* machine_file = "/proc/vmstat";

// The number in the line "oom_kill N".
std::optional<std::uint64_t> kills_in(const Fd& file) {
    std::array<char, 16384> text;
    std::size_t size = 0;
    for (ssize_t got = 1; got > 0 && size < text.size(); size += static_cast<std::size_t>(got))
        if ((got = pread(file.get(), text.data() + size, text.size() - size,
                         static_cast<off_t>(size))) < 0)
            return std::nullopt;
    const std::string_view all(text.data(), size);
    std::size_t at = 0;
    while ((at = all.find(key, at)) != std::string_view::npos && at != 0 && all[at - 1] != '\n')
        ++at;
    std::uint64_t kills = 0;
    if (at == std::string_view::npos ||
        std::from_chars(all.data() + at + key.size(), all.data() + size, kills).ec != std::errc{})
        return std::nullopt;
    return kills;
}

// Of a line of /proc/self/cgroup, "number:controllers:path". In a container the path may be one of
// outside, and the group is the root that is seen here.
std::vector<std::string> files_of_group(const std::string& line) {
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos)
        return {};
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string path = line.substr(second + 1), root = "/sys/fs/cgroup";
    if (controllers == ",,")
        return {root + path + "/memory.events", root + "/memory.events"};
    if (controllers.find(",memory,") != std::string::npos)
        return {root + "/memory" + path + "/memory.oom_control",
                root + "/memory/memory.oom_control"};
    return {};
}

} // namespace

MemoryKills::MemoryKills() {
    std::ifstream groups("/proc/self/cgroup");
    for (std::string line; std::getline(groups, line);)
        for (const std::string& path : files_of_group(line))
            if (watch(path))
                break;
    if (counts_.empty())
        watch(machine_file);
}

MemoryKills::MemoryKills(const std::vector<std::string>& paths) {
    for (const std::string& path : paths)
        watch(path);
}

bool MemoryKills::watch(const std::string& path) {
    Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    const auto kills = file ? kills_in(file) : std::nullopt;
    if (kills)
        counts_.push_back({std::move(file), *kills});
    return kills.has_value();
}

bool MemoryKills::tell() {
    bool found = false;
    for (Count& count : counts_)
        if (const auto kills = kills_in(count.file); kills && *kills > count.told) {
            ++count.told;
            found = true;
        }
    return found;
}

} // namespace dshm::os
