// 14: a queue of jobs that any worker takes from, and a queue of results; a worker that dies costs its own
// job and nothing else.
//
// Julia: const jobs = RemoteChannel(() -> Channel{Int}(32)); const results = RemoteChannel(...)

#include <dshm/dshm.hpp>

#include <iostream>
#include <map>
#include <string>
#include <vector>

struct Result {
    int job;
    long value;
};

void work(const dshm::RemoteChannel<int>& jobs, const dshm::RemoteChannel<Result>& results) {
    for (const int job : jobs)
        results.put({job, job * 100L});
}

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    if (dshm::nprocs() == 1)
        dshm::addprocs(2);

    const dshm::RemoteChannel<int> jobs(32);
    const dshm::RemoteChannel<Result> results(32);
    std::vector<dshm::Future<void>> working;
    for (const dshm::WorkerId worker : dshm::workers())
        working.push_back(dshm::spawn_at(worker, work, jobs, results));

    // One worker is removed while it waits for a job: the queue does not notice.
    dshm::rmprocs(dshm::workers().back());
    try {
        working.back().wait();
    } catch (const dshm::ProcessExitedException& error) {
        std::cout << "worker " << error.pid() << " has left\n";
    }

    for (int job = 1; job <= 6; ++job)
        jobs.put(job);
    jobs.close();

    std::map<int, long> all;
    while (all.size() < 6) {
        const Result result = results.take();
        all[result.job] = result.value;
    }
    for (const auto& [job, value] : all)
        std::cout << "job " << job << " gave " << value << '\n';

    // Julia's rendezvous: capacity 0 hands a message over, and put returns when it has been taken.
    const dshm::RemoteChannel<std::string> meeting(0);
    const auto put = dshm::spawn([meeting] {
        meeting.put("hand to hand");
        return std::string("and put has returned");
    });
    std::cout << meeting.take() << '\n' << dshm::fetch(put) << '\n';
}
