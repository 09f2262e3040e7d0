// A loop in chunks, as its caller drives it: a task for each participant, sent again when its
// process dies over chunks that may be repeated.
//
// The chunks themselves are claimed in shared memory (loop_chunks.hpp); this side sends the
// participants, notices their ends, takes back what dead ones had, and lets go of those that have
// not begun when nothing is left to do. It moves on while somebody waits for it or asks whether it
// has ended. If the caller dies, the participants stop at the end of their chunks.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "dshm/runtime/loop_chunks.hpp"
#include "dshm/runtime/loop_end.hpp"
#include "dshm/runtime/object_handle.hpp"
#include "dshm/shm/private_lock.hpp"

namespace dshm::runtime {

class ChunkLoop final : public LoopEnd {
public:
    // Sends one participant's task; an instance of one template for each kind of loop.
    using Send = TaskRef (*)(Process&, const Membership::Member&, const ObjectHandle& loop,
                             const Participant&);

    struct Setup {
        std::vector<Membership::Member> members; // lane l is for the l-th of them
        int retries = 0;
        ObjectHandle loop;
        ship::HandleList handles; // in the loop's payload: held here, and for every participant
        Send send = nullptr;
        // Told ten times a second, while somebody waits, how many elements are done; and at the end.
        std::function<void(std::size_t done, bool ended)> watcher = {};
    };
    ChunkLoop(Process& process, Setup setup);
    ~ChunkLoop() override; // participants that were sent go on
    ChunkLoop(const ChunkLoop&) = delete;
    ChunkLoop& operator=(const ChunkLoop&) = delete;

    // Sends a task to every member. With Here::runs, this process's own participant, if it is a
    // member, is given to the caller instead, who runs it and says how it ended. Throws what keeps
    // one from being sent; then no chunk is begun any more.
    enum class Here { runs, is_sent };
    std::optional<Participant> start(Here here);
    void end_here(const Participant& participant, std::exception_ptr failure);

    bool wait_until(os::Clock::time_point deadline) override;
    bool ended() override;
    bool news() override;
    bool failed() override;
    std::vector<std::exception_ptr> failures() override;
    bool repeated() const override { return repeated_; }
    // The first of the failures, if there is one; the others are left to be printed.
    std::exception_ptr first_failure();
    void announce_waiting() override;
    void for_each_key(const std::function<void(EventKey)>& f) override;
    bool cancel() override;
    // The same, when nobody will ask how it ended.
    void abandon() noexcept;

    LoopChunks chunks() const { return chunks_; }
    // f(handle) for each participant whose task ended well, in the order in which they were sent.
    template <class F>
    void for_each_result(F&& f) const {
        for (const Party& party : parties_)
            if (party.end == End::well)
                f(party.task);
    }

private:
    enum class End { open, here, well, badly, withdrawn, replaced };
    struct Party {
        Participant self;
        std::size_t member;
        TaskHandle task; // of the caller's own: empty
        End end = End::open;
        bool seen = false;                    // its end is being dealt with
        std::exception_ptr failure = nullptr; // where it is not the task's
        unsigned deaths =
            0; // in a row before a first chunk, with those that it came in the place of
    };
    class AnyEnded;

    bool any_open();
    TaskRef send(const Participant& participant, std::size_t& member);
    void add(std::uint32_t lane, std::size_t member, bool from_the_start, unsigned deaths = 0);
    std::uint32_t next_number();
    Party* take_ended(bool look_at_all);
    void conclude(Party& party);
    void conclude_death(Party& party);
    bool replace(Party& party);
    void end(Party& party, End how);
    void close(Party& party, End how);
    void watch();
    void stop_watching();
    Membership::Member member_at(std::size_t index);
    std::optional<std::size_t> living_member(std::size_t from);
    struct Failure;
    std::vector<Failure> failed_parties();
    std::vector<TaskHandle> open_tasks();
    bool was_cut_short() const;
    void check_session() const { setup_.loop.check_session(); }
    void nothing_left();
    bool shared() const { return chunks_.plan().owners == LoopLanes::shared; }

    Process* process_;
    Setup setup_;
    LoopChunks chunks_;
    std::vector<ship::HandleRef> held_;
    std::atomic<bool> cancelled_{false};
    std::atomic<bool> repeated_{false};
    shm::PrivateLock lock_; // over what follows; the parties themselves stay where they are
    std::deque<Party> parties_;
    std::vector<Party*> open_;
    std::uint32_t numbers_ = 0; // given to participants so far
    std::size_t look_ = 0;      // which open one is looked at next
};

} // namespace dshm::runtime
