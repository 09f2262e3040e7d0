#include "dshm/launch/link.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <iostream>
#include <stdexcept>
#include <system_error>

#include "dshm/launch/launcher.hpp"
#include "dshm/launch/worker_setup.hpp"
#include "dshm/os/process.hpp"
#include "dshm/runtime/process.hpp"

namespace dshm::launch {

namespace {

// What lies in buffers would otherwise be written once by each process.
void flush_own_output() {
    std::cout.flush();
    std::clog.flush();
    std::fflush(nullptr);
}

// One call at a time: a mutex would keep the tasks that this thread runs meanwhile from getting it.
class Turn final : public runtime::WaitFor {
public:
    explicit Turn(std::atomic<bool>& taken) : taken_(&taken) {
        runtime::current().scheduler().wait(*this);
    }
    // seq_cst, edge `park`: another thread sleeps until it sees this; and it finds the socket as this one leaves it.
    ~Turn() {
        taken_->store(false, std::memory_order_seq_cst);
        runtime::current().area().bell.ring(); // another thread may sleep for it
    }
    bool ready() override {
        return mine_ || (mine_ = !taken_->exchange(true, std::memory_order_acquire));
    }

private:
    std::atomic<bool>* taken_;
    bool mine_ = false;
};

// There is something to read from the launcher, which rings after it has written.
class Answer final : public runtime::WaitFor {
public:
    explicit Answer(int socket) : entry_{socket, POLLIN, 0} {}
    bool ready() override { return poll(&entry_, 1, 0) > 0; }

private:
    pollfd entry_;
};

} // namespace

Link::Link(shm::Segment& segment, bool tag_output) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        throw std::system_error(errno, std::generic_category(), "dshm: cannot make a socket pair");
    socket_ = os::Fd(ends[0]);
    os::Fd theirs(ends[1]);
    flush_own_output();
    LauncherStart start{&segment, getpid(), std::move(theirs), tag_output,
                        ship::modules_of_this_process()};
    find_threaded_libraries();
    process_ = fork();
    if (process_ < 0)
        throw std::system_error(errno, std::generic_category(), "dshm: cannot fork the launcher");
    if (process_ == 0)
        run_launcher(std::move(start));
    pidfd_ = os::open_pidfd(process_);
}

Link::~Link() { stop(std::chrono::milliseconds(0)); }

void Link::leave_in_child() noexcept {
    socket_.reset();
    pidfd_.reset();
    process_ = 0;
}

bool Link::alive() const noexcept { return process_ != 0 && !os::has_ended(pidfd_); }

std::vector<int> Link::add(const AddWorkers& request) {
    const Turn turn(taken_);
    if (!alive())
        throw std::runtime_error(runtime::current().why_over());
    send_request(socket_.get(), {request, std::nullopt, std::nullopt});
    Answer answer(socket_.get());
    runtime::current().scheduler().wait(answer);
    const auto reply = receive_reply(socket_.get());
    if (!reply)
        throw std::runtime_error(runtime::current().why_over());
    if (!reply->error.empty())
        throw std::runtime_error("dshm: cannot start workers: " + reply->error);
    return reply->ids;
}

void Link::remove(const RemoveWorkers& request) {
    const Turn turn(taken_);
    if (!alive())
        throw std::runtime_error(runtime::current().why_over());
    send_request(socket_.get(), {std::nullopt, request, std::nullopt});
}

void Link::stop(std::chrono::milliseconds grace) noexcept {
    if (process_ == 0)
        return;
    try {
        if (alive())
            send_request(socket_.get(), {std::nullopt, std::nullopt,
                                         Stop{static_cast<std::uint64_t>(grace.count())}});
    } catch (const std::exception&) {
        // It ended at this very moment: so much the better.
    }
    socket_.reset();
    while (waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
    }
    process_ = 0;
}

} // namespace dshm::launch
