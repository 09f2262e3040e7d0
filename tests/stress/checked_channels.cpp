// Channels of CheckedWork; see checked_work.hpp.
#include "checked_work.hpp"

namespace dshm::test {

namespace {

// Message k of producer p, and back. A message that is not whole throws.
constexpr std::size_t messages_each = 60;

template <class T>
struct Message;
template <>
struct Message<long> {
    static long make(std::size_t number) { return static_cast<long>(number); }
    static std::size_t number(long message) { return static_cast<std::size_t>(message); }
};
template <>
struct Message<std::string> {
    static std::string make(std::size_t number) {
        return std::to_string(number) + ":" + std::string(20 + number % 7 * 300, 'm');
    }
    static std::size_t number(const std::string& message) {
        const std::size_t number = std::stoul(message);
        if (message != make(number))
            throw std::runtime_error("a damaged message");
        return number;
    }
};
template <>
struct Message<SharedArray<long>> {
    static SharedArray<long> make(std::size_t number) {
        SharedArray<long> array(10);
        array[9] = static_cast<long>(number);
        return array;
    }
    static std::size_t number(const SharedArray<long>& message) {
        return static_cast<std::size_t>(message[9]);
    }
};

// What consumers have taken: how often each message, and how many after later ones of their producer.
struct Taken {
    Cells messages, late{1};

    explicit Taken(std::size_t producers) : messages(producers * messages_each) {}
    std::size_t producers() const { return messages.size() / messages_each; }
};

// What a consumer has seen of each producer: its messages come in their order.
template <class T>
class Intake {
public:
    explicit Intake(const Taken& taken) : taken_(taken), last_(taken.producers(), -1) {}
    void operator()(const T& message) {
        const std::size_t number = Message<T>::number(message);
        if (number >= taken_.messages.size())
            throw std::runtime_error("a message that nobody sent");
        taken_.messages.mark(number);
        long& last = last_[number / messages_each];
        const auto at = static_cast<long>(number % messages_each);
        if (at <= last)
            taken_.late.mark(0);
        last = std::max(last, at);
    }

private:
    Taken taken_;
    std::vector<long> last_;
};

template <class T>
bool produce(const RemoteChannel<T>& channel, std::size_t producer) {
    for (std::size_t k = 0; k < messages_each; ++k)
        channel.put(Message<T>::make(producer * messages_each + k));
    return true;
}

template <class T>
bool consume(const RemoteChannel<T>& channel, const Taken& taken) {
    Intake<T> intake(taken);
    try {
        for (;;)
            intake(channel.take());
    } catch (const InvalidStateException&) {
        return true;
    }
}

// Messages that were put and that nobody has: all of a producer that came to its end, and those before the
// last one seen of any other.
std::size_t missing(const Cells& taken, std::size_t producer, bool completed) {
    const std::size_t first = producer * messages_each;
    std::size_t end = completed ? messages_each : 0;
    for (std::size_t k = 0; k < messages_each; ++k)
        if (taken.count(first + k) != 0)
            end = std::max(end, k);
    std::size_t count = 0;
    for (std::size_t k = 0; k < end; ++k)
        count += taken.count(first + k) == 0;
    return count;
}

} // namespace

// Producers and consumers anywhere, and the master as one more consumer until all is drained. A message
// may be missing, or come after later ones, for each consumer that died with one in its hand.
template <class T>
void CheckedWork::exchange(const RemoteChannel<T>& channel, bool rendezvous) {
    const std::size_t producers = 1 + below(3), consumers = below(3);
    const Taken taken(producers);
    std::vector<Future<bool>> producing, consuming;
    for (std::size_t i = 0; i < std::max(producers, consumers); ++i) {
        const WorkerId one = some_worker(), other = some_worker();
        if (i < producers && one != 1)
            survives([&] {
                const std::size_t number = producing.size();
                producing.push_back(
                    spawn_at(one, [channel, number] { return produce(channel, number); }));
            });
        if (i < consumers && other != 1)
            survives([&] {
                consuming.push_back(
                    spawn_at(other, [channel, taken] { return consume(channel, taken); }));
            });
    }
    Intake<T> intake(taken);
    const bool whole = survives([&] {
        const auto all_ended = [&] {
            return std::all_of(producing.begin(), producing.end(),
                               [](const auto& future) { return future.isready(); });
        };
        while (!all_ended())
            if (auto message = channel.take_for(std::chrono::milliseconds(1)))
                intake(*message);
        channel.close();
        if (rendezvous)
            return;
        try {
            for (;;)
                intake(channel.take());
        } catch (const InvalidStateException&) {
        }
    });
    if (!whole)
        try {
            channel.close();
        } catch (const ProcessExitedException&) {
        }
    std::size_t dead_consumers = 0, gone = 0;
    for (const auto& consumer : consuming)
        dead_consumers += !gives(consumer, true);
    for (std::size_t i = 0; i < producing.size(); ++i)
        gone += missing(taken.messages, i, gives(producing[i], true));
    if (whole && gone > dead_consumers)
        ledger_->breach(ledger_->lost, std::to_string(gone) + " messages, and " +
                                           std::to_string(dead_consumers) + " consumers ended");
    const auto late = static_cast<std::size_t>(taken.late.count(0));
    if (late > dead_consumers)
        ledger_->breach(ledger_->corrupt, std::to_string(late) +
                                              " messages after later ones, and " +
                                              std::to_string(dead_consumers) + " consumers ended");
    for (std::size_t i = 0; i < taken.messages.size(); ++i)
        check_once(*ledger_, taken.messages, i, false);
}

// These tasks wait for others that somebody has to begin. A thread of the master other than the first one runs
// tasks on top of its waits, where one could keep the other from going on: so they go to workers alone.
void CheckedWork::channels() {
    if (some_worker() == 1)
        return;
    const std::size_t capacities[] = {0, 1, 3, 16, 200, unlimited};
    const std::size_t capacity = capacities[below(6)];
    survives([&] {
        const WorkerId owner = below(3) == 0 ? somebody() : 1;
        switch (below(3)) {
        case 0:
            exchange(RemoteChannel<long>(capacity, owner), capacity == 0);
            break;
        case 1:
            exchange(RemoteChannel<std::string>(capacity, owner), capacity == 0);
            break;
        default:
            exchange(RemoteChannel<SharedArray<long>>(capacity, owner), capacity == 0);
        }
    });
}

} // namespace dshm::test
