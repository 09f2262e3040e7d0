// Another program reads and writes what a running session shares under a name.
//
//     dshm::Client client = dshm::attach("weather");            // the session's DSHM_NAME
//     auto grid = client.array<double, 2>("grid");              // the same memory, not a copy
//     client.channel<std::string>("commands").put("pause");
//
// The program needs no Session and was not started by one; it must run as the same user on the same
// machine, and be built with a dshm of the same layout. It holds what it has opened like any process
// of the session, and however it ends, what it held is given back. It is no worker: procs() does not
// list it, no task goes there, and none can be sent from there. Decision: docs/adr/0011.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dshm/detail/array_elements.hpp"
#include "dshm/remote_channel.hpp"
#include "dshm/runtime/array_note.hpp"
#include "dshm/shared_array.hpp"

namespace dshm {

// Something that a session shares under a name.
struct NamedObject {
    enum class Kind { array, channel };

    Kind kind = Kind::array;
    std::string name;
    std::string type;              // of its elements or messages, as the compiler spells it
    std::vector<std::size_t> dims; // of an array; column-major
    std::size_t bytes = 0;         // of an array's elements
    bool read_only = false;        // an array in a file that was opened with mode("r")
    detail::Elements elements{};   // of an array: kind and size
};

namespace detail {

// Of an array that the caller holds.
NamedObject describe_array(const runtime::ArrayNote& note, const shm::ObjectView& view);

} // namespace detail

struct AttachOptions {
    // How long the session's launcher is waited for. It answers at once unless it is stopped.
    std::chrono::milliseconds timeout = std::chrono::seconds(10);
};

// A place in a session, from attach() until it is destroyed. Handles and addresses that were had by
// it are worth nothing afterwards. Any thread may use it and what it gives.
//
// When the session ends first, every call throws std::runtime_error, those that wait within a
// second; the memory of arrays can still be read until the Client is destroyed.
class Client {
public:
    Client(Client&&) noexcept;
    Client& operator=(Client&&) noexcept;
    ~Client();

    // Throws std::out_of_range when there is nothing with the name, std::invalid_argument when it is
    // a channel, or of another type or number of dimensions, std::runtime_error when the session has
    // ended.
    template <class T, std::size_t N = 1>
    SharedArray<T, N> array(const std::string& name) const {
        check();
        return SharedArray<T, N>::open(name);
    }
    // The same, and std::invalid_argument when it is an array. RemoteChannel<T>::create makes a new
    // one, which this program then owns: it ends with the program.
    template <class T>
    RemoteChannel<T> channel(const std::string& name) const {
        check();
        return RemoteChannel<T>::open(name);
    }

    // What can be opened, ascending by name. O(objects of the session).
    std::vector<NamedObject> names() const;
    // The session's DSHM_NAME.
    std::string session_name() const;

private:
    friend Client attach(std::string_view name, AttachOptions options);
    struct State;
    explicit Client(std::unique_ptr<State> state);
    void check() const;

    std::unique_ptr<State> state_;
};

// Joins the session of that name, or of that name in /dev/shm ("dshm.1000.weather"), of this user.
// About 0.3 ms, and 0.4 ms when the session has been silent.
//
// Throws std::logic_error when this process has a Session or another Client, std::invalid_argument
// for what cannot be a name, and std::runtime_error, which says what was found, when there is no such
// session (then it lists those there are), it has ended, is another user's or another build's, has 32
// programs attached already, or when its launcher does not answer in time. Sets SIGXFSZ to be ignored
// if it had its default, as Session does.
Client attach(std::string_view name, AttachOptions options = {});

} // namespace dshm
