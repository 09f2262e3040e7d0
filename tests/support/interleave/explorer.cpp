// The tree of choices: which executions there are, and one of them after the other.
#include "interleave/exploration.hpp"

#include <algorithm>

namespace interleave {

// ---- choices -----------------------------------------------------------------------------------

int Explorer::location_of(const Access& access) {
    bytes_[access.address] = access.bytes;
    return graph_.location(access.address, read_memory(access.address, access.bytes));
}

void Explorer::choices_of(unsigned thread, std::vector<Choice>& choices) {
    const Access& access = threads_[thread].access;
    if (access.op == Op::fence || access.op == Op::wake) {
        choices.push_back({thread, 0});
        return;
    }
    const int location = location_of(access);
    Clock now = graph_.clock(thread);
    if (access.op == Op::sleep)
        now.join(futexes_[access.address].lock);
    const auto& messages = graph_.messages(location);
    // Newest first: most executions then look as one expects.
    for (std::size_t place = messages.size(), oldest = graph_.oldest_visible(now, location);
         place-- > oldest;) {
        const bool only_reads =
            access.op == Op::load || access.op == Op::sleep ||
            (access.op == Op::compare_exchange && messages[place].value != access.expected);
        if (only_reads || !messages[place].followed)
            choices.push_back({thread, place});
    }
}

// False: this graph has been met before.
bool Explorer::find_choices(Node& node) {
    for (unsigned thread = 0; thread < plan_.threads; ++thread)
        if (threads_[thread].state == State::wants &&
            (threads_[thread].access.op == Op::store || threads_[thread].access.op == Op::fence)) {
            choices_of(thread, node.choices);
            return true;
        }
    if (!known_.insert(fingerprint()).second)
        return false;
    for (unsigned thread = 0; thread < plan_.threads; ++thread)
        if (threads_[thread].state == State::wants)
            choices_of(thread, node.choices);
    return true;
}

std::uint64_t Explorer::fingerprint() const {
    std::uint64_t sum = graph_.fingerprint();
    for (const auto& [address, futex] : futexes_)
        sum += futex.history * (reinterpret_cast<std::uintptr_t>(address) | 1);
    return sum;
}

// ---- steps -------------------------------------------------------------------------------------

void Explorer::sleep(unsigned thread, const Access& access, std::size_t place) {
    Futex& futex = futexes_[access.address];
    const int location = location_of(access);
    graph_.learn(thread, futex.lock);
    graph_.read(thread, location, place, std::memory_order_relaxed);
    futex.lock = graph_.clock(thread);
    futex.history = futex.history * 31 + thread * 1000 + graph_.clock(thread)[thread] + 1;
    if (graph_.messages(location)[place].value == access.expected) {
        threads_[thread].state = State::asleep;
        futex.sleepers.push_back(thread);
    }
}

void Explorer::wake(unsigned thread, const Access& access) {
    Futex& futex = futexes_[access.address];
    graph_.learn(thread, futex.lock);
    graph_.fence(thread, std::memory_order_relaxed); // so that the step leaves an event
    futex.lock = graph_.clock(thread);
    futex.history = futex.history * 31 + thread * 1000 + graph_.clock(thread)[thread] + 1;
    for (const unsigned sleeper : std::exchange(futex.sleepers, {})) {
        graph_.learn(sleeper, futex.lock);
        resume(sleeper);
    }
}

// A load, a store or both. True if the axiom `sc` must be looked at.
bool Explorer::touch(unsigned thread, const Access& access, std::size_t place) {
    const int location = location_of(access);
    const auto& messages = graph_.messages(location);
    const bool last = place + 1 == messages.size();
    const std::uint64_t value = messages[place].value;
    Result& result = threads_[thread].result;
    result = {value, false};
    if (access.op == Op::load)
        graph_.read(thread, location, place, access.order);
    else if (access.op == Op::store)
        graph_.write(thread, location, place, access.operand, access.order);
    else if (access.op == Op::compare_exchange && value != access.expected)
        graph_.read(thread, location, place, access.failure);
    else {
        graph_.update(thread, location, place, changed(access, value), access.order);
        result.swapped = true;
    }
    return !last;
}

// False if the step is against the memory model after all.
bool Explorer::apply(const Choice& choice) {
    const unsigned thread = choice.thread;
    const Access access = threads_[thread].access;
    done_.emplace_back(thread, access);
    bool doubtful = false;
    if (access.op == Op::fence)
        graph_.fence(thread, access.order);
    else if (access.op == Op::wake)
        wake(thread, access);
    else if (access.op == Op::sleep) {
        doubtful = choice.place + 1 < graph_.messages(location_of(access)).size();
        sleep(thread, access, choice.place);
    } else
        doubtful = touch(thread, access, choice.place);
    if (doubtful && !graph_.sequentially_consistent())
        return false;
    if (threads_[thread].state == State::wants)
        resume(thread);
    return true;
}

// One execution along nodes_ and on. Leaves nodes_ as long as it is.
bool Explorer::execute() {
    ++report_.executions;
    graph_.clear();
    futexes_.clear();
    data_.clear();
    done_.clear();
    observed_now_.clear();
    given_up_ = false;
    scenario_.reset();
    scenario_ = plan_.make();
    for (unsigned thread = 0; thread < plan_.threads && !given_up_; ++thread)
        start(thread);
    for (std::size_t depth = 0; !given_up_; ++depth) {
        if (depth == nodes_.size()) {
            Node node;
            if (!find_choices(node))
                return true;
            if (node.choices.empty()) {
                end();
                return true;
            }
            nodes_.push_back(std::move(node));
        }
        if (!apply(nodes_[depth].choices[nodes_[depth].taken]))
            return true;
    }
    report_.assumed += report_.failure.empty();
    return report_.failure.empty();
}

void Explorer::end() {
    for (unsigned thread = 0; thread < plan_.threads; ++thread)
        if (threads_[thread].state == State::asleep)
            return fail("thread " + std::to_string(thread) + " sleeps for ever");
    for (std::size_t i = 0; i < graph_.location_count(); ++i) {
        const int location = static_cast<int>(i);
        const void* const address = graph_.address(location);
        const std::uint64_t value = graph_.messages(location).back().value;
        std::memcpy(const_cast<void*>(address), &value, bytes_[address]);
    }
    plan_.at_end(scenario_.get());
    report_.observed.insert(observed_now_.begin(), observed_now_.end());
}

bool Explorer::next() {
    while (!nodes_.empty()) {
        if (++nodes_.back().taken < nodes_.back().choices.size())
            return true;
        nodes_.pop_back();
    }
    return false;
}

Report Explorer::run() {
    bool left = true;
    while (left && known_.size() < options_.most_graphs) {
        if (!execute() || !report_.failure.empty()) {
            report_.failure += story();
            break;
        }
        left = next();
    }
    forget_threads();
    report_.complete = !left;
    report_.graphs = known_.size();
    return std::move(report_);
}

std::string Explorer::story() const {
    std::string text = "\nafter:";
    for (const auto& [thread, access] : done_) {
        const Site site{access.file, access.line, access.function, access.op};
        text += "\n  thread " + std::to_string(thread) + ": " + site.name() + " " +
                name_of(access.order) + " line " + std::to_string(access.line);
    }
    return text;
}

Report explore(const Plan& plan, const Options& options) {
    Explorer explorer(plan, options);
    current = &explorer;
    Report report = explorer.run();
    current = nullptr;
    return report;
}

} // namespace interleave
