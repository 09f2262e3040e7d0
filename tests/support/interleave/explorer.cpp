#include "interleave/explorer.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <unordered_set>

#include <boost/context/fiber.hpp>
#include <boost/context/preallocated.hpp>

#include "interleave/graph.hpp"

namespace interleave {

namespace {

namespace context = boost::context;

constexpr std::size_t stack_bytes = 64 * 1024;

struct Choice {
    unsigned thread = 0;
    std::size_t place = 0;
};
struct Node {
    std::vector<Choice> choices;
    std::size_t taken = 0;
};

std::uint64_t read_memory(const void* address, unsigned bytes) {
    std::uint64_t value = 0; // little-endian
    std::memcpy(&value, address, bytes);
    return value;
}
std::uint64_t cut(std::uint64_t value, unsigned bytes) {
    return bytes == 8 ? value : value & ((std::uint64_t{1} << (8 * bytes)) - 1);
}

// What a read-modify-write makes of a value.
std::uint64_t changed(const Access& access, std::uint64_t value) {
    switch (access.op) {
    case Op::add:
        return cut(value + access.operand, access.bytes);
    case Op::subtract:
        return cut(value - access.operand, access.bytes);
    case Op::set_bits:
        return value | access.operand;
    case Op::keep_bits:
        return value & access.operand;
    default:
        return access.operand;
    }
}

class Explorer {
public:
    Explorer(const Plan& plan, const Options& options) : plan_(plan), options_(options) {
        for (unsigned i = 0; i < plan.threads; ++i)
            stacks_.push_back(std::make_unique<std::byte[]>(stack_bytes));
    }
    Report run();

    // ---- by the threads ---------------------------------------------------------------------------
    Result perform(Access access);
    void access_data(const void* address, bool writes);
    void fail(const std::string& sentence);
    void give_up();
    void observe(const std::string& what) { observed_now_.push_back(what); }

private:
    enum class State { runs, wants, asleep, over };
    struct Thread {
        State state = State::runs;
        Access access{};
        Result result;
    };
    struct Futex {
        Clock lock;
        std::uint64_t history = 0;
        std::vector<unsigned> sleepers;
    };
    struct DataAccess {
        unsigned thread, number;
        bool writes;
    };

    bool execute();
    void start(unsigned thread);
    void resume(unsigned thread);
    void yield();
    bool find_choices(Node& node);
    void choices_of(unsigned thread, std::vector<Choice>& choices);
    int location_of(const Access& access);
    bool apply(const Choice& choice);
    bool touch(unsigned thread, const Access& access, std::size_t place);
    void sleep(unsigned thread, const Access& access, std::size_t place);
    void wake(unsigned thread, const Access& access);
    std::uint64_t fingerprint() const;
    void end();
    bool next();
    void note_site(const Access& access);
    std::string story() const;

    const Plan& plan_;
    const Options& options_;
    Report report_;
    std::vector<std::unique_ptr<std::byte[]>> stacks_;
    std::unordered_set<std::uint64_t> known_;
    std::vector<Node> nodes_;

    // One execution.
    std::shared_ptr<void> scenario_;
    Graph graph_;
    std::array<Thread, most_threads> threads_{};
    std::map<const void*, Futex> futexes_;
    std::map<const void*, std::vector<DataAccess>> data_;
    std::map<const void*, unsigned> bytes_;
    std::vector<std::pair<unsigned, Access>> done_;
    std::vector<std::string> observed_now_;
    bool given_up_ = false;

    // The fiber of each thread while it does not run, and that of the explorer while one does.
    std::array<std::optional<context::fiber>, most_threads> fibers_;
    context::fiber explorer_;
    unsigned running_ = most_threads;

    friend bool interleave::exploring();
};

Explorer* current = nullptr;

// ---- fibers ------------------------------------------------------------------------------------

// Stacks belong to the explorer.
struct NoDeallocation {
    void deallocate(context::stack_context&) noexcept {}
};

// A fiber that is dropped before its end is forgotten, not unwound.
void forget(std::optional<context::fiber>& fiber) {
    if (fiber && *fiber) {
        alignas(context::fiber) std::byte nowhere[sizeof(context::fiber)];
        new (nowhere) context::fiber(std::move(*fiber));
    }
    fiber.reset();
}

void Explorer::start(unsigned thread) {
    forget(fibers_[thread]);
    context::stack_context stack;
    stack.size = stack_bytes;
    stack.sp = stacks_[thread].get() + stack_bytes;
    fibers_[thread].emplace(std::allocator_arg,
                            context::preallocated(stack.sp, stack_bytes - 256, stack),
                            NoDeallocation{}, [this, thread](context::fiber&& back) {
                                explorer_ = std::move(back);
                                try {
                                    plan_.thread(scenario_.get(), thread);
                                } catch (const std::exception& error) {
                                    fail(std::string("an exception: ") + error.what());
                                }
                                threads_[thread].state = State::over;
                                return std::move(explorer_);
                            });
    threads_[thread] = {};
    resume(thread);
}

void Explorer::resume(unsigned thread) {
    threads_[thread].state = State::runs;
    running_ = thread;
    context::fiber back = std::move(*fibers_[thread]).resume();
    running_ = most_threads;
    fibers_[thread].emplace(std::move(back));
}

void Explorer::yield() {
    const unsigned me = running_;
    context::fiber back = std::move(explorer_).resume();
    running_ = me;
    explorer_ = std::move(back);
}

// ---- by the threads ----------------------------------------------------------------------------

void Explorer::note_site(const Access& access) {
    if (access.line == 0)
        return;
    for (const bool failure : {false, true}) {
        Site site{access.file, access.line, access.function,
                  access.op,   failure,     failure ? access.failure : access.order};
        if ((failure && access.op != Op::compare_exchange) ||
            site.order == std::memory_order_relaxed ||
            std::any_of(report_.sites.begin(), report_.sites.end(),
                        [&](const Site& known) { return known.same_place(site); }))
            continue;
        report_.sites.push_back(site);
    }
}

Result Explorer::perform(Access access) {
    note_site(access);
    if (const Site* weak = options_.weakened; weak != nullptr && weak->line == access.line &&
                                              weak->op == access.op &&
                                              std::strcmp(weak->file, access.file) == 0)
        (weak->failure ? access.failure : access.order) = weak->order;
    if (access.op == Op::fence && access.order == std::memory_order_relaxed)
        return {};
    Thread& own = threads_[running_];
    own.access = access;
    own.state = State::wants;
    yield();
    return own.result;
}

void Explorer::access_data(const void* address, bool writes) {
    const Clock& now = graph_.clock(running_);
    auto& earlier = data_[address];
    for (const DataAccess& other : earlier)
        if (other.thread != running_ && (writes || other.writes) &&
            now[other.thread] <= other.number) {
            fail("a race on data between threads " + std::to_string(other.thread) + " and " +
                 std::to_string(running_));
            return;
        }
    earlier.push_back({running_, now[running_], writes});
}

void Explorer::fail(const std::string& sentence) {
    if (report_.failure.empty())
        report_.failure = sentence;
    give_up();
}

void Explorer::give_up() {
    given_up_ = true;
    while (running_ != most_threads)
        yield();
}

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
    for (auto& fiber : fibers_)
        forget(fiber);
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

} // namespace

// ---- the threads' calls ------------------------------------------------------------------------

bool exploring() { return current != nullptr && current->running_ != most_threads; }

Result perform(const Access& access) {
    if (exploring())
        return current->perform(access);
    if (access.op == Op::fence || access.op == Op::wake || access.op == Op::sleep)
        return {};
    const std::uint64_t value = read_memory(access.address, access.bytes);
    if (access.op == Op::load || (access.op == Op::compare_exchange && value != access.expected))
        return {value, false};
    const std::uint64_t after = changed(access, value);
    std::memcpy(access.address, &after, access.bytes);
    return {value, true};
}

void access_data(const void* address, bool writes) {
    if (exploring())
        current->access_data(address, writes);
}

void check(bool holds, const char* sentence) {
    if (!holds && current != nullptr)
        current->fail(sentence);
}

void assume(bool holds) {
    if (!holds && exploring())
        current->give_up();
}

void observe(const std::string& what) {
    if (current != nullptr)
        current->observe(what);
}

Report explore(const Plan& plan, const Options& options) {
    Explorer explorer(plan, options);
    current = &explorer;
    Report report = explorer.run();
    current = nullptr;
    return report;
}

} // namespace interleave
