// Workers' output: read from their pipes, shown line by line under the worker's name.
//
//       From worker 3:<tab>the line
//
// Standard output and standard error are kept apart. Lines are never split or mixed; one without an
// end is shown when its task has ended, with an end of its own. What cannot be written yet, because
// the reader of our output is slow, is kept: the launcher never blocks on it. Output to a closed
// pipe is dropped, and so is what a file does not take (a full disk); the caller is told of each.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "dshm/os/mapping.hpp"
#include "dshm/shm/word.hpp"

namespace dshm::launch {

// One of the launcher's own two streams.
class OutputSink {
public:
    explicit OutputSink(int file);
    // Where a progress bar may lie on the same terminal: its columns are cleared before each text.
    void share_with_bar(const shm::Word64& columns);

    void add(std::string_view text);
    // Writes what fits without blocking.
    void flush();
    // Writes everything, waiting for the reader at most `milliseconds` in all.
    void flush_all(int milliseconds);

    int file() const { return file_; }
    bool pending() const { return !pending_.empty(); }
    // So much is kept that workers should be left waiting in their own writes.
    bool congested() const { return pending_.size() > most_pending; }
    bool closed() const { return closed_; }
    // Why something was dropped that nobody had closed; 0: nothing was.
    int error() const { return error_; }
    // Total bytes added and written: output added up to a mark is shown once written() has reached
    // it.
    std::size_t added() const { return added_; }
    std::size_t written() const { return added_ - pending_.size(); }

private:
    static constexpr std::size_t most_pending = 1 << 20;

    bool write_some();
    void append(std::string_view text);

    os::Fd own_;
    int file_;
    const shm::Word64* bar_columns_ = nullptr;
    std::string pending_;
    std::size_t added_ = 0;
    bool closed_ = false;
    int error_ = 0;
};

// One worker's stream into a sink.
class LineRelay {
public:
    LineRelay(os::Fd pipe, OutputSink& sink, std::string prefix)
        : pipe_(std::move(pipe)), sink_(&sink), prefix_(std::move(prefix)) {}

    // Reads what is there and shows whole lines. Closes the pipe once nobody can write to it any
    // more.
    void read_available();
    // Shows a line that has no end yet.
    void end_line();

    // There is a line whose end has not come yet.
    bool partial() const { return !line_.empty(); }

    // -1 once closed.
    int file() const { return pipe_.get(); }
    OutputSink& sink() const { return *sink_; }
    // The last bytes that came, for an error message.
    const std::string& tail() const { return tail_; }

private:
    void take(std::string_view text);

    os::Fd pipe_;
    OutputSink* sink_;
    std::string prefix_;
    std::string line_;
    std::string tail_;
};

} // namespace dshm::launch
