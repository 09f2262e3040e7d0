#include "dshm/runtime/fibers.hpp"

#include <boost/intrusive/list.hpp>

#include <array>
#include <map>

#include "dshm/runtime/process.hpp"
#include "dshm/runtime/scheduler.hpp"
#include "fiber_stack.hpp"

namespace dshm::runtime {

namespace {

// Stacks that are kept for the next wait; those beyond go back to the system.
constexpr std::size_t most_spare = 64;
constexpr std::size_t key_lists = 4096;

using AutoHook =
    boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;
template <class T>
using List = boost::intrusive::list<T, boost::intrusive::constant_time_size<false>>;
struct ByAge;
struct InTurn;
template <class Tag>
using TaggedHook =
    boost::intrusive::list_base_hook<boost::intrusive::tag<Tag>,
                                     boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;
template <class T, class Tag>
using TaggedList = boost::intrusive::list<T, boost::intrusive::constant_time_size<false>,
                                          boost::intrusive::base_hook<TaggedHook<Tag>>>;

} // namespace

// A wait that is set aside. It lies on its own stack and leaves every list when it goes on.
struct Fibers::Waiting : TaggedHook<ByAge>, TaggedHook<InTurn> {
    // In the list of one key.
    struct Hook : AutoHook {
        explicit Hook(Waiting* w) : waiting(w) {}
        Waiting* waiting;
    };

    Waiting(WaitFor& w, os::Clock::time_point d, FiberStack& s)
        : what(&w), deadline(d), stack(&s) {}

    bool in_turn() const { return TaggedHook<InTurn>::is_linked(); }
    // What asking throws, such as shared memory being exhausted, is thrown again on its own stack.
    bool may_go_on() const {
        try {
            return what->ready() ||
                   (what->interruptible() && running != nullptr && running->should_stop());
        } catch (...) {
            return true;
        }
    }

    WaitFor* what;
    os::Clock::time_point deadline;
    FiberStack* stack;
    const RunningTask* running = nullptr;
    std::vector<std::unique_ptr<Hook>> hooks;
    std::multimap<os::Clock::time_point, Waiting*>::iterator timer;
};

struct Fibers::Waits {
    using Lists = std::array<List<Waiting::Hook>, key_lists>;

    std::unique_ptr<Lists> by_key; // from the first wait on: most workers have none
    List<Waiting::Hook> unkeyed;   // asked each time
    TaggedList<Waiting, ByAge> by_age;
    TaggedList<Waiting, InTurn> in_turn; // those that may go on
    std::multimap<os::Clock::time_point, Waiting*> deadlines;

    List<Waiting::Hook>& of(EventKey key) {
        if (!by_key)
            by_key = std::make_unique<Lists>();
        return (*by_key)[key % key_lists];
    }
};

Fibers::Fibers(Process& process, std::function<void()> loop)
    : process_(&process), loop_(std::move(loop)), stack_size_(os::usual_stack_size()),
      own_(std::make_unique<FiberStack>()), active_(own_.get()), waits_(std::make_unique<Waits>()) {
    of_thread_ = this;
}

Fibers::~Fibers() {
    if (of_thread_ == this)
        of_thread_ = nullptr;
    // What is still set aside lies on stacks that go now: it must not look for its lists later.
    if (waits_->by_key)
        for (auto& list : *waits_->by_key)
            list.clear();
    waits_->unkeyed.clear();
    waits_->by_age.clear();
    waits_->in_turn.clear();
}

// ---- stacks ------------------------------------------------------------------------------------

FiberStack* Fibers::spare_stack() {
    if (!spare_.empty()) {
        FiberStack* stack = spare_.back();
        spare_.pop_back();
        return stack;
    }
    auto memory = os::GuardedStack::map(stack_size_);
    if (!memory)
        return nullptr;
    auto stack = std::make_unique<FiberStack>(std::move(*memory), loop_);
    FiberStack* const address = stack.get();
    mapped_.emplace(address, std::move(stack));
    return address;
}

// The loop on the active stack has nothing to do, and will be needed again.
void Fibers::keep_spare() {
    if (spare_.size() >= most_spare) {
        mapped_.erase(spare_.front()); // the one used longest ago
        spare_.erase(spare_.begin());
    }
    spare_.push_back(active_);
}

void Fibers::switch_to(FiberStack& stack) {
    FiberStack* const from = active_;
    active_ = &stack;
    from->switch_to(stack);
    active_ = from;
}

// ---- setting aside -----------------------------------------------------------------------------

bool Fibers::set_aside(WaitFor& what, os::Clock::time_point deadline, Next next) {
    FiberStack* const loop = next == Next::loop ? spare_stack() : nullptr;
    if (next == Next::loop && loop == nullptr)
        return false;
    Waiting waiting(what, deadline, *active_);
    enlist(waiting);
    ++count_;
    what.about_to_sleep();
    if (what.ready() && !waiting.in_turn())
        waits_->in_turn.push_back(waiting);
    if (loop != nullptr)
        switch_to(*loop);
    else
        go_on_with(waits_->in_turn.empty() ? waiting : waits_->in_turn.front());
    --count_;
    if (waiting.running != nullptr) // relaxed: read by the launcher after our death and by tools
        process_->area().current_function.store(waiting.running->record->function,
                                                std::memory_order_relaxed);
    if (waiting.timer != waits_->deadlines.end())
        waits_->deadlines.erase(waiting.timer);
    return true;
}

void Fibers::enlist(Waiting& waiting) {
    const auto put = [&](List<Waiting::Hook>& list) {
        waiting.hooks.push_back(std::make_unique<Waiting::Hook>(&waiting));
        list.push_back(*waiting.hooks.back());
    };
    waiting.what->for_each_key([&](EventKey key) { put(waits_->of(key)); });
    if (waiting.hooks.empty())
        put(waits_->unkeyed);
    if (const RunningTask* running = thread_state.stack.running)
        put(waits_->of(task_key(running->task.index))); // to be told to stop
    waiting.running = thread_state.stack.running;
    waiting.timer = waiting.deadline == os::Clock::time_point::max()
                        ? waits_->deadlines.end()
                        : waits_->deadlines.emplace(waiting.deadline, &waiting);
    waits_->by_age.push_back(waiting);
}

void Fibers::go_on_with(Waiting& waiting) {
    FiberStack* const stack = waiting.stack;
    if (waiting.in_turn())
        waiting.TaggedHook<InTurn>::unlink();
    if (stack != active_)
        switch_to(*stack);
}

void Fibers::resume_one() {
    keep_spare();
    go_on_with(look() ? waits_->in_turn.front() : waits_->by_age.front());
}

// ---- looking -----------------------------------------------------------------------------------

void Fibers::consider(Waiting& waiting) {
    if (!waiting.in_turn() && waiting.may_go_on())
        waits_->in_turn.push_back(waiting);
}

// Somebody died, was interrupted, or could not leave an event.
void Fibers::consider_all() {
    for (Waiting& waiting : waits_->by_age)
        consider(waiting);
}

bool Fibers::must_look_at_all() const {
    const ProcessArea& area = process_->area();
    // acquire, edge `look`: what was done before the count is seen.
    return look_at_all_ || area.looks.load(std::memory_order_acquire) != looks_seen_ ||
           area.interrupts.load(std::memory_order_acquire) != interrupts_seen_;
}

void Fibers::take_events() {
    auto& events = process_->area().events;
    while (const auto front = events.peek()) {
        const EventKey key = key_of(front->entry);
        events.advance(front->position);
        if (waits_->by_key)
            for (Waiting::Hook& hook : waits_->of(key))
                consider(*hook.waiting);
    }
}

bool Fibers::look() {
    if (must_look_at_all()) {
        look_at_all_ = false;
        looks_seen_ = process_->area().looks.load(std::memory_order_acquire);
        interrupts_seen_ = process_->area().interrupts.load(std::memory_order_acquire);
        consider_all();
    }
    take_events();
    for (Waiting::Hook& hook : waits_->unkeyed)
        consider(*hook.waiting);
    if (!waits_->deadlines.empty()) {
        const auto now = os::Clock::now();
        for (const auto& [deadline, waiting] : waits_->deadlines) {
            if (deadline > now)
                break;
            if (!waiting->in_turn())
                waits_->in_turn.push_back(*waiting);
        }
    }
    return !waits_->in_turn.empty();
}

bool Fibers::something_happened() const {
    if (count_ == 0)
        return false;
    if (!waits_->in_turn.empty() || process_->area().events.peek() || must_look_at_all())
        return true;
    for (const Waiting::Hook& hook : waits_->unkeyed)
        if (hook.waiting->may_go_on())
            return true;
    return !waits_->deadlines.empty() && waits_->deadlines.begin()->first <= os::Clock::now();
}

os::Clock::time_point Fibers::next_deadline() const {
    return waits_->deadlines.empty() ? os::Clock::time_point::max()
                                     : waits_->deadlines.begin()->first;
}

} // namespace dshm::runtime
