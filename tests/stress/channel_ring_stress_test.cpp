// Processes put into one ring and take from it while they are killed, and stopped, at random.
//
// Every message has a number of its own: the life of its producer and its place in that life. A table in the mapping
// counts how often each was taken. At the end
//
//   - none was taken twice;
//   - each whose put had returned was taken, but for one at most for each consumer that was killed, since that may
//     have died after its take and before its note in the table;
//   - a consumer saw the messages of each producer in order, but for those that a dead one gave back;
//   - the ring is empty, holds as many as ever, and ends as it should.
#include "catch.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <new>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "child_process.hpp"
#include "dshm/queue/channel_consumer.hpp"
#include "dshm/queue/channel_producer.hpp"

using namespace dshm;
using dshm::test::demand;
using queue::CellPhase;
using queue::ChannelShape;
using queue::PutOutcome;
using queue::TakeOutcome;
using shm::Owner;

namespace {

// A process is mostly killed where it waits for a processor. So it gives its own up at some touches of
// shared words: deaths and stops fall between any two steps.
template <class T>
class Hesitant {
public:
    T load(std::memory_order order) const {
        hesitate();
        return word_.load(order);
    }
    void store(T value, std::memory_order order) {
        hesitate();
        word_.store(value, order);
    }
    bool compare_exchange(T& expected, T desired, std::memory_order success,
                          std::memory_order failure) {
        hesitate();
        return word_.compare_exchange(expected, desired, success, failure);
    }

private:
    static void hesitate() {
        static std::minstd_rand random(static_cast<unsigned>(getpid()));
        if (random() % 64 == 0)
            std::this_thread::yield();
    }
    shm::Word<T> word_;
};

using Ring = queue::ChannelRing<Hesitant>;
using Producer = queue::ChannelProducer<Hesitant>;
using Consumer = queue::ChannelConsumer<Hesitant>;

constexpr unsigned processes = 4;
constexpr std::uint32_t messages_of_a_life = 50'000; // then it only takes
constexpr std::uint32_t most_lives = 2'000;

// DSHM_STRESS_KILLS=500 for a long run (at most some hundred lives in one table).
unsigned kills() {
    const char* const text = std::getenv("DSHM_STRESS_KILLS");
    return text != nullptr ? std::min(static_cast<unsigned>(std::atoi(text)), most_lives - 100)
                           : 150;
}

struct Message {
    std::uint32_t life, number;
};

struct Shared {
    shm::Word64 takes;
    shm::Word64 out_of_order;
    shm::Word64 given_back;
    // How many puts of a life have returned.
    std::array<shm::Word32, most_lives> done;
    std::array<std::array<shm::Word32, messages_of_a_life / 16>, most_lives> taken; // two bits each
};

// Notes one more take; false if there was one already.
bool note(Shared& shared, const Message& message) {
    const unsigned shift = message.number % 16 * 2;
    shm::Word32& word = shared.taken[message.life][message.number / 16];
    return (word.fetch_add(1u << shift, std::memory_order_relaxed) >> shift & 3) == 0;
}

template <class T>
T* map_shared(std::size_t bytes) {
    void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        throw std::bad_alloc();
    return static_cast<T*>(memory);
}

class Worker {
public:
    Worker(Ring& ring, Shared& shared, Owner me, std::uint32_t life)
        : ring_(ring), shared_(shared), me_(me), life_(life), random_(life) {}

    // One only puts as long as it may, one only takes; ports are given up now and then.
    static bool puts(Owner owner) { return owner.slot != shm::first_worker_slot; }
    static bool takes(Owner owner) { return owner.slot != shm::first_worker_slot + 1; }
    void run_until_killed() {
        for (;;) {
            std::optional<Producer> producer;
            std::optional<Consumer> consumer;
            for (unsigned n = 1 + random_() % 20'000; n > 0; --n) {
                if (puts(me_) && number_ < messages_of_a_life)
                    put(producer ? *producer : producer.emplace(ring_, me_));
                if (takes(me_) || number_ == messages_of_a_life)
                    take(consumer ? *consumer : consumer.emplace(ring_, me_));
            }
        }
    }

private:
    void put(Producer& producer) {
        const Message message{life_, number_};
        if (random_() % 64 != 0) {
            if (producer.put(message) == PutOutcome::done)
                shared_.done[life_].store(++number_, std::memory_order_relaxed);
            else
                std::this_thread::yield();
            return;
        }
        Producer::Cursor cell;
        if (producer.begin_put(cell) != PutOutcome::done)
            return;
        if (random_() % 2 == 0)
            return producer.abandon_put(cell);
        std::memcpy(cell.payload(), &message, sizeof message);
        producer.commit_put(cell);
        shared_.done[life_].store(++number_, std::memory_order_relaxed);
    }

    void take(Consumer& consumer) {
        Message message{};
        if (random_() % 64 != 0) {
            if (consumer.take(message) == TakeOutcome::done)
                check(message);
            else
                std::this_thread::yield();
            return;
        }
        Consumer::Cursor cell;
        if (consumer.begin_take(cell) != TakeOutcome::done)
            return;
        if (random_() % 4 == 0) {
            shared_.given_back.fetch_add(1, std::memory_order_relaxed);
            return consumer.undo_take(cell);
        }
        std::memcpy(&message, cell.payload(), sizeof message);
        consumer.commit_take(cell);
        check(message);
    }

    void check(const Message& message) {
        demand(message.life < most_lives && message.number < messages_of_a_life, "a whole message");
        demand(note(shared_, message), "a message is taken once");
        auto& last = last_.try_emplace(message.life, -1).first->second;
        if (last >= std::int64_t{message.number})
            shared_.out_of_order.fetch_add(1, std::memory_order_relaxed);
        last = std::max(last, std::int64_t{message.number});
        shared_.takes.fetch_add(1, std::memory_order_relaxed);
    }

    Ring& ring_;
    Shared& shared_;
    Owner me_;
    std::uint32_t life_, number_ = 0;
    std::mt19937 random_;
    std::map<std::uint32_t, std::int64_t> last_;
};

// The launcher's side.
class Crew {
public:
    explicit Crew(const ChannelShape& shape)
        : shape_(shape), bytes_(Ring::bytes(shape)), memory_(map_shared<std::byte>(bytes_)),
          shared_(map_shared<Shared>(sizeof(Shared))), ring_(Ring::create(memory_, shape)) {
        for (unsigned i = 0; i < processes; ++i)
            start({static_cast<std::uint8_t>(shm::first_worker_slot + i), 1});
    }
    ~Crew() {
        while (!crew_.empty())
            bury(crew_.begin()->first);
        munmap(memory_, bytes_);
        munmap(shared_, sizeof(Shared));
    }

    void trouble_one(std::mt19937& random) {
        auto victim = crew_.begin();
        std::advance(victim, random() % crew_.size());
        if (random() % 3 == 0) { // stopped for a while, and the others go on as they can
            kill(victim->first, SIGSTOP);
            std::this_thread::sleep_for(std::chrono::microseconds(random() % 3'000));
            kill(victim->first, SIGCONT);
        }
        const Owner dead = victim->second;
        bury(victim->first);
        start({dead.slot, static_cast<std::uint16_t>(dead.incarnation + 1)});
    }
    // Everybody is still at work: returns when they have taken some more.
    void wait_for_progress() {
        const auto taken = [this] { return shared_->takes.load(std::memory_order_relaxed); };
        for (const std::uint64_t before = taken(); taken() < before + 100;) {
            if (everything_is_put())
                return;
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    }
    void bury_all() {
        while (!crew_.empty())
            bury(crew_.begin()->first);
    }
    void check() {
        drain();
        std::uint64_t twice = 0, missing = 0, never_put = 0, total = 0;
        for (std::uint32_t life = 0; life < lives_; ++life) {
            const std::uint32_t done = shared_->done[life].load(std::memory_order_relaxed);
            total += done;
            for (std::uint32_t number = 0; number < messages_of_a_life; ++number) {
                const unsigned count =
                    shared_->taken[life][number / 16].load(std::memory_order_relaxed) >>
                        number % 16 * 2 &
                    3;
                twice += count > 1;
                missing += count == 0 && number < done;
                never_put += count != 0 && number > done; // `done` itself: killed after its put
            }
        }
        CHECK(twice == 0);
        CHECK(never_put == 0);
        CHECK(missing <= deaths_);
        CHECK(shared_->out_of_order.load(std::memory_order_relaxed) <=
              shared_->given_back.load(std::memory_order_relaxed) + returned_);
        check_capacity();
        WARN(total << " messages, " << deaths_ << " deaths, " << missing
                   << " lost with their taker, " << voided_ << " cells voided, " << returned_
                   << " returned");
    }

private:
    bool everything_is_put() const {
        return std::none_of(life_of_.begin(), life_of_.end(), [this](const auto& pair) {
            return Worker::puts(crew_.at(pair.first)) &&
                   shared_->done[pair.second].load(std::memory_order_relaxed) < messages_of_a_life;
        });
    }
    void start(Owner owner) {
        const std::uint32_t life = lives_++;
        const pid_t child = dshm::test::start_child(
            [&] { Worker(ring_, *shared_, owner, life).run_until_killed(); });
        crew_.emplace(child, owner);
        life_of_.emplace(child, life);
    }
    void bury(pid_t child) {
        kill(child, SIGKILL);
        // A worker that saw something wrong has left by itself, with a message.
        CHECK(dshm::test::was_killed(dshm::test::wait_for(child)));
        ++deaths_;
        ring_.recover(crew_.at(child), [this](CellPhase phase, std::uint64_t, std::byte*) {
            ++(phase == CellPhase::writing ? voided_ : returned_);
        });
        crew_.erase(child);
        life_of_.erase(child);
    }
    void drain() {
        Consumer consumer(ring_, {shm::launcher_slot, 1});
        Message message{};
        while (consumer.take(message) == TakeOutcome::done)
            CHECK(note(*shared_, message));
        CHECK(ring_.empty());
    }
    void check_capacity() {
        Producer producer(ring_, {shm::launcher_slot, 1});
        Consumer consumer(ring_, {shm::launcher_slot, 1});
        for (std::uint64_t i = 0; i < shape_.capacity; ++i)
            REQUIRE(producer.put(i) == PutOutcome::done);
        CHECK(producer.put(std::uint64_t{0}) == PutOutcome::full);
        CHECK(ring_.size() == shape_.capacity);
        ring_.end(Ring::closed);
        std::uint64_t value;
        for (std::uint64_t i = 0; i < shape_.capacity; ++i)
            REQUIRE((consumer.take(value) == TakeOutcome::done && value == i));
        CHECK(consumer.take(value) == TakeOutcome::finished);
    }

    ChannelShape shape_;
    std::size_t bytes_;
    std::byte* memory_;
    Shared* shared_;
    Ring& ring_;
    std::map<pid_t, Owner> crew_;
    std::map<pid_t, std::uint32_t> life_of_;
    std::uint32_t lives_ = 0;
    std::uint64_t deaths_ = 0, voided_ = 0, returned_ = 0;
};

void trouble(const ChannelShape& shape) {
    Crew crew(shape);
    std::mt19937 random(std::random_device{}());
    for (unsigned i = 0; i < kills(); ++i) {
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 8'000));
        crew.trouble_one(random);
        if (i % 20 == 0)
            crew.wait_for_progress();
    }
    crew.bury_all();
    crew.check();
}

} // namespace

TEST_CASE("processes killed at random lose no message of the living, in a small ring") {
    trouble({3, sizeof(Message)});
}

TEST_CASE("processes killed at random lose no message of the living, in a large ring") {
    trouble({1000, sizeof(Message)});
}

TEST_CASE("processes killed at random lose no message of the living, in one cell") {
    trouble({1, sizeof(Message)});
}

TEST_CASE("processes killed at random lose no message of the living, without roles") {
    trouble({64, sizeof(Message), false});
}
