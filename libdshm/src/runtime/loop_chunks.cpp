#include "dshm/runtime/loop_chunks.hpp"

#include <algorithm>

namespace dshm::runtime {

namespace {

struct Lane {
    std::size_t first;
    std::size_t end;
    std::size_t stride;
};

Lane lane_of(const LoopPlan& plan, std::uint32_t lane) {
    return plan.owners == LoopLanes::dealt ? Lane{lane, plan.chunks, plan.lanes}
                                           : Lane{0, plan.chunks, 1};
}

// Words of chunks on one line: the hint is moved when a line is full, not for every chunk.
constexpr std::size_t chunks_of_a_line = 8;

} // namespace

void LoopChunks::lay_out(const LoopPlan& plan, std::size_t result_size,
                         std::size_t payload_size) const {
    head_->plan = plan;
    head_->results = results_offset(plan);
    head_->result_size = result_size;
    head_->payload = payload_offset(plan, result_size);
    head_->payload_size = payload_size;
}

bool LoopChunks::claim(std::size_t chunk, const Participant& p) const {
    // relaxed: nothing is read on the strength of FREE; the closure and the elements were written
    // before the participant's task was sent (edge `task-queued`).
    const ChunkState now = ChunkState::from_bits(word(chunk).load(std::memory_order_relaxed));
    if (now.phase != ChunkPhase::free)
        return false;
    std::uint64_t expected = now.bits();
    // relaxed on failure: somebody else has it.
    return word(chunk).compare_exchange(
        expected, ChunkState{ChunkPhase::claimed, now.attempt, p.number}.bits(),
        std::memory_order_acq_rel, std::memory_order_relaxed);
}

void LoopChunks::finish(std::size_t chunk, const Participant& p, ChunkPhase phase) const {
    // relaxed: the claimant's own word, which nobody else changes while its task runs.
    const ChunkState mine = ChunkState::from_bits(word(chunk).load(std::memory_order_relaxed));
    // release, edge `chunk-done`.
    word(chunk).store(ChunkState{phase, mine.attempt, p.number}.bits(), std::memory_order_release);
}

LoopChunks::Loss LoopChunks::take_back(const Participant& p, int retries) const {
    Loss loss;
    for (std::size_t chunk = 0; chunk < plan().chunks; ++chunk) {
        const ChunkState now = state(chunk);
        const bool lost = now.phase == ChunkPhase::claimed ||
                          (now.phase == ChunkPhase::done && head_->travels != 0);
        if (!lost || now.participant != p.number)
            continue;
        const bool again = now.attempt < std::min<int>(retries, ChunkState::most_attempts);
        const auto attempt = static_cast<std::uint16_t>(now.attempt + again);
        const ChunkPhase phase = again ? ChunkPhase::free : ChunkPhase::failed;
        // release: a later claimant's results come after what the dead one may have left there.
        word(chunk).store(ChunkState{phase, attempt, p.number}.bits(), std::memory_order_release);
        if (again)
            ++loss.chunks;
        else if (!loss.last_straw)
            loss.last_straw = chunk;
    }
    return loss;
}

bool LoopChunks::all_done(std::uint32_t lane) const {
    const Lane mine = lane_of(plan(), lane);
    for (std::size_t chunk = mine.first; chunk < mine.end; chunk += mine.stride)
        if (state(chunk).phase != ChunkPhase::done)
            return false;
    return true;
}

bool LoopChunks::all_done() const {
    for (std::size_t chunk = 0; chunk < plan().chunks; ++chunk)
        if (state(chunk).phase != ChunkPhase::done)
            return false;
    return true;
}

ChunkCursor::ChunkCursor(const LoopChunks& chunks, const Participant& participant)
    : chunks_(chunks), participant_(participant) {
    const Lane lane = lane_of(chunks.plan(), participant.lane);
    at_ = lane.first;
    end_ = lane.end;
    stride_ = lane.stride;
    may_trust_hint_ = chunks.plan().owners == LoopLanes::shared && !participant.from_the_start;
}

std::optional<std::size_t> ChunkCursor::claim() {
    for (; at_ < end_; at_ += stride_) {
        if (chunks_.stopped())
            return std::nullopt;
        if (chunks_.claim(at_, participant_)) {
            const std::size_t mine = at_;
            at_ += stride_;
            if (may_trust_hint_ && at_ % chunks_of_a_line == 0)
                give_hint();
            return mine;
        }
        if (may_trust_hint_)
            take_hint();
    }
    return std::nullopt;
}

// relaxed, both: a hint.
void ChunkCursor::give_hint() const {
    shm::Word64& next = chunks_.head().next;
    if (next.load(std::memory_order_relaxed) < at_)
        next.store(at_, std::memory_order_relaxed);
}
void ChunkCursor::take_hint() {
    const std::size_t next = chunks_.head().next.load(std::memory_order_relaxed);
    at_ = std::max(at_, next == 0 ? 0 : next - stride_);
}

} // namespace dshm::runtime
