#include "dshm/progress.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "dshm/os/clock.hpp"
#include "dshm/runtime/process.hpp"

namespace dshm::detail {

namespace {

constexpr std::uint64_t microseconds_between = 100'000;
constexpr std::size_t usual_width = 80; // of a terminal that does not say
constexpr std::size_t shortest_bar = 5;
constexpr std::size_t longest_bar = 40;

// One bar at a time: a nested loop's would be drawn over the outer one's.
std::atomic<bool> somebody_draws{false};

// Not drawn by a program in the background; a terminal that is not ours to ask says -1.
bool in_foreground() {
    const pid_t front = tcgetpgrp(STDERR_FILENO);
    return front == -1 || front == getpgrp();
}

std::size_t terminal_width() {
    winsize size{};
    const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return known ? size.ws_col : usual_width;
}

bool begins_character(char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; } // UTF-8

std::size_t columns_of(const std::string& text) {
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), begins_character));
}

void cut(std::string& text, std::size_t columns) {
    std::size_t end = 0;
    for (; end < text.size(); ++end)
        if (begins_character(text[end]) && columns-- == 0)
            break;
    text.resize(end);
}

// A line break or an escape would leave more behind than one line.
std::string in_one_line(std::string text) {
    for (char& c : text)
        if (static_cast<unsigned char>(c) < ' ' || c == '\x7f')
            c = ' ';
    return text;
}

template <class... Numbers>
std::string printed(const char* format, Numbers... numbers) {
    char buffer[64];
    std::snprintf(buffer, sizeof buffer, format, numbers...);
    return buffer;
}

std::string rate_of(double in_a_second) {
    constexpr const char* units[] = {"/s", " k/s", " M/s", " G/s", " T/s"};
    std::size_t unit = 0;
    for (; in_a_second >= 1000 && unit + 1 < std::size(units); ++unit)
        in_a_second /= 1000;
    return printed(in_a_second < 10    ? "%.2f"
                   : in_a_second < 100 ? "%.1f"
                                       : "%.0f",
                   in_a_second) +
           units[unit];
}

std::string clock_of(double seconds) {
    const auto all = static_cast<unsigned long>(std::clamp(seconds, 0.0, 3.6e9));
    const std::string rest = printed("%02lu:%02lu", all / 60 % 60, all % 60);
    return all < 3600 ? rest : printed("%lu:", all / 3600) + rest;
}

// "[1.2 k/s, 00:04 left]"; what has passed, where nothing is left or nobody knows.
std::string pace_of(std::size_t done, std::size_t total, double seconds, bool ended) {
    if (done == 0 || seconds <= 0)
        return "[" + clock_of(seconds) + "]";
    const double rate = static_cast<double>(done) / seconds;
    if (ended || total == 0)
        return "[" + rate_of(rate) + ", " + clock_of(seconds) + "]";
    return "[" + rate_of(rate) + ", " + clock_of(static_cast<double>(total - done) / rate) +
           " left]";
}

} // namespace

std::string progress_line(const std::string& text, std::size_t done, std::size_t total,
                          double seconds, bool ended, std::size_t width) {
    if (total != 0)
        done = std::min(done, total);
    const std::string pace = pace_of(done, total, seconds, ended);
    std::string front = in_one_line(text) + (text.empty() ? "" : " ");
    std::string back = " " + std::to_string(done);
    std::size_t bar = 0;
    if (total != 0) {
        const double share = static_cast<double>(done) / static_cast<double>(total);
        front += printed("%3.0f %% ", share == 1 ? 100.0 : std::min(99.0, 100 * share));
        back += "/" + std::to_string(total);
        const std::size_t taken = columns_of(front) + 2 + back.size() + 1 + pace.size();
        bar = taken >= width ? 0 : std::min(longest_bar, width - taken);
        if (bar >= shortest_bar) {
            const auto full = static_cast<std::size_t>(share * static_cast<double>(bar));
            front += "|" + std::string(full, '#') + std::string(bar - full, ' ') + "|";
        } else {
            front.pop_back();
        }
    } else if (!front.empty()) {
        front.pop_back();
    }
    std::string line = front + back + " " + pace;
    cut(line, width);
    return line;
}

ProgressBar::ProgressBar(std::string text, std::size_t total)
    : text_(std::move(text)), total_(total),
      shown_(isatty(STDERR_FILENO) == 1 &&
             !somebody_draws.exchange(true, std::memory_order_acquire)) {
    if (!shown_)
        return;
    begin_ = os::ticks();
    draw(When::now);
}

ProgressBar::~ProgressBar() {
    if (!shown_)
        return;
    write_line("", false);
    hide();
}

void ProgressBar::update(std::size_t done) {
    if (!shown_ || os::ticks() < next_)
        return;
    done_ = done;
    draw(When::now);
}

void ProgressBar::finish() {
    if (!shown_)
        return;
    done_ = total_ != 0 ? total_ : done_;
    draw(When::end);
    hide();
}

void ProgressBar::draw(When when) {
    const std::uint64_t now = os::ticks();
    const double per_microsecond = static_cast<double>(os::ticks_per_microsecond());
    next_ = now + microseconds_between * os::ticks_per_microsecond();
    const double seconds = static_cast<double>(now - begin_) / per_microsecond / 1e6;
    const bool ended = when == When::end;
    // Not the last column: a character there would move the cursor to the next line.
    write_line(progress_line(text_, done_, total_, seconds, ended, terminal_width() - 1), ended);
}

// Over the line that is there, with spaces over what is left of it, and back to its beginning.
void ProgressBar::write_line(const std::string& line, bool ended) {
    if (!in_foreground())
        return;
    const std::size_t columns = columns_of(line);
    std::string text = "\r" + line;
    text.append(columns_ > columns ? columns_ - columns : 0, ' ');
    text += ended ? "\n" : "\r";
    columns_ = ended ? 0 : columns;
    if (auto* process = runtime::current_or_null())
        // relaxed: the launcher may be late, or early; then a line stays beside the bar.
        process->header().bar_columns.store(columns_, std::memory_order_relaxed);
    for (std::string_view rest = text; !rest.empty();) {
        const ssize_t written = ::write(STDERR_FILENO, rest.data(), rest.size());
        if (written < 0 && errno != EINTR)
            return; // a bar is not worth an error
        rest.remove_prefix(written < 0 ? 0 : static_cast<std::size_t>(written));
    }
}

void ProgressBar::hide() noexcept {
    shown_ = false;
    somebody_draws.store(false, std::memory_order_release);
}

} // namespace dshm::detail
