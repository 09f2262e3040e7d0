// The bar of the keyword `progress("text")`:
//
//     svd  43 % |#################                       | 4300/10000 [1.2 k/s, 00:04 left]
//
// One line on standard error, drawn at most ten times a second, and not at all when that is not a
// terminal, when another bar is there already, or while the program is in the background. It fits the
// terminal's width. The cursor stays at its beginning, so that whatever else is printed begins there;
// what workers print makes room for itself first, and the bar is drawn again below it (the launcher
// reads from the segment's header that there is a bar).
//
// For the library. An object belongs to one thread. If it is destroyed without finish(), because
// something threw, the line is cleared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace dshm::detail {

class ProgressBar {
public:
    // `total` counts what will be done; 0: unknown, then there is a count and a rate.
    ProgressBar(std::string text, std::size_t total);
    ~ProgressBar();
    ProgressBar(const ProgressBar&) = delete;
    ProgressBar& operator=(const ProgressBar&) = delete;

    // Whether anything is ever drawn; if not, updates may be left out.
    bool shown() const noexcept { return shown_; }
    // So much is done in all. May be called as often as one likes: some 10 ns when nothing is drawn.
    void update(std::size_t done);
    // Draws the last state and leaves it in a line of its own. The bar is not shown any more.
    void finish();

private:
    enum class When { now, end };

    void draw(When when);
    void write_line(const std::string& line, bool ended);
    void hide() noexcept;

    std::string text_;
    std::size_t total_;
    std::size_t done_ = 0;
    bool shown_;
    std::size_t columns_ = 0; // of the line that is there
    std::uint64_t begin_ = 0; // ticks
    std::uint64_t next_ = 0;  // not drawn before this tick
};

// What the line says after `seconds`, in at most `width` columns.
std::string progress_line(const std::string& text, std::size_t done, std::size_t total,
                          double seconds, bool ended, std::size_t width);

} // namespace dshm::detail
