// What the master asks of the launcher, and what it answers: framed messages over a socket pair.
//
// A frame is a size of 8 bytes and that many bytes of payload, written by the codec. The two are
// one program, forked from each other, so there is no version to check.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace dshm::launch {

// How new workers are to be: plain data, the same for all of one request.
struct WorkerSettings {
    std::vector<std::string> environment; // NAME=value, the whole of it
    std::string directory;
    std::vector<std::vector<int>> processors; // of each worker in turn; none: as inherited
    bool threaded_blas = false;
    std::uint64_t memory_limit = 0; // bytes of address space beyond the segment; 0: none
    std::uint64_t timeout_milliseconds = 60'000;
    // Fresh processes of `program`, an absolute path, with these arguments, its name first; else
    // forks of the launcher.
    bool fresh = false;
    std::string program;
    std::vector<std::string> arguments;
};

struct AddWorkers {
    int count = 0;
    WorkerSettings settings;
};

// Ask workers to end. The launcher insists after the grace periods in launcher.cpp.
struct RemoveWorkers {
    std::vector<int> ids;
    // The open future that is put once all of them are gone.
    std::uint32_t future_index = 0;
    std::uint32_t future_generation = 0;
};

struct Stop {
    std::uint64_t grace_milliseconds = 0;
};

// Exactly one of the three is set.
struct Request {
    std::optional<AddWorkers> add;
    std::optional<RemoveWorkers> remove;
    std::optional<Stop> stop;
};

// The answer to AddWorkers: ids, or why there are none. Nothing else is answered.
struct Reply {
    std::vector<int> ids;
    std::string error;
};

void send_request(int socket, const Request& request);
void send_reply(int socket, const Reply& reply);
// Blocks. Nothing when the other side is gone.
std::optional<Reply> receive_reply(int socket);

// Requests as they come in, in pieces of any size. Never blocks: the master may be stopped in the
// middle of one.
class RequestReader {
public:
    // Takes what is there. False once the other side is gone.
    bool read_available(int socket);
    // The next request that is there as a whole. Throws DecodeError or std::length_error for a
    // damaged one.
    std::optional<Request> next();

private:
    std::vector<std::byte> bytes_;
};

} // namespace dshm::launch
