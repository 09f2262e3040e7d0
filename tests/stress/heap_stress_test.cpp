// Processes allocate, hand over, take, verify and free at random while they are killed at random.
// At the end every byte is accounted for and the heap can be had in one piece.
//
// Blocks change hands through mailboxes in the segment, each one word: generation and offset. The
// protocol is the one that tasks follow: new tag first, then the commit word; the taker's commit is
// the tag.
//
//   put    block tagged ARG(mailbox, generation), then CAS {generation, empty} → {generation,
//          block}
//   take   CAS of the tag ARG → OWN(me), then CAS {generation, block} → {generation + 1, empty}
//
// A block whose mailbox has gone to another generation is one that a dead process was about to put:
// the sweep frees it.
#include "catch.hpp"

#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <thread>
#include <vector>

#include "child_process.hpp"
#include "dshm/shm/heap.hpp"
#include "dshm/shm/object_table.hpp"
#include "test_segment.hpp"

using namespace dshm::shm;
using dshm::test::demand;

namespace {

constexpr Owner launcher_itself{1, 1};
constexpr unsigned workers = 4;
constexpr std::uint32_t mailboxes = 32;

// DSHM_STRESS_KILLS=10000 or DSHM_STRESS_CHANGES=100000000 for a long run.
std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
    const char* const text = std::getenv(variable);
    return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

struct Letter {
    std::uint32_t generation;
    Offset block;

    static Letter of(std::uint64_t word) {
        return {static_cast<std::uint32_t>(word >> 40),
                (word & ((std::uint64_t{1} << 40) - 1)) * 64};
    }
    std::uint64_t word() const { return std::uint64_t{generation & 0xffffff} << 40 | block / 64; }
};

struct Shared {
    std::array<Word64, mailboxes> boxes;
    Word64 operations; // for the report
    Word64 changes;    // blocks and objects allocated, freed or taken over
    Word64 puts;
    Word64 takes;
};

// Two words at the start of a block and one at its end say what it is; whoever gets the block
// checks them.
void sign(Segment& segment, Block block) {
    auto* const words = segment.at<std::uint64_t>(block.offset);
    words[0] = block.offset;
    words[1] = block.size;
    words[block.size / 8 - 1] ^= words[0] ^ words[block.size / 8 - 1] ^ 0x5a5a;
}

void verify(Segment& segment, Offset block) {
    const auto* const words = segment.at<std::uint64_t>(block);
    demand(words[0] == block, "a block holds what was written into it");
    demand(segment.contains(block, words[1]), "a block's size");
    demand(words[words[1] / 8 - 1] == (block ^ 0x5a5a), "a block's end");
}

class Worker {
public:
    Worker(Segment& segment, Shared& shared, Owner me)
        : segment_(segment), shared_(shared), me_(me), heap_(segment, me),
          objects_(segment, heap_, me), random_(me.bits()) {}

    void run_until_killed() {
        for (;;) {
            step();
            shared_.operations.fetch_add(1, std::memory_order_relaxed);
        }
    }

private:
    void step() {
        switch (random_() % 16) {
        case 0:
            return take_object();
        case 1:
            return drop_object();
        case 2:
        case 3:
            return take_letter();
        case 4:
        case 5:
            return put_letter();
        case 6:
            if (random_() % 200 == 0)
                heap_.trim();
            if (random_() % 2000 == 0)
                heap_.give_back();
            return;
        default:
            return random_() % 2 == 0 ? allocate() : free_one();
        }
    }

    std::size_t some_size() {
        const unsigned kind = random_() % 100;
        if (kind < 80)
            return 24 + random_() % 1500;
        if (kind < 96)
            return 1500 + random_() % 40'000;
        return 40'000 + random_() % 600'000;
    }
    void count_change() {
        shared_.changes.fetch_add(1, std::memory_order_relaxed); // relaxed: a count
    }
    Block make(Tag tag) {
        count_change();
        const Block block = heap_.allocate(some_size(), tag);
        sign(segment_, block);
        return block;
    }
    void allocate() {
        if (own_.size() < 60)
            own_.push_back(make(Tag::own(me_)).offset);
    }
    void free_one() {
        if (own_.empty())
            return;
        std::swap(own_[random_() % own_.size()], own_.back());
        verify(segment_, own_.back());
        demand(heap_.free(own_.back(), Tag::own(me_)), "an own block is free once");
        demand(!heap_.free(own_.back(), Tag::own(me_)), "and not twice");
        own_.pop_back();
        count_change();
    }
    void put_letter() {
        const std::uint32_t index = random_() % mailboxes;
        std::uint64_t seen = shared_.boxes[index].load(std::memory_order_acquire);
        Letter letter = Letter::of(seen);
        if (letter.block != 0)
            return;
        const Tag tag = Tag::argument(index, letter.generation);
        letter.block = make(tag).offset;
        if (shared_.boxes[index].compare_exchange(seen, letter.word(), std::memory_order_acq_rel,
                                                  std::memory_order_relaxed))
            shared_.puts.fetch_add(1, std::memory_order_relaxed);
        else
            heap_.free(letter.block, tag); // unless the sweep was faster
    }
    void take_letter() {
        const std::uint32_t index = random_() % mailboxes;
        std::uint64_t seen = shared_.boxes[index].load(std::memory_order_acquire);
        const Letter letter = Letter::of(seen);
        if (letter.block == 0)
            return;
        const Tag tag = Tag::argument(index, letter.generation);
        const bool taken = heap_.retag(letter.block, tag, Tag::own(me_));
        shared_.boxes[index].compare_exchange(seen, Letter{letter.generation + 1, 0}.word(),
                                              std::memory_order_acq_rel, std::memory_order_relaxed);
        if (!taken)
            return;
        verify(segment_, letter.block);
        own_.push_back(letter.block);
        count_change();
        shared_.takes.fetch_add(1, std::memory_order_relaxed);
    }
    void take_object() {
        if (held_.size() >= 10) {
            demand(objects_.acquire(held_[0]), "a held object can be held twice");
            held_.push_back(held_[0]);
        } else {
            held_.push_back(objects_.create(some_size(), {}));
            count_change();
        }
    }
    void drop_object() {
        if (held_.empty())
            return;
        objects_.release(held_.back());
        held_.pop_back();
    }

    Segment& segment_;
    Shared& shared_;
    Owner me_;
    Heap heap_;
    ObjectTable objects_;
    std::mt19937 random_;
    std::vector<Offset> own_;
    std::vector<ObjectTable::Ref> held_;
};

// The launcher's side: workers by slot, killed and replaced.
class Crew {
public:
    Crew() {
        const Block block = heap_.allocate_zeroed(sizeof(Shared), Tag::own(launcher_itself));
        shared_ = segment_.at<Shared>(block.offset);
        baseline_ = heap_.statistics();
        for (std::uint8_t i = 0; i < workers; ++i)
            start({static_cast<std::uint8_t>(first_worker_slot + i), 1});
    }
    ~Crew() {
        for (const auto& [child, owner] : crew_) {
            kill(child, SIGKILL);
            dshm::test::wait_for(child);
        }
    }

    void replace_one(std::mt19937& random) {
        auto victim = crew_.begin();
        std::advance(victim, random() % crew_.size());
        const Owner dead = victim->second;
        bury(victim->first);
        ++kills_;
        start({dead.slot, static_cast<std::uint16_t>(dead.incarnation + 1)});
    }
    std::uint64_t changes() const {
        return shared_->changes.load(std::memory_order_relaxed); // relaxed: a count
    }
    void give_back() { heap_.give_back(); }
    void sweep() {
        heap_.sweep_handed_over([this](Tag tag) {
            if (tag.kind() != TagKind::argument)
                return true;
            return Letter::of(
                       shared_->boxes[tag.index() % mailboxes].load(std::memory_order_acquire))
                       .generation == tag.generation();
        });
    }
    void bury_all() {
        while (!crew_.empty())
            bury(crew_.begin()->first);
        for (Word64& box : shared_->boxes) {
            const Letter letter = Letter::of(box.load(std::memory_order_relaxed));
            box.store(Letter{letter.generation + 1, 0}.word(), std::memory_order_relaxed);
        }
        sweep();
    }
    void check_nothing_left() {
        heap_.trim();
        const HeapStatistics count = heap_.statistics();
        CHECK(objects_.live_count() == 0);
        CHECK(count.accounted() == count.opened);
        CHECK(count.unfinished == 0);
        CHECK(count.orphaned_chunks == 0);
        CHECK(count.blocks_in_use == 1); // the mailboxes
        CHECK(count.used_small + count.used_large == baseline_.used_small + baseline_.used_large);
        CHECK(count.warm == 0);
        WARN(shared_->operations.load(std::memory_order_relaxed)
             << " operations, " << shared_->puts.load(std::memory_order_relaxed) << " put, "
             << shared_->takes.load(std::memory_order_relaxed) << " taken, " << changes()
             << " changes, " << kills_ << " kills; " << (count.opened >> 20) << " MiB opened");
        heap_.give_back();
        CHECK(heap_.statistics().clean_chunks == count.opened - chunk_size);
        heap_.free(segment_.offset_of(shared_), Tag::own(launcher_itself));
        heap_.trim();
        const Block all = heap_.allocate(count.capacity, Tag::own(launcher_itself));
        CHECK(heap_.free(all.offset, Tag::own(launcher_itself)));
    }

private:
    void start(Owner owner) {
        const pid_t child =
            dshm::test::start_child([&] { Worker(segment_, *shared_, owner).run_until_killed(); });
        crew_.emplace(child, owner);
    }
    void bury(pid_t child) {
        kill(child, SIGKILL);
        // A worker that saw something wrong has left by itself, with a message.
        CHECK(dshm::test::was_killed(dshm::test::wait_for(child)));
        const Owner dead = crew_.at(child);
        crew_.erase(child);
        heap_.recover(dead);
        objects_.recover(dead);
    }

    Segment segment_ = dshm::test::make_segment(std::size_t{256} << 20);
    Heap heap_{segment_, launcher_itself};
    ObjectTable objects_{segment_, heap_, launcher_itself};
    Shared* shared_ = nullptr;
    HeapStatistics baseline_{};
    unsigned kills_ = 0;
    std::map<pid_t, Owner> crew_;
};

} // namespace

TEST_CASE("four processes, killed at random, leak nothing and harm nothing") {
    Crew crew;
    std::mt19937 random(std::random_device{}());
    const std::uint64_t kills = number_from("DSHM_STRESS_KILLS", 100);
    for (std::uint64_t i = 0; i < kills; ++i) {
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 20'000));
        crew.replace_one(random);
        if (i % 5 == 0)
            crew.sweep();
    }
    crew.bury_all();
    crew.check_nothing_left();
}

TEST_CASE("a million allocations and frees, one of four processes killed every 10 ms") {
    const std::uint64_t changes = number_from("DSHM_STRESS_CHANGES", 1'000'000);
    Crew crew;
    std::mt19937 random(std::random_device{}());
    for (unsigned i = 0; crew.changes() < changes; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        crew.replace_one(random);
        if (i % 5 == 0)
            crew.sweep();
        if (i % 50 == 0)
            crew.give_back();
    }
    crew.bury_all();
    crew.check_nothing_left();
}
