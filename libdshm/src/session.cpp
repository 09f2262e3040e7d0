#include "dshm/session.hpp"

#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <limits>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "dshm/launch/fresh_worker.hpp"
#include "dshm/launch/session_state.hpp"
#include "dshm/os/process.hpp"
#include "dshm/processes.hpp"
#include "dshm/ship/module_table.hpp"
#include "dshm/shm/find_segment.hpp"
#include "session_defaults.hpp"

namespace dshm {

namespace {

std::optional<std::string> variable(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr || *value == '\0' ? std::nullopt : std::optional<std::string>(value);
}

template <class Number>
std::optional<Number> number_variable(const char* name) {
    const auto text = variable(name);
    if (!text)
        return std::nullopt;
    Number value{};
    const char* end = text->data() + text->size();
    const auto [after, error] = std::from_chars(text->data(), end, value);
    if (error != std::errc() || after != end)
        throw std::invalid_argument("dshm: " + std::string(name) + "='" + *text +
                                    "' is not a number in range");
    return value;
}

// K, M and G are powers of 1024.
std::optional<std::size_t> bytes_variable(const char* name) {
    const auto text = variable(name);
    if (!text)
        return std::nullopt;
    std::size_t value = 0;
    const auto [after, error] = std::from_chars(text->data(), text->data() + text->size(), value);
    const std::string_view unit = after;
    const std::size_t shift = unit == "K" ? 10 : unit == "M" ? 20 : unit == "G" ? 30 : 0;
    if (error != std::errc() || (shift == 0 && !unit.empty()) ||
        value > std::numeric_limits<std::size_t>::max() >> shift)
        throw std::invalid_argument("dshm: " + std::string(name) + "='" + *text +
                                    "' is not a size: bytes, or with K, M or G");
    return value << shift;
}

std::optional<bool> flag_variable(const char* name) {
    const auto text = variable(name);
    if (!text)
        return std::nullopt;
    if (*text == "1" || *text == "yes" || *text == "true")
        return true;
    if (*text == "0" || *text == "no" || *text == "false")
        return false;
    throw std::invalid_argument("dshm: " + std::string(name) + "='" + *text + "': use 1 or 0");
}

std::optional<Start> start_variable() {
    const auto text = variable("DSHM_START");
    if (!text)
        return std::nullopt;
    if (*text == "fork")
        return Start::fork;
    if (*text == "exec")
        return Start::exec;
    throw std::invalid_argument("dshm: DSHM_START='" + *text + "': use fork or exec");
}

std::optional<OnWorkerDeath> death_variable() {
    const auto text = variable("DSHM_ON_WORKER_DEATH");
    if (!text)
        return std::nullopt;
    if (*text == "ignore")
        return OnWorkerDeath::ignore;
    if (*text == "restart")
        return OnWorkerDeath::restart;
    if (*text == "stop")
        return OnWorkerDeath::stop;
    throw std::invalid_argument("dshm: DSHM_ON_WORKER_DEATH='" + *text +
                                "': use ignore, restart or stop");
}

// What the program left empty comes from the environment.
SessionOptions completed(SessionOptions options) {
    const auto fill = [](auto& field, auto value) {
        if (!field)
            field = std::move(value);
    };
    fill(options.name, variable("DSHM_NAME"));
    fill(options.capacity, bytes_variable("DSHM_CAPACITY"));
    fill(options.workers, number_variable<int>("DSHM_WORKERS"));
    fill(options.seed, number_variable<std::uint64_t>("DSHM_SEED"));
    fill(options.tag_output, flag_variable("DSHM_TAG_OUTPUT"));
    fill(options.start, start_variable());
    fill(options.on_worker_death, death_variable());
    if (!options.affinity)
        if (const auto text = variable("DSHM_AFFINITY"))
            options.affinity = Affinity::parse(*text);
    return options;
}

std::string default_name() {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    return std::to_string(getpid()) + "-" +
           std::to_string(static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 +
                          static_cast<std::uint64_t>(now.tv_nsec) / 1000);
}

// dshm-run learns in this way that the program it runs has a session.
void report_to_runner() {
    const auto file = number_variable<int>("DSHM_RUN_FD");
    unsetenv("DSHM_RUN_FD");
    if (!file)
        return;
    const char here = 1;
    if (write(*file, &here, 1) == 1)
        close(*file);
}

// Random numbers are the same in every run unless the program asks for others, as with the standard
// library's engines.
constexpr std::uint64_t default_seed = 0;

// As asked for; else by exec where the program has threads, which a fork would lose in the middle of
// what they do.
Start chosen_start(const SessionOptions& options, int threads) {
    if (options.start || threads == 1)
        return options.start.value_or(Start::fork);
    std::fprintf(stderr,
                 "dshm: the program has %d threads already, so its workers will be fresh processes "
                 "of it, which run main again up to the Session (Start::exec); make the Session "
                 "the first statement of main, or ask for Start::fork\n",
                 threads);
    return Start::exec;
}

void say_where(const shm::Segment& segment) {
    const std::string place = segment.kind() == shm::SegmentKind::named
                                  ? "/dev/shm/" + segment.link_name()
                                  : "anonymous memory, because /dev/shm is too small";
    std::fprintf(stderr, "dshm: the segment is %s, %zu MiB of address space\n", place.c_str(),
                 static_cast<std::size_t>(segment.geometry().capacity >> 20));
}

} // namespace

void warn_of_threads() {
    const int threads = std::exchange(session_defaults().threads, 1);
    if (threads > 1)
        std::fprintf(stderr,
                     "dshm: the program has %d threads already; make the Session the first "
                     "statement of main, because locks "
                     "that other threads hold now stay locked in the workers\n",
                     threads);
}

struct Session::State {
    State(const SessionOptions& options, bool huge_pages)
        : session({options.name.value_or(default_name()), options.capacity.value_or(0),
                   options.seed.value_or(default_seed), ship::program_build_id(), huge_pages},
                  options.tag_output.value_or(true),
                  options.on_worker_death.value_or(OnWorkerDeath::ignore)) {}

    launch::SessionState session;
};

Session::Session(SessionOptions given) {
    if (launch::is_fresh_worker())
        launch::run_fresh_worker();
    if (launch::current_session_state() != nullptr || runtime::current_or_null() != nullptr)
        throw std::logic_error(
            "dshm: there is a Session in this process already; end it before making another");
    os::open_standard_streams();
    report_to_runner();
    const SessionOptions options = completed(std::move(given));
    const int first_workers = options.workers.value_or(0);
    if (first_workers < 0 || first_workers > static_cast<int>(shm::max_workers))
        throw std::invalid_argument("dshm: a session has 0 to " + std::to_string(shm::max_workers) +
                                    " workers, not " + std::to_string(first_workers));
    const int threads = os::thread_count();
    session_defaults() = {chosen_start(options, threads),
                          options.affinity.value_or(Affinity::none()), os::own_arguments(),
                          threads};
    if (options.start == Start::fork)
        warn_of_threads();
    shm::remove_stale_segments();
    const bool huge_pages = flag_variable("DSHM_HUGE").value_or(false);
    state_ = std::make_unique<State>(options, huge_pages);
    if (flag_variable("DSHM_VERBOSE").value_or(false))
        say_where(state_->session.segment);
    if (first_workers > 0)
        addprocs(first_workers);
}

namespace {

SessionOptions remembering(int argc, char** argv, SessionOptions options) {
    os::remember_command_line(argc, argv);
    return options;
}

} // namespace

Session::Session(int& argc, char**& argv, SessionOptions options)
    : Session(remembering(argc, argv, std::move(options))) {}

Session::~Session() {
    // A child that the program forked has a copy of this object and none of what it stands for.
    if (state_->session.owner != getpid())
        static_cast<void>(state_.release());
}

} // namespace dshm
