// Is an idle session idle? Watches the master, the launcher and the workers for some seconds, after they have worked, and
// counts processor time and wake-ups from /proc, and the memory that each keeps for itself.
//
//   idle_check [--quick] [--workers N]
//
// Exit status 1 if a process that has nothing to do wakes more than about once a second, takes more than 1 % of a
// processor, or a worker has 3 MB or more of private memory. `--quick` watches briefly and only prints.
#include <dshm/dshm.hpp>

#include "support/measure.hpp"

#include <cstdio>
#include <cstring>
#include <fstream>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;

/// What /proc says about a process.
struct Sample {
    double processor_seconds = 0;
    long wake_ups = 0; ///< voluntary context switches: each is the end of a sleep
};

struct Watched {
    std::string name;
    int pid = 0;
    Sample before{};
};

std::string proc_file(int pid, const char* file) {
    return "/proc/" + std::to_string(pid) + "/" + file;
}

/// The number behind `key` in a file of lines "key: number ...", summed over all lines that have it.
long number_after(const std::string& path, const std::string& key) {
    std::ifstream file(path);
    bench::require(static_cast<bool>(file), "cannot read " + path);
    long sum = 0;
    for (std::string line; std::getline(file, line);)
        if (line.rfind(key, 0) == 0)
            sum += std::stol(line.substr(line.find(':') + 1));
    return sum;
}

/// Field `index` of /proc/PID/stat, counted from 3 (the first after the name) as in proc(5).
long stat_field(int pid, int index) {
    std::ifstream file(proc_file(pid, "stat"));
    std::string text;
    std::getline(file, text);
    std::istringstream fields(text.substr(text.rfind(')') + 2));
    std::string field;
    for (int i = 3; i <= index; ++i)
        fields >> field;
    return std::stol(field);
}

Sample sample(int pid) {
    const double ticks = static_cast<double>(stat_field(pid, 14) + stat_field(pid, 15));
    return {ticks / static_cast<double>(sysconf(_SC_CLK_TCK)),
            number_after(proc_file(pid, "status"), "voluntary_ctxt_switches")};
}

double private_megabytes(int pid) {
    const std::string path = proc_file(pid, "smaps_rollup");
    return static_cast<double>(number_after(path, "Private_Clean") +
                               number_after(path, "Private_Dirty")) /
           1000;
}

std::vector<Watched> all_processes(const std::vector<dshm::WorkerId>& workers) {
    std::vector<Watched> watched{{"master", static_cast<int>(getpid())}};
    for (const dshm::WorkerId id : workers) {
        const int pid = static_cast<int>(dshm::worker_info(id).os_pid);
        if (watched.size() == 1)
            watched.push_back({"launcher", static_cast<int>(stat_field(pid, 4))});
        watched.push_back({"worker " + std::to_string(id), pid});
    }
    return watched;
}

/// Prints a line; false if the process is not idle enough.
bool report(const Watched& process, double seconds) {
    const Sample now = sample(process.pid);
    const double processor = (now.processor_seconds - process.before.processor_seconds) / seconds;
    const double wake_ups = static_cast<double>(now.wake_ups - process.before.wake_ups) / seconds;
    const double megabytes = private_megabytes(process.pid);
    const bool is_worker = process.name.rfind("worker", 0) == 0;
    const bool idle = wake_ups * seconds <= 1.2 * seconds + 2 && processor <= 0.01 &&
                      (!is_worker || megabytes < 3);
    std::printf("%-12s %8.2f %% of a processor %8.2f wake-ups a second %8.2f MB private  %s\n",
                process.name.c_str(), 100 * processor, wake_ups, megabytes,
                idle ? "idle" : "NOT IDLE");
    return idle;
}

void work_a_little() {
    const long sum =
        dshm::distributed(std::plus<>{}, dshm::range(0, 1000), [](long i) { return i; });
    bench::require_equal(sum, 499'500L);
}

/// Watches everybody while `wait` has the master wait.
template <class Wait>
bool watch(const char* title, std::vector<Watched>& watched, Wait wait) {
    work_a_little();
    std::this_thread::sleep_for(500ms); // whoever spins after work has stopped by now
    for (Watched& process : watched)
        process.before = sample(process.pid);
    const double seconds = bench::seconds_of(wait);
    std::printf("\n%s, %.1f s\n", title, seconds);
    bool idle = true;
    for (const Watched& process : watched)
        idle = report(process, seconds) && idle;
    return idle;
}

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    bool quick = false;
    int count = 4;
    for (int i = 1; i < argc; ++i) {
        quick = quick || std::strcmp(argv[i], "--quick") == 0;
        if (std::strcmp(argv[i], "--workers") == 0 && i + 1 < argc)
            count = std::stoi(argv[++i]);
    }
    const auto workers = dshm::addprocs(count);
    auto watched = all_processes(workers);
    const auto duration = quick ? 200ms : 5000ms;

    const bool asleep = watch("master asleep outside dshm", watched,
                              [=] { std::this_thread::sleep_for(duration); });
    dshm::Future<int> never;
    const bool waiting =
        watch("master waits for a future", watched, [&] { never.wait_for(duration); });
    never.put(0);
    return quick || (asleep && waiting) ? 0 : 1;
}
