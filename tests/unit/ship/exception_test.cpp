// Exceptions through one hop and two: type, message, hops and members arrive.
#include <any>
#include <filesystem>
#include <functional>
#include <future>
#include <ios>
#include <memory>
#include <regex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <variant>
#include <vector>

#include "dshm/errors.hpp"
#include "payload.hpp"
#include "support/catch.hpp"

namespace ship = dshm::ship;
using dshm::test::packed;
using dshm::test::Payload;

namespace app {

struct Unregistered : std::logic_error {
    using std::logic_error::logic_error;
};

struct WithText : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct WithMembers : std::exception {
    int line = 0;
    std::vector<std::string> notes;

    const char* what() const noexcept override { return "with members"; }
    template <class Archive>
    void serialize(Archive& archive) {
        archive(line, notes);
    }
};

// Its members refuse to be written; the text gets through.
struct Stubborn : std::exception {
    const char* what() const noexcept override { return "stubborn"; }
    template <class Archive>
    void serialize(Archive&) {
        throw std::runtime_error("I will not be serialised");
    }
};

} // namespace app

DSHM_EXCEPTION(app::WithText);
DSHM_EXCEPTION(app::WithMembers);
DSHM_EXCEPTION(app::Stubborn);

namespace {

// As the wire carries it from a task on `worker`.
std::exception_ptr hop(const std::exception_ptr& exception, int worker) {
    const ship::ExceptionRecord record = ship::capture(exception, worker);
    const Payload payload = packed(record);
    ship::Reader reader = payload.reader();
    return ship::rebuild(ship::decode<ship::ExceptionRecord>(reader));
}

template <class E>
std::exception_ptr thrown(const E& exception) {
    return std::make_exception_ptr(exception);
}

// The exception as type T, or a failed test.
template <class T, class Look>
void caught_as(const std::exception_ptr& exception, Look look) {
    try {
        std::rethrow_exception(exception);
    } catch (const T& error) {
        look(error);
    } catch (...) {
        FAIL("caught as another type");
    }
}

// Exactly this standard type, both bases, and the texts of one hop.
template <class T>
void check_keeps_type(const T& exception, const std::string& type_name) {
    const auto arrived = hop(thrown(exception), 3);
    caught_as<T>(arrived, [&](const T& error) {
        CHECK(std::string(error.what()) == "On worker 3:\n" + std::string(exception.what()));
    });
    caught_as<std::exception>(
        arrived, [&](const std::exception& error) { CHECK(dynamic_cast<const T*>(&error)); });
    caught_as<dshm::RemoteException>(arrived, [&](const dshm::RemoteException& error) {
        CHECK(error.pid() == 3);
        CHECK(error.type_name() == type_name);
        CHECK(error.message() == exception.what());
        CHECK(std::string(error.what()) == "On worker 3:\n" + std::string(exception.what()));
    });
}

} // namespace

TEST_CASE("standard exceptions keep their type") {
    check_keeps_type(std::logic_error("a"), "std::logic_error");
    check_keeps_type(std::invalid_argument("a"), "std::invalid_argument");
    check_keeps_type(std::domain_error("a"), "std::domain_error");
    check_keeps_type(std::length_error("a"), "std::length_error");
    check_keeps_type(std::out_of_range("a"), "std::out_of_range");
    check_keeps_type(std::runtime_error("a"), "std::runtime_error");
    check_keeps_type(std::range_error("a"), "std::range_error");
    check_keeps_type(std::overflow_error("a"), "std::overflow_error");
    check_keeps_type(std::underflow_error("a"), "std::underflow_error");
    check_keeps_type(std::bad_alloc(), "std::bad_alloc");
    check_keeps_type(std::bad_array_new_length(), "std::bad_array_new_length");
    check_keeps_type(std::bad_cast(), "std::bad_cast");
    check_keeps_type(std::bad_any_cast(), "std::bad_any_cast");
    check_keeps_type(std::bad_typeid(), "std::bad_typeid");
    check_keeps_type(std::bad_weak_ptr(), "std::bad_weak_ptr");
    check_keeps_type(std::bad_function_call(), "std::bad_function_call");
    check_keeps_type(std::bad_optional_access(), "std::bad_optional_access");
    check_keeps_type(std::bad_variant_access(), "std::bad_variant_access");
    check_keeps_type(std::exception(), "std::exception");
}

TEST_CASE("exceptions with a code keep it") {
    const std::system_error system(std::make_error_code(std::errc::permission_denied), "opening");
    check_keeps_type(system, "std::system_error");
    caught_as<std::system_error>(hop(thrown(system), 3), [](const std::system_error& error) {
        CHECK(error.code() == std::errc::permission_denied);
    });
    check_keeps_type(std::future_error(std::future_errc::broken_promise), "std::future_error");
    const std::filesystem::filesystem_error file(
        "reading", std::make_error_code(std::errc::no_such_file_or_directory));
    caught_as<std::filesystem::filesystem_error>(hop(thrown(file), 3), [](const auto& error) {
        CHECK(error.code() == std::errc::no_such_file_or_directory);
    });
    caught_as<std::regex_error>(
        hop(thrown(std::regex_error(std::regex_constants::error_brack)), 3),
        [](const auto& error) { CHECK(error.code() == std::regex_constants::error_brack); });
}

TEST_CASE("the standard library's private subclasses arrive as what they stand for") {
    std::exception_ptr caught;
    try {
        std::vector<int>().at(1);
    } catch (...) {
        caught = std::current_exception();
    }
    caught_as<std::out_of_range>(hop(caught, 2), [](const std::out_of_range&) { SUCCEED(); });
    const auto failure =
        thrown(std::ios_base::failure("stream", std::make_error_code(std::errc::io_error)));
    caught_as<std::ios_base::failure>(hop(failure, 2), [](const std::ios_base::failure& error) {
        CHECK(error.code() == std::errc::io_error);
    });
}

TEST_CASE("a type of the program's own arrives as runtime_error with its name") {
    const auto arrived = hop(thrown(app::Unregistered("mine")), 2);
    caught_as<std::runtime_error>(arrived, [](const std::runtime_error& error) {
        CHECK(std::string(error.what()) == "On worker 2:\nmine");
    });
    caught_as<dshm::RemoteException>(arrived, [](const dshm::RemoteException& error) {
        CHECK(error.type_name() == "app::Unregistered");
    });
}

TEST_CASE("registered types keep their type") {
    check_keeps_type(app::WithText("mine"), "app::WithText");

    app::WithMembers original;
    original.line = 7;
    original.notes = {"a", "b"};
    check_keeps_type(original, "app::WithMembers");
    caught_as<app::WithMembers>(
        hop(hop(thrown(original), 3), 2), [](const app::WithMembers& error) {
            CHECK(error.line == 7);
            CHECK(error.notes == std::vector<std::string>{"a", "b"});
            CHECK(std::string(error.what()) == "On worker 2:\nOn worker 3:\nwith members");
        });
}

TEST_CASE("an exception that cannot be encoded arrives as text") {
    const auto arrived = hop(thrown(app::Stubborn()), 2);
    caught_as<std::runtime_error>(arrived, [](const std::runtime_error& error) {
        CHECK(std::string(error.what()) == "On worker 2:\nstubborn");
    });
    caught_as<dshm::RemoteException>(arrived, [](const dshm::RemoteException& error) {
        CHECK(error.type_name() == "app::Stubborn");
    });
}

TEST_CASE("what is no std::exception arrives as runtime_error") {
    const auto number = hop(thrown(42), 2);
    caught_as<std::runtime_error>(number, [](const std::runtime_error& error) {
        CHECK(std::string(error.what()) == "On worker 2:\nan exception of type int");
    });
    caught_as<dshm::RemoteException>(
        number, [](const dshm::RemoteException& error) { CHECK(error.type_name() == "int"); });
    caught_as<std::runtime_error>(hop(thrown("a literal"), 2), [](const std::runtime_error& error) {
        CHECK(std::string(error.what()) == "On worker 2:\na literal");
    });
    caught_as<std::runtime_error>(hop(thrown(std::string("a string")), 2),
                                  [](const std::runtime_error& error) {
                                      CHECK(std::string(error.what()) == "On worker 2:\na string");
                                  });
}

TEST_CASE("two hops name both workers, and keep the type") {
    const auto arrived = hop(hop(thrown(std::out_of_range("index 5")), 3), 2);
    caught_as<std::out_of_range>(arrived, [](const std::out_of_range& error) {
        CHECK(std::string(error.what()) == "On worker 2:\nOn worker 3:\nindex 5");
    });
    caught_as<dshm::RemoteException>(arrived, [](const dshm::RemoteException& error) {
        CHECK(error.pid() == 2);
        CHECK(error.hops() == std::vector<int>{2, 3});
        CHECK(error.message() == "index 5");
        CHECK(error.type_name() == "std::out_of_range");
    });
}

TEST_CASE("the exceptions of dshm keep their type and members") {
    const auto exited = hop(thrown(dshm::ProcessExitedException(4, "SIGKILL while running f")), 2);
    caught_as<dshm::ProcessExitedException>(exited, [](const dshm::ProcessExitedException& error) {
        CHECK(error.pid() == 4);
        CHECK(error.reason() == "SIGKILL while running f");
        CHECK(std::string(error.what()) ==
              "On worker 2:\nprocess 4 exited: SIGKILL while running f");
    });
    caught_as<dshm::SharedMemoryExhausted>(
        hop(thrown(dshm::SharedMemoryExhausted(100, 7, "no room")), 2),
        [](const dshm::SharedMemoryExhausted& error) {
            CHECK(error.asked() == 100);
            CHECK(error.left() == 7);
            CHECK(std::string(error.what()) == "On worker 2:\nno room");
        });
    check_keeps_type(dshm::InvalidStateException("closed"), "dshm::InvalidStateException");
    check_keeps_type(dshm::InterruptException(), "dshm::InterruptException");
    check_keeps_type(dshm::DimensionMismatch("2 and 3"), "dshm::DimensionMismatch");
    check_keeps_type(dshm::DecodeError("damaged"), "dshm::DecodeError");
    check_keeps_type(dshm::EncodeError("refused"), "dshm::EncodeError");
    check_keeps_type(dshm::UnknownFunction("what"), "dshm::UnknownFunction");
}

TEST_CASE("a damaged number that is no error code of its type arrives as text") {
    ship::ExceptionRecord record =
        ship::capture(thrown(std::regex_error(std::regex_constants::error_brack)), 2);
    record.numbers[0] = 0x9500'0000;
    caught_as<std::runtime_error>(ship::rebuild(record), [](const std::runtime_error& error) {
        CHECK(dynamic_cast<const std::regex_error*>(&error) == nullptr);
    });
}

TEST_CASE("what dshm itself throws at the caller has no hop and is no RemoteException") {
    const auto exited = ship::rebuild(ship::process_exited_record(3, "exit code 1"));
    caught_as<dshm::ProcessExitedException>(exited, [](const dshm::ProcessExitedException& error) {
        CHECK(dynamic_cast<const dshm::RemoteException*>(&error) == nullptr);
        CHECK(error.pid() == 3);
    });
}

TEST_CASE("a composite says the first and counts the others") {
    const auto one = thrown(std::runtime_error("one"));
    const auto two = thrown(std::runtime_error("two"));
    CHECK(std::string(dshm::CompositeException({one}).what()) == "one");
    CHECK(std::string(dshm::CompositeException({one, two}).what()) ==
          "one\n\n...and 1 more exception.\n");
    CHECK(std::string(dshm::CompositeException({one, two, two}).what()) ==
          "one\n\n...and 2 more exceptions.\n");
    CHECK(std::string(dshm::CompositeException({thrown(42)}).what()) == "an exception of type int");
    CHECK(dshm::CompositeException({}).size() == 0);
}

TEST_CASE("a composite crosses with all its exceptions") {
    const dshm::CompositeException composite({hop(thrown(std::out_of_range("first")), 3),
                                              thrown(app::WithText("second")),
                                              thrown(dshm::ProcessExitedException(5, "SIGSEGV"))});
    caught_as<dshm::CompositeException>(
        hop(thrown(composite), 2), [](const dshm::CompositeException& error) {
            CHECK(std::string(error.what()) ==
                  "On worker 2:\nOn worker 3:\nfirst\n\n...and 2 more exceptions.\n");
            REQUIRE(error.size() == 3);
            caught_as<std::out_of_range>(error.exceptions()[0], [](const std::out_of_range& first) {
                CHECK(std::string(first.what()) == "On worker 3:\nfirst");
            });
            caught_as<app::WithText>(error.exceptions()[1], [](const app::WithText& second) {
                CHECK(std::string(second.what()) == "second");
            });
            caught_as<dshm::ProcessExitedException>(
                error.exceptions()[2], [](const auto& third) { CHECK(third.pid() == 5); });
        });
}
