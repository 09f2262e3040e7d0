// One call of `distributed`: which workers, which chunks, and the way to the values.
//
// A plain static loop is one task for each part, closure, part and value in its record. Every other
// loop is an object in shared memory that its participants claim chunks of (runtime/chunk_loop.hpp).
//
// For the library: distributed.hpp is the way in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "dshm/base/scope_guard.hpp"
#include "dshm/detail/loop_participant.hpp"
#include "dshm/detail/loop_values.hpp"
#include "dshm/detail/sent_callable.hpp"
#include "dshm/keywords.hpp"
#include "dshm/spawn.hpp"

namespace dshm::detail {

// Asks a task to stop that nobody will wait for; what it fails with is not printed.
void abandon(const runtime::TaskHandle& task) noexcept;

class LoopCall {
public:
    template <class... Ks>
    explicit LoopCall(std::size_t elements, const Ks&... keywords)
        : LoopCall(
              elements,
              Options{keyword_or<keyword::on>(OnKeyword{}, keywords...).ids,
                      keyword_or<keyword::schedule>(ScheduleKeyword{Schedule::static_}, keywords...)
                          .value,
                      keyword_or<keyword::chunk>(ChunkKeyword{0}, keywords...).size,
                      keyword_or<keyword::retries>(RetriesKeyword{0}, keywords...).count,
                      text_of(keyword_or<keyword::progress>(no_progress, keywords...))}) {}

    // The values of all chunks, in order. Waits.
    template <class Work, class Part>
    std::vector<typename Work::Result> values(const Work& work, const Part& parts) {
        const runtime::SyncScope::Hidden hidden;
        return is_plain<Work>() ? values_of_tasks(work, parts) : values_of_chunks(work, parts);
    }

    // The same of a loop that nobody else takes part in: what verification compares with.
    template <class Work, class Part>
    std::vector<typename Work::Result> values_here(const Work& work, const Part& parts) const {
        std::vector<typename Work::Result> values;
        for_each_chunk_here(parts, [&](std::size_t first, const auto& part) {
            values.push_back(Work(work).run(stream_, first, part));
        });
        return values;
    }
    template <class Work, class Part>
    void run_here(const Work& work, const Part& parts) const {
        for_each_chunk_here(parts, [&](std::size_t first, const auto& part) {
            Work(work).run(stream_, first, part);
        });
    }

    // Whether the last loop ran chunks again.
    bool repeated() const { return repeated_; }

    // Starts a loop without values. Throws what keeps it from being sent, once nobody works on it.
    template <class Work, class Part>
    Future<void> begin(const Work& work, const Part& parts) {
        return is_plain<Work>() ? begin_tasks(work, parts) : begin_chunks(work, parts);
    }

private:
    struct Options {
        std::vector<WorkerId> on;
        Schedule schedule;
        std::size_t chunk; // 0: as the schedule thinks best
        int retries;
        std::optional<std::string> progress; // the bar's text
    };
    struct NoProgress {
        using keyword = keyword::progress;
    };
    static constexpr NoProgress no_progress{};
    static std::optional<std::string> text_of(const NoProgress&) { return std::nullopt; }
    static std::optional<std::string> text_of(const ProgressKeyword& keyword) {
        return keyword.text;
    }

    LoopCall(std::size_t elements, Options options);

    template <class Part, class F>
    void for_each_chunk_here(const Part& parts, F&& f) const {
        const runtime::SyncScope::Hidden hidden;
        for (std::size_t chunk = 0; chunk < plan_.chunks; ++chunk) {
            const std::size_t first = starts_.first(chunk);
            f(first, here(part_of(parts, first, starts_.first(chunk + 1))));
        }
    }

    // A large closure is written once, for all.
    template <class Work>
    bool is_plain() const {
        return plain_ && !is_stored_once<Work>;
    }

    // ---- a task for each part -------------------------------------------------------------------

    template <class Work, class Part>
    auto send_part(const Work& work, const Part& parts, std::size_t part) {
        const std::size_t first = starts_.first(part);
        return start_call(members_[part], work, stream_, first,
                          part_of(parts, first, starts_.first(part + 1)));
    }

    template <class Work, class Part>
    std::vector<typename Work::Result> values_of_tasks(const Work& work, const Part& parts) {
        using R = typename Work::Result;
        std::vector<std::optional<Future<R>>> futures(plan_.chunks);
        base::ScopeGuard stop([&] {
            for (auto& future : futures)
                if (future)
                    abandon(future->handle());
        });
        const std::size_t mine = part_here();
        {
            const runtime::StreamScope uncounted(stream_);
            for (std::size_t part = 0; part < plan_.chunks; ++part)
                if (part != mine)
                    futures[part] = send_part(work, parts, part);
        }
        std::optional<R> own;
        const std::exception_ptr own_failure = mine == none ? nullptr : failure_here([&] {
            const std::size_t first = starts_.first(mine);
            own.emplace(Work(work).run(stream_, first,
                                       here(part_of(parts, first, starts_.first(mine + 1)))));
        });
        for (auto& future : futures)
            if (future)
                future->handle().wait();
        stop.dismiss();
        std::vector<R> values;
        values.reserve(plan_.chunks);
        for (std::size_t part = 0; part < plan_.chunks; ++part) {
            if (part == mine && own_failure)
                std::rethrow_exception(own_failure);
            values.push_back(part == mine ? std::move(*own) : futures[part]->get());
        }
        return values;
    }

    template <class Work, class Part>
    Future<void> begin_tasks(const Work& work, const Part& parts) {
        const runtime::StreamScope uncounted(stream_);
        std::vector<runtime::TaskHandle> tasks;
        tasks.reserve(plan_.chunks);
        try {
            for (std::size_t part = 0; part < plan_.chunks; ++part)
                tasks.push_back(send_part(work, parts, part).handle());
        } catch (...) {
            for (const runtime::TaskHandle& task : tasks)
                abandon(task);
            runtime::TaskEnds(std::move(tasks)).wait_regardless();
            throw;
        }
        return Future<void>::of_loop(std::make_shared<runtime::TaskEnds>(std::move(tasks)));
    }

    // ---- chunks for whoever claims them ---------------------------------------------------------

    template <class Work, class Part>
    runtime::ChunkLoop::Setup set_up(const Work& work, const Part& parts) {
        using R = typename Work::Result;
        constexpr bool travels = !std::is_void_v<typename Participation<Work, Part>::Result>;
        ship::Sizer sizer;
        write_loop(sizer, work, parts, plan_);
        const std::size_t payload = sizer.written();
        runtime::ChunkLoop::Setup setup = set_up(payload, result_size<R>(), travels);
        const runtime::LoopChunks chunks(setup.loop.address());
        ship::Writer writer(chunks.payload(), payload);
        writer.list_handles(&setup.handles);
        write_loop(writer, work, parts, plan_);
        setup.send = &send_participant<Work, Part>;
        return setup;
    }
    runtime::ChunkLoop::Setup set_up(std::size_t payload, std::size_t result_size, bool travels);

    void show_progress(runtime::ChunkLoop::Setup& setup) const;

    template <class R>
    static constexpr std::size_t result_size() {
        if constexpr (std::is_void_v<R>)
            return 0;
        else
            return lies_in_chunks<R> ? sizeof(R) : 0;
    }

    template <class Work, class Part>
    std::vector<typename Work::Result> values_of_chunks(const Work& work, const Part& parts) {
        using R = typename Work::Result;
        using Part_ = Participation<Work, Part>;
        runtime::ChunkLoop loop(process_, set_up(work, parts));
        base::ScopeGuard stop([&] { loop.abandon(); });
        [[maybe_unused]] ChunkValues<R> own;
        if (const auto mine = loop.start(runtime::ChunkLoop::Here::runs))
            loop.end_here(*mine, failure_here([&] {
                if constexpr (lies_in_chunks<R>)
                    Part_(loop.chunks(), *mine).run();
                else
                    own = Part_(loop.chunks(), *mine).run();
            }));
        loop.wait_until(os::Clock::time_point::max());
        stop.dismiss();
        repeated_ = loop.repeated();
        if (const auto failure = loop.first_failure())
            std::rethrow_exception(failure);
        if constexpr (lies_in_chunks<R>)
            return values_in<R>(loop.chunks());
        else
            return values_of<R>(loop, std::move(own));
    }

    template <class Work, class Part>
    Future<void> begin_chunks(const Work& work, const Part& parts) {
        runtime::ChunkLoop::Setup setup = set_up(work, parts);
        const auto loop = std::make_shared<runtime::ChunkLoop>(process_, std::move(setup));
        try {
            loop->start(runtime::ChunkLoop::Here::is_sent);
        } catch (...) {
            loop->wait_regardless(); // who was sent may have begun
            throw;
        }
        runtime::SyncScope::note(loop);
        return Future<void>::of_loop(loop);
    }

    static constexpr std::size_t none = ~std::size_t{0};
    // The part that this process runs while others run theirs.
    std::size_t part_here() const;

    runtime::Process& process_;
    Options options_;
    std::vector<runtime::Membership::Member> members_;
    runtime::LoopPlan plan_;
    runtime::ChunkStarts starts_;
    std::uint64_t stream_;
    bool plain_;
    bool repeated_ = false;
};

} // namespace dshm::detail
