// 8-byte messages through the ring of a channel, against boost::lockfree::spsc_queue and a raw ring of flags,
// all in the same kind of shared mapping between processes; and there and back.
//
// The peers know one producer and one consumer, and nothing of deaths. "by compare-and-swap" is the ring as it is
// when several have used each side. The work is done by forked processes in every case, waiting by the same
// spin: some pauses, then the processor is given up.
#include "support/comparison.hpp"

#include <dshm/queue/channel_consumer.hpp>
#include <dshm/queue/channel_producer.hpp>

#include <boost/lockfree/spsc_queue.hpp>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

namespace {

namespace queue = dshm::queue;
using Ring = queue::ChannelRing<>;

constexpr std::size_t capacity = 1024;

void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/// Tries until it succeeds. The pauses are few, since with more processes than processors the other side
/// may be waiting for this one's.
template <class Attempt>
void until(Attempt&& attempt) {
    for (int tries = 1; !attempt(); ++tries) {
        if (tries % 50 == 0)
            std::this_thread::yield();
        else
            relax();
    }
}

/// Zeroed memory that forked processes share, freed with the last copy of the pointer.
std::shared_ptr<void> shared_memory(std::size_t bytes) {
    void* const memory =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        throw std::system_error(errno, std::generic_category(), "mmap");
    return {memory, [bytes](void* address) { munmap(address, bytes); }};
}

// ------------------------------------------------------------------------------------------------
// Queues: each gives a producer and a consumer to a process that asks
// ------------------------------------------------------------------------------------------------

class ChannelQueue {
public:
    explicit ChannelQueue(bool roles)
        : memory_(shared_memory(Ring::bytes({capacity, 8, roles}))),
          ring_(&Ring::create(memory_.get(), {capacity, 8, roles})) {}

    struct Putter {
        queue::ChannelProducer<> port;
        bool operator()(std::uint64_t value) { return port.put(value) == queue::PutOutcome::done; }
    };
    struct Taker {
        queue::ChannelConsumer<> port;
        bool operator()(std::uint64_t& value) {
            return port.take(value) == queue::TakeOutcome::done;
        }
    };
    Putter putter() { return {{*ring_, own_name()}}; }
    Taker taker() { return {{*ring_, own_name()}}; }

private:
    static dshm::shm::Owner own_name() { return {2, static_cast<std::uint16_t>(getpid() | 1)}; }
    std::shared_ptr<void> memory_;
    Ring* ring_;
};

class BoostQueue {
    using Queue = boost::lockfree::spsc_queue<std::uint64_t, boost::lockfree::capacity<capacity>>;

public:
    BoostQueue() : memory_(shared_memory(sizeof(Queue))), queue_(new (memory_.get()) Queue) {}
    auto putter() {
        return [queue = queue_](std::uint64_t value) { return queue->push(value); };
    }
    auto taker() {
        return [queue = queue_](std::uint64_t& value) { return queue->pop(value); };
    }

private:
    std::shared_ptr<void> memory_;
    Queue* queue_;
};

/// A flag beside each value, and private cursors: the least that a ring of one producer and one consumer can do.
class FlagQueue {
    struct Cell {
        std::atomic<std::uint64_t> filled;
        std::uint64_t value;
    };

public:
    FlagQueue()
        : memory_(shared_memory(capacity * sizeof(Cell))),
          cells_(static_cast<Cell*>(memory_.get())) {}
    auto putter() {
        return [cells = cells_, next = std::size_t{0}](std::uint64_t value) mutable {
            Cell& cell = cells[next % capacity];
            if (cell.filled.load(std::memory_order_acquire) != 0)
                return false;
            cell.value = value;
            cell.filled.store(1, std::memory_order_release);
            ++next;
            return true;
        };
    }
    auto taker() {
        return [cells = cells_, next = std::size_t{0}](std::uint64_t& value) mutable {
            Cell& cell = cells[next % capacity];
            if (cell.filled.load(std::memory_order_acquire) == 0)
                return false;
            value = cell.value;
            cell.filled.store(0, std::memory_order_release);
            ++next;
            return true;
        };
    }

private:
    std::shared_ptr<void> memory_;
    Cell* cells_;
};

// ------------------------------------------------------------------------------------------------
// Work
// ------------------------------------------------------------------------------------------------

struct Account {
    std::atomic<int> ready;
    std::atomic<bool> go;
    std::atomic<std::uint64_t> taken;
    std::atomic<std::uint64_t> sum;
    std::atomic<int> failed;
};

/// Forked processes that wait for each other and then work; seconds from the start to the end of the last.
class Processes {
public:
    Processes() : memory_(shared_memory(sizeof(Account))), account_(new (memory_.get()) Account) {}

    template <class Work>
    void start(Work&& work) {
        const pid_t child = fork();
        if (child < 0)
            throw std::system_error(errno, std::generic_category(), "fork");
        if (child == 0) {
            ++account_->ready;
            until([this] { return account_->go.load(); });
            work(*account_);
            _exit(0);
        }
        children_.push_back(child);
    }
    double run() {
        until([this] { return account_->ready == static_cast<int>(children_.size()); });
        return bench::seconds_of([this] {
            account_->go = true;
            for (const pid_t child : children_) {
                int status = 0;
                waitpid(child, &status, 0);
                bench::require(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a process failed");
            }
        });
    }
    const Account& account() const { return *account_; }

private:
    std::shared_ptr<void> memory_;
    Account* account_;
    std::vector<pid_t> children_;
};

/// Producer `first` puts first, first + step, ... below the count.
template <class Queue>
void produce(Queue& queue, std::uint64_t first, std::uint64_t step, std::uint64_t count) {
    auto put = queue.putter();
    for (std::uint64_t value = first; value < count; value += step)
        until([&] { return put(value); });
}

/// Takes until all have taken `count` together.
template <class Queue>
void consume(Queue& queue, std::uint64_t count, Account& account) {
    auto take = queue.taker();
    std::uint64_t sum = 0, taken = 0, value = 0;
    for (;;) {
        bool more = true;
        until([&] {
            if (take(value))
                return true;
            account.taken += taken; // seldom: only when there is nothing to take
            taken = 0;
            more = account.taken < count;
            return !more;
        });
        if (!more)
            break;
        sum += value;
        ++taken;
    }
    account.sum += sum;
}

/// Seconds of one message of `count`, from so many producers to so many consumers.
template <class MakeQueue>
bench::Turn stream(MakeQueue make, std::uint64_t count, unsigned producers, unsigned consumers) {
    return [=] {
        auto queue = make();
        Processes processes;
        for (unsigned p = 0; p < producers; ++p)
            processes.start([&](Account&) { produce(queue, p, producers, count); });
        for (unsigned c = 0; c < consumers; ++c)
            processes.start([&](Account& account) { consume(queue, count, account); });
        const double seconds = processes.run();
        bench::require_equal(processes.account().sum.load(), count * (count - 1) / 2);
        return seconds / static_cast<double>(count);
    };
}

/// Seconds of one message there and back, both sides spinning, through two queues.
template <class MakeQueue>
bench::Turn round_trip(MakeQueue make, std::uint64_t count) {
    return [=] {
        auto there = make();
        auto back = make();
        Processes processes;
        processes.start([&](Account& account) {
            auto put = there.putter();
            auto take = back.taker();
            std::uint64_t sum = 0;
            for (std::uint64_t i = 0; i < count; ++i) {
                std::uint64_t answer = 0;
                until([&] { return put(i); });
                until([&] { return take(answer); });
                sum += answer;
            }
            account.sum += sum;
        });
        processes.start([&](Account&) {
            auto take = there.taker();
            auto put = back.putter();
            for (std::uint64_t i = 0; i < count; ++i) {
                std::uint64_t question = 0;
                until([&] { return take(question); });
                until([&] { return put(question + 1); });
            }
        });
        const double seconds = processes.run();
        bench::require_equal(processes.account().sum.load(), count * (count + 1) / 2);
        return seconds / static_cast<double>(count);
    };
}

} // namespace

int main(int argc, char** argv) {
    bench::Program program(argc, argv);
    const auto channel = [] { return ChannelQueue(true); };
    const auto swapping = [] { return ChannelQueue(false); };
    const auto boost = [] { return BoostQueue(); };
    const auto flags = [] { return FlagQueue(); };

    const std::uint64_t messages = program.size(8'000'000, 2'000);
    program.compare("channel_ring/one_to_one")
        .rounds(21)
        .counted_in("messages")
        .subject("channel ring", stream(channel, messages, 1, 1), 1 / 50e6)
        .peer("boost spsc_queue", stream(boost, messages, 1, 1), 0.5)
        .peer("raw ring of flags", stream(flags, messages, 1, 1))
        .peer("by compare-and-swap", stream(swapping, messages, 1, 1));

    program.compare("channel_ring/two_to_two")
        .rounds(21)
        .counted_in("messages")
        .subject("channel ring", stream(channel, messages / 4, 2, 2), 1 / 15e6)
        .peer("by compare-and-swap", stream(swapping, messages / 4, 2, 2));

    const std::uint64_t trips = program.size(200'000, 200);
    program.compare("channel_ring/round_trip")
        .rounds(21)
        .subject("channel ring", round_trip(channel, trips))
        .peer("raw ring of flags", round_trip(flags, trips), 1 / 1.5)
        .peer("boost spsc_queue", round_trip(boost, trips))
        .peer("by compare-and-swap", round_trip(swapping, trips));
    return program.run();
}
