#include "dshm/launch/death_report.hpp"

#include <algorithm>

#include "dshm/os/process.hpp"

namespace dshm::launch {

namespace {

constexpr std::size_t most_calls_shown = 40, most_calls_sent = 12, most_lines = 5;
constexpr std::size_t last_calls = 6; // of a deep stack: how it came to be called
constexpr std::size_t longest_line = 240, most_printed = 1024;

// "  line\n", cut where it is too long, and not inside of a character of UTF-8.
std::string indented(std::string_view line) {
    std::size_t size = std::min(line.size(), longest_line);
    while (size < line.size() && size > 0 && (line[size] & 0xc0) == 0x80)
        --size;
    return "  " + std::string(line.substr(0, size)) + (size < line.size() ? "...\n" : "\n");
}

std::string first_lines(std::string_view text, std::size_t most) {
    std::string lines;
    for (; !text.empty() && most > 0; --most) {
        const std::string_view line = text.substr(0, text.find('\n'));
        lines += indented(line);
        text.remove_prefix(std::min(text.size(), line.size() + 1));
    }
    return lines;
}

std::string calls_text(std::string_view calls, std::size_t most) {
    const auto lines = static_cast<std::size_t>(std::count(calls.begin(), calls.end(), '\n'));
    if (lines <= most)
        return first_lines(calls, lines);
    std::string_view last = calls;
    for (std::size_t skipped = 0; skipped < lines - last_calls; ++skipped)
        last.remove_prefix(last.find('\n') + 1);
    return first_lines(calls, most - last_calls) + "  ...\n" + first_lines(last, last_calls);
}

// The last of what was printed, whole lines where there is more than one.
std::string_view end_of(std::string_view text) {
    while (text.ends_with('\n'))
        text.remove_suffix(1);
    std::size_t begin = text.size();
    for (std::size_t lines = 0; lines < most_lines && begin > 0; ++lines) {
        const std::string_view before = text.substr(0, lines == 0 ? begin : begin - 1);
        const std::size_t next = before.rfind('\n') + 1; // 0 where there is none
        if (text.size() - next > most_printed && lines > 0)
            break;
        begin = next;
    }
    return text.substr(begin);
}

std::string printed(std::string_view stream, std::string_view text) {
    const std::string_view end = end_of(text);
    if (end.empty())
        return {};
    return "its last " + std::string(stream) + ":\n" + first_lines(end, most_lines);
}

std::string place(const runtime::CrashText& crash) {
    return crash.where.empty() ? std::string() : indented("at " + crash.where);
}

} // namespace

std::string DeathReport::announcement() const {
    std::string text = "dshm: worker " + std::to_string(worker) + " (process " +
                       std::to_string(os_pid) + ") ended: " + os::describe_wait_status(wait_status);
    if (!task.empty())
        text += " while running " + task;
    text += "\n" + place(crash) + calls_text(crash.calls, most_calls_shown);
    if ((wait_status & os::killed_for_memory) != 0)
        text +=
            "  what helps: a memory_limit for the workers (AddprocsOptions), fewer of them, or a "
            "larger memory cgroup\n";
    return text;
}

std::string DeathReport::last_words() const {
    std::string text = place(crash) + calls_text(crash.calls, most_calls_sent) +
                       printed("output", output) + printed("errors", errors);
    while (text.ends_with('\n'))
        text.pop_back();
    return text;
}

} // namespace dshm::launch
