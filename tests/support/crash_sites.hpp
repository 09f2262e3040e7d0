// Which touches of shared words the victims of a test have made, and at which of them they have died.
//
// A victim arms itself: from then on each of its touches is counted, by its place in the code, in a
// table that all processes of the test share, and one of them is its last. A test that killed its
// victims at every touch asks at its end that no place was passed and never died at; where the number
// of touches varies from run to run, as in waits, that says more than the count.
//
// Processes that go on by themselves, as launchers and idle workers do, are given an order by another one:
// they arm themselves when they see it, at their next touch.
//
// Linked with `dshm_crash`. A process that dies in here has changed nothing of the library's.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

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
    // In the victim: its `touches`-th touch from now on is its last.
    static void arm(std::uint64_t touches) noexcept {
        armed() = {touches, 0, 0};
        active() = true;
    }
    // The `passings`-th touch at one place.
    static void arm_at(std::uintptr_t place, std::uint64_t passings) noexcept {
        armed() = {0, place, passings};
        active() = true;
    }
    static void disarm() noexcept { active() = false; }
    // The same in another process of the test, from its next touch on; with no touches it only counts.
    static void order(pid_t process, std::uint64_t touches) noexcept {
        table().order_ = {touches, 0, 0};
        table().ordered_.store(process);
    }
    static void order_at(pid_t process, std::uintptr_t place) noexcept {
        table().order_ = {0, place, 1};
        table().ordered_.store(process);
    }
    static void take_order_back() noexcept { table().ordered_.store(0); }

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
                          place - reinterpret_cast<std::uintptr_t>(&__executable_start));
            text += number.data();
        }
        return text;
    }

private:
    struct Armed {
        std::uint64_t touches;
        std::uintptr_t place;
        std::uint64_t passings;
    };
    static Armed& armed() {
        static Armed last{};
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
        pid_t ordered = ordered_.load();
        if (ordered == 0 || ordered != getpid())
            return;
        armed() = order_;
        active() = true;
        ordered_.compare_exchange_strong(ordered, 0);
    }
    void pass(std::uintptr_t place) noexcept {
        Site& site = site_of(place);
        site.passed.fetch_add(1);
        Armed& last = armed();
        const bool dies = (last.touches != 0 && --last.touches == 0) ||
                          (last.place == place && last.passings != 0 && --last.passings == 0);
        if (!dies)
            return;
        site.died.fetch_add(1);
        kill(getpid(), SIGKILL);
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
    Armed order_{};
    std::atomic<pid_t> ordered_{0};
};

} // namespace dshm::test
