// A peer that must live in a process of its own (an MPI program, a Python interpreter).
//
// It reads a line from its standard input, does the work once, and answers with one line: the seconds that
// it took by its own clock. Between questions it must be blocked in that read, so that it costs the other
// contenders nothing. It ends at the end of its input, hence also when the asker dies.
#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

namespace bench {

class Coprocess {
public:
    /// Starts the program; `arguments[0]` is looked up in PATH. Throws `std::system_error`.
    explicit Coprocess(const std::vector<std::string>& arguments);
    ~Coprocess();
    Coprocess(const Coprocess&) = delete;
    Coprocess& operator=(const Coprocess&) = delete;

    /// Seconds. Throws `std::runtime_error` if the program has gone or talks nonsense.
    double ask(const std::string& question);

private:
    int pid_ = -1;
    std::FILE* questions_ = nullptr;
    std::FILE* answers_ = nullptr;
};

/// The program if it starts and answers `question`, else nothing (the peer is then left out).
std::unique_ptr<Coprocess> start_if_possible(const std::vector<std::string>& arguments,
                                             const std::string& question);

} // namespace bench
