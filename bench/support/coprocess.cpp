// See coprocess.hpp.
#include "support/coprocess.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <iostream>
#include <spawn.h>
#include <stdexcept>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

extern char** environ;

namespace bench {

namespace {

struct Pipe {
    int read_end = -1;
    int write_end = -1;
};

Pipe make_pipe() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        throw std::system_error(errno, std::generic_category(), "pipe2");
    return {ends[0], ends[1]};
}

} // namespace

Coprocess::Coprocess(const std::vector<std::string>& arguments) {
    const Pipe to_child = make_pipe();
    const Pipe from_child = make_pipe();
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to_child.read_end, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, from_child.write_end, STDOUT_FILENO);
    std::vector<char*> words;
    for (const std::string& argument : arguments)
        words.push_back(const_cast<char*>(argument.c_str()));
    words.push_back(nullptr);
    const int error = posix_spawnp(&pid_, words[0], &actions, nullptr, words.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    close(to_child.read_end);
    close(from_child.write_end);
    questions_ = fdopen(to_child.write_end, "w");
    answers_ = fdopen(from_child.read_end, "r");
    if (error != 0)
        throw std::system_error(error, std::generic_category(), arguments[0]);
    std::signal(SIGPIPE, SIG_IGN); // a peer that has gone is an error of `ask`, not our end
}

Coprocess::~Coprocess() {
    std::fclose(questions_);
    waitpid(pid_, nullptr, 0);
    std::fclose(answers_);
}

double Coprocess::ask(const std::string& question) {
    std::fprintf(questions_, "%s\n", question.c_str());
    std::fflush(questions_);
    char line[256];
    if (!std::fgets(line, sizeof line, answers_))
        throw std::runtime_error("the peer has ended");
    char* end = nullptr;
    const double seconds = std::strtod(line, &end);
    if (end == line || seconds <= 0)
        throw std::runtime_error(std::string("the peer answered ") + line);
    return seconds;
}

std::unique_ptr<Coprocess> start_if_possible(const std::vector<std::string>& arguments,
                                             const std::string& question) {
    try {
        auto peer = std::make_unique<Coprocess>(arguments);
        peer->ask(question);
        return peer;
    } catch (const std::exception& error) {
        std::cerr << "left out: " << arguments[0] << ": " << error.what() << '\n';
        return nullptr;
    }
}

} // namespace bench
