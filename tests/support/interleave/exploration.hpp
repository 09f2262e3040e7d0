// One exploration: its tree of choices, and the execution that is under way. Private to the explorer; see explorer.hpp.
#pragma once

#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include <boost/context/fiber.hpp>

#include "interleave/explorer.hpp"
#include "interleave/graph.hpp"

namespace interleave {

struct Choice {
    unsigned thread = 0;
    std::size_t place = 0;
};
struct Node {
    std::vector<Choice> choices;
    std::size_t taken = 0;
};

class Explorer {
public:
    Explorer(const Plan& plan, const Options& options) : plan_(plan), options_(options) {}
    Report run();
    bool runs_a_thread() const { return running_ != most_threads; }

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
    void forget_threads();
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
    std::array<std::optional<boost::context::fiber>, most_threads> fibers_;
    boost::context::fiber explorer_;
    unsigned running_ = most_threads;
};

// The one that is under way, if any.
extern Explorer* current;

// What memory holds where no thread of an execution has written, and what a read-modify-write makes of a value.
std::uint64_t read_memory(const void* address, unsigned bytes);
std::uint64_t changed(const Access& access, std::uint64_t value);

} // namespace interleave
