// RemoteChannel between tasks: small messages against Boost.Interprocess' message_queue between bare forked processes, and
// large ones there and back against Open MPI.
//
// The ring without the channel around it, against other rings: channel_ring_bench.
#include <dshm/dshm.hpp>

#include "support/comparison.hpp"
#include "support/peers.hpp"

#include <boost/interprocess/ipc/message_queue.hpp>
#include <sys/wait.h>
#include <unistd.h>

#include <numeric>

namespace {

namespace ipc = boost::interprocess;
using Numbers = dshm::RemoteChannel<long>;

constexpr std::size_t capacity = 1024;

long put_numbers(const Numbers& channel, long count) {
    for (long i = 0; i < count; ++i)
        channel.put(i);
    return count;
}

long take_numbers(const Numbers& channel, long count) {
    long sum = 0;
    for (long i = 0; i < count; ++i)
        sum += channel.take();
    return sum;
}

/// Seconds a message from so many producing tasks to so many consuming ones, on workers in turn.
double through_channel(int pairs, long count) {
    const Numbers channel(capacity);
    const std::vector<dshm::WorkerId> ids = dshm::workers();
    long sum = 0;
    const double seconds = bench::seconds_of([&] {
        std::vector<dshm::Future<long>> takers, putters;
        for (int i = 0; i < pairs; ++i) {
            const auto at = [&](int n) { return ids[static_cast<std::size_t>(n) % ids.size()]; };
            takers.push_back(dshm::spawn_at(at(2 * i), take_numbers, channel, count));
            putters.push_back(dshm::spawn_at(at(2 * i + 1), put_numbers, channel, count));
        }
        for (const auto& taker : takers)
            sum += dshm::fetch(taker);
    });
    bench::require(sum == pairs * (count * (count - 1) / 2), "messages were lost or doubled");
    return seconds / static_cast<double>(pairs * count);
}

/// The same over message_queue, between forked processes.
double through_message_queue(int pairs, long count) {
    const std::string name = "dshm_bench." + std::to_string(getpid());
    ipc::message_queue::remove(name.c_str());
    ipc::message_queue queue(ipc::create_only, name.c_str(), capacity, sizeof(long));
    const auto start = bench::Clock::now();
    for (int i = 0; i < pairs; ++i)
        if (fork() == 0) {
            for (long n = 0; n < count; ++n)
                queue.send(&n, sizeof n, 0);
            _exit(0);
        }
    for (int i = 1; i < pairs; ++i)
        if (fork() == 0) {
            long n = 0;
            ipc::message_queue::size_type size = 0;
            unsigned priority = 0;
            for (long k = 0; k < count; ++k)
                queue.receive(&n, sizeof n, size, priority);
            _exit(0);
        }
    long n = 0;
    ipc::message_queue::size_type size = 0;
    unsigned priority = 0;
    for (long k = 0; k < count; ++k)
        queue.receive(&n, sizeof n, size, priority);
    for (int i = 1; i < 2 * pairs; ++i)
        wait(nullptr);
    const std::chrono::duration<double> time = bench::Clock::now() - start;
    ipc::message_queue::remove(name.c_str());
    return time.count() / static_cast<double>(pairs * count);
}

void compare_small(bench::Program& program, const char* name, int pairs, double wanted) {
    const long count = program.size(1'000'000L, 1'000L), fewer = program.size(100'000L, 100L);
    program.compare(name)
        .rounds(15)
        .counted_in("messages")
        .subject(
            "RemoteChannel", [=] { return through_channel(pairs, count); }, 1 / wanted)
        .peer(
            "message_queue", [=] { return through_message_queue(pairs, fewer); }, 10);
}

/// Seconds for a vector there and back.
bench::Turn echo(std::size_t bytes, int trips) {
    return [=] {
        using Values = dshm::RemoteChannel<std::vector<double>>;
        const Values there(1), back(1);
        const auto other = dshm::spawn_at(dshm::workers().front(), [there, back] {
            for (const std::vector<double>& values : there)
                back.put(values);
        });
        std::vector<double> values(bytes / sizeof(double), 1.0);
        there.put(values);
        back.take(); // warm
        const double seconds = bench::seconds_of([&] {
            for (int i = 0; i < trips; ++i) {
                there.put(values);
                values = back.take();
            }
        });
        bench::require(std::accumulate(values.begin(), values.end(), 0.0) ==
                           static_cast<double>(values.size()),
                       "wrong values");
        there.close();
        other.wait();
        return seconds / trips;
    };
}

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    bench::Program program(argc, argv);
    dshm::addprocs(4);
    const auto openmpi = bench::start_openmpi_ping_pong();

    compare_small(program, "channel/one_to_one", 1, 50e6);
    compare_small(program, "channel/two_to_two", 2, 15e6);
    for (const std::size_t bytes : {std::size_t{64} << 10, std::size_t{4} << 20}) {
        const int trips = program.size(bytes > 1'000'000 ? 40 : 1'000, 2);
        auto& large = program.compare("channel/" + std::to_string(bytes >> 10) + "_KiB_and_back");
        large.rounds(15).subject("RemoteChannel", echo(bytes, trips));
        if (openmpi)
            large.peer("Open MPI",
                       bench::asking(*openmpi, std::to_string(trips) + " " + std::to_string(bytes)),
                       1);
    }
    return program.run();
}
