// One pmap under way: what has been sent, what has come back, what must be sent again.
//
// The caller's thread alone works on it. Everything that can fail here ends in the same two places:
// `settle`, for one element, and `fail`, for the map. When it is left by an exception, what has not
// begun is taken back and what runs is told to stop. Private to the map.
#pragma once

#include <algorithm>
#include <exception>
#include <optional>
#include <utility>
#include <vector>

#include "dshm/detail/map_call.hpp"
#include "dshm/detail/map_handlers.hpp"
#include "dshm/detail/map_pieces.hpp"
#include "dshm/detail/map_queue.hpp"
#include "dshm/detail/map_results.hpp"
#include "dshm/detail/sent_callable.hpp"
#include "dshm/runtime/failure.hpp"
#include "dshm/runtime/map_plan.hpp"
#include "dshm/runtime/sync_scope.hpp"

namespace dshm::detail {

template <class F, class Input, class Handlers>
class MapRun {
    using Piece = typename Input::Piece;
    using R = typename Input::template CallOf<F>::Result;
    using Time = os::Clock::time_point;
    struct Batch {
        runtime::SentBatch sent;
        Piece piece;
    };

public:
    // `stream` is that of the map's random numbers.
    MapRun(const F& f, Input& input, Handlers handlers, runtime::MapPlan plan, std::uint64_t stream)
        : process_(runtime::current()), f_(f), input_(input), queue_(input),
          handlers_(std::move(handlers)), plan_(std::move(plan)), stream_(stream) {
        if (const auto size = input.size())
            results_.expect(*size);
    }
    MapRun(const MapRun&) = delete;
    MapRun& operator=(const MapRun&) = delete;
    ~MapRun() {
        for (const Batch& batch : under_way_)
            batch.sent.abandon();
    }

    // An element has failed, or may have been run twice.
    bool disturbed() const { return disturbed_; }

    // on_progress(n) is called now and then with the number of elements that are done.
    template <class Progress>
    decltype(auto) run(Progress&& on_progress) {
        const runtime::SyncScope::Hidden hidden;
        const runtime::StreamScope scope(stream_); // the number of batches is nobody's business
        for (;;) {
            fill();
            if (under_way_.empty() && !queue_.has_delayed())
                break;
            if (const auto ended = wait())
                receive(*ended);
            on_progress(done_);
        }
        if (failure_)
            std::rethrow_exception(failure_);
        return results_.take();
    }

private:
    // ---- sending -------------------------------------------------------------------------------

    // Gives every worker what it can take.
    void fill() {
        out_of_memory_ = false;
        filled_ = os::Clock::now();
        while (!failure_ && !out_of_memory_) {
            if (!plan_.anybody())
                return give_up_on_rest();
            const auto worker = plan_.next_worker();
            if (!worker)
                return;
            Piece piece = next_piece(*worker);
            if (piece.count == 0)
                return;
            send(*worker, std::move(piece));
        }
    }

    // What comes next, or for a worker with nothing to do, some of another one's. Empty if there is
    // nothing. What the collections throw is the map's failure.
    Piece next_piece(std::size_t worker) {
        try {
            Piece piece = queue_.take(plan_.batch(queue_.left()));
            if (piece.count == 0 && plan_.idle(worker))
                piece = take_back(worker);
            return piece;
        } catch (...) {
            fail(std::current_exception());
            return {};
        }
    }
    Piece take_back(std::size_t worker) {
        const Time now = os::Clock::now();
        for (std::size_t at = 0; at < under_way_.size(); ++at) {
            Batch& batch = under_way_[at];
            if (batch.sent.worker() == worker || batch.sent.ripe() > now)
                continue;
            if (batch.sent.withdraw())
                return remove(at).piece;
            if (plan_.mode() == runtime::BatchMode::whole)
                continue;
            if (const std::size_t n = batch.sent.take_back(runtime::SentBatch::Share::half))
                return Input::part(batch.piece, batch.sent.count(), n);
        }
        return {};
    }

    void send(std::size_t worker, Piece piece) {
        try {
            const runtime::TaskRef task = send_batch(plan_.member(worker), piece);
            refs_.reserve(under_way_.size() + 1);
            under_way_.push_back(
                {{runtime::TaskHandle::adopt(task), worker, piece.count}, std::move(piece)});
            refs_.push_back(task);
            plan_.note_sent(worker);
        } catch (const SharedMemoryExhausted&) {
            if (under_way_.empty())
                return not_sent(std::move(piece), std::current_exception());
            queue_.again(std::move(piece)); // until a batch has ended
            out_of_memory_ = true;
        } catch (...) {
            if (runtime::stop_requested())
                throw;
            if (process_.processes().alive(plan_.member(worker).owner))
                return not_sent(std::move(piece), std::current_exception());
            gone_ = std::current_exception();
            plan_.note_gone(process_, worker);
            queue_.again(std::move(piece));
        }
    }
    runtime::TaskRef send_batch(const runtime::Membership::Member& target, const Piece& piece) {
        runtime::OutgoingTask task(process_, target, true);
        runtime::BatchClaims(process_.tasks(), task.task()).open(piece.count);
        ship::Sizer sizer;
        write(sizer, piece);
        const ship::Footprint need = sizer.footprint();
        ship::HandleList handles;
        ship::Writer writer(task.begin(Input::template function_of<F>(), need), need.size);
        writer.list_handles(&handles);
        write(writer, piece);
        return task.send(writer.written(), handles);
    }
    void write(ship::Writer& writer, const Piece& piece) const {
        const runtime::BatchHeader header{
            stream_, piece.first, static_cast<std::uint32_t>(piece.count), plan_.mode(),
            handlers_.any() ? runtime::BatchErrors::are_handled : runtime::BatchErrors::end_it};
        f_.write(writer);
        ship::encode(writer, header);
        input_.write(writer, piece);
    }

    // An element of the piece cannot be encoded.
    void not_sent(Piece piece, std::exception_ptr error) {
        if (!handlers_.any())
            fail(error);
        else if (piece.count == 1)
            settle(std::move(piece), error);
        else
            queue_.again_one_by_one(std::move(piece));
    }
    // No worker is left for what has not been sent.
    void give_up_on_rest() {
        while (!failure_) {
            Piece piece = queue_.take_any(1);
            if (piece.count == 0)
                return;
            settle(std::move(piece), gone_, Handlers::Retry::pointless);
        }
    }

    // ---- receiving -----------------------------------------------------------------------------

    // Until a batch has ended (its place), or it is time to look around.
    std::optional<std::size_t> wait() {
        Time until = queue_.next_due();
        if (until <= filled_ && !under_way_.empty())
            until = Time::max(); // nobody could take it: not before a batch has ended
        if (!failure_ && plan_.somebody_idle()) {
            const Time now = os::Clock::now();
            for (const Batch& batch : under_way_)
                if (batch.sent.ripe() > now)
                    until = std::min(until, batch.sent.ripe());
        }
        runtime::AnyTask any(process_, refs_);
        const bool ended = process_.scheduler().wait_until(any, until);
        return ended ? std::optional(any.ended()) : std::nullopt;
    }

    Batch remove(std::size_t at) {
        Batch batch = std::move(under_way_[at]);
        under_way_.erase(under_way_.begin() + static_cast<std::ptrdiff_t>(at));
        refs_.erase(refs_.begin() + static_cast<std::ptrdiff_t>(at));
        plan_.note_ended(batch.sent.worker());
        return batch;
    }

    void receive(std::size_t at) {
        Batch batch = remove(at);
        process_.holdings().read(batch.sent.task().task(), [&](const runtime::ResultView& result) {
            if (result.phase != runtime::TaskPhase::failed)
                keep(batch, result);
            else if (result.form == runtime::ResultForm::exited)
                died(batch, runtime::failure_of(result));
            else
                not_sent(all_of(batch), runtime::failure_of(result));
        });
    }
    static Piece all_of(Batch& batch) { return Input::part(batch.piece, 0, batch.sent.count()); }

    void keep(Batch& batch, const runtime::ResultView& result) {
        ship::Reader reader(result.bytes.data(), result.bytes.size());
        const auto reply = ship::decode<runtime::BatchReply>(reader);
        const auto failures = ship::decode<std::vector<runtime::ElementFailure>>(reader);
        ArrivedValues<R> values(reader);
        plan_.note_speed(reply);
        std::size_t next = 0;
        const auto land_until = [&](std::size_t end) {
            if (end > next)
                results_.land(batch.piece.first + next, end - next, values);
            done_ += end - next;
        };
        for (const auto& [index, record] : failures) {
            land_until(index);
            next = index + 1;
        }
        land_until(reply.done);
        for (const auto& [index, record] : failures)
            settle(Input::part(batch.piece, index, 1), ship::rebuild(record));
        if (reply.done < batch.sent.count())
            send_again(Input::part(batch.piece, reply.done, batch.sent.count() - reply.done));
    }

    // Its worker has ended. What it had not begun was never run; what it had finished is lost.
    void died(Batch& batch, std::exception_ptr error) {
        gone_ = error;
        disturbed_ = true;
        plan_.note_gone(process_, batch.sent.worker());
        const auto running = batch.sent.element_at_death();
        if (!running)
            return send_again(all_of(batch));
        if (!handlers_.any() && !process_.restarts_workers())
            return fail(error);
        const std::size_t count = batch.sent.count();
        if (count == 0)
            return; // all was taken back
        const std::size_t at = std::min(*running, count - 1);
        send_again(Input::part(batch.piece, at + 1, count - at - 1));
        send_again(Input::part(batch.piece, 0, at));
        Piece one = Input::part(batch.piece, at, 1);
        if (process_.restarts_workers() && ++one.deaths < runtime::most_attempts)
            send_again(std::move(one));
        else
            settle(std::move(one), error);
    }
    void send_again(Piece piece) {
        if (!failure_)
            queue_.again(std::move(piece));
    }

    // ---- failures ------------------------------------------------------------------------------

    // An attempt at one element has failed.
    void settle(Piece one, std::exception_ptr error,
                typename Handlers::Retry retry = Handlers::Retry::possible) {
        disturbed_ = true;
        if (failure_)
            return;
        auto verdict = handlers_.judge(error, one.attempt, retry);
        if (verdict.value) {
            if constexpr (std::is_void_v<R>)
                results_.land(one.first);
            else
                results_.land(one.first, std::move(*verdict.value));
            ++done_;
        } else if (verdict.again_after) {
            ++one.attempt;
            queue_.again_after(*verdict.again_after, std::move(one));
        } else {
            fail(verdict.failure);
        }
    }
    // The map has failed: nothing else is started, and what runs is waited for.
    void fail(std::exception_ptr error) {
        if (failure_)
            return;
        failure_ = error;
        queue_.clear();
        for (std::size_t at = under_way_.size(); at-- > 0;)
            if (under_way_[at].sent.withdraw())
                remove(at);
            else
                under_way_[at].sent.take_back(runtime::SentBatch::Share::all);
    }

    runtime::Process& process_;
    SentCallable<F> f_;
    const Input& input_;
    MapQueue<Input> queue_;
    Handlers handlers_;
    runtime::MapPlan plan_;
    std::uint64_t stream_;
    std::vector<Batch> under_way_;
    Time filled_{};
    std::vector<runtime::TaskRef> refs_; // of under_way_, for the wait
    MapResults<R> results_;
    std::size_t done_ = 0;
    bool out_of_memory_ = false;
    bool disturbed_ = false;
    std::exception_ptr failure_;
    std::exception_ptr gone_; // how the last worker ended that did
};

} // namespace dshm::detail
