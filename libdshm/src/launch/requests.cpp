#include "dshm/launch/requests.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <stdexcept>
#include <system_error>
#include <tuple>

#include "dshm/ship/codec.hpp"

namespace dshm::launch {

namespace {

void write_all(int socket, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t done = send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            throw std::system_error(errno, std::generic_category(),
                                    "dshm: the launcher process cannot be reached");
        bytes = bytes.subspan(static_cast<std::size_t>(done));
    }
}

bool read_all(int socket, std::span<std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t done = recv(socket, bytes.data(), bytes.size(), 0);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        bytes = bytes.subspan(static_cast<std::size_t>(done));
    }
    return true;
}

template <class... Parts>
void send_frame(int socket, const Parts&... parts) {
    const ship::Footprint need = ship::footprint(parts...);
    std::vector<std::byte> frame(sizeof(std::uint64_t) + need.size);
    const std::uint64_t size = need.size;
    std::memcpy(frame.data(), &size, sizeof size);
    ship::Writer writer(frame.data() + sizeof size, need.size);
    ship::encode(writer, parts...);
    write_all(socket, frame);
}

std::optional<std::vector<std::byte>> receive_frame(int socket) {
    std::uint64_t size = 0;
    if (!read_all(socket, std::as_writable_bytes(std::span(&size, 1))))
        return std::nullopt;
    std::vector<std::byte> body(size);
    if (!read_all(socket, body))
        return std::nullopt;
    return body;
}

// More than any environment the kernel passes on: a frame that claims so much is none.
constexpr std::uint64_t longest_frame = std::uint64_t{64} << 20;

using SettingsFields =
    std::tuple<std::vector<std::string>, std::string, std::vector<std::vector<int>>, bool,
               std::uint64_t, std::uint64_t, bool, std::string, std::vector<std::string>>;
enum class RequestKind : int { add, remove, stop };

SettingsFields fields_of(const WorkerSettings& s) {
    return {s.environment,          s.directory, s.processors, s.threaded_blas, s.memory_limit,
            s.timeout_milliseconds, s.fresh,     s.program,    s.arguments};
}

WorkerSettings settings_of(SettingsFields fields) {
    auto& [environment, directory, processors, threaded, limit, timeout, fresh, program,
           arguments] = fields;
    return {std::move(environment),
            std::move(directory),
            std::move(processors),
            threaded,
            limit,
            timeout,
            fresh,
            std::move(program),
            std::move(arguments)};
}

Request decode_request(std::span<const std::byte> body) {
    ship::Reader reader(body.data(), body.size());
    Request request;
    switch (ship::decode<RequestKind>(reader)) {
    case RequestKind::add: {
        const int count = ship::decode<int>(reader);
        request.add = AddWorkers{count, settings_of(ship::decode<SettingsFields>(reader))};
        break;
    }
    case RequestKind::remove:
        request.remove.emplace();
        request.remove->ids = ship::decode<std::vector<int>>(reader);
        request.remove->future_index = ship::decode<std::uint32_t>(reader);
        request.remove->future_generation = ship::decode<std::uint32_t>(reader);
        break;
    case RequestKind::stop:
        request.stop = Stop{ship::decode<std::uint64_t>(reader)};
        break;
    }
    return request;
}

} // namespace

void send_request(int socket, const Request& request) {
    if (request.add)
        send_frame(socket, RequestKind::add, request.add->count, fields_of(request.add->settings));
    else if (request.remove)
        send_frame(socket, RequestKind::remove, request.remove->ids, request.remove->future_index,
                   request.remove->future_generation);
    else
        send_frame(socket, RequestKind::stop, request.stop->grace_milliseconds);
}

bool RequestReader::read_available(int socket) {
    std::array<std::byte, 16384> piece;
    for (;;) {
        const ssize_t done = recv(socket, piece.data(), piece.size(), MSG_DONTWAIT);
        if (done > 0)
            bytes_.insert(bytes_.end(), piece.begin(), piece.begin() + done);
        else if (done == 0)
            return false;
        else if (errno != EINTR)
            return errno == EAGAIN;
    }
}

std::optional<Request> RequestReader::next() {
    std::uint64_t size = 0;
    if (bytes_.size() < sizeof size)
        return std::nullopt;
    std::memcpy(&size, bytes_.data(), sizeof size);
    if (size > longest_frame)
        throw std::length_error("a request of " + std::to_string(size) + " bytes");
    if (bytes_.size() - sizeof size < size)
        return std::nullopt;
    Request request = decode_request(std::span(bytes_).subspan(sizeof size, size));
    bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(sizeof size + size));
    return request;
}

void send_reply(int socket, const Reply& reply) { send_frame(socket, reply.ids, reply.error); }

std::optional<Reply> receive_reply(int socket) {
    const auto body = receive_frame(socket);
    if (!body)
        return std::nullopt;
    ship::Reader reader(body->data(), body->size());
    Reply reply;
    reply.ids = ship::decode<std::vector<int>>(reader);
    reply.error = ship::decode<std::string>(reader);
    return reply;
}

} // namespace dshm::launch
