// The program that the scripts beside this directory run: its first argument says what it does.

#include <dshm/dshm.hpp>

#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>

namespace {

// Tells its reader the processes of the session, and never ends by itself.
void work_for_ever() {
    const auto parent = dshm::fetch([] { return static_cast<int>(getppid()); });
    std::printf("launcher %d\n", parent);
    for (const int id : dshm::workers())
        std::printf("worker %d\n", dshm::worker_info(id).os_pid);
    const dshm::SharedArray<int> started(1);
    const auto future = dshm::spawn([started] {
        started[0] = 1;
        for (;;)
            pause();
    });
    while (std::atomic_ref(started[0]).load() == 0)
        sched_yield();
    std::printf("working\n");
    std::fflush(stdout);
    dshm::fetch(future);
}

// Allocates until there is no more, says so, and goes on.
int fill_memory(std::size_t each) {
    std::vector<dshm::SharedArray<char>> arrays;
    try {
        for (;;) {
            arrays.emplace_back(each);
            std::fill(arrays.back().begin(), arrays.back().end(), 'x');
        }
    } catch (const dshm::SharedMemoryExhausted& error) {
        std::printf("exhausted: %s\n", error.what());
    }
    const std::size_t count = arrays.size();
    for (const auto& array : arrays)
        if (array[each - 1] != 'x')
            return 1;
    arrays.clear();
    const dshm::SharedArray<char> again(each);
    const bool same = dshm::fetch([again] { return again[0] == 0; });
    std::printf("went on after %zu arrays: %d\n", count, same ? 1 : 0);
    return same ? 0 : 1;
}

// One array of so many bytes, or what keeps it from being made; then a small one.
int make_array(std::size_t bytes) {
    try {
        const dshm::SharedArray<char> array(bytes);
        array[bytes - 1] = 'x';
        std::printf("made\n");
    } catch (const dshm::SharedMemoryExhausted& error) {
        std::printf("asked %zu, %zu left: %s\n", error.asked(), error.left(), error.what());
    }
    const dshm::SharedArray<int> small(1000);
    return dshm::fetch([small] { return small[999]; });
}

// Whether this worker had its array, which it makes when the other one makes its own and keeps until
// the other one knows.
bool make_beside_another(const dshm::SharedArray<int>& arrivals, std::size_t bytes) {
    const std::atomic_ref<int> arrived(arrivals[0]);
    const auto meet = [&](int count) {
        ++arrived;
        while (arrived.load() < count)
            sched_yield();
    };
    meet(2);
    try {
        const dshm::SharedArray<char> array(bytes);
        array[bytes - 1] = 'x';
        meet(4);
        return true;
    } catch (const dshm::SharedMemoryExhausted&) {
        meet(4);
        return false;
    }
}

// Workers 2 and 3 make one at the same moment, the others help them.
int make_two_arrays_at_once(std::size_t bytes) {
    const dshm::SharedArray<int> arrivals(1);
    const auto first = dshm::spawn_at(2, make_beside_another, arrivals, bytes);
    const auto second = dshm::spawn_at(3, make_beside_another, arrivals, bytes);
    const int made = dshm::fetch(first) + dshm::fetch(second);
    std::printf("%s\n", made < 2 ? "refused" : "both made");
    const dshm::SharedArray<char> small(bytes / 10);
    return small[bytes / 10 - 1];
}

// The limit on files comes when the session is there already.
int make_array_in_short_files(std::size_t bytes) {
    const rlimit limit{200 << 20, 200 << 20};
    setrlimit(RLIMIT_FSIZE, &limit);
    return make_array(bytes);
}

// How much of an array lies in huge pages, in MiB, once it has been written.
int count_huge_pages(std::size_t bytes) {
    const dshm::SharedArray<char> array(bytes);
    std::fill(array.begin(), array.end(), 'x');
    std::ifstream regions("/proc/self/smaps");
    long mebibytes = 0;
    for (std::string line; std::getline(regions, line);)
        if (line.rfind("ShmemPmdMapped:", 0) == 0)
            mebibytes += std::atol(line.c_str() + 15) / 1024;
    std::printf("%ld MiB huge\n", mebibytes);
    return 0;
}

void print_lines(int count) {
    for (int i = 0; i < count; ++i)
        dshm::fetch([i] { std::printf("line %d\n", i); });
}

int run(const std::string& what, const std::string& argument) {
    if (what == "workers")
        std::printf("%d workers\n", dshm::workers() == std::vector<int>{1} ? 0 : dshm::nworkers());
    else if (what == "exit")
        return std::atoi(argument.c_str());
    else if (what == "signal")
        raise(std::atoi(argument.c_str()));
    else if (what == "throw")
        throw std::runtime_error("the program's own");
    else if (what == "copy") // standard input, upside down: workers have none
        for (std::string line; std::getline(std::cin, line);)
            std::printf("%s %d\n", line.c_str(),
                        dshm::fetch([] { return std::cin.get() == EOF ? 1 : 0; }));
    else if (what == "work")
        work_for_ever();
    else if (what == "lines")
        print_lines(std::atoi(argument.c_str()));
    else if (what == "fill")
        return fill_memory(std::strtoull(argument.c_str(), nullptr, 10));
    else if (what == "array")
        return make_array(std::strtoull(argument.c_str(), nullptr, 10));
    else if (what == "two-arrays")
        return make_two_arrays_at_once(std::strtoull(argument.c_str(), nullptr, 10));
    else if (what == "short-files")
        return make_array_in_short_files(std::strtoull(argument.c_str(), nullptr, 10));
    else if (what == "huge")
        return count_huge_pages(std::strtoull(argument.c_str(), nullptr, 10));
    else if (what == "add")
        std::printf("%zu added\n", dshm::addprocs(std::atoi(argument.c_str())).size());
    return 0;
}

} // namespace

int main(int argc, char** argv) {
    const std::string what = argc > 1 ? argv[1] : "";
    const std::string argument = argc > 2 ? argv[2] : "";
    if (what == "no-session")
        return std::atoi(argument.c_str());
    try {
        dshm::Session session(argc, argv);
        return run(what, argument);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "subject: %s\n", error.what());
        return 9;
    }
}
