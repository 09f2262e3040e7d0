// The launcher, the master, and programs that attach themselves die at touches of shared words, and at each place
// in the code that some of them pass.
//
// Without a launcher a session is over: the master's next wait throws, its workers go, and nothing is left.
// Nor is without a master, but for the name when it had no launcher yet. Programs are guests: whatever they
// die of, the session has what it had before.
#include "support/crash_lanes.hpp"

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
Hosted& hosted_of_lane() {
    static Hosted& own = make_hosted();
    own.launcher = 0;
    own.over = false;
    return own;
}

SessionOptions one_worker() {
    SessionOptions options;
    options.workers = 1;
    return options;
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

// Its end is ours to see: it is the master's child.
bool has_ended_as_child(pid_t process) {
    siginfo_t info{};
    return waitid(P_PID, static_cast<id_t>(process), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == process;
}

// A worker may still answer that does not know yet that it was killed.
void demand_that_all_is_over() {
    until([] {
        try {
            fetch([] { return 1; });
            return false;
        } catch (const std::runtime_error&) {
            return true;
        }
    });
    thrown_by<std::runtime_error>([] { addprocs(1); });
}

// These are true if the victim died.
bool kill_launcher(const Fate& fate) {
    Hosted& hosted = hosted_of_lane();
    SessionCase session(one_worker(), [&] {
        const pid_t launcher = find_launcher();
        hosted.launcher = launcher;
        CrashSites::order(launcher, fate);
        try {
            keep_it_busy();
        } catch (const std::runtime_error&) {
        }
        if (has_ended_as_child(launcher))
            demand_that_all_is_over();
    });
    const Outcome outcome = session.join();
    CrashSites::take_order_back(hosted.launcher);
    demand_end(session, outcome, outcome.exited_with(0));
    return CrashSites::table().has_died(hosted.launcher);
}

bool kill_starting_launcher(const Fate& fate) {
    Hosted& hosted = hosted_of_lane();
    Heritage::own() = {2, fate, &hosted.launcher};
    SessionCase session(one_worker(), [] {});
    Heritage::own() = {};
    const Outcome outcome = session.join();
    const bool refused = outcome.exited_with(1) && has(outcome.errors, "dshm: ");
    demand_end(session, outcome, outcome.exited_with(0) || refused);
    return CrashSites::table().has_died(hosted.launcher);
}

// Of all that it does, from the making of the session on.
bool kill_master(const Fate& fate) {
    static int count = 0;
    const Capture output;
    SessionOptions options = one_worker();
    const std::string name = "master." + std::to_string(getpid()) + "." + std::to_string(count++);
    options.name = name;
    const pid_t master = start_child([&] {
        dup2(output.file(), STDOUT_FILENO);
        dup2(output.file(), STDERR_FILENO);
        CrashSites::arm(fate);
        Session session(options);
        keep_it_busy();
        const SharedArray<double> array(1000);
        RemoteChannel<std::string> channel(4);
        channel.put(std::string(3000, 'x'));
        fetch([array, channel] { array[1] = static_cast<double>(channel.take().size()); });
        DEMAND(array[1] == 3000);
    });
    const int status = wait_for(master);
    await_orphans();
    if (!was_killed(status) && !left_well(status))
        std::fprintf(stderr, "status %#x\n%s", static_cast<unsigned>(status),
                     output.text().c_str());
    DEMAND(was_killed(status) || left_well(status));
    if (!segments_named(name).empty()) // it had no launcher
        DEMAND(outcome_of(0, [] {}).exited_with(0));
    DEMAND(segments_named(name).empty());
    return was_killed(status);
}

// What a program does; its launcher may be dead.
void attach_and_work(const std::string& session, std::chrono::milliseconds timeout) {
    AttachOptions options;
    options.timeout = timeout;
    const Client client = attach(session, options);
    const auto array = client.array<int>("numbers");
    array[1] = 1;
    const auto channel = client.channel<std::string>("texts");
    while (channel.try_take()) { // what those have put that died before they took it
    }
    channel.put(std::string(3000, 'x'));
    channel.take();
    static_cast<void>(client.names());
}

// A session that programs attach to, until `hosted.over`.
SessionCase host(Hosted& hosted) {
    return SessionCase(one_worker(), [&hosted] {
        give_it_time();
        const SharedArray<int> array(1000, named("numbers"));
        const auto channel = RemoteChannel<std::string>::create("texts", 4);
        const pid_t launcher = find_launcher();
        const Inside before = Inside::now();
        hosted.launcher = launcher;
        try {
            while (!hosted.over)
                fetch([] { sched_yield(); });
            while (channel.try_take()) {
            }
            await_inside(before);
        } catch (const std::runtime_error&) {
            DEMAND(CrashSites::table().has_died(launcher));
            until([&] { return hosted.over.load(); });
        }
    });
}

bool kill_host(const Fate& fate) {
    Hosted& hosted = hosted_of_lane();
    SessionCase session = host(hosted);
    until([&] { return hosted.launcher != 0; });
    const pid_t launcher = hosted.launcher;
    CrashSites::order(launcher, fate);
    // It is let in, or told that nobody answers; it never waits longer than it wants to.
    const int status = run_in_child([&] {
        try {
            attach_and_work(session.name(), std::chrono::milliseconds(300));
        } catch (const std::runtime_error&) {
        }
    });
    DEMAND(left_well(status));
    hosted.over = true;
    const Outcome outcome = session.join();
    CrashSites::take_order_back(launcher);
    demand_end(session, outcome, outcome.exited_with(0));
    return CrashSites::table().has_died(launcher);
}

} // namespace

TEST_CASE("the launcher dies while it works") { CHECK(hunt_in_lanes(7, kill_launcher) > 50); }

TEST_CASE("the launcher dies while the session is made") {
    CHECK(hunt_in_lanes(3, kill_starting_launcher) > 20);
}

TEST_CASE("the launcher dies while it lets a program in") {
    CHECK(hunt_in_lanes(7, kill_host) > 20);
}

TEST_CASE("the master dies") { CHECK(hunt_in_lanes(7, kill_master) > 50); }

TEST_CASE("a program dies while it attaches itself, works, and goes") {
    prepare();
    CrashSites::begin_scene();
    Hosted& hosted = make_hosted();
    SessionCase session = host(hosted);
    until([&] { return hosted.launcher != 0; });
    const auto attach_and_die = [&](const Fate& fate) {
        const int status = run_in_child([&] {
            CrashSites::arm(fate);
            attach_and_work(session.name(), std::chrono::seconds(10));
        });
        REQUIRE((was_killed(status) || left_well(status)));
        return was_killed(status);
    };
    std::uint64_t touch = 1;
    while (attach_and_die(Fate::at_touch(touch)))
        touch = after(touch, 40);
    CHECK(touch > 100);
    kill_at_new_places(attach_and_die);
    hosted.over = true;
    const Outcome outcome = session.join();
    INFO(outcome.errors);
    REQUIRE(outcome.exited_with(0));
}

TEST_CASE("victims have died at nearly all places that some have passed") {
    check_places_of_sessions(500);
}
