// The ring of a channel between threads.

#include <algorithm>
#include <thread>

#include "catch.hpp"
#include "channel_rings.hpp"
#include "sanitizers.hpp"

using namespace dshm;
using namespace dshm::test;
using queue::CellPhase;
using queue::ChannelShape;
using queue::PutOutcome;
using queue::TakeOutcome;
using shm::Owner;

namespace {

// Through each ring. More show the thread sanitizer nothing new, and take it minutes on a busy machine.
#ifdef DSHM_THREAD_SANITIZED
constexpr std::uint32_t some_messages = 1'000;
#else
constexpr std::uint32_t some_messages = 5'000;
#endif

struct Message {
    std::uint32_t producer, number;
};

// Each producer numbers its messages; a consumer must see the numbers of each grow.
struct Traffic {
    std::uint32_t producers, consumers, messages;
    std::uint32_t operations_per_port; // ports that come and go hand roles over

    void run(const ChannelShape& shape) const {
        Memory memory(shape);
        std::vector<std::thread> threads;
        std::vector<std::atomic<int>> seen(std::size_t{producers} * messages);
        std::atomic<std::uint32_t> producing{producers};
        for (std::uint32_t p = 0; p < producers; ++p)
            threads.emplace_back([&, p] {
                produce(memory, p);
                if (--producing == 0)
                    memory->end(Plain::Ring::closed);
            });
        std::atomic<bool> ordered{true};
        for (std::uint32_t c = 0; c < consumers; ++c)
            threads.emplace_back([&] { consume(memory, seen, ordered); });
        for (std::thread& thread : threads)
            thread.join();
        CHECK(ordered);
        CHECK(std::all_of(seen.begin(), seen.end(), [](const auto& count) { return count == 1; }));
    }

    void produce(Memory<>& memory, std::uint32_t p) const {
        std::optional<Plain::Producer> port;
        for (std::uint32_t i = 0; i < messages; ++i) {
            if (i % operations_per_port == 0)
                port.emplace(*memory, Owner{static_cast<std::uint8_t>(2 + p), 1});
            while (port->put(Message{p, i}) != PutOutcome::done)
                std::this_thread::yield();
        }
    }
    void consume(Memory<>& memory, std::vector<std::atomic<int>>& seen,
                 std::atomic<bool>& ordered) const {
        std::optional<Plain::Consumer> port;
        std::vector<std::int64_t> last(producers, -1);
        for (std::uint32_t i = 0;; ++i) {
            if (i % operations_per_port == 0)
                port.emplace(*memory, Owner{100, 1});
            Message message{};
            const TakeOutcome outcome = port->take(message);
            if (outcome == TakeOutcome::finished)
                return;
            if (outcome != TakeOutcome::done) {
                std::this_thread::yield();
                continue;
            }
            ++seen[std::size_t{message.producer} * messages + message.number];
            if (message.number <= last[message.producer])
                ordered = false;
            last[message.producer] = message.number;
        }
    }
};

} // namespace

TEST_CASE("threads lose nothing, invent nothing and keep each producer's order") {
    for (const ChannelShape& shape : shapes) {
        Traffic{1, 1, 4 * some_messages, 1'000'000}.run(shape);
        Traffic{2, 1, some_messages, 1'000'000}.run(shape);
        Traffic{1, 2, some_messages, 300}.run(shape);
        Traffic{3, 3, some_messages, 500}.run(shape);
    }
}

TEST_CASE("roles pass between threads in the middle of their work") {
    for (int round = 0; round < 100; ++round) {
        Traffic{2, 2, 200, 50}.run({2, 8, true});
        Traffic{2, 1, 200, 1000}.run({3, 8, true});
    }
}

TEST_CASE("a message is withdrawn or taken, never both") {
    Memory memory(ChannelShape{2});
    std::atomic<std::uint64_t> taken{0}, withdrawn{0};
    constexpr std::uint64_t messages = 20'000;
    std::thread consumer([&] {
        Plain::Consumer port(*memory, second);
        std::uint64_t value;
        for (TakeOutcome outcome; (outcome = port.take(value)) != TakeOutcome::finished;)
            if (outcome == TakeOutcome::done)
                ++taken;
    });
    Plain::Producer port(*memory, first);
    for (std::uint64_t i = 0; i < messages; ++i) {
        while (port.put(i) != PutOutcome::done)
            std::this_thread::yield();
        withdrawn += memory->withdraw(port.last_position());
    }
    memory->end(Plain::Ring::closed);
    consumer.join();
    CHECK(taken + withdrawn == messages);
}
