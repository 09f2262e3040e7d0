#include "dshm/launch/worker_command.hpp"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <stdexcept>

namespace dshm::launch {

namespace {

std::string found_on_path(const std::string& name) {
    const char* path = std::getenv("PATH");
    std::istringstream directories(path == nullptr ? "/usr/local/bin:/usr/bin:/bin" : path);
    for (std::string directory; std::getline(directories, directory, ':');) {
        const auto candidate = std::filesystem::absolute(
            std::filesystem::path(directory.empty() ? "." : directory) / name);
        std::error_code none;
        if (std::filesystem::is_regular_file(candidate, none) &&
            access(candidate.c_str(), X_OK) == 0)
            return candidate;
    }
    throw std::runtime_error("dshm: cannot start workers: there is no program '" + name +
                             "' on PATH; give exename with its directory");
}

} // namespace

Command worker_command(const std::string& exename, const std::vector<std::string>& flags,
                       const std::vector<std::string>& own) {
    Command command;
    if (exename.empty()) {
        command.program = "/proc/self/exe";
        command.arguments = own.empty() ? std::vector<std::string>{command.program} : own;
    } else {
        command.program = exename.find('/') == std::string::npos
                              ? found_on_path(exename)
                              : std::filesystem::absolute(exename).string();
        command.arguments = {exename};
    }
    command.arguments.insert(command.arguments.end(), flags.begin(), flags.end());
    return command;
}

} // namespace dshm::launch
