// Rings of channels as the tests of channel_ring*_test.cpp use them.
//
// Deaths and stops are exact here: the ring is a template on its atomic, and the one of these tests throws at
// the n-th touch of a shared word, or waits there. What was thrown out of never comes back, as with a process.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "dshm/queue/channel_consumer.hpp"
#include "dshm/queue/channel_producer.hpp"

namespace dshm::test {

using queue::CellPhase;
using queue::CellWord;
using queue::ChannelShape;
using queue::TakeOutcome;
using shm::Owner;

struct Died {};

// Where a thread is stopped while another acts.
class Gate {
public:
    void stop_here() {
        std::unique_lock lock(mutex_);
        stopped_ = true;
        changed_.notify_all();
        changed_.wait(lock, [this] { return open_; });
    }
    void wait_until_stopped() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return stopped_; });
    }
    void open() {
        const std::lock_guard lock(mutex_);
        open_ = true;
        changed_.notify_all();
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool stopped_ = false, open_ = false;
};

// Touches that are left to the thread; negative: any number. What happens then: it waits at its gate, or dies.
inline thread_local int touches_left = -1;
inline thread_local Gate* gate = nullptr;

inline void touch() {
    if (touches_left < 0 || touches_left-- != 0)
        return;
    if (gate == nullptr)
        throw Died{};
    gate->stop_here();
}

template <class T>
class Mortal {
public:
    T load(std::memory_order order) const {
        touch();
        return word_.load(order);
    }
    void store(T value, std::memory_order order) {
        touch();
        word_.store(value, order);
    }
    bool compare_exchange(T& expected, T desired, std::memory_order success,
                          std::memory_order failure) {
        touch();
        return word_.compare_exchange(expected, desired, success, failure);
    }

private:
    shm::Word<T> word_;
};

template <template <class> class Atomic>
struct Types {
    using Ring = queue::ChannelRing<Atomic>;
    using Producer = queue::ChannelProducer<Atomic>;
    using Consumer = queue::ChannelConsumer<Atomic>;
    using Cursor = queue::CellCursor<Atomic>;
};
using Plain = Types<shm::Word>;
using Frail = Types<Mortal>;

inline constexpr Owner first{2, 1}, second{3, 1}, third{4, 1};
inline constexpr std::size_t header = 3 * base::cache_line;

// A ring in zero-filled memory, as in a fresh segment, whose cells a test may write by hand.
template <class T = Plain>
class Memory {
public:
    explicit Memory(const ChannelShape& shape)
        : shape_(shape), bytes_(base::round_up(T::Ring::bytes(shape), base::cache_line)),
          data_(static_cast<std::byte*>(std::aligned_alloc(base::cache_line, bytes_)), &std::free) {
        std::memset(data_.get(), 0, bytes_);
        ring_ = &T::Ring::create(data_.get(), shape);
    }
    typename T::Ring& operator*() { return *ring_; }
    typename T::Ring* operator->() { return ring_; }

    std::uint64_t word(std::uint64_t position) const {
        std::uint64_t value;
        std::memcpy(&value, cell(position), sizeof value);
        return value;
    }
    // What a process leaves in the cell of a position.
    void set(std::uint64_t position, CellPhase phase, Owner owner = {}, std::uint64_t payload = 0) {
        const std::uint64_t value =
            CellWord::make(CellWord::lap_in_place(position / shape_.capacity), phase, owner.bits());
        std::memcpy(cell(position), &value, sizeof value);
        std::memcpy(cell(position) + 8, &payload, sizeof payload);
    }
    CellPhase phase(std::uint64_t position) const { return CellWord::phase(word(position)); }

private:
    std::byte* cell(std::uint64_t position) const {
        return data_.get() + header + position % shape_.capacity * 16;
    }
    ChannelShape shape_;
    std::size_t bytes_;
    std::unique_ptr<std::byte, void (*)(void*)> data_;
    typename T::Ring* ring_;
};

template <class Consumer>
std::optional<std::uint64_t> take(Consumer& consumer) {
    std::uint64_t value = 0;
    if (consumer.take(value) != TakeOutcome::done)
        return std::nullopt;
    return value;
}

template <class Consumer>
std::vector<std::uint64_t> take_all(Consumer& consumer) {
    std::vector<std::uint64_t> all;
    while (const auto value = take(consumer))
        all.push_back(*value);
    return all;
}

using Values = std::vector<std::uint64_t>;

inline const std::vector<ChannelShape> shapes = {{1, 8, true}, {1, 8, false}, {2, 8, true},
                                                 {3, 8, true}, {3, 8, false}, {7, 8, true},
                                                 {8, 8, true}, {8, 8, false}};

} // namespace dshm::test
