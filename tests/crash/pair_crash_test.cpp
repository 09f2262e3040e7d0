// Two victims: the first dies at each of its touches, then a second one, which works on what that one has left,
// at each of its own. The launcher buries the first before the second begins, or both afterwards, in either
// order.
//
// Each 7th death of the first goes with each 31st of the second; the nightly suite goes on with the next
// ones until its time is over, and begins elsewhere each night.
#include "support/crash_stage.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

using Victim = CrashStage::Victim;
using Numbers = std::vector<double>;
enum class Burials { first_at_once, first_then_second, second_then_first };

const Numbers many(2000, 0.1);

// The first spawns for anyone, for the second and for the master; the second takes what it finds, runs it,
// sends a call of its own, and fetches.
struct TasksBetween {
    SharedArray<int> begun{8};
    std::optional<Future<double>> of_first, of_second;

    void before(const Victim& first, const Victim& second) {
        const auto task = [begun = begun](int number, const Numbers& numbers) {
            ++begun[static_cast<std::size_t>(number)];
            return numbers;
        };
        of_first = spawn_at(first.id, [task, to = second.id] {
            start_dying();
            auto one = spawn(task, 0, many);
            remote_do(task, to, 1, Numbers{1});
            auto two = spawn_at(1, task, 2, many);
            return 1.0;
        });
        of_second = spawn_at(second.id, [task] {
            auto three = spawn(task, 3, many);
            return fetch_from(myid(), task, 4, many)[5] + three.get()[6];
        });
    }
    static void first() { work(1); }
    static void second() {
        start_dying();
        work(4);
    }
    void after(bool, bool second_died) {
        resolves(*of_first, [](double value) { return value == 1.0; });
        const bool ended = resolves(*of_second, [](double value) { return value == 0.2; });
        REQUIRE((ended || second_died));
        work(16);
        for (const int times : begun)
            REQUIRE(times <= 1);
    }
};

// The first allocates, hands blocks and an array to the second, and frees what it had; the second frees what the
// first has made, and allocates in its place.
struct HeapBetween {
    std::optional<RemoteChannel<SharedArray<int>>> arrays;
    std::optional<Future<void>> of_first, of_second;

    void before(const Victim& first, const Victim& second) {
        arrays.emplace(4);
        of_first = spawn_at(first.id, [arrays = *arrays] {
            start_dying();
            SharedArray<int> small(1000), large(40'000);
            arrays.put(small);
            arrays.put(large);
        });
        of_second = spawn_at(second.id, [arrays = *arrays] {
            start_dying();
            for (int i = 0; i < 2; ++i)
                if (const auto array = arrays.try_take())
                    demand((*array)[1] == 0, "zeros");
            SharedArray<int> small(1000), large(40'000);
            for (const int value : large)
                demand(value == 0, "zeros");
            large[7] = 7;
        });
    }
    static void first() { work(1); }
    static void second() { work(1); }
    void after(bool first_died, bool second_died) {
        const bool one = resolves(*of_first, [] { return true; });
        const bool two = resolves(*of_second, [] { return true; });
        REQUIRE((one || first_died));
        REQUIRE((two || second_died));
        while (const auto array = arrays->try_take())
            REQUIRE((*array)[1] == 0);
    }
};

struct Deaths {
    bool first, second;
};

template <class Pair>
Deaths play_pair(CrashStage& stage, Burials burials, std::uint64_t i, std::uint64_t j) {
    const Victim first = stage.cast(), second = stage.cast(CrashStage::first_slot + 1);
    std::optional<Pair> pair(std::in_place);
    pair->before(first, second);
    const int status_of_first = stage.perform(first, [&] {
        mortality() = [i] { CrashSites::arm(i); };
        Pair::first();
    });
    if (burials == Burials::first_at_once)
        stage.bury(first, status_of_first);
    const int status_of_second = stage.perform(second, [&] {
        mortality() = [j] { CrashSites::arm(j); };
        Pair::second();
    });
    if (burials == Burials::first_then_second)
        stage.bury(first, status_of_first);
    stage.bury(second, status_of_second);
    if (burials == Burials::second_then_first)
        stage.bury(first, status_of_first);
    const Deaths deaths{was_killed(status_of_first), was_killed(status_of_second)};
    REQUIRE((deaths.first || left_well(status_of_first)));
    REQUIRE((deaths.second || left_well(status_of_second)));
    pair->after(deaths.first, deaths.second);
    pair.reset();
    stage.check_names(first.owner);
    stage.check_names(second.owner);
    return deaths;
}

// Each `every`-th death of the first with each `stride`-th of the second; another residue each round.
template <class Pair>
std::size_t round_of_pairs(CrashStage& stage, const CrashStage::Account& before,
                           std::uint64_t round) {
    constexpr std::uint64_t stride = 61, every = 11;
    std::size_t pairs = 0;
    for (const Burials burials :
         {Burials::first_at_once, Burials::first_then_second, Burials::second_then_first}) {
        bool first_died = true;
        for (std::uint64_t i = 1 + round % every; first_died; i += every) {
            Deaths deaths{};
            std::uint64_t j = 1 + (round / every + i * 5) % stride;
            do {
                CAPTURE(static_cast<int>(burials), i, j);
                deaths = play_pair<Pair>(stage, burials, i, j);
                stage.check_account(before);
                ++pairs;
                j += stride;
            } while (deaths.second);
            first_died = deaths.first;
        }
    }
    return pairs;
}

template <class Pair>
void kill_pairs() {
    alarm(full_run() ? 900 : 480);
    CrashStage stage;
    const CrashStage::Account before = stage.account();
    std::size_t pairs = 0;
    Rounds rounds(240);
    rounds.each([&](std::uint64_t round) { pairs += round_of_pairs<Pair>(stage, before, round); });
    WARN(pairs << " pairs of deaths, " << rounds.text());
}

} // namespace

TEST_CASE("two deaths over the same tasks") { kill_pairs<TasksBetween>(); }
TEST_CASE("two deaths over the same memory") { kill_pairs<HeapBetween>(); }
