// 11: one value for all processes, futures that go from hand to hand, calls for workers that come
// later, and trying again.
//
// Julia: a const global sent with @everywhere; remotecall_fetch(fetch, 3, future); retry(f)

#include <dshm/dshm.hpp>

#include <iostream>
#include <map>
#include <stdexcept>
#include <string>

namespace {

std::string& greeting() {
    static std::string text;
    return text;
}

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    if (dshm::nprocs() == 1)
        dshm::addprocs(2);

    // Stored once, however many closures carry the handle.
    const auto names =
        dshm::share(std::map<int, std::string>{{1, "one"}, {2, "two"}, {3, "three"}});
    for (const std::string& name :
         dshm::pmap([names](int number) { return names->at(number); }, std::vector{3, 1, 2}))
        std::cout << name << '\n';

    // A future is a value like others: worker 3 reads what worker 2 makes, whenever that is ready.
    const auto made = dshm::spawn_at(2, [] { return std::vector<int>(1000, 7); });
    const auto sum = dshm::spawn_at(3, [made] {
        long total = 0;
        for (const int number : made.fetch())
            total += number;
        return total;
    });
    std::cout << "the sum is " << dshm::fetch(sum) << '\n';

    // Anybody may put a future, once.
    const dshm::Future<std::string> answer;
    dshm::remote_do([answer] { answer.put("put by worker 3"); }, 3);
    std::cout << dshm::fetch(answer) << '\n';

    // Workers that are started later make these calls first.
    dshm::everywhere(
        dshm::replay, [](const std::string& text) { greeting() += text; }, "hello");
    dshm::everywhere(dshm::replay, [] { greeting() += " again"; });
    const dshm::WorkerId late = dshm::addprocs(1).front();
    std::cout << dshm::fetch_from(late, [] { return greeting(); }) << '\n';

    // Up to four attempts.
    int attempts = 0;
    auto careful = dshm::retry(
        [&attempts] {
            return dshm::fetch_from(
                2,
                [](int attempt) {
                    if (attempt < 3)
                        throw std::runtime_error("not yet");
                    return attempt;
                },
                ++attempts);
        },
        {.delays = dshm::ExponentialBackOff{.n = 3, .first_delay = 0.001}});
    std::cout << "attempt " << careful() << " succeeded\n";

    // A task that is not wanted any more.
    const dshm::Future<int> never;
    const auto waiting = dshm::spawn_at(2, [never] { return never.get(); });
    waiting.cancel();
    try {
        waiting.wait();
    } catch (const dshm::InterruptException&) {
        std::cout << "cancelled\n";
    }
}
