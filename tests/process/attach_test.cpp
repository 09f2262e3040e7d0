// Programs that attach themselves to a session: what they can do, what they cannot, and how they end.
//
// Here they are forked children that have no session of their own; attach.py starts real ones.

#include <signal.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <complex>
#include <functional>
#include <map>
#include <thread>

#include "dshm/attach.hpp"
#include "dshm/launch/join_word.hpp"
#include "dshm/os/file_lock.hpp"
#include "dshm/runtime/first_touch.hpp"
#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;
using namespace std::chrono_literals;
using launch::JoinWord;
using runtime::LifePhase;

namespace {

std::string here() { return runtime::current().segment().link_name(); }

// A child that is attached to the session of that name while it runs `body`.
template <class Body>
pid_t start_client(const std::string& session, Body&& body) {
    return start_child([&] {
        Client client = attach(session);
        body(client);
    });
}
template <class Body>
void run_client(Body&& body) {
    DEMAND(left_well(wait_for(start_client(here(), body))));
}

unsigned rows_in(LifePhase phase) {
    unsigned rows = 0;
    runtime::ProcessTable& table = runtime::current().processes();
    table.for_each_backed([&](unsigned slot, runtime::ProcessArea&) {
        rows += table.life(slot).phase == phase ? 1u : 0u;
    });
    return rows;
}

// What a session holds when no program has anything of it.
struct Holdings {
    std::size_t objects = counters().objects;
    std::uint64_t blocks = runtime::current().heap().statistics().blocks_in_use;
    unsigned attached = rows_in(LifePhase::attached) + rows_in(LifePhase::exiting);
    bool operator==(const Holdings&) const = default;
};

void await(const Holdings& before) {
    until([&] { return Holdings() == before; });
}

// Once it has begun: before, there is no process of that number, and a signal to 0 would reach us all.
pid_t launcher() {
    pid_t process = 0;
    until([&] {
        process = os::holder_of_byte(runtime::current().segment().file(), 0);
        return process > 0;
    });
    return process;
}

// What a channel that is closed with an std::out_of_range says.
std::string fetch_text(const RemoteChannel<int>& channel) {
    return thrown_by<std::out_of_range>([&] { channel.take(); });
}

struct Particle {
    double x;
    std::int32_t charge;
};

} // namespace

TEST_CASE("messages go both ways between a session and an attached program") {
    in_session(1, [] {
        const auto numbers = RemoteChannel<int>::create("numbers", 4);
        const auto texts = RemoteChannel<std::string>::create("texts", unlimited);
        const auto lists = RemoteChannel<std::vector<double>>::create("lists", 0);
        const pid_t client = start_client(here(), [](Client& session) {
            const auto in = session.channel<int>("numbers");
            const auto out = session.channel<std::string>("texts");
            const auto met = session.channel<std::vector<double>>("lists");
            int sum = 0;
            for (int number : in)
                sum += number;
            out.put("the sum is " + std::to_string(sum) + std::string(100'000, '.'));
            DEMAND(met.take() == std::vector<double>{1.5, 2.5});
            met.put({3.5});
        });
        for (int i = 1; i <= 1000; ++i)
            numbers.put(i);
        numbers.close();
        const std::string text = texts.take();
        DEMAND(has(text, "the sum is 500500") && text.size() > 100'000);
        spawn_at(2, [lists] { lists.put({1.5, 2.5}); }).wait();
        DEMAND(lists.take() == std::vector<double>{3.5});
        DEMAND(left_well(wait_for(client)));
    });
}

TEST_CASE("an array is the same memory in an attached program, and types are checked") {
    in_session(1, [] {
        SharedArray<double, 2> grid({3, 4}, named("grid"));
        const SharedArray<std::int64_t> counts(5, named("counts"));
        const SharedArray<Particle> particles(2, named("particles"));
        for (std::size_t i = 0; i < grid.size(); ++i)
            grid[i] = static_cast<double>(i);
        run_client([](Client& session) {
            const auto seen = session.array<double, 2>("grid");
            DEMAND(seen.dims() == std::array<std::size_t, 2>{3, 4} && seen(2, 3) == 11);
            seen(1, 1) = -1;
            session.array<std::int64_t>("counts")[4] = 7;
            session.array<Particle>("particles")[1] = {2.5, -1};
            const auto wrong = [&](auto&& open) { return thrown_by<std::invalid_argument>(open); };
            DEMAND(has(wrong([&] { session.array<float, 2>("grid"); }), "double"));
            wrong([&] { session.array<double, 1>("grid"); });
            wrong([&] { session.array<std::uint64_t>("counts"); });
            DEMAND(has(thrown_by<std::out_of_range>([&] { session.array<int>("none"); }), "none"));
            const auto other = RemoteChannel<int>::create("commands");
            DEMAND(has(wrong([&] { session.channel<int>("grid"); }),
                       "'grid' is an array, not a channel"));
            DEMAND(has(wrong([&] { session.array<int>("commands"); }),
                       "'commands' is a channel, not an array"));
            const auto both = RemoteChannel<int>::create("grid");
            both.put(5);
            DEMAND(session.channel<int>("grid").take() == 5);
            DEMAND((session.array<double, 2>("grid").dims() == seen.dims()));
        });
        DEMAND(grid(1, 1) == -1 && counts[4] == 7 && particles[1].charge == -1);
    });
}

TEST_CASE("an attached program lists what has a name") {
    in_session(0, [] {
        const SharedArray<std::complex<double>, 2> b({2, 3}, named("b"));
        const SharedArray<int> nameless(4);
        const auto a = RemoteChannel<std::string>::create("a");
        const RemoteChannel<int> another;
        run_client([](Client& session) {
            const auto names = session.names();
            DEMAND(names.size() == 2);
            DEMAND(names[0].name == "a" && names[0].kind == NamedObject::Kind::channel &&
                   has(names[0].type, "string"));
            DEMAND(names[1].name == "b" && names[1].kind == NamedObject::Kind::array &&
                   names[1].dims == std::vector<std::size_t>{2, 3} && names[1].bytes == 96 &&
                   has(names[1].type, "complex") && !names[1].read_only);
            DEMAND("dshm." + std::to_string(getuid()) + "." + session.session_name() ==
                   runtime::current().segment().link_name());
        });
    });
}

TEST_CASE("an attached program makes channels and arrays that go with it") {
    in_session(1, [] {
        const Holdings before;
        const auto started = RemoteChannel<int>::create("started", 1);
        const auto go = RemoteChannel<int>::create("go", 1);
        const pid_t client = start_client(here(), [](Client& session) {
            const auto mine = RemoteChannel<std::string>::create("mine", 8);
            const SharedArray<int> array(1000, named("its array"));
            array[999] = 42;
            DEMAND(mine.where() < 0);
            thrown_by<std::invalid_argument>([] { RemoteChannel<int>::create("go"); });
            session.channel<int>("started").put(1);
            mine.put("from the program");
            session.channel<int>("go").take();
        });
        started.take();
        {
            const auto its = RemoteChannel<std::string>::open("mine");
            const auto array = SharedArray<int>::open("its array");
            DEMAND(its.take() == "from the program" && array[999] == 42);
            go.put(1);
            DEMAND(left_well(wait_for(client)));
            // It was the owner; what it has made and others hold stays.
            DEMAND(has(thrown_by<ProcessExitedException>([&] { its.take(); }), "attached program"));
            DEMAND(array[999] == 42);
        }
        thrown_by<std::out_of_range>([] { RemoteChannel<std::string>::open("mine"); });
        DEMAND(counters().objects == before.objects + 2);
    });
}

TEST_CASE("an attached program makes a large array, whose pages it makes alone") {
    in_session(2, [] {
        const Holdings before;
        constexpr std::size_t count = runtime::FirstTouch::least_bytes / sizeof(int) * 3 / 2;
        const auto made = RemoteChannel<SharedArray<int>>::create("made", 1);
        const pid_t client = start_client(here(), [](Client& session) {
            const SharedArray<int> array(count, named("large"));
            DEMAND(std::all_of(array.begin(), array.end(), [](int x) { return x == 0; }));
            array[0] = 1;
            array[count - 1] = 2;
            session.channel<SharedArray<int>>("made").put(array);
        });
        {
            const SharedArray<int> array = made.take();
            DEMAND(left_well(wait_for(client)));
            DEMAND(array.size() == count && array.procs() == workers());
            const auto ends = [] {
                const auto all = SharedArray<int>::open("large");
                return all[0] + all[count / 2] + all[count - 1];
            };
            for (const WorkerId worker : workers())
                DEMAND(fetch_from(worker, ends) == 3);
            DEMAND(reduce(std::plus<>(), array) == 3);
        }
        until([&] { return counters().objects == before.objects + 1; });
    });
}

TEST_CASE(
    "arrays in messages of a program that has gone, and what it closed, are as they should be") {
    in_session(1, [] {
        const auto arrays = RemoteChannel<SharedArray<int>>::create("arrays", 4);
        const auto failing = RemoteChannel<int>::create("failing", 1);
        const Holdings before;
        const auto send = [](Client& session) {
            const SharedArray<int> array(1000);
            array[3] = 7;
            session.channel<SharedArray<int>>("arrays").put(array);
        };
        run_client(send);
        const pid_t killed = start_client(here(), [send](Client& session) {
            send(session);
            kill(getpid(), SIGKILL);
        });
        DEMAND(was_killed(wait_for(killed)));
        until([] { return rows_in(LifePhase::attached) == 0; });
        for (int i = 0; i < 2; ++i)
            DEMAND(spawn_at(2, [arrays] { return arrays.take()[3]; }).get() == 7);
        await(before);
        run_client([](Client& session) {
            const auto channel = session.channel<int>("failing");
            channel.close(std::out_of_range("said by a program"));
            DEMAND(fetch_text(channel) == "said by a program");
        });
        DEMAND(fetch_text(failing) == "said by a program");
    });
}

TEST_CASE("an attached program is no worker") {
    in_session(2, [] {
        const auto go = RemoteChannel<int>::create("go", 1);
        const auto attached = RemoteChannel<int>::create("attached", 1);
        const pid_t client = start_client(here(), [](Client& session) {
            DEMAND(workers() == std::vector<int>({2, 3}) && nprocs() == 3 && myid() < 0);
            session.channel<int>("attached").put(myid());
            session.channel<int>("go").take();
        });
        const int id = attached.take();
        DEMAND(procs() == std::vector<int>({1, 2, 3}) && nworkers() == 2);
        DEMAND(addprocs(1) == std::vector<int>{4});
        DEMAND(rows_in(LifePhase::attached) == 1);
        std::atomic<int> ran = 0;
        for (int i = 0; i < 200; ++i)
            ran += fetch(spawn([] { return myid() > 1 ? 1 : 1000; }));
        DEMAND(ran == 200);
        DEMAND(pmap([](int x) { return x + 1; }, std::vector<int>{1, 2, 3}) ==
               std::vector<int>({2, 3, 4}));
        thrown_by<std::invalid_argument>([&] { spawn_at(id, [] {}); });
        go.put(1);
        DEMAND(left_well(wait_for(client)));
    });
}

TEST_CASE("what an attached program cannot do is an error that says so") {
    in_session(2, [] {
        const SharedArray<double> numbers(100, named("numbers"));
        run_client([](Client& session) {
            const auto refused = [](auto&& call) {
                DEMAND(has(thrown_by<std::logic_error>(call), "attached to a session"));
            };
            refused([] { spawn([] {}); });
            refused([] { spawn_at(2, [] {}); });
            refused([] { remote_do([] {}, 2); });
            refused([] { fetch([] { return 1; }); });
            refused([] { addprocs(1); });
            refused([] { rmprocs(2); });
            refused([] { distributed(range(0, 10), [](long) {}); });
            refused([] {
                distributed(
                    std::plus<>(), range(0, 10), [](long i) { return i; },
                    schedule(Schedule::dynamic));
            });
            refused([] { pmap([](int x) { return x; }, std::vector<int>{1, 2, 3}); });
            refused([] { Future<int> future; });
            refused([] { default_worker_pool(); });
            refused([&] { fill(session.array<double>("numbers"), 1.0); });
            thrown_by<std::exception>([] { everywhere([] {}); });
            DEMAND(has(thrown_by<std::logic_error>([] { Session second; }), "already"));
            DEMAND(has(thrown_by<std::logic_error>([] { attach("another"); }), "already"));
        });
        DEMAND(has(thrown_by<std::logic_error>([] { attach(here()); }), "Session"));
        DEMAND(fetch([] { return 6 * 7; }) == 42);
    });
}

TEST_CASE("a program attaches again and again, and its threads may all use it") {
    in_session(1, [] {
        const SharedArray<std::int64_t> sums(4, named("sums"));
        const auto numbers = RemoteChannel<int>::create("numbers", 8);
        const auto back = RemoteChannel<int>::create("back", 8);
        const Holdings before;
        const pid_t client = start_child([name = here()] {
            for (int round = 0; round < 20; ++round) {
                Client first = attach(name);
                Client session = std::move(first);
                thrown_by<std::logic_error>([&] { first.names(); });
                DEMAND(session.names().size() == 3);
            }
            thrown_by<std::logic_error>([] { runtime::current(); });
            Client session = attach(name);
            std::vector<std::thread> threads;
            for (int t = 0; t < 4; ++t)
                threads.emplace_back([&session, t] {
                    const auto mine = session.array<std::int64_t>("sums");
                    const auto in = session.channel<int>("numbers");
                    const auto out = session.channel<int>("back");
                    for (int number : in) {
                        mine[static_cast<std::size_t>(t)] += number;
                        out.put(number);
                    }
                });
            for (std::thread& thread : threads)
                thread.join();
        });
        std::int64_t echoed = 0;
        for (int i = 1; i <= 400; ++i) {
            numbers.put(i);
            echoed += back.take();
        }
        numbers.close();
        DEMAND(left_well(wait_for(client)));
        DEMAND(sums[0] + sums[1] + sums[2] + sums[3] == 80'200 && echoed == 80'200);
        await(before);
    });
}

TEST_CASE("handles of a program that has detached are refused, and its forked child has none") {
    in_session(0, [] {
        const auto numbers = RemoteChannel<int>::create("numbers");
        const pid_t client = start_child([name = here()] {
            std::optional<RemoteChannel<int>> kept;
            {
                Client session = attach(name);
                kept = session.channel<int>("numbers");
                kept->put(1);
                const pid_t child = start_child([&] {
                    thrown_by<std::logic_error>([&] { kept->put(2); });
                    Client again = attach(name);
                    DEMAND(again.channel<int>("numbers").take() == 1);
                });
                DEMAND(left_well(wait_for(child)));
                kept->put(3);
            }
            thrown_by<std::logic_error>([&] { kept->put(4); });
        });
        DEMAND(left_well(wait_for(client)));
        DEMAND(numbers.take() == 3 && numbers.isempty());
    });
}

TEST_CASE("only so many programs are attached at a time") {
    in_session(1, [] {
        const Holdings before;
        const auto attached = RemoteChannel<int>::create("attached", unlimited);
        const auto go = RemoteChannel<int>::create("go", unlimited);
        std::vector<pid_t> clients;
        for (unsigned i = 0; i < launch::most_clients; ++i)
            clients.push_back(start_client(here(), [](Client& session) {
                session.channel<int>("attached").put(1);
                session.channel<int>("go").take();
            }));
        for (unsigned i = 0; i < launch::most_clients; ++i)
            attached.take();
        const pid_t refused = start_child([name = here()] {
            DEMAND(has(thrown_by<std::runtime_error>([&] { attach(name); }), "32 programs"));
        });
        DEMAND(left_well(wait_for(refused)));
        DEMAND(addprocs(1) == std::vector<int>{3} && fetch_from(3, myid) == 3);
        go.put(1);
        until([] { return rows_in(LifePhase::attached) < launch::most_clients; });
        run_client([](Client&) {});
        for (unsigned i = 1; i < launch::most_clients; ++i)
            go.put(1);
        for (const pid_t client : clients)
            DEMAND(left_well(wait_for(client)));
        DEMAND(rows_in(LifePhase::attached) == 0);
        DEMAND(counters().objects == before.objects + 2);
    });
}

TEST_CASE("a grid is read by an attached program while workers write it") {
    in_session(2, [] {
        constexpr std::size_t rows = 64, columns = 64, steps = 50;
        const SharedMatrix<std::int64_t> grid({rows, columns}, named("grid"));
        const auto seen = RemoteChannel<std::int64_t>::create("seen", 1);
        const pid_t client = start_client(here(), [](Client& session) {
            const auto view = session.array<std::int64_t, 2>("grid");
            const auto newest = [&] {
                std::int64_t all = 0;
                for (std::size_t i = 0; i < view.size(); ++i)
                    all += std::atomic_ref(view[i]).load(std::memory_order_acquire);
                return all;
            };
            const auto whole = static_cast<std::int64_t>(rows * columns * steps);
            std::int64_t last = 0;
            while (last != whole) {
                const std::int64_t now = newest();
                DEMAND(now >= last && now <= whole);
                last = now;
            }
            session.channel<std::int64_t>("seen").put(last);
        });
        for (std::size_t step = 0; step < steps; ++step)
            sync([&] {
                distributed(grid.indices(), [grid](std::size_t i) {
                    std::atomic_ref(grid[i]).fetch_add(1, std::memory_order_release);
                });
            });
        DEMAND(seen.take() == static_cast<std::int64_t>(rows * columns * steps));
        DEMAND(left_well(wait_for(client)));
    });
}

TEST_CASE("what a killed program held goes back") {
    in_session(1, [] {
        const Holdings before;
        {
            const auto attached = RemoteChannel<int>::create("attached", 1);
            const auto never = RemoteChannel<std::string>::create("never", 1);
            for (int round = 0; round < 10; ++round) {
                std::optional<SharedArray<double>> array(
                    SharedArray<double>(100'000, named("big")));
                const pid_t client = start_client(here(), [](Client& session) {
                    const auto held = session.array<double>("big");
                    const SharedArray<int> own(100'000, named("own"));
                    const auto channel = session.channel<std::string>("never");
                    session.channel<int>("attached").put(1);
                    channel.take();
                });
                attached.take();
                array.reset(); // it alone holds the array from here on
                DEMAND(SharedArray<int>::open("own").size() == 100'000);
                kill(client, SIGKILL);
                wait_for(client);
                until([] { return rows_in(LifePhase::attached) == 0; });
                thrown_by<std::out_of_range>([] { SharedArray<double>::open("big"); });
                thrown_by<std::out_of_range>([] { SharedArray<int>::open("own"); });
                never.put("a message");
                DEMAND(never.take() == "a message");
            }
        }
        await(before);
    });
}

TEST_CASE("a program may be killed at any moment of attaching, working and leaving") {
    in_session(1, [] {
        const auto numbers = RemoteChannel<int>::create("numbers", 4);
        const auto texts = RemoteChannel<std::string>::create("texts", 4);
        const SharedArray<int> array(100, named("array"));
        const Holdings before;
        const auto whole_life = [name = here()] {
            Client session = attach(name);
            const auto held = session.array<int>("array");
            session.channel<int>("numbers").try_put(held[0]);
            const auto words = session.channel<std::string>("texts");
            words.try_put(std::string(3000, 'x'));
            words.try_take();
            SharedArray<double>(1000, named("own"));
        };
        const auto start = os::Clock::now();
        DEMAND(left_well(wait_for(start_child(whole_life))));
        const auto length = std::max<os::Clock::duration>(os::Clock::now() - start, 1ms);
        int killed = 0;
        constexpr int points = 150;
        for (int point = 0; point < points; ++point) {
            const auto moment = length * point / points;
            killed += was_killed(wait_for(start_child([&] {
                sigevent event{};
                event.sigev_notify = SIGEV_SIGNAL;
                event.sigev_signo = SIGKILL;
                timer_t timer{};
                timer_create(CLOCK_MONOTONIC, &event, &timer);
                const auto time = std::chrono::nanoseconds(moment).count() + 1;
                const itimerspec when{{0, 0}, {time / 1'000'000'000, time % 1'000'000'000}};
                timer_settime(timer, 0, &when, nullptr);
                whole_life();
                pause();
            })))
                          ? 1
                          : 0;
            while (numbers.try_take())
                ;
            while (texts.try_take())
                ;
        }
        DEMAND(killed == points);
        DEMAND(left_well(wait_for(start_child(whole_life))));
        while (numbers.try_take())
            ;
        while (texts.try_take())
            ;
        await(before);
        for (const shm::Word64& place : runtime::current().header().joins)
            DEMAND(place.load(std::memory_order_acquire) == 0);
        numbers.put(1);
        DEMAND(fetch_from(2, [numbers] { return numbers.take(); }) == 1);
    });
}

TEST_CASE("what the dead have left of joining is cleared away") {
    in_session(0, [] {
        auto& joins = runtime::current().header().joins;
        const pid_t dead = start_child([] {});
        const JoinWord question = JoinWord::asking(dead);
        wait_for(dead);
        const auto put = [&](std::size_t i, JoinWord word) {
            joins[i].store(word.bits, std::memory_order_release);
        };
        // Every place is taken, by questions of the dead, answers to them, and nonsense.
        for (std::size_t i = 0; i < joins.size(); ++i)
            put(i, question);
        put(3, JoinWord::accepted(dead, {200, 7}));
        put(4, JoinWord::refused(question, launch::Refusal::no_slot));
        put(5, JoinWord{question.bits | 0xf0});
        // A question of a process that has the number of a living one, and is another.
        put(6, JoinWord{JoinWord::asking(getpid()).bits ^ 0xff00});
        put(7, JoinWord::asking(1 << 30));
        // The same of one that was refused.
        const auto refused =
            JoinWord::refused(JoinWord::asking(getpid()), launch::Refusal::many_clients);
        DEMAND(refused.why() == launch::Refusal::many_clients);
        DEMAND(refused.asker() == launch::Asker::there);
        put(2, JoinWord{refused.bits ^ 0xff'0000});
        run_client([](Client& session) { DEMAND(session.names().empty()); });
        for (const shm::Word64& place : joins)
            DEMAND(place.load(std::memory_order_acquire) == 0);
        DEMAND(rows_in(LifePhase::attached) == 0);
    });
}

TEST_CASE("a program with any name is let in") {
    in_session(0, [] {
        const pid_t odd = start_child([name = here()] {
            prctl(PR_SET_NAME, "a) R\n(b 1");
            DEMAND(os::start_of_process(getpid()).value_or(0) > 1);
            const Client session = attach(name);
            DEMAND(session.names().empty());
        });
        DEMAND(left_well(wait_for(odd)));
    });
}

TEST_CASE("a launcher that is stopped is waited for, and no longer than asked") {
    in_session(0, [] {
        const auto numbers = RemoteChannel<int>::create("numbers", 1);
        const pid_t stopped = launcher();
        kill(stopped, SIGSTOP);
        until([&] { return os::is_stopped(stopped); });
        const pid_t late = start_child([name = here(), stopped] {
            const std::string text =
                thrown_by<std::runtime_error>([&] { attach(name, {.timeout = 50ms}); });
            DEMAND(has(text, "stopped") && has(text, std::to_string(stopped)));
            DEMAND(runtime::current_or_null() == nullptr);
        });
        DEMAND(left_well(wait_for(late)));
        const pid_t patient =
            start_client(here(), [](Client& session) { session.channel<int>("numbers").put(1); });
        until([] {
            const auto& joins = runtime::current().header().joins;
            return std::any_of(joins.begin(), joins.end(), [](const shm::Word64& place) {
                return place.load(std::memory_order_acquire) != 0;
            });
        });
        kill(stopped, SIGCONT);
        DEMAND(numbers.take() == 1);
        DEMAND(left_well(wait_for(patient)));
    });
}

namespace {

// A program that waits for a message when its session ends. What it then sees is read from its status.
pid_t start_waiting(const std::string& session) {
    return start_child([&] {
        // The session is started at the same time.
        std::optional<Client> client;
        until([&] {
            try {
                client.emplace(attach(session));
                client->channel<int>("ready");
                return true;
            } catch (const std::exception&) {
                client.reset();
                return false;
            }
        });
        const auto numbers = client->channel<int>("numbers");
        const auto array = client->array<int>("array");
        client->channel<int>("ready").put(1);
        const auto ended = [](auto&& call) {
            DEMAND(has(thrown_by<std::runtime_error>(call), "has ended"));
        };
        ended([&] { numbers.take(); });
        ended([&] { numbers.try_take(); });
        ended([&] { client->names(); });
        ended([&] { client->channel<int>("numbers"); });
        DEMAND(array[99] == 4711); // memory is there
        array[0] = 1;
    });
}

template <class End>
void end_session_by(End&& end) {
    SessionOptions options;
    options.workers = 1;
    SessionCase session(options, [&] {
        const auto numbers = RemoteChannel<int>::create("numbers", 1);
        const SharedArray<int> array(100, named("array"));
        array[99] = 4711;
        const auto ready = RemoteChannel<int>::create("ready", 1);
        ready.take();
        end();
    });
    const pid_t client = start_waiting(session.name());
    CHECK(left_well(wait_for(client)));
    session.join();
}

} // namespace

TEST_CASE("a program whose session ends gets an error, and its memory stays") {
    SECTION("by its end") {
        end_session_by([] {});
    }
    SECTION("by the master's death") {
        end_session_by([] { kill(getpid(), SIGKILL); });
    }
    SECTION("by the launcher's death") {
        end_session_by([] {
            const pid_t dead = launcher();
            kill(dead, SIGKILL);
            thrown_by<std::runtime_error>([] { RemoteChannel<int>(1).take(); });
        });
    }
}
