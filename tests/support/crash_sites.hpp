// Which touches of shared words the victims of a test have made, and at which of them they have died.
//
// A victim arms itself: from then on each of its touches is counted, by its place in the code, in a
// table that all processes of the test share, and one of them is its last. A test that killed its
// victims at every touch asks at its end that no place was passed and never died at; where the number
// of touches varies from run to run, as in waits, that says more than the count.
//
// A victim may also be told to die at the first place that nobody has died at yet. Then each victim is the
// one of a place, whatever its number in that run: when some in a row survive, there is no place left.
//
// Processes that go on by themselves, as launchers and idle workers do, are given an order by another one:
// they arm themselves when they see it, at their next touch.
//
// One function serves many: where a test says that another scene begins, its places are others.
//
// Linked with `dshm_crash`. A process that dies in here has changed nothing of the library's.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <new>
#include <string>
#include <vector>

#include "dshm/shm/word.hpp"

extern "C" const char __executable_start; // NOLINT: the linker's name

namespace dshm::test {

// True in the long runs of the suite `nightly`.
inline bool full_run() { return std::getenv("DSHM_TEST_FULL") != nullptr; }

// Where the strides of a run begin: elsewhere each night, so that what a night leaves out comes another
// night. DSHM_TEST_SEED gives that of an earlier run.
inline std::uint64_t stride_seed() {
    if (const char* const given = std::getenv("DSHM_TEST_SEED"))
        return std::strtoull(given, nullptr, 10);
    return full_run() ? static_cast<std::uint64_t>(std::time(nullptr) / 86'400) * 29 : 0;
}

// What strides leave out is done in rounds, each of which begins elsewhere: one in the ordinary suite, in
// the nightly one as many as begin within so many seconds.
class Rounds {
public:
    explicit Rounds(int seconds) : until_(std::time(nullptr) + seconds) {}
    template <class Round>
    void each(Round&& round) {
        for (std::uint64_t number = stride_seed();; ++number) {
            round(number);
            ++done_;
            if (!full_run() || std::time(nullptr) >= until_)
                return;
        }
    }
    std::string text() const {
        return std::to_string(done_) +
               " rounds from DSHM_TEST_SEED=" + std::to_string(stride_seed());
    }

private:
    std::time_t until_;
    std::size_t done_ = 0;
};

// What a victim dies of: so many touches, a place that nobody has died at, or what comes first of both.
struct Fate {
    std::uint64_t touches = 0;
    bool at_new_place = false;
    bool (*begins)() = nullptr; // its touches are counted from when this holds

    static Fate at_touch(std::uint64_t touches) { return {touches, false, nullptr}; }
    static Fate at_some_new_place() { return {0, true, nullptr}; }
    Fate or_at_new_place() const { return {touches, true, begins}; }
    Fate once(bool (*holds)()) const { return {touches, at_new_place, holds}; }
};

class CrashSites {
public:
    struct Site {
        std::atomic<std::uintptr_t> place{0};
        std::atomic<std::uint64_t> passed{0}, died{0};
    };

    // The table of this program; the first call makes it, before any victim is forked.
    static CrashSites& table() {
        static CrashSites* const made = make();
        return *made;
    }
    // From now on places are those of another scene.
    static void begin_scene() noexcept { table().scene_.fetch_add(1); }

    // In the victim: from its next touch on.
    static void arm(const Fate& fate) noexcept {
        armed() = fate;
        active() = true;
    }
    // Its `touches`-th touch from now on is its last.
    static void arm(std::uint64_t touches) noexcept { arm(Fate::at_touch(touches)); }
    static void disarm() noexcept { active() = false; }
    // The same in another process of the test, from its next touch on.
    static void order(pid_t process, const Fate& fate) noexcept {
        for (Order& order : table().orders_) {
            pid_t nobody = 0;
            if (!order.process.compare_exchange_strong(nobody, being_written))
                continue;
            order.fate = fate;
            order.process.store(process);
            table().pending_.fetch_add(1);
            return;
        }
        std::abort(); // some test has not taken back what nobody obeyed
    }
    static void take_order_back(pid_t process) noexcept {
        if (process == 0)
            return; // nobody had one
        for (Order& order : table().orders_) {
            pid_t written = process;
            if (order.process.compare_exchange_strong(written, 0))
                table().pending_.fetch_sub(1);
        }
    }

    // Places that were passed, and those that were passed so often and that nobody has died at.
    std::size_t passed() const {
        return count([](const Site&) { return true; });
    }
    std::vector<std::uintptr_t> missed(std::uint64_t passings = 1) const {
        std::vector<std::uintptr_t> places;
        for (const Site& site : sites_)
            if (site.passed.load() >= passings && site.died.load() == 0)
                places.push_back(site.place.load());
        return places;
    }
    std::size_t died_at() const {
        return count([](const Site& site) { return site.died.load() != 0; });
    }
    // One of the last thousands of victims.
    bool has_died(pid_t process) const {
        return process != 0 && std::any_of(dead_.begin(), dead_.end(), [process](const auto& dead) {
                   return dead.load() == process;
               });
    }
    // Victims that have died at a touch.
    std::uint64_t deaths() const {
        std::uint64_t all = 0;
        for (const Site& site : sites_)
            all += site.died.load();
        return all;
    }
    // As `addr2line -e <program>` wants them.
    static std::string text(const std::vector<std::uintptr_t>& places) {
        std::string text;
        for (const std::uintptr_t place : places) {
            std::array<char, 32> number{};
            std::snprintf(number.data(), number.size(), " %#zx",
                          (place & address) -
                              reinterpret_cast<std::uintptr_t>(&__executable_start));
            text += number.data();
        }
        return text;
    }

private:
    static constexpr unsigned address_bits = 48;
    static constexpr std::uintptr_t address = (std::uintptr_t{1} << address_bits) - 1;
    static constexpr pid_t being_written = -1;

    struct Order {
        std::atomic<pid_t> process{0};
        Fate fate;
    };
    static Fate& armed() {
        static Fate last;
        return last;
    }
    static bool& active() {
        static bool now = false;
        return now;
    }

    static CrashSites* make() {
        void* const memory = mmap(nullptr, sizeof(CrashSites), PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        auto* const sites = ::new (memory) CrashSites;
        shm::observe_crash_points([](const void* place) noexcept {
            table().obey();
            if (active())
                table().pass(reinterpret_cast<std::uintptr_t>(place));
        });
        return sites;
    }
    void obey() noexcept {
        if (pending_.load() == 0)
            return;
        const pid_t self = getpid();
        for (Order& order : orders_) {
            if (order.process.load() != self)
                continue;
            const Fate fate = order.fate;
            pid_t own = self;
            if (!order.process.compare_exchange_strong(own, 0))
                continue; // taken back meanwhile
            pending_.fetch_sub(1);
            arm(fate);
        }
    }
    void pass(std::uintptr_t place) noexcept {
        if (!has_begun())
            return;
        Site& site = site_of(place | scene_.load() << address_bits);
        site.passed.fetch_add(1);
        if (!dies_at(site))
            return;
        dead_[victims_.fetch_add(1) % dead_.size()].store(getpid());
        kill(getpid(), SIGKILL);
    }
    static bool has_begun() {
        Fate& fate = armed();
        if (fate.begins == nullptr)
            return true;
        active() = false; // it may touch words itself
        const bool holds = fate.begins();
        active() = true;
        if (holds)
            fate.begins = nullptr;
        return holds;
    }
    static bool dies_at(Site& site) noexcept {
        Fate& fate = armed();
        if (fate.touches != 0 && --fate.touches == 0) {
            site.died.fetch_add(1);
            return true;
        }
        std::uint64_t nobody = 0;
        return fate.at_new_place && site.died.compare_exchange_strong(nobody, 1);
    }
    Site& site_of(std::uintptr_t place) noexcept {
        for (std::size_t at = place * 0x9e3779b97f4a7c15 >> 51;; at = (at + 1) % sites_.size()) {
            std::uintptr_t seen = 0;
            if (sites_[at].place.compare_exchange_strong(seen, place) || seen == place)
                return sites_[at];
        }
    }
    template <class Which>
    std::size_t count(Which&& which) const {
        std::size_t number = 0;
        for (const Site& site : sites_)
            number += site.passed.load() != 0 && which(site);
        return number;
    }

    std::array<Site, 8192> sites_;
    std::array<Order, 64> orders_;
    std::atomic<int> pending_{0};
    std::atomic<std::uintptr_t> scene_{0};
    std::array<std::atomic<pid_t>, 4096> dead_;
    std::atomic<std::uint64_t> victims_{0};
};

// Each victim dies at a place that nobody has died at, until some in a row have not found one.
template <class Kill>
void kill_at_new_places(Kill&& kill) {
    const int patience = full_run() ? 60 : 16;
    for (int survivors = 0; survivors < patience; ++survivors) {
        const std::uint64_t deaths = CrashSites::table().deaths();
        kill(Fate::at_some_new_place());
        if (CrashSites::table().deaths() != deaths)
            survivors = 0;
    }
}

} // namespace dshm::test
