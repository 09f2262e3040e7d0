// The object table: one record for each SharedArray, and for whatever else lives as long as
// somebody holds it.
//
//   0        8        16       24       32         40 … 72        72 … 104   104          112 … 128
//   | state  | block  | bytes  | kind   | type     | 4 user words | holders  | name hash  | shares   |
//
//   state    63            32 31   28 27          4 3     0
//            | generation    |   0   | owner        | phase |
//
//   FREE(g) → MAKING(g, me) → LIVE(g) ⇄ ENDING(g, me) → FREEING(g, me) → FREE(g + 1)
//
// `holders` has one bit for each process that holds a handle; how many handles it holds is private
// to it. The first one sets the bit, the last one clears it, and whoever finds the mask empty after
// clearing frees the object: the CAS LIVE → ENDING lets one win. It looks at the mask once more, for
// somebody who found the object by its name and became a holder under nobody's hold: who set its
// bit and then found LIVE did so before that look, and the object is LIVE again; who finds ENDING
// takes its bit back.
//
// Invariants:
//   (O1) A bit is set by its own process only, and while the bit of another process, or a pin of
//        the object in a task or message, stands for all of the time. So the mask of a LIVE object
//        that was found empty stays empty, but for a stale `acquire` that takes its bit back at
//        once, and makes the same check as it does.
//   (O2) Until the commit MAKING → LIVE the record alone knows the block: OWN(me) at first,
//        OBJ(index, g) just before. From then on the tag carries index and generation, so no block
//        of another object can be freed in its name. A record forgets its block as it becomes FREE, so
//        one that is MAKING names its own or none.
//   (O3) A record that is not FREE(0) has an index below object_top, and the pages below it are
//        backed.
//
// Death of p: MAKING(p) and FREEING(p) are completed to FREE(g + 1), the block freed if it is
// tagged for the object; ENDING(p) is LIVE again; p's bit is cleared everywhere; LIVE without holders is freed in p's name,
// so that a recovery that is stopped can start again. An object made but not yet handed over goes
// with its maker.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "dshm/shm/heap.hpp"
#include "dshm/shm/private_lock.hpp"
#include "dshm/shm/segment.hpp"

namespace dshm::shm {

enum class ObjectPhase : std::uint8_t { free = 0, making = 1, live = 2, freeing = 3, ending = 4 };

struct ObjectState {
    std::uint64_t bits = 0;

    static constexpr ObjectState make(ObjectPhase phase, std::uint32_t generation,
                                      Owner owner = {}) {
        return {GenerationField::put(generation) | OwnerField::put(owner.bits()) |
                PhaseField::put(static_cast<std::uint64_t>(phase))};
    }
    constexpr ObjectPhase phase() const { return static_cast<ObjectPhase>(PhaseField::get(bits)); }
    constexpr Owner owner() const { return Owner::from_bits(OwnerField::get(bits)); }
    constexpr std::uint32_t generation() const {
        return static_cast<std::uint32_t>(GenerationField::get(bits));
    }
    friend constexpr bool operator==(const ObjectState&, const ObjectState&) = default;

private:
    using PhaseField = base::Field<0, 4>;
    using OwnerField = base::Field<4, 24>;
    using GenerationField = base::Field<32, 32>;
};

struct ObjectRecord {
    Word64 state;
    std::uint64_t block; // plain words: written while MAKING, read while the object cannot go
    std::uint64_t bytes;
    std::uint64_t kind;
    std::uint64_t type_hash;
    std::array<std::uint64_t, 4> user;
    ProcessMask holders;
    Word64 name_hash; // of a named object, set when it is complete; else 0
    Word64 shares;    // how often a process has become a holder
    std::uint64_t reserved;
};

static_assert(sizeof(ObjectRecord) == object_record_size, "Geometry::of sizes the table by it");
static_assert(offsetof(ObjectRecord, user) == 40 && offsetof(ObjectRecord, holders) == 72 &&
                  offsetof(ObjectRecord, name_hash) == 104,
              "the layout comment above, which strangers read by");

// What the maker says about an object. The table gives it back and does not look at it.
struct ObjectDescription {
    std::uint64_t kind = 0;
    std::uint64_t type_hash = 0;
    std::array<std::uint64_t, 4> user{}; // dimensions of an array
};

struct ObjectView {
    Offset block;
    std::size_t bytes;
    ObjectDescription description;
};

// One for each process, for all its threads.
class ObjectTable {
public:
    // Names an object for ever: no other object has the same index and generation.
    struct Ref {
        std::uint32_t index = none;
        std::uint32_t generation = 0;

        static constexpr std::uint32_t none = ~std::uint32_t{0};
        explicit constexpr operator bool() const { return index != none; }
        friend constexpr bool operator==(const Ref&, const Ref&) = default;
    };

    ObjectTable(Segment& segment, Heap& heap, Owner me);
    ObjectTable(const ObjectTable&) = delete;
    ObjectTable& operator=(const ObjectTable&) = delete;
    ~ObjectTable();

    // A new object of `bytes` zero bytes, with one handle held by the caller. Behind them, from the
    // next cache line on, lie `note` more zero bytes that are not counted in its view. Throws
    // SharedMemoryExhausted when there is no room for it or the table is full; then nothing is left
    // over.
    Ref create(std::size_t bytes, const ObjectDescription& description, std::size_t note = 0);
    // Where the note of an object of so many bytes begins.
    static constexpr Offset note_offset(Offset block, std::size_t bytes) {
        return block + base::round_up(bytes, note_alignment);
    }

    // One more handle of this process. False when the object is gone. True is worth something only
    // if somebody else's hold on the object, or a pin, lasted all the while (O1), or this process
    // had a handle already.
    bool acquire(Ref ref);
    // One handle less. The last one of all processes frees the object. Releasing what is not held
    // is an error of ours.
    void release(Ref ref);
    // Handles that this process holds.
    std::size_t handles(Ref ref) const;

    // For holders. Throws std::runtime_error when there is no such object any more.
    ObjectView view(Ref ref) const;
    // For anybody; nothing when it is gone, which it may be at any time after.
    std::optional<ObjectView> find(Ref ref) const;
    bool is_live(Ref ref) const;

    // Launcher only, after the death of `dead` and before its slot is used again; before or after
    // Heap::recover. May be stopped anywhere and started again.
    void recover(Owner dead);
    // The first step of it: what `dead` was about to end is live again, so that it can be acquired.
    void revive(Owner dead);

    // Gives a complete object a name: not 0, and no other object's of its kind, which the caller
    // sees to.
    void set_name(Ref ref, std::uint64_t hash) {
        record(ref.index).name_hash.store(hash, std::memory_order_release); // edge `object-named`
    }
    // By a holder: the name may be given to another object.
    void withdraw_name(Ref ref) {
        record(ref.index).name_hash.store(0, std::memory_order_release); // edge `object-named`
    }
    // A handle of the object of that kind and name. Walks the table.
    std::optional<Ref> acquire_named(std::uint64_t kind, std::uint64_t hash);

    // Live objects in the segment. Walks the table.
    std::size_t live_count() const;
    // f(ref, view) for the live objects of one kind; who uses their bytes acquires them first. Walks
    // the table.
    template <class F>
    void for_each_live(std::uint64_t kind, F&& f) const {
        const std::uint32_t end = end_of_walk();
        for (std::uint32_t index = 0; index < end; ++index) {
            const Ref ref{index, state(index).generation()};
            if (const auto seen = find(ref); seen && seen->description.kind == kind)
                f(ref, *seen);
        }
    }

    // f(slot) for each process that holds it, as far as can be told.
    template <class F>
    void for_each_holder(Ref ref, F&& f) const {
        if (is_live(ref)) // relaxed: they are only asked something
            record(ref.index).holders.for_each(std::memory_order_relaxed, std::forward<F>(f));
    }

    // Called with what an object's maker said of it, before its block is freed: by the process that
    // frees it, and again by the launcher if that one dies over it.
    using Disposer = std::function<void(Ref, const ObjectView&)>;
    void on_freeing(Disposer disposer) { disposer_ = std::move(disposer); }

private:
    static constexpr std::size_t note_alignment = 64;

    // Private handle counts, in pages made as they are used: most processes touch one.
    static constexpr std::size_t counts_per_page = 256;
    using Count = std::atomic<std::uint32_t>;
    using CountPage = std::array<Count, counts_per_page>;

    ObjectRecord& record(std::uint32_t index) const noexcept { return records_[index]; }
    // Never more than there are.
    std::uint32_t top() const noexcept;
    // The same for walks, which believe of the top only what has pages.
    std::uint32_t end_of_walk() const noexcept;
    ObjectState state(std::uint32_t index) const noexcept;
    bool change(std::uint32_t index, ObjectState expected, ObjectState desired) noexcept;

    Ref claim_record(std::size_t bytes);
    std::optional<Ref> claim_index(std::uint32_t index);
    std::optional<Ref> search(std::uint32_t steps);
    std::optional<Ref> extend();
    void fill(Ref ref, std::size_t bytes, std::size_t note, const ObjectDescription& description);

    Count& count(std::uint32_t index);
    Count* find_count(std::uint32_t index) const noexcept;
    bool add_handle(Ref ref);
    bool add_first_handle(Ref ref, Count& handles);
    bool release_last(Ref ref, Count& handles);
    bool hold(Ref ref);
    bool unheld(std::uint32_t index) const;
    void free_if_unheld(std::uint32_t index, Owner name);
    void finish_freeing(Ref ref, Owner name);
    void recover_record(std::uint32_t index, Owner dead);
    void revive(std::uint32_t index, Owner dead);

    Header* header_;
    ObjectRecord* records_;
    Geometry geometry_;
    Backing backing_;
    Heap& heap_;
    Owner me_;

    std::array<std::atomic<CountPage*>, max_objects / counts_per_page> counts_{};
    PrivateLock lock_;                     // over counts that go from or to 0, and the hints below
    std::vector<std::uint32_t> free_hint_; // records that this process freed
    std::uint32_t cursor_ = 0;
    Disposer disposer_;
};

} // namespace dshm::shm
