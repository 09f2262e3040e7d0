// Random numbers that do not depend on who runs what: where the draws of one stream stand.
//
// Draw d of iteration i of a loop (of a task: i is 0) is a pure function of the stream's id, i and d:
// a word of a Philox block under the id as key.
//
//     d < 4:  word i mod 2 of the block with the counter {i / 2, d}
//     d ≥ 4:  word d mod 2 of the block with the counter {i, 4 + (d - 4) / 2}
//
// No two of them share a word. Neighbouring iterations share the blocks of their first draws, so a
// loop that visits its iterations in order gets them by the *run* of 64: each of the four first draws
// has a *row* of 64 words, filled by one call of the vectorised kernel when it is first needed, and a
// draw is two compares, a load and two stores. The later draws of an iteration come in *pieces* that
// grow. Iterations that are visited at random pay for a block each.
//
// An object belongs to one stack; the one in use is found through a thread-local pointer that is
// switched with the stack. Objects die with their process; the values do not depend on them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace dshm::runtime {

// task_stream.hpp says who makes these, and when.
class RandomStream {
public:
    RandomStream(const RandomStream&) = delete;
    RandomStream& operator=(const RandomStream&) = delete;

    // The one that this thread draws from now; of a thread of the program's own outside of tasks one
    // that every draw looks up anew.
    static RandomStream& current() noexcept { return *current_; }
    // For whoever goes on with another stack in the middle; null is the stream of a fresh one.
    static RandomStream* exchange(RandomStream* stream) noexcept {
        return std::exchange(current_, stream == nullptr ? &none_ : stream);
    }

    // The next draw of the current iteration. Throws std::logic_error when there is no session.
    std::uint64_t next() {
        const auto index = static_cast<std::uint64_t>(index_);
        const std::uint64_t apart = index ^ drawn_index_;
        if (apart - 1 < reach_) [[likely]] { // another iteration of the same run
            drawn_index_ = index;
            position_ = index % run;
            return words_[position_];
        }
        if (apart == 0 && position_ + stride_ < limit_) [[likely]]
            return words_[position_ += stride_];
        return draw(*this);
    }
    // What the next words.size() draws of the current iteration would give, at the kernel's speed.
    static void fill(std::span<std::uint64_t> words);

    // The id of the next thing that the current iteration or task makes, from a hash of this stream's
    // id and the iteration, and how many it has made before.
    static std::uint64_t next_child() {
        RandomStream& stream = *current_;
        if (stream.child_index_ == static_cast<std::uint64_t>(stream.index_)) [[likely]]
            return stream.next_child_ += golden_ratio;
        return first_child(stream);
    }

protected:
    static constexpr std::size_t run = 64;
    static constexpr std::size_t rows = 4;           // draws that lie in rows
    static constexpr std::size_t longest_piece = 64; // words
    static constexpr std::size_t room = run * rows + longest_piece;

    // `id` is read when it is first needed; `words` may be null until then.
    constexpr RandomStream(const std::uint64_t* id, std::uint64_t* words) noexcept
        : words_(words), id_(id) {}
    ~RandomStream() = default;
    // As new: for another id.
    void restart() noexcept;

    // A type of its own: a store to it cannot be a store to the numbers that a loop works on, so that
    // a compiler may leave it to the end of a loop that draws nothing.
    enum class Index : std::uint64_t {};

    Index index_{};
    std::uint64_t* words_; // room for `room` of them: the rows, then a piece
    const std::uint64_t* id_;

private:
    // Where the last draw came from: nowhere yet, a block of its own, a row, a piece.
    enum class Last : std::uint8_t { none, block, row, piece };

    // So far apart are the ids of siblings: no two of them are the same.
    static constexpr std::uint64_t golden_ratio = 0x9e3779b97f4a7c15;
    static constexpr std::uint64_t no_children = ~std::uint64_t{0}; // no iteration's number

    static std::uint64_t draw(RandomStream& stream);
    static std::uint64_t first_child(RandomStream& stream);
    std::uint64_t draw_for(std::uint64_t index);
    std::uint64_t first_draw(std::uint64_t index);
    std::uint64_t from_block(std::uint64_t index, std::uint64_t draw);
    std::uint64_t from_row(std::uint64_t index, std::uint64_t draw);
    std::uint64_t from_piece(std::uint64_t index, std::uint64_t draw);
    std::uint64_t draws_made(std::uint64_t index) const;
    void need_words();

    static RandomStream none_; // only to be recognised: nobody draws from it
    static inline thread_local constinit RandomStream* current_ = &none_;

    std::uint64_t drawn_index_ = 0;           // the iteration of the last draw
    std::uint64_t position_ = 0;              // of the last draw in words_
    std::uint64_t limit_ = 0;                 // where the words that are there end
    std::uint64_t stride_ = 0;                // from one draw of an iteration to its next
    std::uint64_t reach_ = 0;                 // run - 1 where row 0 serves other iterations, else 0
    std::uint64_t draws_ = 0;                 // block: made so far; piece: before its first word
    std::uint64_t run_ = 0;                   // which one the rows belong to
    std::uint64_t rows_ = 0;                  // how many of them are filled
    std::uint64_t child_index_ = no_children; // the iteration whose children are counted
    std::uint64_t next_child_ = 0;            // the id of its last one
    Last last_ = Last::none;
};

} // namespace dshm::runtime
