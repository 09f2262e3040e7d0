// See crew.hpp.
#include "baselines/crew.hpp"

#include "support/measure.hpp"

#include <cerrno>
#include <climits>
#include <csignal>
#include <linux/futex.h>
#include <new>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

namespace bench {

namespace {

void pause_briefly() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

void futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t old) {
    const timespec second{1, 0};
    syscall(SYS_futex, &word, FUTEX_WAIT, old, &second, nullptr, 0);
}

void futex_wake_all(std::atomic<std::uint32_t>& word) {
    syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

pid_t fork_or_throw() {
    const pid_t pid = fork();
    if (pid < 0)
        throw std::system_error(errno, std::generic_category(), "fork");
    return pid;
}

} // namespace

void SharedWord::add(std::uint32_t amount) {
    // seq_cst here and in wait_while: either we see that somebody parked, or he sees the new value.
    // The processor is a hint that guards nothing: relaxed.
    writer_processor_.store(sched_getcpu(), std::memory_order_relaxed);
    value_.fetch_add(amount, std::memory_order_seq_cst);
    if (parked_.load(std::memory_order_seq_cst) != 0)
        futex_wake_all(value_);
}

void SharedWord::wait_while(std::uint32_t old, std::chrono::nanoseconds spin) {
    const auto deadline = Clock::now() + spin;
    while (Clock::now() < deadline) {
        for (int i = 0; i < 8; ++i) {
            if (load() != old)
                return;
            pause_briefly();
        }
        if (writer_processor_.load(std::memory_order_relaxed) == sched_getcpu())
            sched_yield();
    }
    parked_.fetch_add(1, std::memory_order_seq_cst);
    if (value_.load(std::memory_order_seq_cst) == old)
        futex_wait(value_, old);
    parked_.fetch_sub(1, std::memory_order_seq_cst);
}

Crew::Crew(int members, Job job, std::chrono::nanoseconds spin)
    : memory_(sizeof(State)), state_(new (memory_.data()) State{}), job_(std::move(job)),
      spin_(spin) {
    for (int member = 0; member < members; ++member) {
        const pid_t pid = fork_or_throw();
        if (pid == 0)
            serve(member);
        pids_.push_back(pid);
    }
}

Crew::~Crew() {
    state_->dismissed.store(true, std::memory_order_release);
    state_->orders.add(1);
    for (const pid_t pid : pids_)
        waitpid(pid, nullptr, 0);
}

void Crew::serve(int member) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    std::uint32_t seen = 0;
    for (;;) {
        while (state_->orders.load() == seen)
            state_->orders.wait_while(seen, spin_);
        ++seen;
        if (state_->dismissed.load(std::memory_order_acquire))
            _exit(0);
        job_(member);
        state_->finished.add(1);
    }
}

void Crew::run() {
    expected_ += static_cast<std::uint32_t>(size());
    state_->orders.add(1);
    for (;;) {
        const std::uint32_t finished = state_->finished.load();
        if (finished == expected_)
            return;
        const auto start = Clock::now();
        state_->finished.wait_while(finished, spin_);
        if (seconds_since(start) > 0.9)
            check_alive();
    }
}

void Crew::check_alive() const {
    for (const pid_t pid : pids_)
        require(waitpid(pid, nullptr, WNOHANG) == 0, "a bare forked process died");
}

double seconds_to_fork(int children) {
    SharedMapping<std::byte> memory(sizeof(SharedWord));
    auto* heard = new (memory.data()) SharedWord{};
    std::vector<pid_t> pids;
    const auto start = Clock::now();
    for (int child = 0; child < children; ++child) {
        const pid_t pid = fork_or_throw();
        if (pid == 0) {
            heard->add(1);
            _exit(0);
        }
        pids.push_back(pid);
    }
    for (std::uint32_t count = 0; count < static_cast<std::uint32_t>(children);
         count = heard->load())
        heard->wait_while(count, std::chrono::microseconds(20));
    const double seconds = seconds_since(start);
    for (const pid_t pid : pids)
        waitpid(pid, nullptr, 0);
    return seconds;
}

} // namespace bench
