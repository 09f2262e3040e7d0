#include "dshm/runtime/task_stream.hpp"

#include <algorithm>
#include <atomic>

#include "dshm/runtime/philox.hpp"
#include "dshm/runtime/process.hpp"
#include "thread_state.hpp"

namespace dshm::runtime {

namespace {

// The last step of SplitMix64: G. L. Steele, D. Lea, C. H. Flood: Fast splittable pseudorandom number
// generators (OOPSLA 2014). A bijection, so that siblings never share an id.
constexpr std::uint64_t mix(std::uint64_t word) noexcept {
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9;
    word = (word ^ (word >> 27)) * 0x94d049bb133111eb;
    return word ^ (word >> 31);
}

constexpr std::uint64_t hash(std::uint64_t id, std::uint64_t number) noexcept {
    return mix(mix(id + 1) + number);
}

// The stream of a thread outside of tasks.
class ThreadStream : public PlainStream {
public:
    ThreadStream() noexcept : PlainStream(&own_) {}

    void begin(std::uint64_t seed, int process, std::uint64_t thread) noexcept {
        own_ = hash(hash(seed, static_cast<std::uint64_t>(process)), thread);
        session_ = current_session();
        restart();
    }
    bool begun() const noexcept { return session_ == current_session(); }
    RandomStream& stream() noexcept { return *this; }

private:
    std::uint64_t own_ = 0;
    std::uint64_t session_ = 0;
};

thread_local ThreadStream thread_stream;
std::atomic<std::uint64_t> threads_begun{0};

// The stream of what runs here: of a task that has not needed one yet, or of a thread of the program's
// own. Such a thread comes here each time, because nobody tells it when a session ends: it begins anew
// in the next one.
RandomStream& make_stream() {
    Process& process = current();
    if (const RunningTask* const running = thread_state.stack.running)
        return running->stream->make(stream_of(process.tasks().record(running->task)));
    if (!thread_stream.begun())
        // relaxed: only the number counts.
        thread_stream.begin(process.header().seed, process.id(),
                            threads_begun.fetch_add(1, std::memory_order_relaxed) + 1);
    return thread_stream.stream();
}

} // namespace

RandomStream RandomStream::none_{nullptr, nullptr};

void begin_thread_stream(std::uint64_t seed, int process) noexcept {
    threads_begun.store(0, std::memory_order_relaxed); // relaxed: only the number counts
    thread_stream.begin(seed, process, 0);
    RandomStream::exchange(&thread_stream.stream());
}

void end_thread_stream() noexcept { RandomStream::exchange(nullptr); }

// ---- drawing -----------------------------------------------------------------------------------

std::uint64_t RandomStream::draw(RandomStream& stream) {
    if (&stream == &none_)
        return make_stream().next();
    return stream.draw_for(static_cast<std::uint64_t>(stream.index_));
}

// How many the iteration has made, as far as we remember: the last one that drew.
std::uint64_t RandomStream::draws_made(std::uint64_t index) const {
    if (index != drawn_index_)
        return 0;
    switch (last_) {
    case Last::none:
        return 0;
    case Last::block:
        return draws_;
    case Last::row:
        return position_ / run + 1;
    case Last::piece:
        return draws_ + (position_ - run * rows) + 1;
    }
    return 0;
}

std::uint64_t RandomStream::draw_for(std::uint64_t index) {
    const std::uint64_t draw = draws_made(index);
    const bool in_row = last_ == Last::row;
    if (draw == 0)
        return first_draw(index);
    if (draw >= rows)
        return from_piece(index, draw);
    return in_row ? from_row(index, draw) : from_block(index, draw);
}

// A run is worth its kernel when the iterations come near to each other.
std::uint64_t RandomStream::first_draw(std::uint64_t index) {
    const bool there = rows_ != 0 && run_ == index / run;
    const bool near = last_ != Last::none && index - drawn_index_ + run <= 2 * run;
    return there || near ? from_row(index, 0) : from_block(index, 0);
}

std::uint64_t RandomStream::from_block(std::uint64_t index, std::uint64_t draw) {
    last_ = Last::block;
    drawn_index_ = index;
    draws_ = draw + 1;
    position_ = limit_ = stride_ = reach_ = 0;
    return philox_block(*id_, {index / 2, draw})[index % 2];
}

std::uint64_t RandomStream::from_row(std::uint64_t index, std::uint64_t draw) {
    need_words();
    const std::uint64_t wanted = index / run;
    if (run_ != wanted)
        rows_ = 0;
    run_ = wanted;
    for (; rows_ <= draw; ++rows_)
        philox_blocks(*id_, {wanted * (run / 2), rows_}, PhiloxAxis::low, words_ + rows_ * run,
                      run / 2);
    last_ = Last::row;
    drawn_index_ = index;
    position_ = draw * run + index % run;
    limit_ = rows_ * run;
    stride_ = run;
    reach_ = run - 1;
    return words_[position_];
}

std::uint64_t RandomStream::from_piece(std::uint64_t index, std::uint64_t draw) {
    need_words();
    const std::uint64_t begin = draw - draw % 2;
    const std::size_t size = std::min<std::size_t>(begin - rows + 8, longest_piece);
    philox_blocks(*id_, {index, rows + (begin - rows) / 2}, PhiloxAxis::high, words_ + run * rows,
                  size / 2);
    last_ = Last::piece;
    drawn_index_ = index;
    draws_ = begin;
    position_ = run * rows + (draw - begin);
    limit_ = run * rows + size;
    stride_ = 1;
    reach_ = 0;
    return words_[position_];
}

void RandomStream::fill(std::span<std::uint64_t> words) {
    if (words.empty())
        return;
    RandomStream& stream = &current() == &none_ ? make_stream() : current();
    words[0] = stream.next(); // now it knows its iteration
    words = words.subspan(1);
    const std::uint64_t index = stream.drawn_index_;
    std::uint64_t draw = stream.draws_made(index);
    for (; !words.empty() && (draw < rows || draw % 2 != 0); ++draw, words = words.subspan(1))
        words[0] = stream.next();
    const std::size_t blocks = words.size() / 2;
    if (blocks != 0) {
        philox_blocks(*stream.id_, {index, rows + (draw - rows) / 2}, PhiloxAxis::high,
                      words.data(), blocks);
        stream.last_ = Last::block;
        stream.draws_ = draw + 2 * blocks;
        stream.position_ = stream.limit_ = stream.stride_ = stream.reach_ = 0;
    }
    if (words.size() % 2 != 0)
        words.back() = stream.next();
}

void RandomStream::need_words() {
    if (words_ == nullptr)
        words_ = new std::uint64_t[room];
}

void RandomStream::restart() noexcept {
    index_ = {};
    drawn_index_ = position_ = limit_ = stride_ = reach_ = draws_ = run_ = rows_ = 0;
    child_index_ = no_children;
    next_child_ = 0;
    last_ = Last::none;
}

// ---- children ----------------------------------------------------------------------------------

std::uint64_t RandomStream::first_child(RandomStream& asked) {
    RandomStream& stream = &asked == &none_ ? make_stream() : asked;
    const auto index = static_cast<std::uint64_t>(stream.index_);
    if (stream.child_index_ == index) // a thread that has made some before
        return stream.next_child_ += golden_ratio;
    stream.child_index_ = index;
    return stream.next_child_ = hash(*stream.id_, index);
}

} // namespace dshm::runtime
