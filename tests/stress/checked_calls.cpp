// Calls and futures of CheckedWork; see checked_work.hpp.
#include "checked_work.hpp"

namespace dshm::test {

void CheckedWork::small_calls() {
    constexpr std::size_t number = 40;
    const Cells ran(number);
    std::vector<Future<long>> futures;
    for (std::size_t i = 0; i < number; ++i)
        futures.push_back(spawn([ran, i] {
            ran.mark(i);
            return 3L * static_cast<long>(i);
        }));
    for (std::size_t i = 0; i < number; ++i)
        check_once(*ledger_, ran, i, gives(futures[i], 3L * static_cast<long>(i)));
}

// Arguments and results in heap blocks of many sizes, to anybody and to one process.
void CheckedWork::block_calls() {
    constexpr std::size_t number = 12;
    const Cells ran(number);
    std::vector<Future<std::vector<long>>> vectors(number);
    std::vector<Future<std::string>> texts;
    std::vector<std::vector<long>> expected(number);
    std::vector<bool> sent_off;
    for (std::size_t i = 0; i < number; ++i) {
        std::vector<long> numbers(below(5000));
        std::iota(numbers.begin(), numbers.end(), static_cast<long>(i));
        const auto twice = [ran, i](std::vector<long> values) {
            ran.mark(i);
            for (long& value : values)
                value *= 2;
            return values;
        };
        const bool sent = survives([&] {
            vectors[i] = i % 2 == 0 ? spawn(twice, numbers) : spawn_at(somebody(), twice, numbers);
        });
        for (long& value : numbers)
            value *= 2;
        if (!sent)
            vectors[i].put(numbers);
        sent_off.push_back(sent);
        expected[i] = std::move(numbers);
        texts.push_back(spawn([i](const std::string& text) { return text + std::to_string(i); },
                              std::string(300 + 100 * i, 'x')));
    }
    for (std::size_t i = 0; i < number; ++i) {
        const bool completed = gives(vectors[i], expected[i]);
        check_once(*ledger_, ran, i, completed && sent_off[i]);
        gives(texts[i], std::string(300 + 100 * i, 'x') + std::to_string(i));
    }
}

namespace {

// A binary tree of tasks that wait for their children. Gives the number of leaves.
long grow(const Cells& ran, std::size_t node, int depth) {
    ran.mark(node);
    if (depth == 0)
        return 1;
    const Future<long> left = spawn([ran, node, depth] { return grow(ran, 2 * node, depth - 1); });
    const Future<long> right =
        spawn([ran, node, depth] { return grow(ran, 2 * node + 1, depth - 1); });
    return left.get() + right.get();
}

} // namespace

void CheckedWork::tree() {
    constexpr int depth = 5;
    const Cells ran(std::size_t{1} << (depth + 1));
    const bool completed = gives(spawn([ran] { return grow(ran, 1, depth); }), 1L << depth);
    for (std::size_t node = 1; node < ran.size(); ++node)
        check_once(*ledger_, ran, node, completed);
}

// Futures that belong to somebody and that somebody else puts; others wait for them.
void CheckedWork::promises() {
    constexpr std::size_t number = 6;
    const Cells put_by(number);
    for (std::size_t i = 0; i < number; ++i)
        survives([&] {
            const Future<std::string> promise(below(2) == 0 ? 1 : somebody());
            const std::string text(i % 2 == 0 ? 10 : 1000, 'p');
            const Future<bool> producer = spawn([promise, put_by, text_size = text.size(), i] {
                try {
                    promise.put(std::string(text_size, 'p'));
                } catch (const std::logic_error&) {
                    return false; // its owner has ended
                }
                put_by.mark(i);
                return true;
            });
            std::vector<Future<std::string>> readers;
            for (int reader = 0; reader < 3; ++reader)
                readers.push_back(spawn([promise] { return promise.get(); }));
            if (!survives([&] { producer.wait(); }))
                try {
                    promise.put(text);
                } catch (const std::logic_error&) {
                    // it had put it, or the owner has ended
                }
            gives(promise, text);
            for (const auto& reader : readers)
                gives(reader, text);
            check_once(*ledger_, put_by, i, false);
        });
}

// Results that nobody but other tasks holds any more when they come.
void CheckedWork::chains() {
    std::vector<Future<std::string>> last;
    for (int chain = 0; chain < 8; ++chain) {
        Future<std::string> link = spawn([chain] { return std::to_string(chain); });
        for (int i = 0; i < 4; ++i)
            link = spawn([link] { return link.get() + std::string(40, '-'); });
        last.push_back(link);
    }
    for (int chain = 0; chain < 8; ++chain)
        gives(last[static_cast<std::size_t>(chain)], std::to_string(chain) + std::string(160, '-'));
}

// Cancelled before, while or after they run.
void CheckedWork::cancelled() {
    constexpr std::size_t number = 20;
    const Cells ran(number);
    std::vector<Future<int>> futures;
    for (std::size_t i = 0; i < number; ++i)
        futures.push_back(spawn([ran, i] {
            ran.mark(i);
            sleep_for(std::chrono::microseconds(50));
            return static_cast<int>(i);
        }));
    for (std::size_t i = 0; i < number; i += 1 + below(3))
        futures[i].cancel();
    for (std::size_t i = 0; i < number; ++i) {
        bool completed = false;
        survives([&] {
            try {
                expect(futures[i].get(), static_cast<int>(i), "a wrong value after cancel");
                completed = true;
            } catch (const InterruptException&) {
            }
        });
        check_once(*ledger_, ran, i, completed);
    }
}

void CheckedWork::any_of_many() {
    std::vector<Future<long>> futures;
    for (long i = 0; i < 10; ++i)
        futures.push_back(spawn([i] {
            if (i % 3 == 0)
                sleep_for(std::chrono::microseconds(100));
            return i;
        }));
    std::vector<long> expected(10);
    std::iota(expected.begin(), expected.end(), 0L);
    while (!futures.empty()) {
        const auto first = static_cast<std::ptrdiff_t>(wait_any(futures));
        gives(futures[static_cast<std::size_t>(first)], expected[static_cast<std::size_t>(first)]);
        futures.erase(futures.begin() + first);
        expected.erase(expected.begin() + first);
    }
}

void CheckedWork::synced() {
    constexpr std::size_t number = 30;
    const Cells ran(number);
    const bool completed = survives([&] {
        sync([&] {
            for (std::size_t i = 0; i < number; ++i)
                spawn([ran, i] { ran.mark(i); });
        });
    });
    for (std::size_t i = 0; i < number; ++i)
        check_once(*ledger_, ran, i, completed);
}

} // namespace dshm::test
