// Requests over a socket pair, whole and in pieces.
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <vector>

#include "catch.hpp"
#include "dshm/launch/requests.hpp"
#include "dshm/os/mapping.hpp"

using namespace dshm::launch;
using dshm::os::Fd;

namespace {

struct Ends {
    Ends() {
        int ends[2];
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
        ours = Fd(ends[0]);
        theirs = Fd(ends[1]);
    }
    Fd ours, theirs;
};

AddWorkers some_workers(std::size_t variables) {
    AddWorkers add;
    add.count = 3;
    for (std::size_t i = 0; i < variables; ++i)
        add.settings.environment.push_back("NAME" + std::to_string(i) + "=" +
                                           std::string(100, 'v'));
    add.settings.directory = "/somewhere";
    add.settings.processors = {{0}, {1, 2}};
    add.settings.threaded_blas = true;
    add.settings.memory_limit = 1 << 20;
    add.settings.timeout_milliseconds = 77;
    add.settings.fresh = true;
    add.settings.program = "/bin/program";
    add.settings.arguments = {"program", "", "--flag"};
    return add;
}

std::vector<char> bytes_of(const Request& request) {
    const Ends ends;
    send_request(ends.ours.get(), request);
    std::vector<char> bytes(1 << 16);
    bytes.resize(static_cast<std::size_t>(read(ends.theirs.get(), bytes.data(), bytes.size())));
    return bytes;
}

} // namespace

TEST_CASE("every field of a request arrives") {
    const Ends ends;
    const AddWorkers sent = some_workers(2);
    send_request(ends.ours.get(), {sent, std::nullopt, std::nullopt});
    RequestReader reader;
    REQUIRE(reader.read_available(ends.theirs.get()));
    const auto request = reader.next();
    REQUIRE(request);
    REQUIRE(request->add);
    const WorkerSettings& settings = request->add->settings;
    CHECK(request->add->count == sent.count);
    CHECK(settings.environment == sent.settings.environment);
    CHECK(settings.directory == sent.settings.directory);
    CHECK(settings.processors == sent.settings.processors);
    CHECK(settings.threaded_blas);
    CHECK(settings.memory_limit == sent.settings.memory_limit);
    CHECK(settings.timeout_milliseconds == 77);
    CHECK(settings.fresh);
    CHECK(settings.program == sent.settings.program);
    CHECK(settings.arguments == sent.settings.arguments);
    CHECK_FALSE(reader.next());
}

TEST_CASE("a reader never waits for the rest of a request") {
    const Ends ends;
    RequestReader reader;
    CHECK(reader.read_available(ends.theirs.get()));
    CHECK_FALSE(reader.next());
    const std::vector<char> bytes = bytes_of({some_workers(300), std::nullopt, std::nullopt});
    for (std::size_t at = 0; at < bytes.size(); at += 1000) {
        CHECK_FALSE(reader.next());
        const std::size_t size = std::min<std::size_t>(1000, bytes.size() - at);
        REQUIRE(write(ends.ours.get(), bytes.data() + at, size) == static_cast<ssize_t>(size));
        CHECK(reader.read_available(ends.theirs.get()));
    }
    const auto request = reader.next();
    REQUIRE(request);
    CHECK(request->add->settings.environment.size() == 300);
}

TEST_CASE("several requests in one piece, and then the end") {
    Ends ends;
    RemoveWorkers remove;
    remove.ids = {4, 5};
    remove.future_index = 6;
    remove.future_generation = 7;
    send_request(ends.ours.get(), {std::nullopt, remove, std::nullopt});
    send_request(ends.ours.get(), {std::nullopt, std::nullopt, Stop{99}});
    ends.ours.reset();
    RequestReader reader;
    CHECK_FALSE(reader.read_available(ends.theirs.get()));
    const auto first = reader.next();
    REQUIRE(first);
    REQUIRE(first->remove);
    CHECK(first->remove->ids == remove.ids);
    CHECK(first->remove->future_index == 6);
    CHECK(first->remove->future_generation == 7);
    const auto second = reader.next();
    REQUIRE(second);
    REQUIRE(second->stop);
    CHECK(second->stop->grace_milliseconds == 99);
    CHECK_FALSE(reader.next());
}

TEST_CASE("a frame that claims to be endless is refused") {
    const Ends ends;
    const std::uint64_t size = ~std::uint64_t{0} / 2;
    REQUIRE(write(ends.ours.get(), &size, sizeof size) == sizeof size);
    RequestReader reader;
    CHECK(reader.read_available(ends.theirs.get()));
    CHECK_THROWS(reader.next());
}
