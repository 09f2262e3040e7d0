#include "dshm/runtime/first_touch.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

#include "dshm/os/cpu.hpp"
#include "dshm/os/pages.hpp"
#include "dshm/runtime/call.hpp"
#include "dshm/runtime/sync_scope.hpp"
#include "dshm/runtime/task_handle.hpp"
#include "dshm/runtime/task_stream.hpp"
#include "first_touch_pieces.hpp"

namespace dshm::runtime {

namespace {

// A millisecond's worth of pages.
constexpr std::size_t least_piece = shm::extent_size;
constexpr std::size_t most_pieces = 4096;
// A call to a worker that sleeps is there and back in 67 µs when the machine is quiet.
constexpr std::chrono::microseconds time_to_begin(200);
constexpr std::chrono::microseconds time_between_looks(50);
// Without a piece by others: after the first the caller helps those who have begun, after the
// second it makes what they are at as well.
constexpr std::chrono::milliseconds time_to_help(2);
constexpr std::chrono::milliseconds time_to_give_up(20);

int promise(Process& process, const Piece& piece) {
    return os::allocate_file_range(process.segment().file(), piece.first, piece.size);
}

// By a participant: the pages, zeroed, and mapped here. On an old kernel promised only: a touch may
// come after somebody has taken the promise back.
int make_and_map(Process& process, const Piece& piece) {
    const int error = os::populate(process.segment().base() + piece.first, piece.size);
    return error == EINVAL ? promise(process, piece) : error;
}

// By whoever does not need them: a third of the time.
int make_only(Process& process, const Piece& piece) {
    return process.header().huge_pages != 0 ? make_and_map(process, piece)
                                            : promise(process, piece);
}

template <class Make>
void make_piece(Process& process, PieceList& list, Piece& piece, Make&& make) {
    const bool room = process.segment().backing().machine_can_spare(piece.size);
    if (const int error = room ? make(process, piece) : ENOSPC) {
        piece.set(PieceState::free);
        // relaxed: any of the errors.
        list.error.store(static_cast<std::uint32_t>(error), std::memory_order_relaxed);
    } else {
        piece.set(PieceState::done);
    }
}

void make_part(Process& process, PieceList& list, std::uint32_t part) {
    for (Piece& piece : list.pieces())
        if (piece.part == part && !list.stopped() && piece.take())
            make_piece(process, list, piece, make_and_map);
}

// Nothing to do at this moment, and nothing waiting for it: what it is sent lies in its inbox, done
// with or not, until it looks there. relaxed, all: a guess, which the next moment may make wrong.
bool is_idle(Process& process, const Membership::Member& member) {
    const unsigned slot = member.owner.slot;
    const ProcessArea& area = process.processes().area(slot);
    if (area.inbox.peek())
        return false;
    const shm::Header& header = process.header();
    return header.parked.test(slot, std::memory_order_relaxed) ||
           header.searching.test(slot, std::memory_order_relaxed) ||
           (slot >= shm::first_worker_slot && // process 1 runs the program as well
            area.current_function.load(std::memory_order_relaxed) == 0);
}

bool has_room_for_a_call(Process& process) {
    const auto record = process.tasks().reserve();
    if (record)
        process.tasks().abandon(*record);
    return record.has_value();
}

PieceList& list_of(const ObjectHandle& list) { return *static_cast<PieceList*>(list.address()); }

std::size_t pieces_in(std::size_t first, std::size_t size, std::size_t piece) {
    return base::ceil_div(first % piece + size, piece);
}

} // namespace

// ------------------------------------------------------------------------------------------------
// The caller's side of one array
// ------------------------------------------------------------------------------------------------

class FirstTouch::Helpers {
public:
    Helpers(Process& process, shm::Offset first, const std::vector<Part>& parts)
        : process_(process), list_(make_list(first, parts)) {}
    ~Helpers() {
        list().over.store(1, std::memory_order_relaxed); // relaxed: a hint
        for (const TaskHandle& task : tasks_)
            try {
                task.cancel();
                process_.holdings().observe(task.task());
            } catch (...) {
                // the session is over
            }
    }
    Helpers(const Helpers&) = delete;
    Helpers& operator=(const Helpers&) = delete;

    void send(std::uint32_t part, const Membership::Member& member) {
        const SyncScope::Hidden hidden;
        const StreamScope uncounted(0);
        const auto task = [list = list_](std::uint32_t number) {
            make_part(current(), list_of(list), number);
        };
        OutgoingTask outgoing(process_, member, true);
        outgoing.fail_silently();
        ship::HandleList handles;
        const std::size_t written = write_call(outgoing, handles, task, part);
        tasks_.push_back(TaskHandle::adopt(outgoing.send(written, handles)));
    }
    void make(std::uint32_t part) { make_part(process_, list(), part); }

    // Until every page is there, which needs nobody but the caller. False when the file system has
    // not got them.
    bool finish() {
        wait_for_beginnings();
        auto progress = os::Clock::now();
        for (std::size_t by_others = 0;;) {
            if (list().error.load(std::memory_order_relaxed) != 0) // relaxed: see make_piece
                return wait_for_those_at_work(), false;
            const std::size_t now_done = list().done();
            if (now_done == list().count)
                return true;
            const auto now = os::Clock::now();
            if (now_done - own_ != by_others) {
                by_others = now_done - own_;
                progress = now;
            }
            if (!take_over(which_after(now - progress)))
                std::this_thread::sleep_for(time_between_looks);
        }
    }

private:
    PieceList& list() const { return list_of(list_); }

    // Pieces end where extents do, so that they can be huge pages.
    ObjectHandle make_list(shm::Offset first, const std::vector<Part>& parts) {
        const std::size_t bytes = parts.back().first + parts.back().size;
        const std::size_t size =
            base::round_up(std::max(least_piece, bytes / most_pieces), shm::extent_size);
        std::size_t count = 0;
        for (const Part& part : parts)
            count += pieces_in(first + part.first, part.size, size);
        ObjectHandle made(PieceList::bytes_for(count), {.kind = object_kind::first_touch});
        PieceList& filled = list_of(made);
        filled.count = count;
        Piece* next = filled.pieces().data();
        for (std::uint32_t number = 0; number < parts.size(); ++number) {
            first_of_part_.push_back(static_cast<std::size_t>(next - filled.pieces().data()));
            shm::Offset at = first + parts[number].first;
            for (const shm::Offset end = at + parts[number].size; at < end; ++next) {
                next->first = at;
                next->size = std::min<std::size_t>(end, (at / size + 1) * size) - at;
                next->part = number;
                at += next->size;
            }
        }
        return made;
    }

    bool begun(std::size_t part) const {
        return list().pieces()[first_of_part_[part]].now() != PieceState::free;
    }
    void wait_for_beginnings() const {
        const auto end = os::Clock::now() + time_to_begin;
        for (std::size_t part = 0; part < first_of_part_.size() && os::Clock::now() < end;)
            if (begun(part))
                ++part;
            else
                std::this_thread::yield();
    }
    // After an error, so that what they make does not come when it has been taken away. Whoever is
    // stopped makes one piece later, which the next trim() finds.
    void wait_for_those_at_work() const {
        const auto end = os::Clock::now() + time_to_give_up;
        const auto at_work = [](const Piece& piece) { return piece.now() == PieceState::taken; };
        const auto all = list().pieces();
        while (std::any_of(all.begin(), all.end(), at_work) && os::Clock::now() < end)
            std::this_thread::sleep_for(time_between_looks);
    }

    enum class Which { not_begun, free, any };
    static Which which_after(os::Clock::duration silence) {
        if (silence < time_to_help)
            return Which::not_begun;
        return silence < time_to_give_up ? Which::free : Which::any;
    }
    // One piece, from the end: of a part that nobody has begun, or of any, or one that is not done,
    // since whoever is at it may be stopped, or dead.
    bool take_over(Which which) {
        const auto all = list().pieces();
        for (std::size_t i = all.size(); i-- > 0;) {
            const bool free = all[i].now() == PieceState::free &&
                              (which != Which::not_begun || !begun(all[i].part));
            const bool late = which == Which::any && all[i].now() != PieceState::done;
            if ((free && all[i].take()) || late) {
                make_piece(process_, list(), all[i], make_only);
                ++own_;
                return true;
            }
        }
        return false;
    }

    Process& process_;
    std::vector<std::size_t> first_of_part_; // before the list, which is made with it
    ObjectHandle list_;
    std::vector<TaskHandle> tasks_;
    std::size_t own_ = 0; // pieces that this side took over
};

// ------------------------------------------------------------------------------------------------
// Parts
// ------------------------------------------------------------------------------------------------

FirstTouch::FirstTouch(Process& process, std::span<const WorkerId> participants,
                       std::size_t elements, std::size_t element_bytes)
    : PageMaker(least_bytes), process_(process), participants_(participants), elements_(elements),
      element_bytes_(element_bytes) {}

bool FirstTouch::wants_fresh_pages() const noexcept { return os::node_count() > 1; }

bool FirstTouch::make_pages(shm::Offset first, std::size_t bytes) noexcept {
    try {
        const std::vector<Part> parts = parts_of(bytes);
        if (parts.empty())
            return false;
        if (os::node_count() > 1)
            place(first, parts);
        return share(first, parts);
    } catch (...) {
        return false; // no room for the list, or the session is over
    }
}

// The rule of `localindices`; what lies behind the elements goes with the last part.
std::vector<FirstTouch::Part> FirstTouch::parts_of(std::size_t bytes) const {
    const std::size_t count = std::min(participants_.size(), elements_);
    std::vector<Part> parts;
    const auto bound = [&](std::size_t part) {
        const std::size_t byte = part * (elements_ / count) * element_bytes_;
        return part == count ? bytes : std::min(bytes, byte / base::page_size * base::page_size);
    };
    for (std::size_t i = 0; i < count; ++i) {
        const auto member = process_.find_member(participants_[i]);
        if (bound(i) < bound(i + 1))
            parts.push_back({member.value_or(Membership::Member{}), bound(i),
                             bound(i + 1) - bound(i), member.has_value()});
    }
    return parts;
}

void FirstTouch::place(shm::Offset first, const std::vector<Part>& parts) const {
    for (const Part& part : parts) {
        if (!part.lives)
            continue;
        // relaxed: written before the member was one.
        const auto pid = process_.processes()
                             .area(part.member.owner.slot)
                             .os_pid.load(std::memory_order_relaxed);
        if (const auto node = os::node_of_process(static_cast<pid_t>(pid)))
            os::prefer_node(process_.segment().base() + first + part.first, part.size, *node);
    }
}

bool FirstTouch::share(shm::Offset first, const std::vector<Part>& parts) const {
    const auto helps = [&](const Part& part) {
        return part.lives && part.member.owner != process_.me() && is_idle(process_, part.member);
    };
    if (os::cpu_count() == 1 || process_.is_client() ||
        std::none_of(parts.begin(), parts.end(), helps))
        return false;
    Helpers helpers(process_, first, parts);
    for (std::uint32_t number = 0; number < parts.size(); ++number)
        if (helps(parts[number]) && has_room_for_a_call(process_))
            helpers.send(number, parts[number].member);
    for (std::uint32_t number = 0; number < parts.size(); ++number)
        if (parts[number].member.owner == process_.me())
            helpers.make(number);
    return helpers.finish();
}

} // namespace dshm::runtime
