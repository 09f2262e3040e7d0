// dshm/c.h over dshm/attach.hpp. Every function catches everything.
#include "dshm/c.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>

#include "dshm/attach.hpp"
#include "dshm/detail/array_storage.hpp"
#include "dshm/runtime/names.hpp"
#include "dshm/shm/find_segment.hpp"

namespace {

// There is one client at a time: who has the turn may join, and gives it back when it has left.
struct Attached;
struct GiveBack {
    void operator()(Attached* all) const noexcept;
};
using Turn = std::unique_ptr<Attached, GiveBack>;

} // namespace

// Shared by the program and by the arrays that it holds: the last of them leaves the session.
struct dshm_client {
    dshm_client(Turn mine, const char* name, const dshm::AttachOptions& options)
        : turn(std::move(mine)), client(dshm::attach(name, options)),
          session(client.session_name()) {}

    Turn turn; // last to go
    dshm::Client client;
    std::string session;
    pid_t maker = getpid();
    std::atomic<long> arrays{0};
};

namespace {

using dshm::NamedObject;
using dshm::detail::ArrayStorage;
using dshm::detail::ElementKind;
using Client = std::shared_ptr<dshm_client>;

static_assert(DSHM_SIGNED == static_cast<int>(ElementKind::signed_integer) &&
                  DSHM_UNSIGNED == static_cast<int>(ElementKind::unsigned_integer) &&
                  DSHM_FLOATING == static_cast<int>(ElementKind::floating) &&
                  DSHM_COMPLEX == static_cast<int>(ElementKind::complex) &&
                  DSHM_OTHER == static_cast<int>(ElementKind::other),
              "kinds of elements are numbered alike");

// What `hold` points to. The client is last to go.
struct Hold {
    Hold(Client holder, const char* name)
        : client(std::move(holder)),
          storage(dshm::runtime::open_named(dshm::runtime::object_kind::array, name)),
          type(storage.note().type()) {
        client->arrays.fetch_add(1, std::memory_order_relaxed); // relaxed: for a text alone
    }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
    ~Hold() { client->arrays.fetch_sub(1, std::memory_order_relaxed); } // relaxed: as above

    Client client;
    ArrayStorage storage;
    std::string type;
    std::atomic<long> count{1};
};

// `client` is the one that is attached and not detached: a second detach finds another here, and is an
// error. `last` is that one, or the one before, which arrays hold. Never destroyed: a program that just
// ends need not wait for the launcher.
struct Attached {
    std::mutex lock;
    std::condition_variable changed; // of `taken` to false, or of `last`
    bool taken = false;
    Client client;
    std::weak_ptr<dshm_client> last;
};
Attached& attached() {
    static auto* const only = new Attached;
    return *only;
}

void GiveBack::operator()(Attached* all) const noexcept {
    const std::lock_guard guard(all->lock);
    all->taken = false;
    all->changed.notify_all();
}

thread_local std::string last_error;

int fail(int code, const char* text) noexcept {
    try {
        last_error = text;
    } catch (...) {
        last_error.clear();
    }
    return code;
}

// Runs `body`; a number for what it throws.
template <class Body>
int guarded(Body&& body) noexcept {
    try {
        body();
        return DSHM_OK;
    } catch (const std::bad_alloc& error) {
        return fail(DSHM_NO_MEMORY, error.what());
    } catch (const std::invalid_argument& error) {
        return fail(DSHM_INVALID, error.what());
    } catch (const std::out_of_range& error) {
        return fail(DSHM_NOT_FOUND, error.what());
    } catch (const std::logic_error& error) {
        return fail(DSHM_MISUSE, error.what());
    } catch (const std::exception& error) {
        return fail(DSHM_FAILED, error.what());
    } catch (...) {
        return fail(DSHM_FAILED, "dshm: an unknown error");
    }
}

void require(bool given, const char* call, const char* what) {
    if (!given)
        throw std::invalid_argument("dshm: " + std::string(call) + ": " + what + " is null");
}

void require_attached(const Client& live, const dshm_client* client, const char* call) {
    require(client != nullptr, call, "the client");
    if (live.get() != client)
        throw std::logic_error("dshm: " + std::string(call) + ": this client has been detached");
}

Client shared_client(const dshm_client* client, const char* call) {
    const std::lock_guard guard(attached().lock);
    require_attached(attached().client, client, call);
    return attached().client;
}

// Of an array of up to four dimensions; others are 1.
template <class Target, class Dims>
void set_dims(Target& target, const Dims& dims) {
    if (dims.size() > DSHM_MAX_DIMS)
        throw std::runtime_error("dshm: an array of more than four dimensions");
    std::fill(std::begin(target.dims), std::end(target.dims), std::size_t{1});
    std::copy(dims.begin(), dims.end(), std::begin(target.dims));
    target.dimensions = static_cast<std::int32_t>(dims.size());
}

std::string held_text(const dshm_client& client, bool ended) {
    const long arrays =
        client.arrays.load(std::memory_order_relaxed); // relaxed: for the text alone
    return std::to_string(arrays) + (arrays == 1 ? " array" : " arrays") + " of session '" +
           client.session + (ended ? "', which has ended," : "'") +
           (arrays == 1 ? " is still held; drop it first" : " are still held; drop them first");
}

// A client that there is already: may it be used for `name` once more? Throws std::logic_error if not.
void require_same(const dshm_client& held, const char* name) {
    if (held.maker != getpid())
        throw std::logic_error("dshm: attach: this process was forked by one that is attached to "
                               "session '" +
                               held.session +
                               "', and has no part in it; attach in a program that starts afresh");
    if (attached().client)
        throw std::logic_error("dshm: attach: this program is attached to session '" +
                               held.session + "' already; leave it first");
    if (dshm::shm::link_name_of(name) != dshm::shm::link_name_of(held.session))
        throw std::logic_error("dshm: attach: " + held_text(held, false));
    try {
        dshm::runtime::current().check_session();
    } catch (const std::runtime_error&) {
        throw std::logic_error("dshm: attach: " + held_text(held, true));
    }
}

// The client that arrays still hold after its detach, or the turn to make a new one. Waits for one that
// is just joining or leaving in another thread.
Client held_client(const char* name, Turn& turn) {
    Attached& all = attached();
    Client held; // goes after the lock, if it is the last
    std::unique_lock guard(all.lock);
    all.changed.wait(guard, [&] { return !all.taken || (held = all.last.lock()); });
    if (held) {
        require_same(*held, name);
        all.client = held;
    } else {
        all.taken = true;
        turn.reset(&all);
    }
    return held;
}

Client new_client(Turn turn, const char* name, const dshm::AttachOptions& options) {
    auto made = std::make_shared<dshm_client>(std::move(turn), name, options);
    Attached& all = attached();
    const std::lock_guard guard(all.lock);
    all.client = made;
    all.last = made;
    all.changed.notify_all();
    return made;
}

dshm_entry entry_of(const NamedObject& object) {
    dshm_entry entry{};
    entry.name = object.name.c_str();
    entry.type = object.type.c_str();
    entry.bytes = object.bytes;
    set_dims(entry, object.dims);
    entry.element_size = object.elements.size;
    entry.kind = static_cast<std::int32_t>(object.elements.kind);
    entry.object = object.kind == NamedObject::Kind::array ? DSHM_ARRAY : DSHM_CHANNEL;
    entry.read_only = object.read_only ? 1 : 0;
    return entry;
}

dshm_array array_of(const ArrayStorage& storage) {
    const auto view = dshm::runtime::current().objects().view(storage.object().object());
    const NamedObject object = dshm::detail::describe_array(storage.note(), view);
    dshm_array array{};
    array.data = storage.data();
    array.bytes = object.bytes;
    array.element_size = object.elements.size;
    array.size = array.element_size == 0 ? 0 : object.bytes / array.element_size;
    set_dims(array, object.dims);
    array.kind = static_cast<std::int32_t>(object.elements.kind);
    array.read_only = object.read_only ? 1 : 0;
    return array;
}

} // namespace

int dshm_attach(const char* name, int timeout_milliseconds, dshm_client** client) {
    return guarded([&] {
        require(name != nullptr && client != nullptr, "dshm_attach", "the name or the client");
        dshm::AttachOptions options;
        if (timeout_milliseconds >= 0)
            options.timeout = std::chrono::milliseconds(timeout_milliseconds);
        Turn turn;
        Client joined = held_client(name, turn);
        if (!joined)
            joined = new_client(std::move(turn), name, options);
        *client = joined.get();
    });
}

int dshm_detach(dshm_client* client) {
    return guarded([&] {
        if (client == nullptr)
            return;
        Client last; // goes after the lock
        const std::lock_guard guard(attached().lock);
        require_attached(attached().client, client, "dshm_detach");
        last.swap(attached().client);
    });
}

const char* dshm_session_name(const dshm_client* client) {
    return client == nullptr ? "" : client->session.c_str();
}

int dshm_check_session(const dshm_client* client) {
    return guarded([&] {
        const Client shared = shared_client(client, "dshm_check_session");
        dshm::runtime::current().check_session();
    });
}

int dshm_list(const dshm_client* client, void (*visit)(const dshm_entry*, void*), void* context) {
    return guarded([&] {
        require(visit != nullptr, "dshm_list", "the function");
        const Client shared = shared_client(client, "dshm_list");
        for (const NamedObject& object : shared->client.names()) {
            const dshm_entry entry = entry_of(object);
            visit(&entry, context);
        }
    });
}

int dshm_open_array(dshm_client* client, const char* name, dshm_array* array) {
    return guarded([&] {
        require(name != nullptr && array != nullptr, "dshm_open_array", "the name or the array");
        const Client shared = shared_client(client, "dshm_open_array");
        dshm::runtime::current().check_session_in_passing();
        auto hold = std::make_unique<Hold>(shared, name);
        *array = array_of(hold->storage);
        array->hold = hold.release();
    });
}

const char* dshm_type_name(const dshm_array* array) {
    const bool held = array != nullptr && array->hold != nullptr;
    return held ? static_cast<const Hold*>(array->hold)->type.c_str() : "";
}

int dshm_hold_array(const dshm_array* array) {
    return guarded([&] {
        require(array != nullptr && array->hold != nullptr, "dshm_hold_array", "the array");
        // relaxed: the caller's own hold lasts.
        static_cast<Hold*>(array->hold)->count.fetch_add(1, std::memory_order_relaxed);
    });
}

int dshm_release_array(dshm_array* array) {
    return guarded([&] {
        if (array == nullptr || array->hold == nullptr)
            return;
        auto* const hold = static_cast<Hold*>(array->hold);
        array->hold = nullptr;
        array->data = nullptr;
        // acq_rel: what others did with the array comes before its end.
        if (hold->count.fetch_sub(1, std::memory_order_acq_rel) == 1)
            delete hold;
    });
}

const char* dshm_error(void) { return last_error.c_str(); }
