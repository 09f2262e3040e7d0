// Says that this process reads memory of the heap that is not its own, so that nobody takes its pages
// away meanwhile (chunk_table.hpp, T5): tags of others' chunks, and blocks that nobody holds for it.
//
// A block is read so: enter, then make sure that it is in use still, by its tag or by the state of the
// record that it belongs to, then read. It may be freed meanwhile, and written over by another, but its
// pages stay, so what is read must be checked and nothing worse can happen. Nothing is written there.
// Who is entered for long keeps others from giving memory back, and itself as well.
//
// One bit for each process in the header's `tag_readers`; its threads are counted here. If the
// process dies, the launcher clears the bit (`Heap::recover`). For the heap, and through `Heap::reading`.
#pragma once

#include <atomic>

#include "dshm/shm/layout.hpp"
#include "dshm/shm/private_lock.hpp"

namespace dshm::shm {

class TagReaders {
public:
    TagReaders(Header& header, Owner me) : mask_(&header.tag_readers), me_(me) {}

    class [[nodiscard]] Scope {
    public:
        explicit Scope(TagReaders& readers) : readers_(readers) { readers_.enter(); }
        Scope(const Scope&) = delete;
        Scope& operator=(const Scope&) = delete;
        ~Scope() { readers_.leave(); }

    private:
        TagReaders& readers_;
    };

    // Launcher only: `dead` reads no more.
    void forget(Owner dead) noexcept {
        // release: what the launcher did for it comes before.
        mask_->clear(dead.slot, std::memory_order_release);
    }

private:
    void enter() noexcept {
        const PrivateLock::Guard guard(lock_);
        if (count_++ == 0)
            mask_->set(me_.slot, std::memory_order_seq_cst);
        // seq_cst, edge `tags-read`: the states are read after it.
        std::atomic_thread_fence(std::memory_order_seq_cst);
    }
    void leave() noexcept {
        const PrivateLock::Guard guard(lock_);
        if (--count_ == 0)
            // release: the tags were read before it.
            mask_->clear(me_.slot, std::memory_order_release);
    }

    ProcessMask* mask_;
    Owner me_;
    PrivateLock lock_; // over the count
    unsigned count_ = 0;
};

} // namespace dshm::shm
