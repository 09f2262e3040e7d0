// An execution of a few threads as a graph of events, kept within the memory model of C++20.
//
// Events are added one at a time, each behind those of its own thread and those that it reads from. The graph says which
// messages a read may read, and where in the modification order of its location a write may stand, so that these hold:
//
//   coherence   happens-before and the order of each location (reads-from, modification order, from-reads) do not
//               contradict each other
//   atomicity   nothing stands between the message that a read-modify-write reads and its own
//   sc          no cycle of the relation `psc` of the repaired C11 memory model
//
// Happens-before comes from program order, release and acquire operations, release sequences of C++20 (read-modify-writes
// only, not later stores of the same thread), and fences. Not modelled: consume; executions in which program order and
// reads-from form a cycle (load buffering: a load that reads what a later store of its own thread has caused), which the
// source below excludes as well; accesses of mixed size; spurious failures of compare-and-swap.
//
// Test support: not thread-safe, aborts by exception when an execution has more than `most_events` events.
//
// Sources: Lahav, Vafeiadis, Kang, Hur, Dreyer, "Repairing sequential consistency in C/C++11", PLDI 2017 (RC11); adopted
// into C++20 by P0668.
#pragma once

#include <array>
#include <atomic>
#include <bitset>
#include <cstdint>
#include <vector>

namespace interleave {

inline constexpr unsigned most_threads = 4;
inline constexpr unsigned most_events = 128;

// How many events of each thread happen before a point, that one included.
class Clock {
public:
    std::uint8_t& operator[](unsigned thread) { return counts_[thread]; }
    std::uint8_t operator[](unsigned thread) const { return counts_[thread]; }
    void join(const Clock& other) {
        for (unsigned thread = 0; thread < most_threads; ++thread)
            if (counts_[thread] < other.counts_[thread])
                counts_[thread] = other.counts_[thread];
    }

private:
    std::array<std::uint8_t, most_threads> counts_{};
};

inline constexpr int initial = -1; // in place of an event: what was there before the threads began

struct Event {
    unsigned thread = 0;
    unsigned number = 0; // in its thread, from 1
    std::memory_order order = std::memory_order_relaxed;
    int location = -1; // -1: a fence, or none
    int read_from = initial;
    bool reads = false, writes = false, fence = false;
    Clock clock; // what happens before it, and itself
};

struct Message {
    int event = initial;
    std::uint64_t value = 0;
    Clock released;        // what an acquiring reader learns
    bool followed = false; // the next message is of a read-modify-write that has read this one
};

class Graph {
public:
    void clear();

    // The location of an address, with what is there before the threads begin.
    int location(const void* address, std::uint64_t value);
    // In modification order.
    const std::vector<Message>& messages(int location) const {
        return locations_[static_cast<unsigned>(location)].messages;
    }
    const void* address(int location) const {
        return locations_[static_cast<unsigned>(location)].address;
    }
    std::size_t location_count() const { return locations_.size(); }
    const Clock& clock(unsigned thread) const { return threads_[thread].now; }
    const std::vector<Event>& events() const { return events_; }

    // The first message, by its place, that may still be read, or that a write may stand behind, after all that `now` tells.
    std::size_t oldest_visible(const Clock& now, int location) const;

    // Places are indices into messages(location). A read of the message at `place`; a write that comes to stand right
    // behind the message at `place`; both at once.
    void read(unsigned thread, int location, std::size_t place, std::memory_order order);
    void write(unsigned thread, int location, std::size_t place, std::uint64_t value,
               std::memory_order order);
    void update(unsigned thread, int location, std::size_t place, std::uint64_t value,
                std::memory_order order);
    void fence(unsigned thread, std::memory_order order);
    // What `from` tells another thread, without any memory: a lock of the kernel.
    void learn(unsigned thread, const Clock& from) { threads_[thread].now.join(from); }

    // The axiom `sc`. Only an event that reads or stands before the last message of its location can break it.
    bool sequentially_consistent() const;

    // Equal for two graphs that differ only in the order in which events were added.
    std::uint64_t fingerprint() const;

private:
    using Events = std::bitset<most_events>;
    struct Location {
        const void* address = nullptr;
        std::vector<Message> messages;
    };
    struct Thread {
        Clock now;
        Clock acquired_later; // by the next acquire fence
        Clock released;       // by the last release fence
        std::uint64_t history = 0;
        unsigned count = 0;
    };
    struct Relations {
        std::vector<Events> program, elsewhere, before, order, reads; // rows: from, bits: to
    };

    Event& add(unsigned thread, int location, std::memory_order order);
    void note_read(Event& event, const Message& message);
    Message message_of(const Event& event, std::uint64_t value) const;
    void insert(int location, std::size_t place, const Message& message);
    std::size_t place_of(int location, int event) const;
    Relations relations() const;
    void relate_messages(Relations& all, int location) const;

    std::vector<Location> locations_;
    std::vector<Event> events_;
    std::array<Thread, most_threads> threads_{};
};

} // namespace interleave
