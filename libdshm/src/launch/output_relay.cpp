#include "dshm/launch/output_relay.hpp"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
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

// Whoever wrote the bar's width may have been mad.
constexpr std::size_t widest_terminal = 1000;

bool writable(int file, int milliseconds) {
    pollfd entry{file, POLLOUT, 0};
    return poll(&entry, 1, milliseconds) == 1;
}

} // namespace

// A description of our own that never blocks; the program's keeps its flags. Regular files and what
// cannot be opened again (a socket, a pipe of another user) are written as they are.
OutputSink::OutputSink(int file) : file_(file) {
    struct stat info {};
    if (fstat(file, &info) != 0 || (!S_ISFIFO(info.st_mode) && !S_ISCHR(info.st_mode)))
        return;
    const std::string path = "/proc/self/fd/" + std::to_string(file);
    own_ = os::Fd(open(path.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (own_)
        file_ = own_.get();
}

void OutputSink::share_with_bar(const shm::Word64& columns) {
    bar_columns_ = isatty(file_) == 1 ? &columns : nullptr;
}

void OutputSink::add(std::string_view text) {
    // relaxed: a bar that comes or goes just now may stay beside the text.
    if (bar_columns_ != nullptr)
        if (const std::size_t columns = bar_columns_->load(std::memory_order_relaxed))
            append("\r" + std::string(std::min(columns, widest_terminal), ' ') + "\r");
    append(text);
}

void OutputSink::append(std::string_view text) {
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
    if (errno == EPIPE)
        closed_ = true;
    else
        error_ = errno;
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

// What is in the pipe now and not what a busy writer adds meanwhile, so that reading ends.
void LineRelay::read_available() {
    int left = 0;
    if (!pipe_ || ioctl(pipe_.get(), FIONREAD, &left) != 0)
        return;
    char buffer[16384];
    do {
        const ssize_t done = ::read(pipe_.get(), buffer, sizeof buffer);
        if (done > 0) {
            take({buffer, static_cast<std::size_t>(done)});
            left -= static_cast<int>(done);
        } else if (done < 0 && errno == EAGAIN) {
            return;
        } else if (done == 0 || errno != EINTR) {
            pipe_.reset();
        }
    } while (pipe_ && left > 0);
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
