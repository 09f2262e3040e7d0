// A worker that crashes costs its task, or, where the session replaces workers, not even that.
//
// Julia has no counterpart: there a dead worker stays dead, and its calls throw
// ProcessExitedException.
//
// The other choices are OnWorkerDeath::ignore, the default, and stop. Programs that leave it open are
// told by DSHM_ON_WORKER_DEATH or dshm-run --on-worker-death.
#include <dshm/dshm.hpp>

#include <csignal>
#include <cstdio>
#include <numeric>
#include <string>

namespace {

// How often the accident has happened, seen by all processes: it happens once.
bool first_time(const dshm::SharedArray<int>& accidents) {
    return accidents.atomic(0).fetch_add(1) == 0;
}

void crash() { raise(SIGKILL); }

} // namespace

int main(int argc, char** argv) {
    dshm::SessionOptions options;
    options.on_worker_death = dshm::OnWorkerDeath::restart;
    dshm::Session session(argc, argv, options);
    if (dshm::nworkers() == 1 && dshm::workers()[0] == 1)
        dshm::addprocs(2);

    // A call whose worker dies is begun anew, by the one in its place or by any.
    dshm::SharedArray<int> accidents(1);
    const auto answer = dshm::spawn(
        [accidents](int x) {
            if (first_time(accidents))
                crash();
            return 2 * x;
        },
        21);
    const int value = dshm::fetch(answer);
    std::printf("the answer is %d, at attempt %d\n", value, accidents[0]);

    // So are the elements of a map and the chunks of a loop.
    accidents[0] = 0;
    const auto squares = dshm::pmap(
        [accidents](long x) {
            if (x == 5 && first_time(accidents))
                crash();
            return x * x;
        },
        dshm::range(0, 10));
    std::printf("the sum of squares is %ld\n", std::accumulate(squares.begin(), squares.end(), 0L));

    // What crashes every worker is given up after three.
    try {
        dshm::fetch([] { crash(); });
    } catch (const dshm::ProcessExitedException& error) {
        const bool told = error.reason().find("killed by SIGKILL") != std::string::npos;
        std::printf("given up%s\n", told ? ": killed by SIGKILL" : "");
    }

    // Everybody is there again: two workers, of which five were started in the place of others.
    while (dshm::workers().size() != 2 || dshm::workers()[0] == 1)
        dshm::sleep_for(std::chrono::milliseconds(1));
    const int last = dshm::workers()[1];
    std::printf("%d workers, the last one is worker %d\n", dshm::nworkers(), last);
}
