// A program whose one worker ends badly, for crash_report.py: `crash_subject HOW`. It prints how the
// fetcher is told.
#undef NDEBUG // an assertion is what is tried
#include <cassert>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <thread>
#include <vector>

#include <unistd.h>

#include "dshm/dshm.hpp"
#include "support/sanitizers.hpp"

namespace {

int* volatile nowhere = nullptr;

DSHM_UNSANITIZED int write_nowhere() {
    *nowhere = 1;
    return 0;
}

// malloc finds out with its lock held, because there is a second thread.
[[gnu::noinline]] int break_malloc() {
    std::thread([] { pause(); }).detach();
    char* volatile last = nullptr;
    for (int i = 0; i < 200; ++i)
        last = static_cast<char*>(std::malloc(5000)); // in the end of what nobody has had before
    std::memset(last, 0x7f, 5032);                    // and of the size of what is free behind it
    asm volatile("" : : "r"(last) : "memory");        // which is not to be left out
    for (int i = 0; i < 2; ++i)
        last = static_cast<char*>(std::malloc(100'000));
    return last != nullptr;
}

[[gnu::noinline]] int fail_assertion() {
    assert(nowhere != nullptr);
    return 0;
}

// Touches memory until the kernel has enough of it.
int take_all_memory() {
    std::vector<char*> all;
    for (;;) {
        all.push_back(static_cast<char*>(std::malloc(1 << 24)));
        std::memset(all.back(), 1, 1 << 24);
    }
}

int end_by(std::string_view how) {
    if (how == "malloc")
        return break_malloc();
    if (how == "assert")
        return fail_assertion();
    if (how == "memory")
        return take_all_memory();
    return write_nowhere();
}

} // namespace

int main(int argc, char** argv) {
    const std::string how = argc > 1 ? argv[1] : "";
    if (how == "handler")
        std::signal(SIGSEGV, [](int) { _exit(42); });
    dshm::Session session(argc, argv);
    dshm::addprocs(1);
    try {
        dshm::fetch_from(
            2, [](const std::string& way) { return end_by(way); }, how);
    } catch (const dshm::ProcessExitedException& error) {
        std::printf("%s\n", error.what());
        return 0;
    }
    return 1;
}
