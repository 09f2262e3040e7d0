// Who draws from which random stream, and what the streams of new tasks, loops and maps are.
//
// Every task, loop and map has a stream: an id of 64 bits, made by whoever makes the thing, from its
// own stream and the number of things that it has made before. So ids do not depend on which worker
// runs what. The chain begins at the session's seed, in the thread that made the session.
//
//     const std::uint64_t loop = runtime::next_stream();    // in the caller, once a loop
//     ... send `loop` along with the chunks, under a `StreamScope scope(loop)`
//
//     runtime::IterationStream stream(loop);                // whoever runs a chunk
//     for (std::size_t i = begin; i < end; ++i) {
//         stream.at(i);                                     // i counts in the whole loop
//         body(range[i]);
//     }
//
// All of it belongs to the thread, and to the stack when tasks are set aside.
#pragma once

#include <cstdint>
#include <optional>

#include "dshm/runtime/random_stream.hpp"

namespace dshm::runtime {

// The stream of a new loop, map or task made by what this thread runs now. A few nanoseconds. Throws
// std::logic_error when there is no session.
inline std::uint64_t next_stream() { return RandomStream::next_child(); }

// While it lives, what this thread runs draws from the stream (loop, index), and what it makes has
// ids that follow from these. About 2.6 KiB of stack.
class IterationStream : private RandomStream {
public:
    explicit IterationStream(std::uint64_t loop) noexcept
        : RandomStream(&loop_, buffer_), loop_(loop), outer_(exchange(this)) {}
    ~IterationStream() { exchange(outer_); }

    // Goes on with another iteration: one store. Draws start again with the iteration's first one,
    // unless it is the one drawn from last.
    void at(std::uint64_t index) noexcept { index_ = Index{index}; }

private:
    std::uint64_t loop_;
    RandomStream* outer_;
    std::uint64_t buffer_[room];
};

// A stream whose words are allocated when they are needed.
class PlainStream : protected RandomStream {
protected:
    explicit PlainStream(const std::uint64_t* id) noexcept : RandomStream(id, nullptr) {}
    ~PlainStream() { delete[] words_; }
};

// What is sent while this lives descends from `id` (from its complement: `id` itself is where the
// iterations' children come from) and is not counted by the sender: for the tasks of a loop or map,
// whose number depends on the number of workers.
class StreamScope : private PlainStream {
public:
    explicit StreamScope(std::uint64_t id) noexcept
        : PlainStream(&own_), own_(~id), outer_(exchange(this)) {}
    ~StreamScope() { exchange(outer_); }

private:
    std::uint64_t own_;
    RandomStream* outer_;
};

// Around the run of a task. Its stream is made when it is first needed: an empty task pays for a few
// stores.
class TaskStream {
public:
    TaskStream() noexcept : outer_(RandomStream::exchange(nullptr)) {}
    ~TaskStream() { RandomStream::exchange(outer_); }
    TaskStream(const TaskStream&) = delete;
    TaskStream& operator=(const TaskStream&) = delete;

    // `id` lies in the task's record.
    RandomStream& make(const std::uint64_t& id) noexcept { return made_.emplace(id).use(); }

private:
    class Made : public PlainStream {
    public:
        explicit Made(const std::uint64_t& id) noexcept : PlainStream(&id) {}
        RandomStream& use() noexcept {
            exchange(this);
            return *this;
        }
    };
    RandomStream* outer_;
    std::optional<Made> made_;
};

// The calling thread is the one that makes the session in this process: its stream outside of tasks
// follows from the seed and the process alone. Other threads get one for each, in the order in which
// they first need it. `end` gives the thread back as it was.
void begin_thread_stream(std::uint64_t seed, int process) noexcept;
void end_thread_stream() noexcept;

} // namespace dshm::runtime
