// The inside of the launcher: what it knows and what it does at each event.
//
// One object, in the launcher process, on its one thread. Its functions lie in six files: the loop
// (launcher.cpp), workers that join (launcher_joining.cpp), workers that leave or die
// (launcher_leaving.cpp), those that come in the place of the dead (launcher_replacing.cpp), what workers
// print (launcher_output.cpp), and programs that attach themselves (launcher_clients.cpp). Nothing else
// includes this.
#pragma once

#include <poll.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "dshm/launch/join_word.hpp"
#include "dshm/launch/launcher.hpp"
#include "dshm/launch/output_relay.hpp"
#include "dshm/launch/requests.hpp"
#include "dshm/launch/worker_record.hpp"
#include "dshm/os/clock.hpp"
#include "dshm/os/memory_kills.hpp"
#include "dshm/runtime/on_worker_death.hpp"
#include "dshm/runtime/process.hpp"
#include "dshm/runtime/recovery.hpp"

namespace dshm::launch {

// An AddWorkers that has not been answered yet. Once it has failed, its workers are killed, and the
// answer waits until the last of them has gone.
struct Joining {
    std::vector<int> ids;
    os::Clock::time_point until;
    std::string timeout_text;
    std::string failure; // why it failed; empty while it may succeed
    std::string printed; // by those of them that have ended
};

// A program that is attached to the session.
struct ClientRecord {
    WorkerId id = 0;
    shm::Owner owner;
    pid_t os_pid = 0;
    os::Fd pidfd;
};

// Signals by which programs ask for attention (join_word.hpp), as a file to poll.
os::Fd open_join_signals();

class Launcher {
public:
    explicit Launcher(LauncherStart start);
    [[noreturn]] void run();

private:
    // the loop
    void wait_for_events();
    std::vector<WorkerId> watch_workers(std::vector<pollfd>& entries) const;
    int timeout_milliseconds();
    void hear_bell();
    void hear_requests();
    void handle(const Request& request);
    void stop(std::uint64_t grace_milliseconds);
    void kill_everybody();
    [[noreturn]] void leave();

    // joining
    void add_workers(const AddWorkers& request);
    WorkerRecord& start_one(std::shared_ptr<const WorkerSettings> settings, std::size_t number);
    unsigned free_slot() const;
    shm::Owner prepare_row(WorkerId id);
    bool is_joining(WorkerId id) const;
    bool all_have_joined();
    void finish_joining();
    void answer(const Reply& reply);
    void give_up_joining(const std::string& why);

    // leaving and dying
    void ask_to_exit(WorkerRecord& worker, os::Clock::duration patience);
    void insist();
    void finish_leaving();
    void reap(WorkerId id);
    void write_obituary(const WorkerRecord& worker, int status, WorkerId successor);
    void announce_death(const WorkerRecord& worker, int status);
    void retire_counters(shm::Owner owner);

    // in the place of the dead
    WorkerRecord* replace(const WorkerRecord& dead);
    bool may_replace(const WorkerRecord& dead);
    void welcome_replacements();
    void forget_replacement(WorkerRecord& worker);
    [[noreturn]] void stop_session(WorkerId dead);
    bool is_sudden(const WorkerRecord& worker) const;
    bool somebody_else_works(WorkerId id) const;
    void keep_master_waiting();
    void let_master_go_on();
    OnWorkerDeath on_worker_death() const {
        return static_cast<OnWorkerDeath>(process_.header().on_worker_death);
    }

    // attached programs
    void watch_clients(std::vector<pollfd>& entries) const;
    void look_at_clients();
    void answer_place(shm::Word64& place);
    void let_in(shm::Word64& place, JoinWord question);
    JoinWord row_for(ClientRecord& client, JoinWord question);
    void bury_client(const ClientRecord& client);
    void close_session();

    // output
    void relay(WorkerRecord& worker);
    void relay_last(WorkerRecord& worker);
    void settle_output(WorkerRecord& worker);
    void pump_output();
    void tell_lost_output();

    shm::Segment* segment_;
    os::Fd master_pidfd_;
    os::Fd socket_;
    RequestReader requests_;
    os::Fd bell_;
    os::Fd joins_;
    bool tag_output_;
    runtime::Process process_;
    runtime::Recovery recovery_;
    OutputSink output_;
    OutputSink errors_;
    bool told_closed_output_ = false;
    bool told_lost_output_ = false;
    os::MemoryKills memory_kills_;
    std::size_t last_words_ = 0; // deaths that left some
    std::map<WorkerId, WorkerRecord> workers_;
    WorkerId next_id_ = 2;
    std::optional<Joining> joining_;
    std::vector<RemoveWorkers> leaving_;
    unsigned barren_workers_ = 0; // ended in a row without having done a task
    unsigned failed_starts_ = 0;  // in the place of a dead one, in a row
    std::vector<ClientRecord> clients_;
    WorkerId next_client_id_ = -1;
};

} // namespace dshm::launch
