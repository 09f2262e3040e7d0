// The exceptions of dshm: their texts.
#include "dshm/ship/exceptions.hpp"

#include <mutex>
#include <utility>

#include "dshm/ship/exception_record.hpp"
#include "dshm/ship/stack_text.hpp"

namespace dshm {

namespace {

std::string text_of(const std::exception_ptr& exception) {
    try {
        std::rethrow_exception(exception);
    } catch (const std::exception& error) {
        return error.what();
    } catch (...) {
        return ship::capture(exception, 0).message;
    }
}

// Julia's wording: the first failure, and how many more there are.
std::string composite_text(const std::vector<std::exception_ptr>& exceptions) {
    if (exceptions.empty())
        return "CompositeException()";
    std::string text = text_of(exceptions.front());
    const std::size_t more = exceptions.size() - 1;
    if (more > 0)
        text += "\n\n...and " + std::to_string(more) +
                (more == 1 ? " more exception.\n" : " more exceptions.\n");
    return text;
}

} // namespace

// What the copies of one exception share. The frames are named when somebody asks, which may be
// after the session, so what the session knows of them is taken over at once.
struct RemoteException::Texts {
    explicit Texts(const ship::ExceptionRecord& record)
        : what(ship::text_with_hops(record)), frames(ship::frames_of(record.frames)) {}

    const std::string what;
    const std::vector<ship::StackFrame> frames;
    std::once_flag named;
    std::string stack; // once named
};

RemoteException::RemoteException(std::shared_ptr<const ship::ExceptionRecord> record)
    : record_(std::move(record)), texts_(std::make_shared<Texts>(*record_)) {}

RemoteException::~RemoteException() = default;

WorkerId RemoteException::pid() const noexcept {
    return record_->hops.empty() ? 0 : record_->hops.front();
}

const std::vector<WorkerId>& RemoteException::hops() const noexcept { return record_->hops; }

const std::string& RemoteException::type_name() const noexcept { return record_->type_name; }

const char* RemoteException::what() const noexcept { return texts_->what.c_str(); }

const std::string& RemoteException::message() const noexcept { return record_->message; }

const std::string& RemoteException::stacktrace() const noexcept {
    try {
        std::call_once(texts_->named, [this] { texts_->stack = ship::stack_text(texts_->frames); });
    } catch (...) {
        // Out of memory: as if there were none, and asked again next time.
    }
    return texts_->stack;
}

ProcessExitedException::ProcessExitedException(WorkerId pid, std::string reason,
                                               std::string last_words)
    : std::runtime_error("process " + std::to_string(pid) + " exited: " + reason +
                         (last_words.empty() ? "" : "\n") + last_words),
      pid_(pid), reason_(std::make_shared<const std::string>(std::move(reason))),
      last_words_(std::make_shared<const std::string>(std::move(last_words))) {}

CompositeException::CompositeException(std::vector<std::exception_ptr> exceptions)
    : std::runtime_error(composite_text(exceptions)),
      exceptions_(std::make_shared<const std::vector<std::exception_ptr>>(std::move(exceptions))) {}

} // namespace dshm
