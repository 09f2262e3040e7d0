// 04: a sync block ends when everything that was spawned in it has ended.
//
// Julia: @sync for i = 1:4; @spawnat :any (sleep(i / 100); done[i] = i); end

#include <dshm/dshm.hpp>

#include <chrono>
#include <iostream>
#include <numeric>
#include <stdexcept>
#include <thread>

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    if (dshm::nprocs() == 1)
        dshm::addprocs(2);

    const dshm::SharedArray<int> done(4);
    dshm::sync([&] {
        for (int i = 0; i < 4; ++i)
            dshm::spawn([done, i] {
                std::this_thread::sleep_for(std::chrono::milliseconds(10 * i));
                done[i] = i + 1;
            });
    });
    std::cout << "after the block " << std::accumulate(done.begin(), done.end(), 0) << " of 10\n";

    // The block waits for all, also when some fail, and then throws all their exceptions as one.
    try {
        dshm::sync([&] {
            dshm::spawn([] { throw std::runtime_error("the first"); });
            dshm::spawn([done] { done[0] = 100; });
            dshm::spawn([] { throw std::out_of_range("the last"); });
        });
    } catch (const dshm::CompositeException& error) {
        std::cout << error.size() << " tasks failed, the other was done: " << done[0] << '\n';
    }
}
