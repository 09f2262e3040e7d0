// A batch of a map: some neighbouring elements that one process runs as one task.
//
// The worker claims the elements of its batch in blocks, from the front, and the caller may take back
// what lies at the end and is not claimed yet: both by compare-and-swap on one word of the task's
// record. So a batch never holds up elements that somebody else could run. Blocks grow while one
// takes less than a microsecond; a batch that has worked for a millisecond, or made a MiB of
// results, ends and leaves the rest to its caller. (Batches whose size the user has set do not.)
//
// When errors are handled by the caller, blocks are single elements and failures travel beside the
// values. If the worker dies, the word says which element it was running; what it had finished in
// this batch is lost, and the caller has it run again.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <tuple>
#include <utility>
#include <vector>

#include "dshm/os/clock.hpp"
#include "dshm/runtime/operation.hpp"
#include "dshm/runtime/process.hpp"
#include "dshm/runtime/task_stream.hpp"
#include "dshm/ship/exception_record.hpp"

namespace dshm::runtime {

//   63         40 39         16 15               0
//   | end        | begun       | generation      |   elements are counted from the batch's first
//
// The word lies in a task record that has no pool to give anything back to (task_record.hpp). It
// says of which task it is: one whose result has left the table is nobody's business any more.
class BatchClaims {
public:
    static constexpr std::size_t most = (std::size_t{1} << 24) - 1; // elements of a batch
    struct Block {
        std::uint32_t first;
        std::uint32_t count;
    };

    BatchClaims(const TaskTable& tasks, TaskRef task)
        : word_(tasks.record(task).taken), generation_(task.generation & 0xffff) {}

    // Before the task is published. Relaxed, here and below: the elements were published with the
    // task and do not change; the word only decides who runs them.
    void open(std::size_t count) {
        word_.store(bits({0, static_cast<std::uint32_t>(count)}), std::memory_order_relaxed);
    }
    // The next block, of at most so many; none when all are claimed or taken back.
    Block claim(std::uint32_t at_most);
    // Takes back at most so many from the end; gives how many.
    std::uint32_t take_back(std::uint32_t at_most);
    std::uint32_t begun() const { return state().begun; }
    std::uint32_t left() const { return state().end - state().begun; }

private:
    struct State {
        std::uint32_t begun;
        std::uint32_t end;
    };
    std::uint64_t bits(State s) const {
        return std::uint64_t{s.end} << 40 | std::uint64_t{s.begun} << 16 | generation_;
    }
    // Nothing is left of another task's.
    State state_of(std::uint64_t word) const {
        if ((word & 0xffff) != generation_)
            return {0, 0};
        return {static_cast<std::uint32_t>(word >> 16) & 0xff'ffff,
                static_cast<std::uint32_t>(word >> 40)};
    }
    State state() const { return state_of(word_.load(std::memory_order_relaxed)); }
    // Changes the state by change(State, count) for the largest possible count; gives the state
    // before, and the count.
    template <class Change>
    std::pair<State, std::uint32_t> take(std::uint32_t at_most, Change&& change);

    std::atomic_ref<std::uint64_t> word_;
    std::uint64_t generation_;
};

enum class BatchMode : std::uint32_t {
    bounded, // ends early when it takes long
    whole,   // the user has set its size
};
enum class BatchErrors : std::uint32_t {
    end_it,      // the first failure is the batch's
    are_handled, // each goes to the caller beside the values
};

struct BatchHeader {
    std::uint64_t stream; // of random numbers
    std::uint64_t first;  // index of the first element in the whole map
    std::uint32_t count;
    BatchMode mode;
    BatchErrors errors;
};

// In front of the values of a batch.
struct BatchReply {
    std::uint64_t ticks; // os::ticks() that the elements took
    std::uint32_t done;  // elements that were run: from the front
};
using ElementFailure = std::pair<std::uint32_t, ship::ExceptionRecord>; // index in the batch

// Results that are their bytes and can be collected as such.
template <class R>
inline constexpr bool is_plain_result =
    std::conjunction_v<ship::IsBitwise<R>, std::negation<std::is_same<R, bool>>,
                       std::is_trivially_destructible<R>, std::is_copy_constructible<R>>;

// The values of a batch while it runs: room for all of them when they are plain.
template <class R>
class BatchValues {
public:
    explicit BatchValues(std::size_t most) : most_(most), data_(room().allocate(most)) {}
    BatchValues(const BatchValues&) = delete;
    BatchValues& operator=(const BatchValues&) = delete;
    ~BatchValues() { room().deallocate(data_, most_); }

    template <class Make>
    void add(std::uint32_t count, Make&& make) {
        R* const target = data_ + size_;
        for (std::uint32_t i = 0; i < count; ++i)
            ::new (static_cast<void*>(target + i)) R(make(i));
        size_ += count;
    }
    bool many() const { return false; } // their size is known to who made the batch
    void write(ship::Writer& writer) const { ship::detail::write_run(writer, data_, size_); }

private:
    static std::allocator<R> room() { return {}; }

    std::size_t most_;
    std::size_t size_ = 0;
    R* data_;
};

template <class R>
requires(!is_plain_result<R> && !std::is_void_v<R>) class BatchValues<R> {
public:
    explicit BatchValues(std::size_t) {}

    template <class Make>
    void add(std::uint32_t count, Make&& make) {
        for (std::uint32_t i = 0; i < count; ++i) {
            Slot slot{make(i)};
            ship::detail::encode_one(bytes_, slot.value); // what cannot be sent fails here, alone
            values_.push_back(std::move(slot));
        }
    }
    bool many() const { return bytes_.written() > largest; }
    void write(ship::Writer& writer) const {
        for (const Slot& slot : values_)
            ship::detail::encode_one(writer, slot.value);
    }

private:
    static constexpr std::size_t largest = std::size_t{1} << 20;
    struct Slot {
        R value; // a bool of its own, too
    };
    std::vector<Slot> values_;
    ship::Sizer bytes_;
};

template <>
class BatchValues<void> {
public:
    explicit BatchValues(std::size_t) {}
    template <class Make>
    void add(std::uint32_t count, Make&& make) {
        for (std::uint32_t i = 0; i < count; ++i)
            make(i);
    }
    bool many() const { return false; }
    void write(ship::Writer&) const {}
};

// What a batch gives back, written in this order.
template <class R>
struct BatchResult {
    BatchReply reply{};
    std::vector<ElementFailure> failures;
    BatchValues<R> values;
};

// How long a batch runs before it leaves the rest to its caller, and which blocks grow or shrink.
class BatchPace {
public:
    BatchPace() : start_(os::ticks()), last_(start_) {}
    std::uint32_t block() const { return block_; }
    // After a block. False when the batch has worked long enough.
    bool go_on(BatchMode mode);
    std::uint64_t ticks() const { return last_ - start_; }

private:
    std::uint64_t start_;
    std::uint64_t last_;
    std::uint32_t block_ = 1;
};

[[noreturn]] void throw_batch_interrupted();

// Runs the elements of a batch that this process can claim, in order: decode(i) gives the arguments
// of element i, call(them) its value.
template <class R, class Decode, class Call>
void run_batch(const BatchHeader& header, BatchClaims claims, BatchResult<R>& result,
               Decode&& decode, Call&& call) {
    IterationStream stream(header.stream);
    BatchPace pace;
    const bool handled = header.errors == BatchErrors::are_handled;
    for (;;) {
        const auto block = claims.claim(handled ? 1 : pace.block());
        if (block.count == 0)
            break;
        if (handled) {
            auto element = decode(block.first);
            stream.at(header.first + block.first);
            try {
                result.values.add(1, [&](std::uint32_t) -> R { return call(element); });
            } catch (...) {
                result.failures.emplace_back(
                    block.first, ship::capture(std::current_exception(), current().id()));
            }
        } else {
            result.values.add(block.count, [&](std::uint32_t i) -> R {
                auto element = decode(block.first + i);
                stream.at(header.first + block.first + i);
                return call(element);
            });
            if (stop_requested())
                throw_batch_interrupted();
        }
        result.reply.done = block.first + block.count;
        if (!pace.go_on(header.mode) || (header.mode == BatchMode::bounded && result.values.many()))
            break;
    }
    result.reply.ticks = pace.ticks();
}

} // namespace dshm::runtime

namespace dshm::ship {

template <class R>
struct Codec<runtime::BatchResult<R>> : detail::NativeCodec<true> {
    static void write(auto& sink, const runtime::BatchResult<R>& result) {
        Writer& writer = detail::bytes_of(sink);
        encode(writer, result.reply, result.failures);
        result.values.write(writer);
    }
};

} // namespace dshm::ship
