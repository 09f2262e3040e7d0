// The launcher dies at each touch of a shared word, and programs that attach themselves at each of theirs.
//
// Without a launcher a session is over: the master's next wait throws, its workers go, and nothing is left.
// Programs are guests: whatever they die of, the session has what it had before.
#include "support/crash_session.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

// In memory that a case and the test have in common.
struct Hosted {
    std::atomic<pid_t> launcher{0};
    std::atomic<bool> over{false};
};
Hosted& make_hosted() {
    return *::new (mmap(nullptr, sizeof(Hosted), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                        -1, 0)) Hosted;
}

pid_t find_launcher() {
    return fetch([] { return getppid(); });
}

// It starts workers, shows what they print, buries one and removes another.
void keep_it_busy() {
    const WorkerId one = addprocs(1)[0];
    everywhere([] { std::puts("a line"); });
    kill(worker_info(one).os_pid, SIGKILL);
    try {
        fetch_from(one, [] {});
    } catch (const ProcessExitedException&) {
    }
    rmprocs(addprocs(1)[0]);
}

// True if the launcher died.
bool kill_launcher(const std::function<void(pid_t)>& order) {
    const std::uint64_t deaths = CrashSites::table().deaths();
    const Outcome outcome = outcome_of(1, [&] {
        order(find_launcher());
        try {
            keep_it_busy();
        } catch (const std::runtime_error&) {
        }
        if (CrashSites::table().deaths() == deaths)
            return;
        thrown_by<std::runtime_error>([] { fetch([] { return 1; }); });
        thrown_by<std::runtime_error>([] { addprocs(1); });
    });
    CrashSites::take_order_back();
    INFO(outcome.errors);
    REQUIRE(outcome.exited_with(0));
    return CrashSites::table().deaths() != deaths;
}

// What a program does; its launcher may be dead.
void attach_and_work(const std::string& session, std::chrono::milliseconds timeout) {
    AttachOptions options;
    options.timeout = timeout;
    const Client client = attach(session, options);
    const auto array = client.array<int>("numbers");
    array[1] = 1;
    const auto channel = client.channel<std::string>("texts");
    channel.put(std::string(3000, 'x'));
    channel.take();
    static_cast<void>(client.names());
}

// A session that programs attach to, until `hosted.over`.
SessionCase host(Hosted& hosted) {
    return SessionCase(
        [] {
            SessionOptions options;
            options.workers = 1;
            return options;
        }(),
        [&hosted] {
            give_it_time();
            const SharedArray<int> array(1000, named("numbers"));
            const auto channel = RemoteChannel<std::string>::create("texts", 4);
            const pid_t launcher = find_launcher();
            const Inside before = Inside::now();
            hosted.launcher = launcher;
            const std::uint64_t deaths = CrashSites::table().deaths();
            try {
                while (!hosted.over)
                    fetch([] { sched_yield(); });
                while (channel.try_take()) {
                }
                await_inside(before);
            } catch (const std::runtime_error&) {
                DEMAND(CrashSites::table().deaths() != deaths);
                until([&] { return hosted.over.load(); });
            }
        });
}

} // namespace

TEST_CASE("the launcher dies while it works") {
    prepare();
    std::uint64_t touch = 1 + stride_seed() % 7;
    int kills = 0;
    while (kill_launcher([touch](pid_t launcher) { CrashSites::order(launcher, touch); })) {
        ++kills;
        touch += full_run() ? 11 : 1 + touch / 2;
    }
    WARN(kills << " launchers");
    CHECK(kills > 8);
}

TEST_CASE("a program dies while it attaches itself, works, and goes") {
    prepare();
    Hosted& hosted = make_hosted();
    SessionCase session = host(hosted);
    until([&] { return hosted.launcher != 0; });
    int kills = 0;
    for (std::uint64_t touch = 1;; touch = after(touch, 40)) {
        CAPTURE(touch);
        const int status = run_in_child([&] {
            CrashSites::arm(touch);
            attach_and_work(session.name(), std::chrono::seconds(10));
        });
        REQUIRE((was_killed(status) || left_well(status)));
        if (!was_killed(status))
            break;
        ++kills;
    }
    hosted.over = true;
    const Outcome outcome = session.join();
    INFO(outcome.errors);
    REQUIRE(outcome.exited_with(0));
    WARN(kills << " programs");
    CHECK(kills > 20);
}

TEST_CASE("the launcher dies while it lets a program in") {
    prepare();
    int kills = 0;
    for (std::uint64_t touch = 1;; touch += full_run() ? 5 : 1 + touch / 2) {
        CAPTURE(touch);
        Hosted& hosted = make_hosted();
        SessionCase session = host(hosted);
        until([&] { return hosted.launcher != 0; });
        const std::uint64_t deaths = CrashSites::table().deaths();
        CrashSites::order(hosted.launcher, touch);
        // It is let in, or told that nobody answers; it never waits longer than it wants to.
        const int status = run_in_child([&] {
            try {
                attach_and_work(session.name(), std::chrono::milliseconds(300));
            } catch (const std::runtime_error&) {
            }
        });
        REQUIRE(left_well(status));
        hosted.over = true;
        const Outcome outcome = session.join();
        CrashSites::take_order_back();
        INFO(outcome.errors);
        REQUIRE(outcome.exited_with(0));
        if (CrashSites::table().deaths() == deaths || touch > 400)
            break;
        ++kills;
    }
    WARN(kills << " launchers");
    CHECK(kills > 5);
}

TEST_CASE("launchers and programs have died at many places") {
    const CrashSites& sites = CrashSites::table();
    WARN(sites.deaths() << " deaths; " << sites.passed() << " places, " << sites.missed(20).size()
                        << " passed often and never died at");
    CHECK(sites.passed() > 50);
}
