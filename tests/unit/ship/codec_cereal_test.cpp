// Types with cereal functions, in every form that cereal knows: versions, minimal functions, free
// functions, load_and_construct, polymorphic pointers. Some write what they do not read.
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <cereal/types/polymorphic.hpp>

#include "dshm/ship/parameters.hpp"
#include "payload.hpp"
#include "support/catch.hpp"

namespace ship = dshm::ship;
using dshm::test::packed;
using dshm::test::Payload;
using dshm::test::there_and_back;

namespace app {

// A version, once for each value.
struct Versioned {
    std::string text;
    std::uint32_t seen = 0;

    template <class Archive>
    void serialize(Archive& archive, const std::uint32_t version) {
        seen = version;
        archive(text);
    }
};

struct SplitVersioned {
    std::string text;
    std::uint32_t seen = 0;

    template <class Archive>
    void save(Archive& archive, const std::uint32_t) const {
        archive(text);
    }
    template <class Archive>
    void load(Archive& archive, const std::uint32_t version) {
        seen = version;
        archive(text);
    }
};

// Functions beside the type.
struct Outside {
    std::vector<int> values;
};
template <class Archive>
void serialize(Archive& archive, Outside& value) {
    archive(value.values);
}

struct OutsideSplit {
    std::string text;
};
template <class Archive>
void save(Archive& archive, const OutsideSplit& value) {
    archive(value.text);
}
template <class Archive>
void load(Archive& archive, OutsideSplit& value) {
    archive(value.text);
}

struct OutsideMinimal {
    double value = 0;
};
template <class Archive>
double save_minimal(const Archive&, const OutsideMinimal& value) {
    return value.value;
}
template <class Archive>
void load_minimal(const Archive&, OutsideMinimal& value, const double& stored) {
    value.value = stored;
}

// Made from what was read.
class Made {
public:
    Made(int number, std::string text) : number_(number), text_(std::move(text)) { ++alive; }
    Made(Made&& other) noexcept : number_(other.number_), text_(std::move(other.text_)) { ++alive; }
    Made(const Made&) = delete;
    ~Made() { --alive; }
    int number() const { return number_; }
    const std::string& text() const { return text_; }

    template <class Archive>
    void save(Archive& archive) const {
        archive(number_, text_);
    }
    template <class Archive>
    static void load_and_construct(Archive& archive, cereal::construct<Made>& construct) {
        int number = 0;
        std::string text;
        archive(number, text);
        if (number == 13)
            return; // forgets to
        construct(number, text);
        if (number == 14)
            throw std::runtime_error("too late");
    }

    static inline int alive = 0;

private:
    int number_;
    std::string text_;
};

// Polymorphic, and registered.
struct Shape {
    virtual ~Shape() = default;
    virtual double area() const = 0;
    std::string name;

    template <class Archive>
    void serialize(Archive& archive) {
        archive(name);
    }
};
struct Square : Shape {
    double side = 0;
    double area() const override { return side * side; }

    template <class Archive>
    void serialize(Archive& archive) {
        archive(cereal::base_class<Shape>(this), side);
    }
};
struct Polygon : Shape {
    std::vector<double> areas;
    double area() const override {
        double sum = 0;
        for (const double part : areas)
            sum += part;
        return sum;
    }

    template <class Archive>
    void serialize(Archive& archive) {
        archive(cereal::base_class<Shape>(this), areas);
    }
};
struct Stranger : Shape { // not registered
    double area() const override { return 0; }
};
struct Leaf final : Shape { // needs no registration behind a pointer to itself
    double area() const override { return 1; }
};

// Functions that throw, once they have written or read something.
struct Throwing {
    bool in_save = false;
    bool in_load = false;
    std::unique_ptr<int> held = std::make_unique<int>(1);

    template <class Archive>
    void save(Archive& archive) const {
        archive(in_save, in_load);
        if (in_save)
            throw std::out_of_range("save");
    }
    template <class Archive>
    void load(Archive& archive) {
        archive(in_save, in_load);
        if (in_load)
            throw std::out_of_range("load");
    }
};

// What a newer program writes, and an older one reads.
struct Newer {
    int number = 1;
    std::string text = "more";
    std::vector<double> values = std::vector<double>(100, 1.0);

    template <class Archive>
    void serialize(Archive& archive) {
        archive(number, text, values);
    }
};
struct Older {
    std::string text;
    std::map<int, std::string> names;

    template <class Archive>
    void serialize(Archive& archive) {
        archive(text, names);
    }
};

} // namespace app

CEREAL_CLASS_VERSION(app::Versioned, 3)
CEREAL_CLASS_VERSION(app::SplitVersioned, 5)
CEREAL_REGISTER_TYPE(app::Square)
CEREAL_REGISTER_TYPE(app::Polygon)

namespace {

template <class T>
T decoded(const Payload& payload) {
    ship::Reader reader = payload.reader();
    return ship::decode<T>(reader);
}

std::shared_ptr<app::Shape> square(double side) {
    auto shape = std::make_shared<app::Square>();
    shape->name = "square";
    shape->side = side;
    return shape;
}

std::shared_ptr<app::Shape> polygon(std::vector<double> areas) {
    auto shape = std::make_shared<app::Polygon>();
    shape->name = "polygon";
    shape->areas = std::move(areas);
    return shape;
}

} // namespace

TEST_CASE("versions arrive") {
    CHECK(there_and_back(app::Versioned{"a", 0}).seen == 3);
    const auto several = there_and_back(std::vector<app::Versioned>{{"a", 0}, {"b", 0}});
    CHECK(several[1].text == "b");
    CHECK(several[1].seen == 3);
    const auto split = there_and_back(app::SplitVersioned{"four", 0});
    CHECK(split.text == "four");
    CHECK(split.seen == 5);
}

TEST_CASE("functions beside the type are found") {
    CHECK(there_and_back(app::Outside{{1, 2}}).values == std::vector<int>{1, 2});
    CHECK(there_and_back(app::OutsideSplit{"text"}).text == "text");
    CHECK(there_and_back(app::OutsideMinimal{2.5}).value == 2.5);
    CHECK(there_and_back(std::map<int, app::OutsideMinimal>{{1, {0.5}}}).at(1).value == 0.5);
}

TEST_CASE("objects that are made from what was read") {
    {
        CHECK(there_and_back(app::Made(1, "one")).text() == "one");
        CHECK(there_and_back(std::make_unique<app::Made>(2, "two"))->number() == 2);
        const auto shared = std::make_shared<app::Made>(3, "three");
        const auto copies = there_and_back(std::vector{shared, shared});
        CHECK(copies[0] == copies[1]);
        CHECK(copies[0]->text() == "three");
        std::vector<app::Made> several;
        several.emplace_back(4, "four");
        CHECK(there_and_back(several).front().text() == "four");
    }
    CHECK(app::Made::alive == 0);
}

TEST_CASE("an object that is not made, or whose making throws, leaves nothing behind") {
    CHECK_THROWS_AS(there_and_back(app::Made(13, "none")), dshm::DecodeError);
    CHECK_THROWS_AS(there_and_back(std::make_shared<app::Made>(13, "none")), dshm::DecodeError);
    CHECK_THROWS_AS(there_and_back(app::Made(14, "late")), std::runtime_error);
    CHECK_THROWS_AS(there_and_back(std::make_unique<app::Made>(14, "late")), std::runtime_error);
    CHECK(app::Made::alive == 0);
}

TEST_CASE("registered classes cross behind pointers to their base") {
    const std::vector<std::shared_ptr<app::Shape>> shapes{square(2), polygon({1, 2, 3}), nullptr};
    const auto copies = there_and_back(shapes);
    REQUIRE(copies.size() == 3);
    CHECK(copies[0]->area() == 4);
    CHECK(copies[1]->area() == 6);
    CHECK(copies[1]->name == "polygon");
    CHECK(copies[2] == nullptr);

    const std::unique_ptr<app::Shape> owned = std::make_unique<app::Square>();
    CHECK(dynamic_cast<app::Square*>(there_and_back(owned).get()) != nullptr);
}

TEST_CASE("a polymorphic object stays shared") {
    const auto one = square(3);
    const auto copies = there_and_back(std::vector{one, one});
    CHECK(copies[0] == copies[1]);
}

TEST_CASE("a class that is not registered is an error that names it") {
    const std::shared_ptr<app::Shape> stranger = std::make_shared<app::Stranger>();
    CHECK_THROWS_AS(ship::footprint(stranger), dshm::EncodeError);
    const auto leaf = std::make_shared<app::Leaf>();
    CHECK(there_and_back(leaf)->area() == 1);
}

TEST_CASE("damaged polymorphic pointers are errors") {
    const Payload whole = packed(std::vector{square(1), polygon({1, 2}), square(2)});
    for (std::size_t position = 0; position < whole.size(); ++position)
        for (const int value : {0, 1, 2, 3, 127, 128, 192, 255}) {
            const Payload damaged(whole, whole.size());
            damaged.data()[position] = static_cast<std::byte>(value);
            try {
                decoded<std::vector<std::shared_ptr<app::Shape>>>(damaged);
            } catch (const std::exception&) {
            }
        }
    for (std::size_t size = 0; size < whole.size(); ++size)
        CHECK_THROWS_AS(decoded<std::vector<std::shared_ptr<app::Shape>>>(Payload(whole, size)),
                        dshm::DecodeError);
}

TEST_CASE("what a type's functions throw comes out as it is") {
    app::Throwing value;
    value.in_save = true;
    CHECK_THROWS_AS(ship::footprint(value), std::out_of_range);
    value.in_save = false;
    value.in_load = true;
    CHECK_THROWS_AS(there_and_back(value), std::out_of_range);
    CHECK_THROWS_AS(there_and_back(std::make_shared<app::Throwing>(std::move(value))),
                    std::out_of_range);
}

TEST_CASE("a type that differs between two builds is an error") {
    CHECK_THROWS_AS(decoded<app::Older>(packed(app::Newer())), dshm::DecodeError);
    CHECK_THROWS_AS(decoded<app::Newer>(packed(app::Older{"text", {{1, "one"}}})),
                    dshm::DecodeError);
}
