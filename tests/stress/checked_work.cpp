#include "checked_work.hpp"

namespace dshm::test {

void check_once(Ledger& ledger, const Cells& cells, std::size_t i, bool completed) {
    const int count = cells.count(i);
    if (count > 1)
        ledger.breach(ledger.doubled,
                      "task " + std::to_string(i) + " ran " + std::to_string(count) + " times");
    if (completed && count == 0)
        ledger.breach(ledger.lost, "task " + std::to_string(i) + " has a value and never ran");
}

void CheckedWork::judge(const std::exception_ptr& failure) {
    try {
        std::rethrow_exception(failure);
    } catch (const ProcessExitedException& error) {
        ++ledger_->deaths_seen;
        if (!deaths_allowed_)
            ledger_->breach(ledger_->false_deaths, error.what());
    } catch (const CompositeException& error) {
        for (const auto& one : error.exceptions())
            judge(one);
    } catch (const std::exception& error) {
        // The launcher has been killed: whoever called has no session any more.
        if (std::string_view(error.what()).find("the session has ended") != std::string_view::npos)
            throw;
        ledger_->breach(ledger_->corrupt, std::string("another exception: ") + error.what());
    }
}

void CheckedWork::step(unsigned kind) {
    struct Kind {
        const char* name;
        void (CheckedWork::*run)();
    };
    static constexpr Kind table[kinds] = {
        {"small calls", &CheckedWork::small_calls},
        {"calls with blocks", &CheckedWork::block_calls},
        {"nested calls", &CheckedWork::tree},
        {"futures that somebody puts", &CheckedWork::promises},
        {"futures that are sent on", &CheckedWork::chains},
        {"cancelled calls", &CheckedWork::cancelled},
        {"wait_any", &CheckedWork::any_of_many},
        {"channels", &CheckedWork::channels},
        {"loops", &CheckedWork::loops},
        {"loops with retries", &CheckedWork::loops_with_retries},
        {"maps", &CheckedWork::maps},
        {"maps with handlers", &CheckedWork::maps_with_handlers},
        {"pools", &CheckedWork::pools},
        {"arrays", &CheckedWork::arrays},
        {"operations of arrays", &CheckedWork::array_operations},
        {"everywhere", &CheckedWork::everywhere_once},
        {"shared values", &CheckedWork::shared_values},
        {"sync", &CheckedWork::synced},
    };
    ledger_->doing = table[kind].name;
    (this->*table[kind].run)();
    ++ledger_->progress;
}

} // namespace dshm::test
