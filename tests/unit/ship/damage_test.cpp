// Truncated and damaged payloads are errors: whatever the bytes are, nothing outside them is read.
// The payloads are allocated to the byte, so the address sanitizer sees a single one too many.
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <variant>
#include <vector>

#include "dshm/eigen.hpp"
#include "dshm/ship/codec.hpp"
#include "dshm/ship/exception_record.hpp"
#include "payload.hpp"
#include "support/catch.hpp"

namespace ship = dshm::ship;
using dshm::test::packed;
using dshm::test::Payload;

namespace {

struct Node {
    std::string name;
    std::vector<std::vector<double>> rows;
    std::shared_ptr<int> shared;
    std::unique_ptr<std::string> owned;
    std::vector<Node> children;

    template <class Archive>
    void serialize(Archive& archive) {
        archive(name, rows, shared, owned, children);
    }
};

Node sample_node() {
    Node node{"root",
              {{1, 2}, {}, {3}},
              std::make_shared<int>(1),
              std::make_unique<std::string>("x"),
              {}};
    node.children.resize(2);
    node.children[0].name = "leaf";
    node.children[1].shared = node.shared;
    return node;
}

template <class T>
void decode_all_of(const Payload& payload) {
    ship::Reader reader = payload.reader();
    static_cast<void>(ship::decode<T>(reader));
}

template <class T>
void check_every_truncation(const Payload& whole) {
    for (std::size_t size = 0; size < whole.size(); ++size) {
        const Payload part(whole, size);
        CHECK_THROWS_AS(decode_all_of<T>(part), dshm::DecodeError);
    }
}

// Any outcome but a crash: another value, or an exception.
template <class T>
void try_damaged(const Payload& damaged) {
    try {
        decode_all_of<T>(damaged);
    } catch (const std::exception&) {
        SUCCEED();
    }
}

template <class T>
void check_damaged_bytes(const Payload& whole) {
    std::mt19937 random(12345);
    for (std::size_t position = 0; position < whole.size(); ++position)
        for (const int value : {0x00, 0x01, 0x7f, 0x80, 0xff, static_cast<int>(random() & 255)}) {
            const Payload damaged(whole, whole.size());
            damaged.data()[position] = static_cast<std::byte>(value);
            try_damaged<T>(damaged);
        }
}

template <class T>
void check_noise(std::size_t size) {
    std::mt19937 random(54321);
    for (int round = 0; round < 500; ++round) {
        const Payload noise(size);
        for (std::size_t i = 0; i < size;
             ++i) // mostly zeros, so that some counts are possible ones
            noise.data()[i] =
                random() % 4 == 0 ? static_cast<std::byte>(random() & 15) : std::byte{0};
        try_damaged<T>(noise);
    }
}

template <class T>
void check_damage(const T& value) {
    const Payload whole = packed(value);
    check_every_truncation<T>(whole);
    check_damaged_bytes<T>(whole);
    check_noise<T>(256);
}

} // namespace

TEST_CASE("damaged strings and runs") {
    check_damage(std::string("some text"));
    check_damage(std::vector<double>{1, 2, 3});
    check_damage(std::vector<double>(40, 1.0));
    check_damage(std::vector<std::string>{"a", "bc", ""});
    check_damage(std::vector<std::vector<double>>{{1, 2}, {}, {3}});
}

TEST_CASE("damaged containers") {
    check_damage(std::map<std::string, std::vector<int>>{{"a", {1}}, {"b", {2, 3}}});
    check_damage(std::map<int, double>{{1, 2.0}, {3, 4.0}});
    check_damage(std::vector<bool>{true, false, true});
    check_damage(std::optional<std::string>("x"));
    check_damage(std::variant<int, std::string, std::vector<double>>("text"));
    check_damage(std::tuple<int, std::string, std::pair<std::string, char>>{1, "a", {"b", 'c'}});
}

TEST_CASE("damaged types with cereal functions") {
    const Node node = sample_node();
    const Payload whole = packed(node);
    check_every_truncation<Node>(whole);
    check_damaged_bytes<Node>(whole);
    check_noise<Node>(512);
}

TEST_CASE("damaged matrices") {
    check_damage(Eigen::MatrixXd(Eigen::MatrixXd::Ones(3, 4)));
    check_damage(Eigen::Matrix3f(Eigen::Matrix3f::Ones()));
    check_damage(
        Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, 0, 4, 4>(Eigen::Matrix2d::Ones()));
    check_damage(std::vector<Eigen::VectorXd>{Eigen::VectorXd::Ones(2), Eigen::VectorXd()});
}

TEST_CASE("a matrix whose size overflows is refused") {
    const Payload payload = packed(Eigen::Index{1} << 62, Eigen::Index{8}, 1.0);
    CHECK_THROWS_AS(decode_all_of<Eigen::MatrixXd>(payload), dshm::DecodeError);
}

TEST_CASE("a negative size is refused") {
    const Payload payload = packed(Eigen::Index{-1}, Eigen::Index{-1}, 1.0);
    CHECK_THROWS_AS(decode_all_of<Eigen::MatrixXd>(payload), dshm::DecodeError);
}

TEST_CASE("a huge count is refused before anything is allocated") {
    const Payload payload = packed(std::size_t{1} << 60, 1, 2, 3);
    CHECK_THROWS_AS(decode_all_of<std::string>(payload), dshm::DecodeError);
    CHECK_THROWS_AS(decode_all_of<std::vector<double>>(payload), dshm::DecodeError);
    CHECK_THROWS_AS(decode_all_of<std::vector<std::string>>(payload), dshm::DecodeError);
    CHECK_THROWS_AS((decode_all_of<std::map<int, std::string>>(payload)), dshm::DecodeError);
    CHECK_THROWS_AS((decode_all_of<std::unordered_map<int, int>>(payload)), dshm::DecodeError);
}

TEST_CASE("damaged exception records") {
    const auto composite = dshm::CompositeException(
        {std::make_exception_ptr(std::out_of_range("a")),
         std::make_exception_ptr(std::system_error(std::make_error_code(std::errc::io_error)))});
    check_damage(ship::capture(std::make_exception_ptr(composite), 3));
}

TEST_CASE("damaged exception records can be rebuilt all the same") {
    const Payload whole = packed(ship::capture(std::make_exception_ptr(std::out_of_range("a")), 3));
    for (std::uint32_t kind = 0; kind < 100; ++kind) {
        std::memcpy(whole.data(), &kind, sizeof kind);
        ship::Reader reader = whole.reader();
        CHECK(ship::rebuild(ship::decode<ship::ExceptionRecord>(reader)) != nullptr);
    }
}
