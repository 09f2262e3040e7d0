// The threads of an execution: fibers that stop at each operation, and what they call.
#include "interleave/exploration.hpp"

#include <algorithm>
#include <exception>

#include <boost/context/preallocated.hpp>

namespace interleave {

namespace context = boost::context;

Explorer* current = nullptr;

namespace {

constexpr std::size_t stack_bytes = 64 * 1024;

std::uint64_t cut(std::uint64_t value, unsigned bytes) {
    return bytes == 8 ? value : value & ((std::uint64_t{1} << (8 * bytes)) - 1);
}

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

} // namespace

// ---- memory ------------------------------------------------------------------------------------

std::uint64_t read_memory(const void* address, unsigned bytes) {
    std::uint64_t value = 0; // little-endian
    std::memcpy(&value, address, bytes);
    return value;
}

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

// ---- fibers ------------------------------------------------------------------------------------

void Explorer::start(unsigned thread) {
    forget(fibers_[thread]);
    if (stacks_.size() == thread)
        stacks_.push_back(std::make_unique<std::byte[]>(stack_bytes));
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

void Explorer::forget_threads() {
    for (auto& fiber : fibers_)
        forget(fiber);
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

// ---- the threads' calls ------------------------------------------------------------------------

bool exploring() { return current != nullptr && current->runs_a_thread(); }

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

} // namespace interleave
