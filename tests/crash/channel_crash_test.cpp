// A worker that puts into a channel, takes from it, closes or drops it dies at each touch of a shared word.
// What it had put is there, in order and once; what it had not quite taken goes to the next.
#include <string>

#include "support/crash_recovery.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

using Victim = CrashStage::Victim;

// Messages that lie in cells, and those that lie in blocks. Number n, of the master (from 0) or of the
// victim (from 100).
template <class T>
T message(int number);
template <>
int message<int>(int number) {
    return number;
}
template <>
std::string message<std::string>(int number) {
    return std::string(number % 2 == 0 ? 20 : 3000, 'a') + std::to_string(number);
}

template <class T>
int number_of(const T& text);
template <>
int number_of(const int& number) {
    return number;
}
template <>
int number_of(const std::string& text) {
    const std::size_t digits = text.find_last_not_of("0123456789") + 1;
    const int number = std::stoi(text.substr(digits));
    demand(text == message<std::string>(number), "a whole message");
    return number;
}

// All that is there, which the victim and the master have put in this order, each once.
template <class T>
std::vector<int> drain(const RemoteChannel<T>& channel) {
    std::vector<int> taken;
    while (const auto value = channel.try_take())
        taken.push_back(number_of(*value));
    return taken;
}

// Of the messages first, first + 1, ... the last ones; or the first ones.
void check_run(const std::vector<int>& taken, int first, int count, int at_least, bool from_end) {
    std::vector<int> run;
    for (const int number : taken)
        if (number >= first && number < first + count)
            run.push_back(number);
    REQUIRE(static_cast<int>(run.size()) >= at_least);
    REQUIRE(static_cast<int>(run.size()) <= count);
    const int start = from_end ? first + count - static_cast<int>(run.size()) : first;
    for (std::size_t i = 0; i < run.size(); ++i)
        REQUIRE(run[i] == start + static_cast<int>(i));
}

// The master has put four, the victim takes two of them and puts five. `Before` of them lie in the channel
// first, so that the victim is the one for whom the channel grows.
template <class T, std::size_t Capacity, int Before>
struct PutAndTake {
    std::optional<RemoteChannel<T>> channel;
    std::optional<Future<int>> done;

    void before(CrashStage&, const Victim& victim) {
        channel.emplace(Capacity);
        for (int i = 0; i < Before; ++i)
            channel->put(message<T>(i));
        done = spawn_at(victim.id, [channel = *channel] {
            start_dying();
            channel.put(message<T>(1000));
            int taken = number_of(channel.take());
            channel.put(message<T>(1001));
            taken = 10'000 * taken + number_of(channel.take());
            for (int i = 2; i < 5; ++i)
                channel.put(message<T>(1000 + i));
            return taken;
        });
    }
    void victim(CrashStage&) { work(1); }
    void after(CrashStage&, bool died) {
        const bool ended = resolves(*done, [](int taken) { return taken == 1; });
        const std::vector<int> taken = drain(*channel);
        // One that was taken went with the taker, or the death came before that.
        check_run(taken, 0, Before, Before - 2, true);
        check_run(taken, 1000, 5, ended ? 5 : 0, false);
        REQUIRE((died || ended));
        // It works as before.
        for (int i = 0; i < 4; ++i)
            REQUIRE(channel->try_put(message<T>(i)));
        REQUIRE(drain(*channel) == std::vector<int>{0, 1, 2, 3});
        *this = {};
    }
};

// Messages that bring arrays and futures along: what they hold is held by nobody else.
struct HandlesInMessages {
    using Message = std::vector<SharedArray<double>>;
    std::optional<RemoteChannel<Message>> channel;
    std::optional<Future<double>> done;

    static SharedArray<double> array(double value) {
        SharedArray<double> made(100);
        made[0] = value;
        return made;
    }
    void before(CrashStage&, const Victim& victim) {
        channel.emplace(4);
        channel->put({array(1), array(2)});
        done = spawn_at(victim.id, [channel = *channel] {
            start_dying();
            channel.put({array(3)});
            return channel.take()[0][0];
        });
    }
    void victim(CrashStage&) { work(1); }
    void after(CrashStage& stage, bool died) {
        const bool ended = resolves(*done, [](double value) { return value == 1; });
        REQUIRE((died || ended));
        std::vector<double> values;
        while (const auto arrays = channel->try_take())
            for (const auto& each : *arrays)
                values.push_back(each[0]);
        const bool right = values.empty() || values == std::vector<double>{1, 2} ||
                           values == std::vector<double>{1, 2, 3} ||
                           values == std::vector<double>{3};
        REQUIRE(right);
        *this = {};
        stage.account();
    }
};

// Closed by the victim, without and with an exception; others close it as well.
template <bool WithException>
struct Closing {
    std::optional<RemoteChannel<std::string>> channel;
    std::optional<Future<void>> done;

    void before(CrashStage&, const Victim& victim) {
        channel.emplace(unlimited);
        channel->put("one");
        done = spawn_at(victim.id, [channel = *channel] {
            start_dying();
            if constexpr (WithException)
                channel.close(std::out_of_range(std::string(5000, 'e')));
            else
                channel.close();
        });
    }
    void victim(CrashStage&) { work(1); }
    void after(CrashStage&, bool died) {
        const bool ended = resolves(*done, [] { return true; });
        REQUIRE((died || ended));
        REQUIRE((!ended || !channel->isopen()));
        REQUIRE(channel->take() == "one");
        if (channel->isopen()) {
            channel->put("two");
            REQUIRE(channel->take() == "two");
            channel->close();
        }
        try {
            channel->take();
            REQUIRE(false);
        } catch (const InvalidStateException&) {
            REQUIRE((died || !WithException));
        } catch (const std::out_of_range& closed) {
            REQUIRE(WithException);
        }
        REQUIRE_THROWS(channel->put("three"));
        *this = {};
    }
};

// A rendezvous. The master's putter waits, with its message in sight, and the victim takes that.
template <class T>
struct TakingFromAPutter {
    std::optional<RemoteChannel<T>> channel;
    std::optional<Future<void>> put;
    std::optional<Future<int>> taken;

    void before(CrashStage& stage, const Victim& victim) {
        stage.master().scheduler().allow_setting_aside();
        channel.emplace(0);
        put = spawn_at(1, [channel = *channel] { channel.put(message<T>(3)); });
        work(1);
        REQUIRE(channel->isready());
        REQUIRE(!put->isready());
        taken = spawn_at(victim.id, [channel = *channel] {
            start_dying();
            return number_of(channel.take());
        });
    }
    void victim(CrashStage&) { work(1); }
    void after(CrashStage&, bool died) {
        const bool ended = resolves(*taken, [](int number) { return number == 3; });
        REQUIRE((died || ended));
        const std::vector<int> left = drain(*channel); // it is there again, or went with the victim
        REQUIRE((left.empty() || (left == std::vector<int>{3} && !ended)));
        put->get();
        *this = {};
    }
};

// Nobody waits for what the victim puts: it takes that back. If it dies in between, another may get it.
template <class T>
struct PuttingForNobody {
    std::optional<RemoteChannel<T>> channel;
    std::optional<Future<bool>> put;

    void before(CrashStage&, const Victim& victim) {
        channel.emplace(0);
        put = spawn_at(victim.id, [channel = *channel] {
            start_dying();
            return channel.try_put(message<T>(5));
        });
    }
    void victim(CrashStage&) { work(1); }
    void after(CrashStage&, bool died) {
        const bool ended = resolves(*put, [](bool was_put) { return !was_put; });
        REQUIRE((died || ended));
        const std::vector<int> left = drain(*channel);
        REQUIRE((left.empty() || (left == std::vector<int>{5} && !ended)));
        REQUIRE(!channel->try_put(message<T>(6)));
        REQUIRE(channel->isempty());
        *this = {};
    }
};

// Both are tasks of the victim, each of which waits for the other.
template <class T>
struct MeetingOneself {
    std::optional<RemoteChannel<T>> channel;
    std::optional<Future<int>> done;

    void before(CrashStage&, const Victim& victim) {
        channel.emplace(0);
        done = spawn_at(victim.id, [channel = *channel] {
            runtime::current().scheduler().allow_setting_aside();
            start_dying();
            const auto put = spawn_at(myid(), [channel] { channel.put(message<T>(7)); });
            const int number = number_of(channel.take());
            put.get();
            return number;
        });
    }
    void victim(CrashStage&) { work(2); }
    void after(CrashStage&, bool died) {
        const bool ended = resolves(*done, [](int number) { return number == 7; });
        REQUIRE((died || ended));
        const std::vector<int> left = drain(*channel);
        REQUIRE((left.empty() || (left == std::vector<int>{7} && !ended)));
        *this = {};
    }
};

// Made and dropped by the victim, with messages in it; found by its name, and the last that holds it.
struct MakingAndDropping {
    std::optional<Future<int>> done;

    void before(CrashStage&, const Victim& victim) {
        RemoteChannel<std::string> last(3);
        last.put(message<std::string>(1));
        last.put(message<std::string>(2));
        done = spawn_at(victim.id, [last] {
            start_dying();
            RemoteChannel<std::string> own(unlimited);
            own.put(message<std::string>(3));
            const auto copy = own;
            const auto named = RemoteChannel<int>::create("a name", 8);
            RemoteChannel<int>::open("a name").put(4);
            return named.take();
        });
    }
    void victim(CrashStage&) { work(1); }
    void after(CrashStage&, bool died) {
        const bool ended = resolves(*done, [](int value) { return value == 4; });
        REQUIRE((died || ended));
        done.reset();
        REQUIRE_THROWS_AS(RemoteChannel<int>::open("a name"), std::out_of_range);
    }
};

// The victim owns a channel, and another is bound to it.
struct Owning {
    std::optional<RemoteChannel<int>> owned, bound;

    void before(CrashStage&, const Victim& victim) {
        owned.emplace(2, victim.id);
        bound.emplace(2);
        bound->bind(victim.id);
        bound->put(1);
        spawn_at(victim.id, [owned = *owned, bound = *bound] {
            start_dying();
            owned.put(1);
            bound.put(2);
            owned.take();
        });
    }
    void victim(CrashStage&) { work(1); }
    void after(CrashStage&, bool) { // it has ended in any case
        REQUIRE_THROWS_AS(owned->take(), ProcessExitedException);
        REQUIRE(bound->take() == 1);
        std::vector<int> taken;
        try {
            for (;;)
                taken.push_back(bound->take());
        } catch (const ProcessExitedException&) {
        }
        REQUIRE((taken.empty() || taken == std::vector<int>{2}));
        *this = {};
    }
};

} // namespace

TEST_CASE("a death over a bounded channel of plain messages") {
    kill_everywhere<PutAndTake<int, 16, 4>>();
}
TEST_CASE("a death over a bounded channel of messages in blocks") {
    kill_everywhere<PutAndTake<std::string, 16, 4>>();
}
TEST_CASE("a death over an unlimited channel") {
    kill_everywhere<PutAndTake<std::string, unlimited, 4>>();
}
TEST_CASE("a death while an unlimited channel grows") {
    kill_everywhere<PutAndTake<int, unlimited, 254>>();
    kill_everywhere<PutAndTake<std::string, unlimited, 255>>(5);
}
TEST_CASE("a death over messages that bring handles along") {
    kill_everywhere<HandlesInMessages>();
}
TEST_CASE("a death over a rendezvous, by the one who takes") {
    kill_everywhere<TakingFromAPutter<int>>();
    kill_everywhere<TakingFromAPutter<std::string>>();
}
TEST_CASE("a death over a rendezvous, by one whom nobody meets") {
    kill_everywhere<PuttingForNobody<int>>();
    kill_everywhere<PuttingForNobody<std::string>>();
}
TEST_CASE("a death over a rendezvous, by both") {
    kill_everywhere<MeetingOneself<int>>();
    kill_everywhere<MeetingOneself<std::string>>();
}
TEST_CASE("a death while a channel is closed") {
    kill_everywhere<Closing<false>>();
    kill_everywhere<Closing<true>>();
}
TEST_CASE("a death while channels are made and dropped") { kill_everywhere<MakingAndDropping>(); }
TEST_CASE("a death of the owner of a channel") { kill_everywhere<Owning>(); }
TEST_CASE("burials of those who worked on channels are stopped and begun again") {
    interrupt_burials<PutAndTake<std::string, 16, 4>>(150);
    interrupt_burials<HandlesInMessages>(150);
    interrupt_burials<Closing<true>>(60);
    interrupt_burials<Owning>(100);
    interrupt_burials<TakingFromAPutter<std::string>>(60);
    interrupt_burials<MeetingOneself<std::string>>(150);
}
TEST_CASE("at each place that victims have passed, one has died") { check_places(); }
