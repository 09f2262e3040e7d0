#include "dshm/runtime/worker_pool.hpp"

#include <algorithm>
#include <stdexcept>

#include "dshm/base/scope_guard.hpp"

namespace dshm::runtime {

namespace {

// The pool that a word names, held as long as this, if it is still there.
class HeldPool {
public:
    HeldPool(Process& process, std::uint64_t word)
        : process_(&process), object_(Pool::object_in(word)),
          held_(word != 0 && process.objects().acquire(object_)) {
        if (held_ && !is_pool())
            let_go();
    }
    ~HeldPool() { let_go(); }
    HeldPool(const HeldPool&) = delete;
    HeldPool& operator=(const HeldPool&) = delete;

    explicit operator bool() const { return held_; }
    Pool pool() const { return Pool(*process_, object_); }

private:
    // The word may be damaged, and the object.
    bool is_pool() const {
        const auto seen = process_->objects().find(object_);
        return seen && seen->description.kind == object_kind::pool &&
               process_->heap().room_of(seen->block) >= sizeof(PoolHead);
    }
    void let_go() noexcept {
        if (held_)
            process_->objects().release(object_);
        held_ = false;
    }

    Process* process_;
    shm::ObjectTable::Ref object_;
    bool held_;
};

} // namespace

Pool::Pool(Process& process, shm::ObjectTable::Ref object)
    : process_(&process), object_(object),
      head_(reinterpret_cast<PoolHead*>(process.segment().base() +
                                        process.objects().view(object).block)) {}

ObjectHandle Pool::make() { return ObjectHandle(sizeof(PoolHead), {.kind = object_kind::pool}); }

bool Pool::is_default() const {
    // seq_cst, edge `default-pool`.
    return process_->header().default_pool.load(std::memory_order_seq_cst) == word_of(object_);
}

// ---- waking ------------------------------------------------------------------------------------

// Whoever clears a bit has given that process the wake.
void Pool::wake_one() const {
    shm::ProcessMask& waiters = head_->waiters;
    if (waiters.empty(std::memory_order_seq_cst)) // edge `pool-park`
        return;
    // relaxed, here and below: for fairness.
    const std::uint64_t last = head_->last_woken.load(std::memory_order_relaxed);
    for (unsigned step = 1; step <= shm::max_processes; ++step) {
        const auto slot = static_cast<unsigned>((last + step) % shm::max_processes);
        shm::Word64& word = waiters.word_of(slot);
        const std::uint64_t bit = shm::ProcessMask::bit(slot);
        if ((word.load(std::memory_order_seq_cst) & bit) == 0 ||
            (word.fetch_and(~bit, std::memory_order_seq_cst) & bit) == 0)
            continue;
        head_->last_woken.store(slot, std::memory_order_relaxed);
        return process_->scheduler().wake_with(slot, object_key(object_.index));
    }
}

bool Pool::add(shm::Owner member) {
    const bool added =
        head_->members.add(member, [this](shm::Owner there) { return alive(there); });
    if (added)
        wake_one();
    return added;
}

bool Pool::give_back(const TakenWorker& taken) const {
    const bool freed = taken.seat && head_->members.give_back(*taken.seat);
    if (freed)
        wake_one();
    return freed;
}

bool Pool::give_back(shm::Owner member) const {
    const bool freed = head_->members.give_back(member);
    if (freed)
        wake_one();
    return freed;
}

// ---- taking ------------------------------------------------------------------------------------

std::optional<TakenWorker> Pool::stand_in() const {
    if (process_->processes().somebody_comes())
        return std::nullopt;
    if (!is_default())
        throw std::runtime_error("dshm: No active worker available in pool: every member has "
                                 "ended, or it never had one; push(id) adds one");
    const shm::Owner master{shm::master_slot,
                            process_->processes().life(shm::master_slot).incarnation};
    return TakenWorker{{1, master}, std::nullopt};
}

std::optional<TakenWorker> Pool::try_take() const {
    using Take = queue::MemberQueue::Take;
    queue::TakenMember taken;
    switch (head_->members.take(
        process_->me(), [this](shm::Owner member) { return alive(member); }, taken)) {
    case Take::done:
        return TakenWorker{{process_->processes().life(taken.member.slot).id, taken.member}, taken};
    case Take::none_free:
        return std::nullopt;
    case Take::none_alive:
        break;
    }
    return stand_in();
}

bool Pool::has_free() const {
    using Take = queue::MemberQueue::Take;
    const Take found = head_->members.look([this](shm::Owner member) { return alive(member); });
    return found == Take::done ||
           (found == Take::none_alive && is_default() && !process_->processes().somebody_comes());
}

void Pool::hand_over(const TakenWorker& taken) const {
    if (taken.seat)
        head_->members.hand_over(*taken.seat, process_->me(), taken.worker.owner);
}

PoolPlace Pool::place_of(const TakenWorker& taken) const {
    if (!taken.seat)
        return {};
    return {word_of(object_), std::uint64_t{taken.seat->ticket} << 32 | taken.seat->member.bits()};
}

std::vector<WorkerId> Pool::members() const {
    std::vector<WorkerId> ids;
    head_->members.for_each([&](shm::Owner member) {
        const Life life = process_->processes().life(member.slot);
        if (life.incarnation == member.incarnation && life.active())
            ids.push_back(life.id);
    });
    std::sort(ids.begin(), ids.end());
    return ids;
}

// ---- waiting -----------------------------------------------------------------------------------

namespace {

// Until `attempt` gives true. What it throws waits for its own stack.
class PoolWait final : public WaitFor {
public:
    PoolWait(const Pool& pool, const std::function<bool()>& attempt)
        : pool_(&pool), attempt_(&attempt) {
        pool.process().pool_waits().begin(pool.object());
    }
    ~PoolWait() {
        pool_->process().pool_waits().end(
            pool_->object(), [this] { waiters().clear(slot(), std::memory_order_seq_cst); });
        if (pool_->has_free())
            pool_->wake_one(); // the wake may have been for a worker that this wait did not take
    }

    bool ready() override {
        if (done_ || attempt())
            return true;
        // seq_cst, edge `pool-park`. The wake went to somebody else of this process, or in vain.
        if (!armed_ || waiters().test(slot(), std::memory_order_seq_cst))
            return false;
        about_to_sleep();
        return attempt();
    }
    void about_to_sleep() override {
        armed_ = true;
        waiters().set(slot(), std::memory_order_seq_cst); // edge `pool-park`
    }
    bool interruptible() const override { return true; }
    void for_each_key(const std::function<void(EventKey)>& f) const override {
        f(object_key(pool_->object().index));
    }
    void rethrow() const {
        if (error_)
            std::rethrow_exception(error_);
    }

private:
    shm::ProcessMask& waiters() const { return pool_->head().waiters; }
    unsigned slot() const { return pool_->process().me().slot; }
    bool attempt() {
        try {
            done_ = (*attempt_)();
        } catch (...) {
            error_ = std::current_exception();
            done_ = true;
        }
        return done_;
    }

    const Pool* pool_;
    const std::function<bool()>* attempt_;
    bool done_ = false, armed_ = false;
    std::exception_ptr error_;
};

bool wait_at(const Pool& pool, const std::function<bool()>& attempt,
             os::Clock::time_point deadline) {
    PoolWait wait(pool, attempt);
    const bool in_time = pool.process().scheduler().wait_until(wait, deadline);
    wait.rethrow();
    return in_time;
}

} // namespace

std::optional<TakenWorker> Pool::take(os::Clock::time_point deadline) const {
    std::optional<TakenWorker> taken = try_take();
    base::ScopeGuard interrupted([&] {
        if (taken)
            give_back(*taken);
    });
    if (!taken)
        wait_at(
            *this, [&] { return (taken = try_take()).has_value(); }, deadline);
    interrupted.dismiss();
    return taken;
}

void Pool::wait() const {
    const auto free_or_never = [this] {
        if (has_free())
            return true;
        if (members().empty())
            stand_in();
        return false;
    };
    wait_at(*this, free_or_never, os::Clock::time_point::max());
}

// ---- the end of a task, and of a process -------------------------------------------------------

void give_back_worker(Process& process, TaskRef task) noexcept {
    const TaskRecord& record = process.tasks().record(task);
    try {
        const HeldPool held(process, record.pool);
        if (!held)
            return; // nobody has it any more
        const shm::Owner member = shm::Owner::from_bits(record.taken & 0xff'ffff);
        const queue::TakenMember seat{member, static_cast<std::uint32_t>(record.taken >> 32)};
        held.pool().give_back(TakenWorker{{0, member}, seat});
    } catch (...) {
        // No memory for a handle: the worker stays taken until its death.
    }
}

void recover_pools(Process& launcher, shm::Owner dead,
                   const std::optional<Membership::Member>& successor) {
    std::vector<shm::ObjectTable::Ref> pools;
    launcher.objects().for_each_live(
        object_kind::pool,
        [&](shm::ObjectTable::Ref object, const shm::ObjectView&) { pools.push_back(object); });
    for (const shm::ObjectTable::Ref object : pools)
        if (const HeldPool held(launcher, Pool::word_of(object)); held) {
            PoolHead& head = held.pool().head();
            if (successor && head.members.state(dead.slot).is(dead))
                held.pool().add(successor->owner); // first: a pool must not be empty in between
            head.members.recover(dead);
            head.waiters.clear(dead.slot, std::memory_order_seq_cst);
        }
}

} // namespace dshm::runtime
