// dshm-clean: lists and removes what sessions have left in /dev/shm.
//
//     dshm-clean            removes what is stale: no process of its session lives any more
//     dshm-clean -n --all   shows everything that is there, and removes nothing
//
// A session cleans up after itself, and the next one removes what was left when all its processes
// were killed at once; this is for who does not want to wait for that. What lives is never removed, and nor is what
// belongs to another user or was not made by dshm.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "dshm/os/process.hpp"
#include "dshm/shm/find_segment.hpp"

namespace {

using dshm::shm::SegmentEntry;

std::string state_of(const SegmentEntry& entry) {
    if (entry.launcher > 0)
        return "lives, launcher is process " + std::to_string(entry.launcher);
    if (entry.launcher < 0)
        return "lives, in another process namespace";
    if (entry.members)
        return "is ending";
    return entry.removable ? "stale" : "not removed: not a segment of this user's";
}

void print(const SegmentEntry& entry, const std::string& state) {
    std::printf("%s (%zu KiB): %s\n", entry.link_name.c_str(), entry.memory >> 10, state.c_str());
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

// How many could not be removed.
int clean(bool all, bool dry) {
    const std::vector<SegmentEntry> entries = dshm::shm::list_segments();
    const std::vector<std::string> removed =
        dry ? std::vector<std::string>() : dshm::shm::remove_stale_segments();
    int left = 0;
    for (const SegmentEntry& entry : entries) {
        if (contains(removed, entry.link_name))
            print(entry, "removed");
        else if (all || entry.stale())
            print(entry, state_of(entry));
        left += !dry && entry.stale() && entry.removable && !contains(removed, entry.link_name);
    }
    return left;
}

} // namespace

int main(int argc, char** argv) {
    dshm::os::open_standard_streams();
    bool all = false;
    bool dry = false;
    CLI::App app("Removes the shared memory that sessions of this user have left behind.",
                 "dshm-clean");
    app.add_flag("-n,--dry-run", dry, "show what would be removed, and remove nothing");
    app.add_flag("-a,--all", all, "show sessions that live as well; they are never removed");
    app.footer(
        "Prints a line for each segment in /dev/shm. Exit status 1: something stale could not "
        "be removed.");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        const int status = app.exit(error);
        return status == 0 ? 0 : 2;
    }
    return clean(all, dry) == 0 ? 0 : 1;
}
