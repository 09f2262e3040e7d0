#include "dshm/shm/object_table.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "dshm/base/check.hpp"
#include "dshm/base/scope_guard.hpp"

namespace dshm::shm {

namespace {

constexpr std::uint32_t search_steps = 64;
constexpr std::size_t most_hints = 256;

Tag tag_of(ObjectTable::Ref ref) { return Tag::object(ref.index, ref.generation); }

[[noreturn]] void throw_full(std::size_t bytes) {
    throw SharedMemoryExhausted(
        bytes, 0,
        "dshm: shared memory exhausted: there are " + std::to_string(max_objects) +
            " shared objects already; drop SharedArrays that are not needed");
}

} // namespace

ObjectTable::ObjectTable(Segment& segment, Heap& heap, Owner me)
    : header_(&segment.header()), records_(segment.at<ObjectRecord>(segment.geometry().objects)),
      geometry_(segment.geometry()), backing_(segment.backing()), heap_(heap), me_(me) {
    free_hint_.reserve(most_hints); // so that freeing never allocates
}

ObjectTable::~ObjectTable() {
    for (auto& page : counts_)
        delete page.load(std::memory_order_relaxed); // relaxed: no other thread is left
}

std::uint32_t ObjectTable::top() const noexcept {
    // acquire, edge `objects-grown`: the pages below the value are backed.
    return static_cast<std::uint32_t>(
        std::min<std::uint64_t>(header_->object_top.load(std::memory_order_acquire), max_objects));
}

std::uint32_t ObjectTable::end_of_walk() const noexcept {
    return static_cast<std::uint32_t>(
        backing_.records_with_pages(geometry_.objects, sizeof(ObjectRecord), top()));
}

ObjectState ObjectTable::state(std::uint32_t index) const noexcept {
    // acquire, edges `object-made` and `object-freed`.
    return {record(index).state.load(std::memory_order_acquire)};
}

bool ObjectTable::change(std::uint32_t index, ObjectState expected, ObjectState desired) noexcept {
    // acq_rel, the same edges.
    return record(index).state.compare_exchange(
        expected.bits, desired.bits, std::memory_order_acq_rel, std::memory_order_acquire);
}

bool ObjectTable::is_live(Ref ref) const {
    if (ref.index >= top())
        return false;
    const ObjectState now = state(ref.index);
    return now.generation() == ref.generation &&
           (now.phase() == ObjectPhase::live || now.phase() == ObjectPhase::ending);
}

// ------------------------------------------------------------------------------------------------
// Making
// ------------------------------------------------------------------------------------------------

ObjectTable::Ref ObjectTable::create(std::size_t bytes, const ObjectDescription& description,
                                     std::size_t note) {
    const Ref ref = claim_record(bytes);
    const ObjectState making = ObjectState::make(ObjectPhase::making, ref.generation, me_);
    base::ScopeGuard give_up(
        [&] { change(ref.index, making, ObjectState::make(ObjectPhase::free, ref.generation)); });
    record(ref.index).block = 0;
    Count& handles = count(ref.index);
    fill(ref, bytes, note, description);
    give_up.dismiss();
    // relaxed: nobody else knows the object yet.
    handles.store(1, std::memory_order_relaxed);
    // Commit, edge `object-made`.
    change(ref.index, making, ObjectState::make(ObjectPhase::live, ref.generation));
    return ref;
}

// Keeps O2: the block is ours until the record knows it, and the object's before the object is
// live.
void ObjectTable::fill(Ref ref, std::size_t bytes, std::size_t note,
                       const ObjectDescription& description) {
    ObjectRecord& target = record(ref.index);
    const Block block =
        heap_.allocate_zeroed(note == 0 ? bytes : note_offset(0, bytes) + note, Tag::own(me_));
    target.block = block.offset;
    target.bytes = bytes;
    target.kind = description.kind;
    target.type_hash = description.type_hash;
    target.user = description.user;
    target.name_hash.store(0, std::memory_order_relaxed); // relaxed: as below
    // relaxed: the commit releases it, and the only other who clears bits is the recovery of this
    // very process.
    target.holders.set(me_.slot, std::memory_order_relaxed);
    heap_.retag(block.offset, Tag::own(me_), tag_of(ref));
}

ObjectTable::Ref ObjectTable::claim_record(std::size_t bytes) {
    const PrivateLock::Guard guard(lock_);
    while (!free_hint_.empty()) {
        const std::uint32_t index = free_hint_.back();
        free_hint_.pop_back();
        if (const auto ref = claim_index(index))
            return *ref;
    }
    if (const auto ref = search(search_steps))
        return *ref;
    if (const auto ref = extend())
        return *ref;
    if (const auto ref = search(max_objects))
        return *ref;
    throw_full(bytes);
}

std::optional<ObjectTable::Ref> ObjectTable::claim_index(std::uint32_t index) {
    const ObjectState found = state(index);
    const std::uint32_t generation = found.generation();
    if (found.phase() == ObjectPhase::free &&
        change(index, found, ObjectState::make(ObjectPhase::making, generation, me_)))
        return Ref{index, generation};
    return std::nullopt;
}

std::optional<ObjectTable::Ref> ObjectTable::search(std::uint32_t steps) {
    const std::uint32_t end = top();
    for (std::uint32_t step = 0; step < std::min(steps, end); ++step) {
        cursor_ = cursor_ + 1 < end ? cursor_ + 1 : 0;
        if (const auto ref = claim_index(cursor_))
            return ref;
    }
    return std::nullopt;
}

// Keeps O3: pages first, then the top, then the claim.
std::optional<ObjectTable::Ref> ObjectTable::extend() {
    for (;;) {
        std::uint64_t index = top();
        if (index >= max_objects)
            return std::nullopt;
        backing_.ensure(geometry_.objects + index * sizeof(ObjectRecord), sizeof(ObjectRecord));
        // release, edge `objects-grown`.
        if (!header_->object_top.compare_exchange(index, index + 1, std::memory_order_acq_rel,
                                                  std::memory_order_acquire))
            continue;
        if (const auto ref = claim_index(static_cast<std::uint32_t>(index)))
            return ref;
    }
}

ObjectView ObjectTable::view(Ref ref) const {
    if (const auto seen = find(ref))
        return *seen;
    throw std::runtime_error("this shared object is gone: its last handle was dropped");
}

// Live before and after: what was read in between is this object's.
std::optional<ObjectView> ObjectTable::find(Ref ref) const {
    if (!is_live(ref))
        return std::nullopt;
    const ObjectRecord& source = record(ref.index);
    const ObjectView seen{source.block, source.bytes, {source.kind, source.type_hash, source.user}};
    std::atomic_thread_fence(std::memory_order_acquire);
    return is_live(ref) ? std::optional(seen) : std::nullopt;
}

// ------------------------------------------------------------------------------------------------
// Holding
// ------------------------------------------------------------------------------------------------

ObjectTable::Count* ObjectTable::find_count(std::uint32_t index) const noexcept {
    if (index >= max_objects)
        return nullptr;
    // acquire: pairs with the release in count(), within the process.
    CountPage* const page = counts_[index / counts_per_page].load(std::memory_order_acquire);
    return page == nullptr ? nullptr : &(*page)[index % counts_per_page];
}

ObjectTable::Count& ObjectTable::count(std::uint32_t index) {
    if (Count* const known = find_count(index))
        return *known;
    const PrivateLock::Guard guard(lock_);
    auto& page = counts_[index / counts_per_page];
    if (page.load(std::memory_order_relaxed) == nullptr) // relaxed: under the lock
        page.store(new CountPage{}, std::memory_order_release);
    return *find_count(index);
}

std::size_t ObjectTable::handles(Ref ref) const {
    const Count* const known = find_count(ref.index);
    const bool ours = known != nullptr && is_live(ref);
    return ours ? known->load(std::memory_order_relaxed) : 0; // relaxed: a count to look at
}

bool ObjectTable::acquire(Ref ref) {
    if (!is_live(ref) || !add_handle(ref))
        return false;
    // From here on the bit stands, so what lives at the index stays. It may be the successor of
    // what was asked for.
    if (is_live(ref))
        return true;
    release(ref);
    return false;
}

bool ObjectTable::add_handle(Ref ref) {
    Count& handles = count(ref.index);
    // acquire: the caller looks at the state after it.
    std::uint32_t seen = handles.load(std::memory_order_relaxed);
    while (seen != 0)
        if (handles.compare_exchange_weak(seen, seen + 1, std::memory_order_acquire,
                                          std::memory_order_relaxed))
            return true;
    if (add_first_handle(ref, handles))
        return true;
    // O1: a bit that was set in vain may have kept the last holder from freeing whatever is there
    // now.
    free_if_unheld(ref.index, me_);
    return false;
}

bool ObjectTable::add_first_handle(Ref ref, Count& handles) {
    const PrivateLock::Guard guard(lock_);
    if (handles.load(std::memory_order_relaxed) == 0 && !hold(ref)) // relaxed: under the lock
        return false;
    handles.fetch_add(1, std::memory_order_acquire);
    return true;
}

bool ObjectTable::hold(Ref ref) {
    ObjectRecord& target = record(ref.index);
    // seq_cst, edge `holders`: either whoever clears the last bit sees this one, or this look at
    // the state sees it gone.
    target.holders.set(me_.slot, std::memory_order_seq_cst);
    target.shares.fetch_add(1, std::memory_order_seq_cst); // see unheld()
    if (state(ref.index) == ObjectState::make(ObjectPhase::live, ref.generation))
        return true;
    target.holders.clear(me_.slot, std::memory_order_seq_cst);
    return false;
}

std::optional<ObjectTable::Ref> ObjectTable::acquire_named(std::uint64_t kind, std::uint64_t hash) {
    for (std::uint32_t index = 0; index < top(); ++index) {
        const Ref ref{index, state(index).generation()};
        // acquire, edge `object-named`: a name is given to a complete object.
        if (record(index).name_hash.load(std::memory_order_acquire) != hash || !acquire(ref))
            continue;
        if (record(index).kind == kind &&
            record(index).name_hash.load(std::memory_order_acquire) == hash)
            return ref;
        release(ref); // another object by now
    }
    return std::nullopt;
}

void ObjectTable::release(Ref ref) {
    Count* const handles = find_count(ref.index);
    DSHM_CHECK(handles != nullptr, "a handle was released that was never held");
    // release: what this thread did with the object comes before the freeing by the one that finds
    // 0.
    std::uint32_t seen = handles->load(std::memory_order_relaxed);
    while (seen > 1)
        if (handles->compare_exchange_weak(seen, seen - 1, std::memory_order_release,
                                           std::memory_order_relaxed))
            return;
    if (release_last(ref, *handles))
        free_if_unheld(ref.index, me_);
}

// True when the process's bit was cleared. Under the lock, so that no thread's first handle comes
// between.
bool ObjectTable::release_last(Ref ref, Count& handles) {
    const PrivateLock::Guard guard(lock_);
    const std::uint32_t before = handles.fetch_sub(1, std::memory_order_acq_rel);
    DSHM_CHECK(before != 0, "a handle was released that was never held");
    if (before != 1)
        return false;
    // seq_cst, edge `holders`: of two who clear the last two bits, at least one then sees all words
    // empty.
    record(ref.index).holders.clear(me_.slot, std::memory_order_seq_cst);
    return true;
}

// ------------------------------------------------------------------------------------------------
// Freeing
// ------------------------------------------------------------------------------------------------

// The words of the mask are read one by one, and a share may move between them meanwhile: somebody
// becomes a holder under another's hold, which then ends. It is counted in between, so a count that
// has not changed makes the look a snapshot.
bool ObjectTable::unheld(std::uint32_t index) const {
    const ObjectRecord& target = record(index);
    for (;;) {
        const std::uint64_t before = target.shares.load(std::memory_order_seq_cst);
        if (!target.holders.empty(std::memory_order_seq_cst))
            return false;
        if (target.shares.load(std::memory_order_seq_cst) == before)
            return true;
    }
}

// `name` is me, or a dead process in whose name the launcher goes on.
void ObjectTable::free_if_unheld(std::uint32_t index, Owner name) {
    for (;;) {
        const ObjectState found = state(index);
        if (found.phase() != ObjectPhase::live || !unheld(index))
            return;
        const Ref ref{index, found.generation()};
        const auto ending = ObjectState::make(ObjectPhase::ending, ref.generation, name);
        if (!change(index, found, ending))
            return;
        if (unheld(index)) {
            change(index, ending, ObjectState::make(ObjectPhase::freeing, ref.generation, name));
            return finish_freeing(ref, name);
        }
        // Found by its name meanwhile; that holder may have gone again while it was ending.
        change(index, ending, found);
    }
}

// Of a record that is MAKING or FREEING in our name or a dead process's. The tag decides whether
// the block is this object's.
void ObjectTable::finish_freeing(Ref ref, Owner name) {
    const ObjectRecord& source = record(ref.index);
    const Offset block = source.block;
    if (disposer_ && heap_.tag_of(block).bits == tag_of(ref).bits)
        disposer_(ref, {block, source.bytes, {source.kind, source.type_hash, source.user}});
    if (name == me_)
        heap_.free(block, tag_of(ref));
    else
        heap_.free_in_name_of(name, block, tag_of(ref));
    record(ref.index).block = 0; // O2: the next one that is MAKING here has none
    // release, edge `object-freed`.
    record(ref.index).state.store(ObjectState::make(ObjectPhase::free, ref.generation + 1).bits,
                                  std::memory_order_release);
    const PrivateLock::Guard guard(lock_);
    if (free_hint_.size() < most_hints)
        free_hint_.push_back(ref.index);
}

// ------------------------------------------------------------------------------------------------
// Recovery and counting
// ------------------------------------------------------------------------------------------------

void ObjectTable::recover(Owner dead) {
    const std::uint32_t end = end_of_walk();
    for (std::uint32_t index = 0; index < end; ++index)
        recover_record(index, dead);
}

void ObjectTable::recover_record(std::uint32_t index, Owner dead) {
    ObjectRecord& target = record(index);
    if (target.holders.test(dead.slot, std::memory_order_seq_cst))
        target.holders.clear(dead.slot, std::memory_order_seq_cst);
    const ObjectState found = state(index);
    const bool half_done =
        (found.phase() == ObjectPhase::making || found.phase() == ObjectPhase::freeing) &&
        found.owner() == dead;
    if (half_done)
        return finish_freeing({index, found.generation()}, dead);
    revive(index, dead);
    free_if_unheld(index, dead);
}

void ObjectTable::revive(std::uint32_t index, Owner dead) {
    const ObjectState found = state(index);
    if (found.phase() == ObjectPhase::ending && found.owner() == dead)
        change(index, found, ObjectState::make(ObjectPhase::live, found.generation()));
}

void ObjectTable::revive(Owner dead) {
    const std::uint32_t end = end_of_walk();
    for (std::uint32_t index = 0; index < end; ++index)
        revive(index, dead);
}

std::size_t ObjectTable::live_count() const {
    std::size_t live = 0;
    const std::uint32_t end = top();
    for (std::uint32_t index = 0; index < end; ++index)
        live += is_live({index, state(index).generation()}) ? 1 : 0;
    return live;
}

} // namespace dshm::shm
