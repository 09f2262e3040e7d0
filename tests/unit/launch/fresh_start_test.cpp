// What a fresh worker is started with: the handover, its command line, its environment.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "catch.hpp"
#include "child_process.hpp"
#include "dshm/launch/fresh_program.hpp"
#include "dshm/launch/handover.hpp"
#include "dshm/launch/worker_command.hpp"
#include "dshm/launch/worker_setup.hpp"

using namespace dshm::launch;
using dshm::test::contains;

namespace {

Handover some_handover() {
    Handover handover;
    handover.id = 1234;
    handover.owner = {255, 65535};
    handover.launcher = 4321;
    handover.segment = 3;
    handover.launcher_bell = 4;
    handover.output_read = 5;
    handover.errors_read = 6;
    handover.memory_limit = ~std::uint64_t{0};
    handover.threaded_blas = true;
    return handover;
}

int status_of(const std::string& path, std::vector<std::string> arguments,
              std::vector<std::string> environment = {}) {
    const pid_t process =
        start_program({path, std::move(arguments), std::move(environment), [] {}});
    REQUIRE(process > 0);
    int status = 0;
    REQUIRE(waitpid(process, &status, 0) == process);
    return status;
}

} // namespace

TEST_CASE("a handover is read as it was written") {
    const Handover read = Handover::parse(some_handover().text());
    CHECK(read.id == 1234);
    CHECK(read.owner == dshm::shm::Owner{255, 65535});
    CHECK(read.launcher == 4321);
    CHECK(read.files() == std::array{3, 4, 5, 6});
    CHECK(read.memory_limit == ~std::uint64_t{0});
    CHECK(read.threaded_blas);
}

TEST_CASE("anything else is refused, and says which variable it came from") {
    const std::string good = some_handover().text();
    REQUIRE_NOTHROW(Handover::parse(good));
    std::vector<std::string> bad{"",          " ",        "1",        good + " ",
                                 good + " 1", good + "x", " " + good, "2" + good.substr(1),
                                 "-" + good,  "1 x"};
    for (std::size_t cut = 1; cut + 1 < good.size(); cut += 3)
        if (good[cut] == ' ')
            bad.push_back(good.substr(0, cut));
    bad.push_back("1 1 2 1 1 3 4 5 6 0 0");                    // the master's id
    bad.push_back("1 2 1 1 1 3 4 5 6 0 0");                    // the launcher's slot
    bad.push_back("1 2 256 1 1 3 4 5 6 0 0");                  // no slot
    bad.push_back("1 2 2 0 1 3 4 5 6 0 0");                    // no incarnation
    bad.push_back("1 2 2 65536 1 3 4 5 6 0 0");                //
    bad.push_back("1 2 2 1 99999999999 3 4 5 6 0 0");          // no process
    bad.push_back("1 2 2 1 1 3 4 5 6 0 2");                    // neither yes nor no
    bad.push_back("1 2 2 1 1 3 4 5 6 99999999999999999999 0"); // no 64-bit number
    for (const std::string& text : bad)
        CHECK_THROWS_WITH(Handover::parse(text), contains(handover_variable));
}

TEST_CASE("a worker's command line") {
    const std::vector<std::string> own{"./program", "-x"};
    const Command same = worker_command("", {"--more"}, own);
    CHECK(same.program == "/proc/self/exe");
    CHECK(same.arguments == std::vector<std::string>{"./program", "-x", "--more"});
    const Command other = worker_command("/bin/sh", {"-c", ""}, own);
    CHECK(other.program == "/bin/sh");
    CHECK(other.arguments == std::vector<std::string>{"/bin/sh", "-c", ""});
    const Command searched = worker_command("sh", {}, own);
    CHECK(searched.program[0] == '/');
    CHECK(searched.arguments == std::vector<std::string>{"sh"});
    CHECK(worker_command("./x", {}, own).program == std::filesystem::absolute("./x").string());
    CHECK_THROWS_WITH(worker_command("no such program", {}, own), contains("no such program"));
    CHECK_THROWS_AS(worker_command("passwd-is-no-program", {}, own), std::runtime_error);
}

TEST_CASE("a fresh environment: the last value counts, the libraries are limited") {
    WorkerSettings settings;
    settings.environment = {"A=1",  "B=x=y",
                            "A=2",  "OMP_NUM_THREADS=3",
                            "junk", std::string(handover_variable) + "=of somebody else"};
    const auto environment = fresh_environment(settings, some_handover());
    const auto count = [&](const std::string& entry) {
        return std::count(environment.begin(), environment.end(), entry);
    };
    CHECK(count("A=2") == 1);
    CHECK(count("A=1") == 0);
    CHECK(count("B=x=y") == 1);
    CHECK(count("OMP_NUM_THREADS=3") == 1);
    CHECK(count("OPENBLAS_NUM_THREADS=1") == 1);
    CHECK(count(std::string(handover_variable) + "=" + some_handover().text()) == 1);
    CHECK(environment.size() == 6); // with MKL's
    settings.threaded_blas = true;
    CHECK(fresh_environment(settings, some_handover()).size() == 4);
}

TEST_CASE("a program is started with its arguments and environment, and the caller reaps it") {
    CHECK(WEXITSTATUS(status_of("/bin/sh", {"zero", "-c", "exit 7"})) == 7);
    CHECK(status_of("/bin/sh",
                    {"sh", "-c", "test \"$0 $1 $A\" = 'x two words y z'", "x", "two words"},
                    {"A=y z"}) == 0);
}

TEST_CASE("a program that cannot be started is an error, and no process is left") {
    CHECK_THROWS_WITH(status_of("/nowhere/at-all", {"x"}), contains("/nowhere/at-all"));
    CHECK_THROWS_WITH(status_of("/etc/passwd", {"x"}), contains("Permission denied"));
    CHECK(waitpid(-1, nullptr, WNOHANG) == -1);
    CHECK(errno == ECHILD);
}

TEST_CASE("where no pipe can be made there is an error, and never a process called -1") {
    const int status = dshm::test::run_in_child([] {
        const int next = open("/dev/null", O_RDONLY);
        for (const int room : {0, 1}) { // no descriptor at all, and one of the two of a pipe
            const rlimit limit{static_cast<rlim_t>(next + 1 + room), 64};
            setrlimit(RLIMIT_NOFILE, &limit);
            try {
                start_program({"/bin/true", {"true"}, {}, [] {}});
                dshm::test::demand(false, "it was started without a pipe");
            } catch (const std::runtime_error& error) {
                const std::string text = error.what();
                dshm::test::demand(text.find("Too many open files") != std::string::npos,
                                   error.what());
            }
        }
    });
    CHECK(dshm::test::left_well(status));
}
