// Programs that attach themselves to the session: letting them in, and taking back what they had.
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "dshm/launch/join_word.hpp"
#include "dshm/launch/launcher_loop.hpp"
#include "dshm/os/process.hpp"

namespace dshm::launch {

namespace {

using runtime::LifePhase;

} // namespace

// Blocked from here on, so that the default is never taken: before anybody can know of this process,
// by the lock.
os::Fd open_join_signals() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, join_signal);
    sigprocmask(SIG_BLOCK, &set, nullptr);
    return os::Fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

void Launcher::watch_clients(std::vector<pollfd>& entries) const {
    entries.push_back({joins_.get(), POLLIN, 0});
    for (const ClientRecord& client : clients_)
        entries.push_back({client.pidfd.get(), POLLIN, 0});
}

// Called when somebody has rung or one of them has ended. O(clients), and a walk over the places.
void Launcher::look_at_clients() {
    signalfd_siginfo rings;
    while (::read(joins_.get(), &rings, sizeof rings) > 0) {
    }
    const auto gone = [this](const ClientRecord& client) {
        return os::has_ended(client.pidfd) ||
               process_.processes().life(client.owner.slot).phase == LifePhase::exiting;
    };
    for (auto at = clients_.begin(); at != clients_.end();)
        if (gone(*at)) {
            const ClientRecord client = std::move(*at);
            at = clients_.erase(at);
            bury_client(client);
        } else {
            ++at;
        }
    for (shm::Word64& place : process_.header().joins)
        answer_place(place);
}

void Launcher::answer_place(shm::Word64& place) {
    // acquire, edge `join`.
    JoinWord seen{place.load(std::memory_order_acquire)};
    if (seen.phase() == JoinPhase::free)
        return;
    const Asker asker = seen.asker();
    if (asker == Asker::there && seen.phase() == JoinPhase::asking)
        return let_in(place, seen);
    // Of one that died over it, or what nobody can have written. An answer stays while its asker lives.
    if (asker == Asker::gone || seen.phase() > JoinPhase::refused)
        place.compare_exchange(seen.bits, 0, std::memory_order_acq_rel, std::memory_order_relaxed);
}

// A row is made ready and the process watched before it is told; who has given up meanwhile has
// touched neither.
void Launcher::let_in(shm::Word64& place, JoinWord question) {
    ClientRecord client;
    client.os_pid = question.process();
    client.pidfd = os::open_pidfd(client.os_pid);
    if (!client.pidfd && os::is_shortage(errno))
        return; // it rings again
    // Looked at again: its number may be another's by now.
    const Asker asker = question.asker();
    if (asker == Asker::not_seen)
        return;
    JoinWord answer;
    if (asker == Asker::gone || os::has_ended(client.pidfd)) {
        // It ends at this moment.
    } else if (clients_.size() >= most_clients) {
        answer = JoinWord::refused(question, Refusal::many_clients);
    } else {
        answer = row_for(client, question);
    }
    const bool told = place.compare_exchange(question.bits, answer.bits, std::memory_order_acq_rel,
                                             std::memory_order_relaxed); // edge `join`
    if (answer.phase() != JoinPhase::accepted)
        return;
    if (told)
        clients_.push_back(std::move(client));
    else
        process_.processes().set_life(client.owner.slot,
                                      {LifePhase::dead, client.owner.incarnation, client.id});
}

JoinWord Launcher::row_for(ClientRecord& client, JoinWord question) {
    try {
        client.id = next_client_id_--;
        client.owner = prepare_row(client.id);
    } catch (const SharedMemoryExhausted&) {
        return JoinWord::refused(question, Refusal::no_memory);
    } catch (const std::runtime_error&) {
        return JoinWord::refused(question, Refusal::no_slot);
    }
    runtime::ProcessTable& table = process_.processes();
    // relaxed: published by the life word (edge `life`).
    table.area(client.owner.slot)
        .os_pid.store(static_cast<std::uint32_t>(client.os_pid), std::memory_order_relaxed);
    table.set_life(client.owner.slot, {LifePhase::attached, client.owner.incarnation, client.id});
    return JoinWord::accepted(client.os_pid, client.owner);
}

// What it held is taken back before its row says that it is gone: it may wait for that. Nobody sends
// it anything, so nobody needs to know earlier.
void Launcher::bury_client(const ClientRecord& client) {
    JoinWord answer = JoinWord::accepted(client.os_pid, client.owner);
    for (shm::Word64& place : process_.header().joins) {
        std::uint64_t expected = answer.bits; // it may have died before it took its answer
        place.compare_exchange(expected, 0, std::memory_order_acq_rel, std::memory_order_relaxed);
    }
    const bool left = process_.processes().life(client.owner.slot).phase == LifePhase::exiting;
    retire_counters(client.owner);
    const std::string how = "the attached program (process " + std::to_string(client.os_pid) +
                            (left ? ") has detached" : ") has ended");
    recovery_.bury({client.owner, client.id, static_cast<int>(client.os_pid), 0, how});
    process_.processes().set_life(client.owner.slot,
                                  {LifePhase::dead, client.owner.incarnation, client.id});
}

// For programs that stay: their next call throws. Those that sleep are woken.
void Launcher::close_session() {
    // release, edge `session-closed`: who arms its bell after the ring sees it.
    process_.header().state.store(static_cast<std::uint64_t>(shm::SegmentState::closed),
                                  std::memory_order_release);
    for (const ClientRecord& client : clients_)
        process_.processes().area(client.owner.slot).bell.ring_always();
}

} // namespace dshm::launch
