// Loops and maps of CheckedWork; see checked_work.hpp.
#include "checked_work.hpp"

namespace dshm::test {

void CheckedWork::loops() {
    constexpr std::size_t number = 2000;
    const Cells ran(number);
    const auto body = [ran](long i) {
        ran.mark(static_cast<std::size_t>(i));
        return i;
    };
    const long end = static_cast<long>(number);
    const long sum = end * (end - 1) / 2;
    const std::size_t kind = below(4);
    const bool completed = survives([&] {
        long total = sum;
        if (kind == 0)
            total = distributed(std::plus<>{}, range(0, end), body);
        else if (kind == 1)
            total = distributed(std::plus<>{}, range(0, end), body, schedule(Schedule::dynamic));
        else if (kind == 2)
            total = distributed(std::plus<>{}, range(0, end), body, schedule(Schedule::guided));
        else
            distributed(range(0, end), body).wait();
        expect(total, sum, "a wrong sum of a loop");
    });
    for (std::size_t i = 0; i < number; ++i)
        check_once(*ledger_, ran, i, completed);
}

// Repeating is allowed: at least once, and at most as often as asked for.
void CheckedWork::loops_with_retries() {
    constexpr std::size_t number = 1500;
    constexpr int retries_each = 30;
    const Cells ran(number);
    const long end = static_cast<long>(number);
    const bool completed = survives([&] {
        const long total = distributed(
            std::plus<>{}, range(0, end),
            [ran](long i) {
                ran.mark(static_cast<std::size_t>(i));
                return i;
            },
            schedule(below(2) == 0 ? Schedule::dynamic : Schedule::guided), retries(retries_each));
        expect(total, end * (end - 1) / 2, "a wrong sum of a loop with retries");
    });
    for (std::size_t i = 0; i < number; ++i) {
        if (ran.count(i) > 1 + retries_each)
            ledger_->breach(ledger_->doubled, "an iteration ran more often than allowed");
        if (completed && ran.count(i) == 0)
            ledger_->breach(ledger_->lost, "an iteration of a loop with retries");
    }
}

void CheckedWork::maps() {
    constexpr std::size_t number = 600;
    const Cells ran(number);
    std::vector<int> elements(number);
    std::iota(elements.begin(), elements.end(), 0);
    const bool completed = survives([&] {
        const std::vector<std::string> results = pmap(
            [ran](int i) {
                ran.mark(static_cast<std::size_t>(i));
                return std::to_string(i) + std::string(static_cast<std::size_t>(i) % 100, 'r');
            },
            elements, batch_size(1 + below(20)));
        for (std::size_t i = 0; i < number; ++i)
            expect(results[i], std::to_string(i) + std::string(i % 100, 'r'),
                   "a wrong result of a map");
    });
    for (std::size_t i = 0; i < number; ++i)
        check_once(*ledger_, ran, i, completed);
}

// Elements whose worker died are tried again, or are given up with a value of the handler's.
void CheckedWork::maps_with_handlers() {
    constexpr std::size_t number = 400;
    const Cells ran(number);
    std::vector<int> elements(number);
    std::iota(elements.begin(), elements.end(), 0);
    const std::vector<std::chrono::microseconds> delays(20, std::chrono::microseconds(10));
    const auto work = [ran](int i) {
        ran.mark(static_cast<std::size_t>(i));
        return 5 * i;
    };
    std::size_t given_up = 0;
    const bool completed = survives([&] {
        std::vector<int> results;
        if (below(2) == 0)
            results = pmap(work, elements, retry_delays(delays));
        else
            results = pmap(work, elements, on_error([&](const std::exception& error) {
                               if (dynamic_cast<const ProcessExitedException*>(&error) == nullptr)
                                   ledger_->breach(ledger_->corrupt, error.what());
                               return -1;
                           }));
        for (std::size_t i = 0; i < number; ++i)
            if (results[i] == -1)
                ++given_up;
            else
                expect(results[i], 5 * static_cast<int>(i), "a wrong result of a map");
    });
    for (std::size_t i = 0; given_up == 0 && completed && i < number; ++i)
        if (ran.count(i) == 0)
            ledger_->breach(ledger_->lost, "an element of a map");
    if (!deaths_allowed_ && given_up != 0)
        ledger_->breach(ledger_->false_deaths, "an element was given up");
}

} // namespace dshm::test
