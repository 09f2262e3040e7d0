// Looks at a session from inside, for tests that disturb it: a watchdog that says where it hangs, and what is
// left when all should be given back.
#pragma once

#include <dirent.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "dshm/dshm.hpp"
#include "ledger.hpp"

namespace dshm::test {

// The part of a long output that says what went wrong: from the first breach on, or else its end.
inline std::string telling_part(const std::string& text, std::size_t most = 8000) {
    const std::size_t breach = text.find("BREACH");
    const std::size_t start = breach != std::string::npos ? breach
                              : text.size() > most        ? text.size() - most
                                                          : 0;
    return text.substr(start, most);
}

inline std::size_t open_files(pid_t process) {
    std::size_t count = 0;
    DIR* const directory = opendir(("/proc/" + std::to_string(process) + "/fd").c_str());
    while (directory != nullptr && readdir(directory) != nullptr)
        ++count;
    if (directory != nullptr)
        closedir(directory);
    return count;
}

inline const char* name_of(runtime::TaskPhase phase) {
    static constexpr const char* names[] = {"free", "filling", "queued", "running",
                                            "open", "done",    "failed", "kept"};
    return names[static_cast<unsigned>(phase)];
}

inline void describe_processes(runtime::Process& process) {
    process.processes().for_each_backed([&](unsigned slot, runtime::ProcessArea& area) {
        const runtime::Life life = process.processes().life(slot);
        std::fprintf(
            stderr,
            "slot %u: id %d phase %u incarnation %u pid %u, ready %d inbox %d, running "
            "%llx, parked %d\n",
            slot, life.id, static_cast<unsigned>(life.phase), life.incarnation,
            area.os_pid.load(std::memory_order_acquire), area.ready.peek().has_value(),
            area.inbox.peek().has_value(),
            static_cast<unsigned long long>(area.current_function.load(std::memory_order_acquire)),
            process.header().parked.test(slot, std::memory_order_acquire));
    });
}

// Of every record that is in use: who has it, where it may run, who holds it.
inline std::size_t describe_tasks(runtime::Process& process, bool aloud) {
    using namespace runtime;
    TaskTable& tasks = process.tasks();
    std::size_t used = 0;
    for (std::uint32_t i = 0; i < tasks.top(); ++i) {
        const TaskRecord& record = tasks.record(i);
        const TaskState state = TaskState::from_bits(record.state.load(std::memory_order_acquire));
        if (state.phase == TaskPhase::free)
            continue;
        ++used;
        if (!aloud || used > 100)
            continue;
        const std::uint64_t word = record.control.load(std::memory_order_acquire);
        const Operation* const operation = find_operation(record.function);
        std::fprintf(stderr,
                     "task %u: %s by slot %u incarnation %u, origin %llx target %llu flags %llx, "
                     "generation %u, handles %u, %.*s\n",
                     i, name_of(state.phase), state.owner.slot, state.owner.incarnation,
                     static_cast<unsigned long long>(control::Origin::get(word)),
                     static_cast<unsigned long long>(control::Target::get(word)),
                     static_cast<unsigned long long>(word >> 48), state.generation,
                     static_cast<unsigned>(record.handles),
                     operation == nullptr ? 1 : static_cast<int>(operation->name.size()),
                     operation == nullptr ? "?" : operation->name.data());
    }
    return used;
}

// What the session holds: all of it comes back to what it was.
struct Holdings {
    std::size_t records = 0;
    std::uint64_t objects = 0;
    std::uint64_t blocks = 0;
    std::size_t launcher_files = 0;
    std::size_t own_files = 0;

    static Holdings now(pid_t launcher) {
        const Counters counts = counters();
        return {describe_tasks(runtime::current(), false), counts.objects, counts.heap_blocks,
                open_files(launcher), open_files(getpid())};
    }
    bool within(const Holdings& other) const {
        return records <= other.records && objects <= other.objects && blocks <= other.blocks &&
               launcher_files <= other.launcher_files && own_files <= other.own_files;
    }
    std::string text() const {
        return std::to_string(records) + " records, " + std::to_string(objects) + " objects, " +
               std::to_string(blocks) + " blocks, " + std::to_string(launcher_files) +
               " files of the launcher, " + std::to_string(own_files) + " of the master";
    }
};

// Everybody looks at what it pins, by a task each; then what there is.
inline Holdings nudged_holdings() {
    everywhere([] { const SharedArray<int> nudge(1); });
    return Holdings::now(fetch([] { return getppid(); }));
}

inline Holdings settled_holdings(Ledger& ledger) {
    ledger.doing = "the beginning";
    return nudged_holdings();
}

inline void check_settled(Ledger& ledger, const Holdings& before) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    Holdings now = nudged_holdings();
    while (!now.within(before) && std::chrono::steady_clock::now() < until) {
        sched_yield();
        now = nudged_holdings();
    }
    if (now.within(before))
        return;
    ledger.breach(ledger.leaked, "before: " + before.text() + "; now: " + now.text());
    describe_tasks(runtime::current(), true);
    describe_processes(runtime::current());
}

// Ends a session in which nothing has gone on for long, after a description of its tables; or keeps it for a
// debugger if DSHM_KILLS_HOLD is set.
class Watchdog {
public:
    explicit Watchdog(Ledger& ledger)
        : ledger_(&ledger), process_(&runtime::current()), thread_([this] { watch(); }) {}
    ~Watchdog() {
        over_ = true;
        thread_.join();
    }

private:
    static constexpr int patience = 400; // looks of 0.1 s

    void watch() {
        long seen = -1;
        for (int quiet = 0; !over_; ++quiet) {
            if (const long now = ledger_->progress; now != seen) {
                seen = now;
                quiet = 0;
            }
            if (quiet >= patience)
                bark();
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
        }
    }
    void bark() {
        ledger_->breach(ledger_->hangs, "nothing goes on in process " + std::to_string(getpid()));
        describe_tasks(*process_, true);
        describe_processes(*process_);
        std::fflush(nullptr);
        while (std::getenv("DSHM_KILLS_HOLD") != nullptr)
            std::this_thread::sleep_for(std::chrono::seconds(1));
        _exit(9);
    }

    Ledger* ledger_;
    runtime::Process* process_;
    std::atomic<bool> over_{false};
    std::thread thread_;
};

} // namespace dshm::test
