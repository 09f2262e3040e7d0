// Exceptions with error codes through a hop: the category stays, or one of its name stands for it.
#include <filesystem>
#include <future>
#include <ios>
#include <string>
#include <system_error>

#include "dshm/errors.hpp"
#include "payload.hpp"
#include "support/catch.hpp"

namespace ship = dshm::ship;
using dshm::test::packed;

namespace {

// A category of a program's own, of which the catching process knows nothing.
class Weather : public std::error_category {
public:
    explicit Weather(const char* name) : name_(name) {}
    const char* name() const noexcept override { return name_; }
    std::string message(int value) const override { return value == 3 ? "it rains" : "it is fine"; }

private:
    const char* name_;
};

const Weather weather("weather");
const Weather impostor("generic");

// As it is thrown where the result of a task on `worker` is asked for.
template <class E>
std::exception_ptr hop(const E& exception, int worker = 3) {
    const auto payload = packed(ship::capture(std::make_exception_ptr(exception), worker));
    ship::Reader reader = payload.reader();
    return ship::rebuild(ship::decode<ship::ExceptionRecord>(reader));
}

template <class T, class Look>
void caught_as(const std::exception_ptr& exception, Look look) {
    try {
        std::rethrow_exception(exception);
    } catch (const T& error) {
        CHECK(dynamic_cast<const dshm::RemoteException*>(&error) != nullptr);
        look(error);
    } catch (...) {
        FAIL("another type arrived");
    }
}

} // namespace

TEST_CASE("the standard library's categories stay themselves") {
    const std::error_code codes[] = {
        {5, std::generic_category()}, {5, std::system_category()}, {1, std::iostream_category()}};
    for (const std::error_code& code : codes)
        caught_as<std::system_error>(hop(std::system_error(code, "text")),
                                     [&](const auto& error) { CHECK(error.code() == code); });
    caught_as<std::ios_base::failure>(hop(std::ios_base::failure("text")), [](const auto& error) {
        CHECK(error.code() == std::io_errc::stream);
    });
    caught_as<std::future_error>(
        hop(std::future_error(std::future_errc::no_state)),
        [](const auto& error) { CHECK(error.code() == std::future_errc::no_state); });
}

TEST_CASE("a category of a program's own arrives by name, number and text") {
    const std::system_error rain(3, weather, "looking out");
    caught_as<std::system_error>(hop(rain), [&](const std::system_error& error) {
        CHECK(error.code().value() == 3);
        CHECK(std::string(error.code().category().name()) == "weather");
        CHECK(error.code().message() == "it rains");
        CHECK(std::string(error.what()).find(rain.what()) != std::string::npos);
        CHECK(error.code() != rain.code()); // it is another object
    });
    const std::system_error fine(4, weather);
    caught_as<std::system_error>(hop(fine), [](const std::system_error& error) {
        CHECK(error.code().message() == "it is fine");
        CHECK(error.code().category().message(3) == "it rains"); // still known
        CHECK(error.code().category().message(9) == "weather error 9");
    });
}

TEST_CASE("two hops change nothing") {
    const std::exception_ptr once = hop(std::system_error(3, weather, "looking out"));
    const auto payload = packed(ship::capture(once, 2));
    ship::Reader reader = payload.reader();
    caught_as<std::system_error>(
        ship::rebuild(ship::decode<ship::ExceptionRecord>(reader)),
        [](const std::system_error& error) { CHECK(error.code().message() == "it rains"); });
}

TEST_CASE("a category that only calls itself generic is not taken for it") {
    caught_as<std::system_error>(hop(std::system_error(2, impostor)), [](const auto& error) {
        CHECK(error.code() != std::errc::no_such_file_or_directory);
        CHECK(error.code().category() != std::generic_category());
        CHECK(error.code().message() == "it is fine");
    });
}

TEST_CASE("the paths of a filesystem_error arrive") {
    const std::filesystem::filesystem_error file(
        "copying", "from/here", "to/there", std::make_error_code(std::errc::permission_denied));
    caught_as<std::filesystem::filesystem_error>(hop(file), [](const auto& error) {
        CHECK(error.path1() == "from/here");
        CHECK(error.path2() == "to/there");
        CHECK(error.code() == std::errc::permission_denied);
    });
}

TEST_CASE("a damaged description of a code arrives as text") {
    ship::ExceptionRecord record =
        ship::capture(std::make_exception_ptr(std::system_error(3, weather)), 2);
    record.payload.resize(5);
    try {
        std::rethrow_exception(ship::rebuild(record));
    } catch (const std::runtime_error& error) {
        CHECK(std::string(error.what()).find("it rains") != std::string::npos);
    }
}
