#include "dshm/detail/loop_call.hpp"

#include <algorithm>
#include <stdexcept>

#include "dshm/processes.hpp"
#include "dshm/progress.hpp"

namespace dshm::detail {

namespace {

// A dynamic loop without a chunk size has so many chunks for each participant: the last one to end
// keeps the others waiting for 3 % of its share at most.
constexpr std::size_t chunks_per_participant = 32;

// The workers that are alive, this process if there are none, or those with these ids.
std::vector<runtime::Membership::Member> members_for(runtime::Process& process,
                                                     const std::vector<WorkerId>& ids) {
    if (ids.empty())
        return runtime::workers_of_the_moment(process);
    std::vector<runtime::Membership::Member> members;
    for (const WorkerId id : ids)
        members.push_back(runtime::member_of(process, id));
    return members;
}

runtime::LoopPlan plan_for(Schedule schedule, std::size_t chunk, std::size_t elements,
                           std::size_t lanes) {
    using runtime::LoopLanes;
    using runtime::LoopPlan;
    const std::size_t share = std::max<std::size_t>(1, elements / (lanes * chunks_per_participant));
    switch (schedule) {
    case Schedule::dynamic:
        return LoopPlan::equal(elements, chunk != 0 ? chunk : share, lanes, LoopLanes::shared);
    case Schedule::guided:
        return LoopPlan::guided(elements, std::max<std::size_t>(1, chunk), lanes);
    case Schedule::static_:
        break;
    }
    return chunk != 0 ? LoopPlan::equal(elements, chunk, lanes, LoopLanes::dealt)
                      : LoopPlan::split(elements, lanes);
}

} // namespace

void throw_empty_reduction() {
    throw std::invalid_argument("dshm: distributed with an operator over an empty range has no "
                                "value; give it one by init(...)");
}

void abandon(const runtime::TaskHandle& task) noexcept {
    try {
        task.cancel();
        task.process().holdings().observe(task.task());
    } catch (...) {
        // the session is over, or there is no memory: it ends by itself
    }
}

LoopCall::LoopCall(std::size_t elements, Options options)
    : process_(runtime::current()), options_(std::move(options)),
      members_(members_for(process_, options_.on)),
      plan_(plan_for(options_.schedule, options_.chunk, elements, members_.size())), starts_(plan_),
      stream_(runtime::next_stream()),
      plain_(options_.schedule == Schedule::static_ && options_.chunk == 0 &&
             options_.retries == 0 && !options_.progress) {}

// Alone, this process runs its part as a task, so that what cannot be sent is refused as ever.
std::size_t LoopCall::part_here() const {
    if (plan_.chunks < 2)
        return none;
    const auto mine = std::find_if(members_.begin(), members_.end(), [&](const auto& member) {
        return member.owner == process_.me();
    });
    const auto part = static_cast<std::size_t>(mine - members_.begin());
    return part < plan_.chunks ? part : none;
}

runtime::ChunkLoop::Setup LoopCall::set_up(std::size_t payload, std::size_t result_size,
                                           bool travels) {
    runtime::ChunkLoop::Setup setup;
    setup.members = members_;
    setup.retries = options_.retries;
    setup.loop =
        runtime::ObjectHandle(runtime::LoopChunks::bytes(plan_, result_size, payload),
                              {.kind = runtime::object_kind::loop, .user = {plan_.elements}});
    const runtime::LoopChunks chunks(setup.loop.address());
    chunks.lay_out(plan_, result_size, payload);
    chunks.head().stream = stream_;
    chunks.head().travels = travels;
    chunks.head().caller = process_.me().bits();
    if (options_.progress)
        show_progress(setup);
    process_.counters().add(runtime::Count::bytes_sent, payload);
    return setup;
}

void LoopCall::show_progress(runtime::ChunkLoop::Setup& setup) const {
    const auto bar = std::make_shared<ProgressBar>(*options_.progress, plan_.elements);
    if (!bar->shown())
        return;
    runtime::LoopChunks(setup.loop.address()).head().watched = 1;
    setup.watcher = [bar](std::size_t done, bool ended) {
        bar->update(done);
        if (ended)
            bar->finish();
    };
}

} // namespace dshm::detail
