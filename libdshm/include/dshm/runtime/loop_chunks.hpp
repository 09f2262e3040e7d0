// A loop's chunks in shared memory: who runs which, and what came of it.
//
//   0        48        56            64        72             80       88        96       104       112 … 128
//   | plan   | results | result size | payload | payload size | stream | travels | caller | watched |
//   128      136       144 … 256
//   | next   | elements done |
//   256      264 … 384
//   | stopped |
//   384                               results           payload
//   | chunk words, 8 bytes each … | results … | closure, and what it runs over … |
//
//   chunk word    63           48 47          16 15       4 3     0
//                 |      0       | participant  | attempt  | phase |
//
//   FREE(a) → CLAIMED(a, p) → DONE(a, p) | FAILED(a, p)
//      ↑___________|______________|            p's task ended with its process: FREE(a + 1)
//
// A participant is one task of the loop; its number names it for ever, so a claim names its claimant
// in one atomic write. Only p makes the step out of CLAIMED(p), while its task runs; once that has
// ended with its process the loop's caller takes back what p had (take_back). `next` only hints
// where to look: chunks below it may be free again, and whoever is sent after a death looks from
// the start.
//
// The object belongs to the loop's caller and to the participants' processes, which hold it like any
// other (object_handle.hpp), so it outlives whichever of them dies. A participant that dies leaves
// its chunk CLAIMED; one that finds the caller gone begins no other chunk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "dshm/base/bits.hpp"
#include "dshm/runtime/loop_plan.hpp"
#include "dshm/shm/word.hpp"

namespace dshm::runtime {

enum class ChunkPhase : std::uint8_t { free = 0, claimed, done, failed };

struct ChunkState {
    ChunkPhase phase = ChunkPhase::free;
    std::uint16_t attempt = 0; // how often a process has died over it; 12 bits
    std::uint32_t participant = 0;

    constexpr std::uint64_t bits() const {
        return std::uint64_t(phase) | std::uint64_t(attempt & most_attempts) << 4 |
               std::uint64_t{participant} << 16;
    }
    static constexpr ChunkState from_bits(std::uint64_t bits) {
        return {static_cast<ChunkPhase>(bits & 0xf),
                static_cast<std::uint16_t>((bits >> 4) & most_attempts),
                static_cast<std::uint32_t>(bits >> 16)};
    }
    static constexpr std::uint16_t most_attempts = 0xfff;
    friend constexpr bool operator==(const ChunkState&, const ChunkState&) = default;
};

// Sizes are in bytes, offsets from the head.
struct alignas(64) LoopHead {
    LoopPlan plan;
    std::uint64_t results;     // where the first chunk's result lies
    std::uint64_t result_size; // of each
    std::uint64_t payload;     // closure and elements
    std::uint64_t payload_size;
    std::uint64_t stream;  // of random numbers: task_stream.hpp
    std::uint64_t travels; // 1: results go with the participants' tasks
    std::uint64_t caller;  // shm::Owner
    std::uint64_t watched; // 1: somebody looks at elements_done
    std::uint64_t reserved[2];
    shm::Word64 next;          // hint: the chunks below have been claimed before
    shm::Word64 elements_done; // while watched
    std::uint64_t reserved_too[14];
    shm::Word64 stopped;
    std::uint64_t reserved_last[15];
};

static_assert(sizeof(LoopPlan) == 48, "the layout comment above");
static_assert(sizeof(LoopHead) == 384 && offsetof(LoopHead, next) == 128 &&
                  offsetof(LoopHead, stopped) == 256,
              "what everybody claims by, and what everybody reads, lie on lines of their own");

// One task of a loop.
struct Participant {
    std::uint32_t number = 0; // never used again in this loop
    std::uint32_t lane = 0;
    bool from_the_start = false; // sent after a death: does not trust the hint
};

class LoopChunks {
public:
    // A view of the object's bytes.
    explicit LoopChunks(void* memory) : head_(static_cast<LoopHead*>(memory)) {}

    static std::size_t bytes(const LoopPlan& plan, std::size_t result_size, std::size_t payload) {
        return payload_offset(plan, result_size) + payload;
    }
    // Writes the head of a new object, all of whose bytes are zero.
    void lay_out(const LoopPlan& plan, std::size_t result_size, std::size_t payload_size) const;

    LoopHead& head() const { return *head_; }
    const LoopPlan& plan() const { return head_->plan; }
    std::byte* payload() const { return bytes_at(head_->payload); }
    std::byte* result(std::size_t chunk) const {
        return bytes_at(head_->results + chunk * head_->result_size);
    }

    // acquire, edge `chunk-done`: whoever sees DONE sees the result.
    ChunkState state(std::size_t chunk) const {
        return ChunkState::from_bits(word(chunk).load(std::memory_order_acquire));
    }
    // FREE → CLAIMED(p). False when somebody else was faster.
    bool claim(std::size_t chunk, const Participant& p) const;
    // CLAIMED(p) → DONE or FAILED: the commit of a chunk. The result lies in its place before.
    void finish(std::size_t chunk, const Participant& p, ChunkPhase phase) const;

    // No chunk is begun any more.
    void stop() const { head_->stopped.store(1, std::memory_order_release); }
    bool stopped() const { return head_->stopped.load(std::memory_order_acquire) != 0; }

    // What the end of a participant's process did to its chunks.
    struct Loss {
        std::size_t chunks = 0; // free again
        std::optional<std::size_t>
            last_straw; // the first one that was lost more often than allowed
    };
    // For the caller, once p's task has ended with its process: its chunks are FREE again, those
    // that were lost more than `retries` times before FAILED. Results that travel with the task are
    // lost with it. O(chunks).
    Loss take_back(const Participant& p, int retries) const;
    bool all_done(std::uint32_t lane) const;
    bool all_done() const;

private:
    static constexpr std::size_t alignment = 64;
    static std::size_t results_offset(const LoopPlan& plan) {
        return base::round_up(sizeof(LoopHead) + plan.chunks * sizeof(shm::Word64), alignment);
    }
    static std::size_t payload_offset(const LoopPlan& plan, std::size_t result_size) {
        return base::round_up(results_offset(plan) + plan.chunks * result_size, alignment);
    }

    std::byte* bytes_at(std::uint64_t offset) const {
        return reinterpret_cast<std::byte*>(head_) + offset;
    }
    shm::Word64& word(std::size_t chunk) const {
        return reinterpret_cast<shm::Word64*>(head_ + 1)[chunk];
    }

    LoopHead* head_;
};

// The chunks that one participant gets, one after another.
class ChunkCursor {
public:
    ChunkCursor(const LoopChunks& chunks, const Participant& participant);

    // Claims the next one. Nothing when none is left for this participant, or the loop was stopped.
    std::optional<std::size_t> claim();

private:
    void give_hint() const;
    void take_hint();

    LoopChunks chunks_;
    Participant participant_;
    std::size_t at_;
    std::size_t end_;
    std::size_t stride_;
    bool may_trust_hint_;
};

} // namespace dshm::runtime
