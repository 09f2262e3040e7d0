#include "dshm/launch/output_relay.hpp"

#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

namespace dshm::launch {

namespace {

// Kept of a worker's last output, for the message when its start fails.
constexpr std::size_t tail_size = 2000;
// A line without an end is shown in pieces of this size rather than kept for ever.
constexpr std::size_t longest_line = 1 << 20;

bool writable(int file, int milliseconds) {
    pollfd entry{file, POLLOUT, 0};
    return poll(&entry, 1, milliseconds) == 1;
}

} // namespace

void OutputSink::add(std::string_view text) {
    added_ += text.size();
    if (!closed_)
        pending_.append(text);
}

// At most PIPE_BUF bytes: what a ready pipe takes without blocking. False when nothing more can be
// done now.
bool OutputSink::write_some() {
    const std::size_t size = std::min<std::size_t>(pending_.size(), PIPE_BUF);
    const ssize_t done = ::write(file_, pending_.data(), size);
    if (done >= 0) {
        pending_.erase(0, static_cast<std::size_t>(done));
        return true;
    }
    if (errno == EINTR)
        return true;
    if (errno == EAGAIN)
        return false;
    closed_ = true;
    pending_.clear();
    return false;
}

void OutputSink::flush() {
    while (!pending_.empty() && writable(file_, 0) && write_some()) {
    }
}

void OutputSink::flush_all(int milliseconds) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
    while (!pending_.empty() && std::chrono::steady_clock::now() < end)
        if (writable(file_, 10))
            write_some();
}

void LineRelay::read_available() {
    char buffer[16384];
    while (pipe_) {
        const ssize_t done = ::read(pipe_.get(), buffer, sizeof buffer);
        if (done > 0)
            take({buffer, static_cast<std::size_t>(done)});
        else if (done < 0 && errno == EAGAIN)
            return;
        else if (done == 0 || errno != EINTR)
            pipe_.reset();
    }
}

void LineRelay::take(std::string_view text) {
    tail_.append(text);
    if (tail_.size() > tail_size)
        tail_.erase(0, tail_.size() - tail_size);
    for (std::size_t end; (end = text.find('\n')) != std::string_view::npos;) {
        sink_->add(prefix_ + line_ + std::string(text.substr(0, end + 1)));
        line_.clear();
        text.remove_prefix(end + 1);
    }
    line_.append(text);
    if (line_.size() > longest_line)
        end_line();
}

void LineRelay::end_line() {
    if (line_.empty())
        return;
    sink_->add(prefix_ + line_ + "\n");
    line_.clear();
}

} // namespace dshm::launch
