#include "baselines/mortals.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace bench {

namespace {

[[noreturn]] void throw_errno(const char* what) {
    throw std::system_error(errno, std::generic_category(), what);
}

/// A child that dies with its parent.
template <class Body>
pid_t forked(Body&& body) {
    const pid_t parent = getpid();
    const pid_t child = fork();
    if (child < 0)
        throw_errno("fork");
    if (child > 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent)
        body();
    _exit(1);
}

void end(pid_t process) {
    kill(process, SIGKILL);
    while (waitpid(process, nullptr, 0) < 0 && errno == EINTR) {
    }
}

} // namespace

double monotonic_seconds() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double kill_now(pid_t process) {
    const double start = monotonic_seconds();
    if (kill(process, SIGKILL) != 0)
        throw_errno("kill");
    return start;
}

// ------------------------------------------------------------------------------------------------
// One death
// ------------------------------------------------------------------------------------------------

Executioner::Executioner() : time_(1) {
    int ends[2];
    if (pipe(ends) != 0)
        throw_errno("pipe");
    orders_ = ends[1];
    process_ = forked([&] { serve(ends[0]); });
    close(ends[0]);
}

Executioner::~Executioner() {
    close(orders_);
    end(process_);
}

void Executioner::serve(int orders) {
    Order order{};
    while (read(orders, &order, sizeof order) == sizeof order) {
        std::this_thread::sleep_for(order.after);
        time_[0] = monotonic_seconds();
        kill(order.process, SIGKILL);
    }
    _exit(0);
}

void Executioner::kill_soon(pid_t process, std::chrono::microseconds after) {
    const Order order{process, after};
    if (write(orders_, &order, sizeof order) != sizeof order)
        throw_errno("write");
}

double Executioner::time_of_kill() const { return time_[0]; }

double bare_death(Executioner& executioner, std::size_t bytes) {
    SharedMapping<std::atomic<int>> ready(1);
    const pid_t child = forked([&] {
        const std::vector<char> touched(bytes, 'x');
        ready[0].store(touched.empty() ? 1 : touched.back());
        for (;;)
            pause();
    });
    while (ready[0].load() == 0)
        std::this_thread::sleep_for(std::chrono::microseconds(50));
    executioner.kill_soon(child, std::chrono::milliseconds(5));
    int status = 0;
    if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status))
        throw std::runtime_error("a bare process has not died as it should");
    return monotonic_seconds() - executioner.time_of_kill();
}

// ------------------------------------------------------------------------------------------------
// Many deaths
// ------------------------------------------------------------------------------------------------

Mortals::Mortals(int members, std::function<void()> job)
    : memory_(sizeof(State)), state_(reinterpret_cast<State*>(memory_.data())),
      job_(std::move(job)) {
    if (members > most_members)
        throw std::invalid_argument("too many bare processes");
    manager_ = forked([&] { manage(members); });
    while (process(members - 1) == 0)
        std::this_thread::sleep_for(std::chrono::microseconds(50));
}

Mortals::~Mortals() { end(manager_); }

void Mortals::set_running(bool running) { state_->running.store(running ? 1 : 0); }

void Mortals::manage(int members) {
    for (int member = 0; member < members; ++member)
        start(member);
    for (;;) {
        const pid_t dead = waitpid(-1, nullptr, 0);
        for (int member = 0; member < members; ++member)
            if (process(member) == dead)
                start(member);
    }
}

void Mortals::start(int member) {
    state_->members[member].store(forked([this] { work(); }));
}

void Mortals::work() {
    for (;;) {
        while (state_->running.load() == 0)
            std::this_thread::sleep_for(most_nap);
        job_();
        state_->done.fetch_add(1);
    }
}

} // namespace bench
