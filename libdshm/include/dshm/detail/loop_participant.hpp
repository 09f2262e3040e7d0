// The participants of a loop in chunks: what is written for them, and what they do.
//
// For the library: distributed.hpp is the way in.
#pragma once

#include <cstdint>
#include <cstring>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "dshm/detail/loop_range.hpp"
#include "dshm/detail/loop_work.hpp"
#include "dshm/runtime/call.hpp"
#include "dshm/runtime/chunk_loop.hpp"
#include "dshm/ship/parameters.hpp"

namespace dshm::detail {

// ---- the payload of a loop in chunks ------------------------------------------------------------
//
//   | closure | parts |                 where a part is computed from the whole: Range, ArrayPart
//   | closure | offsets | part 0 | …    where each chunk's elements are sent: a container

template <class Part>
inline constexpr bool sent_in_chunks = false;
template <class Iterator>
inline constexpr bool sent_in_chunks<ship::Slice<Iterator>> = true;

// Writes it, or counts.
template <class Work, class Part>
void write_loop(ship::Writer& writer, const Work& work, const Part& parts,
                const runtime::LoopPlan& plan) {
    ship::write_closure(writer, work);
    if constexpr (!sent_in_chunks<Part>) {
        ship::encode(writer, parts);
    } else {
        const runtime::ChunkStarts starts(plan);
        std::byte* const offsets = writer.reserve(plan.chunks * sizeof(std::size_t), 8);
        for (std::size_t chunk = 0; chunk < plan.chunks; ++chunk) {
            writer.reserve(0, ship::block_alignment);
            const std::size_t offset = writer.written();
            if (offsets != nullptr)
                std::memcpy(offsets + chunk * sizeof offset, &offset, sizeof offset);
            ship::encode(writer, part_of(parts, starts.first(chunk), starts.first(chunk + 1)));
        }
    }
}

// Gives the parts of the chunks out of it.
template <class Part>
class LoopParts {
public:
    LoopParts(ship::Reader& reader, const runtime::LoopChunks&, const runtime::ChunkStarts& starts)
        : whole_(ship::decode<Part>(reader)), starts_(&starts) {}
    Part part(std::size_t chunk) const {
        return part_of(whole_, starts_->first(chunk), starts_->first(chunk + 1));
    }

private:
    Part whole_;
    const runtime::ChunkStarts* starts_;
};
template <class Iterator>
class LoopParts<ship::Slice<Iterator>> {
public:
    LoopParts(ship::Reader& reader, const runtime::LoopChunks& chunks, const runtime::ChunkStarts&)
        : chunks_(chunks), offsets_(reader.take(chunks.plan().chunks * sizeof(std::size_t), 8)) {}
    ArrivedPart<ship::Slice<Iterator>> part(std::size_t chunk) const {
        std::size_t offset;
        std::memcpy(&offset, offsets_ + chunk * sizeof offset, sizeof offset);
        ship::Reader reader(chunks_.payload() + offset, chunks_.head().payload_size - offset);
        return ship::decode<ArrivedPart<ship::Slice<Iterator>>>(reader);
    }

private:
    runtime::LoopChunks chunks_;
    const std::byte* offsets_;
};

// ---- participants -------------------------------------------------------------------------------

// Results of this kind lie beside the chunks; others go with the participant's task.
template <class R>
inline constexpr bool lies_in_chunks = ship::Bitwise<R> && sizeof(R) <= 4096 &&
                                       alignof(R) <= ship::block_alignment;

template <class R>
struct ChunkValue {
    std::size_t chunk;
    R value;
};
template <class R>
using ChunkValues = std::vector<std::pair<std::size_t, R>>;
template <class R>
struct ParticipantResult {
    using type = ChunkValues<R>;
};
template <class R>
requires(std::is_void_v<R> || lies_in_chunks<R>) struct ParticipantResult<R> {
    using type = void;
};

inline bool caller_lives(const runtime::LoopChunks& chunks) {
    return runtime::current().processes().alive(
        shm::Owner::from_bits(static_cast<std::uint32_t>(chunks.head().caller)));
}

// Runs chunks until none is left for this participant.
template <class Work, class Part>
class Participation {
public:
    using R = typename Work::Result;
    using Result = typename ParticipantResult<R>::type;

    Participation(runtime::LoopChunks chunks, const runtime::Participant& me)
        : chunks_(chunks), me_(me), starts_(chunks.plan()),
          reader_(chunks.payload(), chunks.head().payload_size),
          work_(ship::read_closure<Work>(reader_)), parts_(reader_, chunks, starts_) {}

    Result run() {
        runtime::ChunkCursor cursor(chunks_, me_);
        if constexpr (std::is_void_v<Result>) {
            while (const auto chunk = next(cursor))
                attempt(*chunk, [&] { run_in_place(*chunk); });
            count_bytes();
        } else {
            Result values;
            while (const auto chunk = next(cursor))
                attempt(*chunk, [&] { values.emplace_back(*chunk, run_chunk(*chunk)); });
            return values;
        }
    }

private:
    std::optional<std::size_t> next(runtime::ChunkCursor& cursor) const {
        return caller_lives(chunks_) ? cursor.claim() : std::nullopt;
    }

    template <class F>
    void attempt(std::size_t chunk, F&& f) {
        try {
            f();
        } catch (...) {
            chunks_.finish(chunk, me_, runtime::ChunkPhase::failed);
            throw;
        }
        chunks_.finish(chunk, me_, runtime::ChunkPhase::done);
        ++done_;
    }
    // Of values that lie beside the chunks.
    void count_bytes() const {
        runtime::Process& process = runtime::current();
        if (process.me().bits() != chunks_.head().caller)
            process.counters().add(runtime::Count::bytes_returned,
                                   done_ * chunks_.head().result_size);
    }

    R run_chunk(std::size_t chunk) {
        return work_.run(chunks_.head().stream, starts_.first(chunk), parts_.part(chunk),
                         Pieces(chunks_.head()));
    }
    void run_in_place(std::size_t chunk) {
        if constexpr (std::is_void_v<R>)
            run_chunk(chunk);
        else
            ::new (static_cast<void*>(chunks_.result(chunk))) R(run_chunk(chunk));
    }

    runtime::LoopChunks chunks_;
    runtime::Participant me_;
    runtime::ChunkStarts starts_;
    ship::Reader reader_;
    Work work_;
    LoopParts<Part> parts_;
    std::size_t done_ = 0;
};

// The task of a participant.
template <class Work, class Part>
struct TakePart {
    runtime::ObjectHandle loop;

    auto operator()(const runtime::Participant& me) const {
        using Taken = Participation<Work, Part>;
        const runtime::LoopChunks chunks(loop.address());
        if (!caller_lives(chunks)) // and with it perhaps what the closure holds
            return typename Taken::Result();
        return Taken(chunks, me).run();
    }
};

template <class Work, class Part>
runtime::TaskRef
send_participant(runtime::Process& process, const runtime::Membership::Member& member,
                 const runtime::ObjectHandle& loop, const runtime::Participant& participant) {
    return runtime::send_call_once(process, member, TakePart<Work, Part>{loop}, participant);
}

} // namespace dshm::detail
