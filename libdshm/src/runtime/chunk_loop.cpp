#include "dshm/runtime/chunk_loop.hpp"

#include <algorithm>
#include <chrono>
#include <map>

#include "dshm/base/scope_guard.hpp"
#include "dshm/runtime/failure.hpp"
#include "dshm/runtime/operation.hpp"
#include "dshm/runtime/scheduler.hpp"
#include "dshm/runtime/task_stream.hpp"
#include "dshm/ship/exceptions.hpp"

namespace dshm::runtime {

// Some participant's task has ended. Looks at one each time it is asked, until it sleeps.
class ChunkLoop::AnyEnded final : public WaitFor {
public:
    explicit AnyEnded(ChunkLoop& loop) : loop_(&loop) {}
    ~AnyEnded() {
        const shm::PrivateLock::Guard guard(loop_->lock_);
        if (ended_ != nullptr)
            ended_->seen = false; // nobody has dealt with it
    }

    bool ready() override {
        if (ended_ == nullptr)
            ended_ = loop_->take_ended(asleep_);
        return ended_ != nullptr || !loop_->any_open();
    }
    void about_to_sleep() override {
        asleep_ = true;
        loop_->announce_waiting();
    }
    bool interruptible() const override { return true; }
    void for_each_key(const std::function<void(EventKey)>& f) const override {
        loop_->for_each_key(f);
    }
    Party* take() { return std::exchange(ended_, nullptr); }

private:
    ChunkLoop* loop_;
    Party* ended_ = nullptr;
    bool asleep_ = false;
};

ChunkLoop::ChunkLoop(Process& process, Setup setup)
    : process_(&process), setup_(std::move(setup)), chunks_(setup_.loop.address()),
      held_(process.holdings().hold(setup_.handles.view())) {
    if (process.restarts_workers())
        setup_.retries = std::max(setup_.retries, static_cast<int>(most_attempts) - 1);
}

ChunkLoop::~ChunkLoop() {
    if (current_or_null() == process_)
        process_->holdings().let_go(held_);
}

// ---- sending -----------------------------------------------------------------------------------

std::optional<Participant> ChunkLoop::start(Here here) {
    base::ScopeGuard stop([&] { chunks_.stop(); });
    std::optional<Participant> mine;
    const std::size_t count = std::min<std::size_t>(setup_.members.size(), chunks_.plan().lanes);
    for (std::size_t member = 0; member < count; ++member) {
        const auto lane = static_cast<std::uint32_t>(member);
        if (here == Here::runs && !mine && setup_.members[member].owner == process_->me())
            parties_.push_back(
                {*(mine = {next_number(), lane, false}), member, {}, End::open, true});
        else
            add(lane, member, false);
    }
    stop.dismiss();
    return mine;
}

// To that member, or to the next one that lives.
TaskRef ChunkLoop::send(const Participant& participant, std::size_t& member) {
    const StreamScope uncounted(chunks().head().stream);
    for (;;) {
        try {
            return setup_.send(*process_, member_at(member), setup_.loop, participant);
        } catch (const ProcessExitedException&) {
            const auto other = living_member(member);
            if (!other)
                throw;
            member = *other;
        }
    }
}

std::uint32_t ChunkLoop::next_number() {
    const shm::PrivateLock::Guard guard(lock_);
    return numbers_++;
}

void ChunkLoop::add(std::uint32_t lane, std::size_t member, bool from_the_start, unsigned deaths) {
    const Participant participant{next_number(), lane, from_the_start};
    TaskHandle task = TaskHandle::adopt(send(participant, member));
    process_->holdings().pin(task.task(), setup_.handles.view(), Holdings::PinUntil::ended);
    const shm::PrivateLock::Guard guard(lock_);
    open_.push_back(&parties_.emplace_back(
        Party{participant, member, std::move(task), End::open, false, nullptr, deaths}));
}

// Or the worker that has come in its place.
Membership::Member ChunkLoop::member_at(std::size_t index) {
    const shm::PrivateLock::Guard guard(lock_);
    Membership::Member& member = setup_.members[index];
    if (!process_->processes().alive(member.owner))
        if (const auto next = process_->processes().successor_of(member.id))
            member = *next;
    return member;
}

// The same one if it has a successor, else the next.
std::optional<std::size_t> ChunkLoop::living_member(std::size_t from) {
    const std::size_t count = setup_.members.size();
    for (std::size_t step = 0; step < count; ++step)
        if (process_->processes().alive(member_at((from + step) % count).owner))
            return (from + step) % count;
    return std::nullopt;
}

// ---- noticing ends -----------------------------------------------------------------------------

// An open participant that has ended and that nobody deals with yet: the next in turn, if that is
// one, or any.
ChunkLoop::Party* ChunkLoop::take_ended(bool look_at_all) {
    const shm::PrivateLock::Guard guard(lock_);
    for (std::size_t left = look_at_all ? open_.size() : std::min<std::size_t>(1, open_.size());
         left > 0; --left) {
        look_ = look_ + 1 < open_.size() ? look_ + 1 : 0;
        Party& party = *open_[look_];
        if (!party.seen && party.task.ended()) {
            party.seen = true;
            return &party;
        }
    }
    return nullptr;
}

void ChunkLoop::conclude(Party& party) {
    const auto failure = form_of_failure(party.task);
    if (failure == ResultForm::exited)
        return conclude_death(party);
    end(party, failure ? End::badly : End::well);
}

void ChunkLoop::conclude_death(Party& party) {
    const LoopChunks::Loss loss = chunks_.take_back(party.self, setup_.retries);
    if (loss.chunks != 0)
        repeated_.store(true, std::memory_order_relaxed); // relaxed: asked when all has ended
    // Taking part is what ends workers, and not a chunk.
    const bool at_the_start = loss.chunks == 0 && ended_at(party.task) == ExitMoment::during;
    party.deaths = at_the_start ? party.deaths + 1 : 0;
    const bool hopeless = loss.last_straw || party.deaths >= most_attempts;
    const bool nothing_to_do = !hopeless && chunks_.all_done(party.self.lane);
    if (!nothing_to_do && (hopeless || !replace(party)))
        return end(party, End::badly);
    process_->holdings().observe(party.task.task()); // made up for
    close(party, End::replaced);
}

// Of a participant that is not replaced.
void ChunkLoop::end(Party& party, End how) {
    if (shared() && how == End::badly)
        chunks_.stop();
    close(party, how);
    if (shared())
        nothing_left();
}

// Somebody else goes on with the dead one's lane. False when nobody is left who could.
bool ChunkLoop::replace(Party& party) {
    const auto member = living_member(party.member);
    if (!member)
        return false;
    try {
        add(party.self.lane, *member, true, party.deaths);
        return true;
    } catch (const ProcessExitedException&) {
        return false;
    } catch (...) {
        party.failure = std::current_exception(); // no memory, for one
        return false;
    }
}

void ChunkLoop::close(Party& party, End how) {
    const shm::PrivateLock::Guard guard(lock_);
    party.end = how;
    std::erase(open_, &party);
    if (!__libc_single_threaded) { // another thread may wait for the same
        process_->area().looks.fetch_add(1, std::memory_order_release); // edge `look`
        process_->area().bell.ring();
    }
}

void ChunkLoop::end_here(const Participant& participant, std::exception_ptr failure) {
    const auto mine = std::find_if(parties_.begin(), parties_.end(), [&](const Party& party) {
        return party.self.number == participant.number;
    });
    mine->failure = failure;
    end(*mine, failure ? End::badly : End::here);
}

// No chunk is free: who has not begun need not begin. Whoever was sent for the chunks of a dead one
// still finds those.
void ChunkLoop::nothing_left() {
    std::vector<Party*> withdrawn;
    {
        const shm::PrivateLock::Guard guard(lock_);
        for (Party* party : open_)
            if (!party->seen && (!party->self.from_the_start || chunks_.stopped()) &&
                process_->tasks().claim_queued(party->task.task())) {
                party->seen = true;
                withdrawn.push_back(party);
            }
    }
    for (Party* party : withdrawn) {
        complete_task(*process_, party->task.task(), [](Execution& e) { e.give_nothing(); });
        close(*party, End::withdrawn);
    }
}

// ---- waiting -----------------------------------------------------------------------------------

bool ChunkLoop::wait_until(os::Clock::time_point deadline) {
    constexpr std::chrono::milliseconds watch_interval(100);
    check_session();
    while (any_open()) {
        const auto next = setup_.watcher ? os::Clock::now() + watch_interval : deadline;
        AnyEnded any(*this);
        const bool some = process_->scheduler().wait_until(any, std::min(next, deadline));
        if (Party* party = any.take())
            conclude(*party);
        if (!some && next >= deadline)
            return ended();
        watch();
    }
    stop_watching();
    return true;
}

// relaxed, both: what is shown may be a little old.
void ChunkLoop::watch() {
    if (setup_.watcher)
        setup_.watcher(chunks_.head().elements_done.load(std::memory_order_relaxed), false);
}
void ChunkLoop::stop_watching() {
    decltype(setup_.watcher) watcher;
    {
        const shm::PrivateLock::Guard guard(lock_);
        watcher.swap(setup_.watcher);
    }
    if (watcher && !failed())
        watcher(chunks_.head().elements_done.load(std::memory_order_relaxed), true);
}

bool ChunkLoop::ended() {
    check_session();
    while (Party* party = take_ended(true))
        conclude(*party);
    return !any_open();
}

bool ChunkLoop::news() {
    const shm::PrivateLock::Guard guard(lock_);
    return open_.empty() || std::any_of(open_.begin(), open_.end(), [](const Party* party) {
               return !party->seen && party->task.ended();
           });
}

bool ChunkLoop::any_open() {
    const shm::PrivateLock::Guard guard(lock_);
    return !open_.empty();
}

std::vector<TaskHandle> ChunkLoop::open_tasks() {
    const shm::PrivateLock::Guard guard(lock_);
    std::vector<TaskHandle> tasks;
    for (const Party* party : open_)
        tasks.push_back(party->task);
    return tasks;
}

void ChunkLoop::announce_waiting() {
    const shm::PrivateLock::Guard guard(lock_);
    for (const Party* party : open_)
        party->task.announce_waiting();
}

void ChunkLoop::for_each_key(const std::function<void(EventKey)>& f) {
    const shm::PrivateLock::Guard guard(lock_);
    for (const Party* party : open_)
        f(task_key(party->task.task().index));
}

// ---- ending it early, and how it ended ---------------------------------------------------------

bool ChunkLoop::cancel() {
    check_session();
    cancelled_.store(true, std::memory_order_release);
    chunks_.stop();
    return TaskEnds(open_tasks()).cancel();
}

void ChunkLoop::abandon() noexcept {
    try {
        cancel();
        for (const TaskHandle& task : open_tasks())
            process_->holdings().observe(task.task());
    } catch (...) {
        // the session is over, or there is no memory: they end by themselves
    }
}

// Cancelled before all was done, with nothing but that to report.
bool ChunkLoop::was_cut_short() const {
    return cancelled_.load(std::memory_order_acquire) && !chunks_.all_done();
}

bool ChunkLoop::failed() {
    if (was_cut_short())
        return true;
    const shm::PrivateLock::Guard guard(lock_);
    return std::any_of(parties_.begin(), parties_.end(),
                       [](const Party& party) { return party.end == End::badly; });
}

struct ChunkLoop::Failure {
    std::size_t chunk;
    std::uint32_t participant;
    TaskHandle task;
    std::exception_ptr instead;

    std::exception_ptr get() const { return instead ? instead : failure_of(task); }
};

// In the order of the chunks that failed; those without one, such as a result that could not be
// encoded, in the order of their participants behind them.
std::vector<ChunkLoop::Failure> ChunkLoop::failed_parties() {
    std::map<std::uint32_t, std::size_t> chunk_of;
    for (std::size_t chunk = 0; chunk < chunks_.plan().chunks; ++chunk)
        if (const ChunkState state = chunks_.state(chunk); state.phase == ChunkPhase::failed)
            chunk_of.try_emplace(state.participant, chunk);
    std::vector<Failure> failures;
    {
        const shm::PrivateLock::Guard guard(lock_);
        for (const Party& party : parties_)
            if (party.end == End::badly) {
                const auto known = chunk_of.find(party.self.number);
                failures.push_back({known != chunk_of.end() ? known->second : chunks_.plan().chunks,
                                    party.self.number, party.task, party.failure});
            }
    }
    std::sort(failures.begin(), failures.end(), [](const Failure& a, const Failure& b) {
        return std::pair(a.chunk, a.participant) < std::pair(b.chunk, b.participant);
    });
    if (failures.empty() && was_cut_short())
        failures.push_back(
            {0,
             0,
             {},
             std::make_exception_ptr(InterruptException("dshm: the loop was cancelled"))});
    return failures;
}

std::exception_ptr ChunkLoop::first_failure() {
    const std::vector<Failure> failed = failed_parties();
    return failed.empty() ? nullptr : failed.front().get();
}

std::vector<std::exception_ptr> ChunkLoop::failures() {
    std::vector<std::exception_ptr> failures;
    for (const Failure& failure : failed_parties())
        failures.push_back(failure.get());
    return failures;
}

} // namespace dshm::runtime
