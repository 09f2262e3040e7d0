#include "dshm/runtime/map_plan.hpp"

#include <algorithm>

#include "dshm/runtime/call.hpp"
#include "dshm/runtime/loop_end.hpp"

namespace dshm::runtime {

namespace {

// A batch is worth this much: thirty times what sending it and fetching its result costs.
constexpr std::uint64_t worth_microseconds = 100;
// A worker whose batches take longer than this has no second one waiting.
constexpr std::uint64_t long_microseconds = 1000;
// Elements of the first batches, before anything is known: few enough to cost little if they are
// taken back.
constexpr std::size_t first_size = 512;
// Batches into which what is left is cut, for each worker.
constexpr std::size_t parts_of_rest = 3;
// A batch younger than this is left alone: its worker may just be waking up.
constexpr auto ripe_after = std::chrono::microseconds(50);
// Tasks looked at at once.
constexpr std::size_t glance = 4;

} // namespace

// ---- plan --------------------------------------------------------------------------------------

std::size_t MapPlan::alive_count() const {
    return static_cast<std::size_t>(
        std::count_if(workers_.begin(), workers_.end(), [](const Worker& w) { return !w.gone; }));
}

bool MapPlan::somebody_idle() const {
    return std::any_of(workers_.begin(), workers_.end(),
                       [](const Worker& w) { return !w.gone && w.under_way == 0; });
}

unsigned MapPlan::depth() const {
    return ticks_of_last_ != 0 && ticks_of_last_ < long_microseconds * os::ticks_per_microsecond()
               ? 2
               : 1;
}

std::optional<std::size_t> MapPlan::next_worker() {
    const unsigned most = depth();
    for (unsigned load = 0; load < most; ++load)
        for (std::size_t step = 0; step < workers_.size(); ++step) {
            const std::size_t at = (turn_ + step) % workers_.size();
            if (workers_[at].gone || workers_[at].under_way != load)
                continue;
            turn_ = at + 1;
            return at;
        }
    return std::nullopt;
}

std::size_t MapPlan::batch(std::optional<std::size_t> left) const {
    if (fixed_ != 0)
        return std::min(fixed_, BatchClaims::most);
    std::size_t size = first_size;
    if (ticks_each_ != 0) {
        const auto worth = static_cast<double>(worth_microseconds * os::ticks_per_microsecond());
        size = static_cast<std::size_t>(
            std::clamp(worth / ticks_each_, 1.0, static_cast<double>(BatchClaims::most)));
    }
    if (left)
        size = std::min(size, *left / (parts_of_rest * std::max<std::size_t>(alive_count(), 1)));
    return std::max<std::size_t>(size, 1);
}

void MapPlan::note_speed(const BatchReply& reply) {
    ticks_of_last_ = std::max<std::uint64_t>(reply.ticks, 1);
    if (reply.done != 0)
        ticks_each_ = std::max(1e-3, static_cast<double>(reply.ticks) / reply.done);
}

void MapPlan::note_gone(Process& process, std::size_t worker) {
    Membership::Member& member = workers_[worker].member;
    if (process.processes().alive(member.owner))
        return; // said before, by another of its batches
    if (const auto next = process.processes().successor_of(member.id))
        member = *next;
    else
        workers_[worker].gone = true;
}

std::vector<Membership::Member> map_workers(Process& process, const std::vector<int>* ids) {
    std::vector<Membership::Member> found;
    if (ids == nullptr)
        return workers_of_the_moment(process);
    std::exception_ptr gone;
    for (const int id : *ids)
        try {
            const auto member = member_of(process, id);
            if (std::none_of(found.begin(), found.end(),
                             [&](const auto& known) { return known.id == id; }))
                found.push_back(member);
        } catch (const ProcessExitedException&) {
            gone = std::current_exception();
        }
    if (found.empty())
        std::rethrow_exception(gone);
    return found;
}

// ---- batches under way -------------------------------------------------------------------------

bool SentBatch::withdraw() const {
    Process& process = task_.process();
    if (!process.tasks().claim_queued(task_.task()))
        return false;
    complete_task(process, task_.task(), [](Execution& e) { e.give_nothing(); });
    return true;
}

std::size_t SentBatch::take_back(Share share) {
    BatchClaims claims(task_.process().tasks(), task_.task());
    const std::uint32_t left = claims.left();
    const std::uint32_t taken = claims.take_back(share == Share::all ? left : (left + 1) / 2);
    count_ -= taken;
    return taken;
}

std::optional<std::size_t> SentBatch::element_at_death() const {
    Process& process = task_.process();
    if (ended_at(task_) == ExitMoment::before)
        return std::nullopt;
    const std::size_t begun = BatchClaims(process.tasks(), task_.task()).begun();
    return begun == 0 ? 0 : begun - 1;
}

void SentBatch::abandon() const {
    if (withdraw())
        return;
    TaskRecord& record = task_.process().tasks().record(task_.task());
    // relaxed: our handle goes later, by a change of the same word.
    record.control.fetch_or(control::observed, std::memory_order_relaxed);
    task_.cancel();
}

os::Clock::time_point SentBatch::ripe() const { return sent_ + ripe_after; }

// ---- waiting -----------------------------------------------------------------------------------

// What has ended is looked at first when it is asked again: the answer stays.
bool AnyTask::look_at(std::size_t count) {
    for (; count > 0; --count) {
        if (process_->tasks().ended((*tasks_)[next_]))
            return true;
        next_ = next_ + 1 < tasks_->size() ? next_ + 1 : 0;
    }
    return false;
}

bool AnyTask::ready() {
    return look_at(asleep_ ? tasks_->size() : std::min(glance, tasks_->size()));
}

void AnyTask::about_to_sleep() {
    asleep_ = true;
    for (const TaskRef task : *tasks_)
        process_->tasks().announce_waiting(task);
}

void AnyTask::for_each_key(const std::function<void(EventKey)>& f) const {
    if (tasks_->empty())
        f(no_key);
    for (const TaskRef task : *tasks_)
        f(task_key(task.index));
}

} // namespace dshm::runtime
