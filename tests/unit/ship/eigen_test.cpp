// Eigen matrices as values, elements and views.
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include <Eigen/Dense>

#include "dshm/eigen.hpp"
#include "payload.hpp"
#include "support/catch.hpp"

namespace ship = dshm::ship;
using dshm::test::packed;
using dshm::test::Payload;
using dshm::test::there_and_back;

namespace {

template <class M>
void check_matrix(const M& matrix) {
    const M copy = there_and_back(matrix);
    CHECK(copy.rows() == matrix.rows());
    CHECK(copy.cols() == matrix.cols());
    CHECK((copy.array() == matrix.array()).all());
}

template <class F, class... Args>
auto call(F function, const Args&... args) {
    const Payload payload = packed(args...);
    ship::Reader reader = payload.reader();
    return ship::invoke_decoded<ship::WireType<Args>...>(function, reader);
}

using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Bounded = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::ColMajor, 4, 4>;

struct Model {
    Eigen::MatrixXd weights;
    Eigen::Vector3d offset = Eigen::Vector3d::Zero();
    std::vector<Eigen::VectorXf> layers;

    template <class Archive>
    void serialize(Archive& archive) {
        archive(weights, offset, layers);
    }
};

} // namespace

TEST_CASE("matrices of every storage cross") {
    check_matrix<Eigen::MatrixXd>(Eigen::MatrixXd::Random(7, 5));
    check_matrix<Eigen::MatrixXd>(Eigen::MatrixXd::Random(200, 200));
    check_matrix<Eigen::MatrixXd>(Eigen::MatrixXd(0, 0));
    check_matrix<Eigen::MatrixXd>(Eigen::MatrixXd(3, 0));
    check_matrix<RowMajor>(RowMajor::Random(3, 4));
    check_matrix<Bounded>(Bounded::Random(2, 3));
    check_matrix<Eigen::Matrix4d>(Eigen::Matrix4d::Random());
    check_matrix<Eigen::Vector2d>(Eigen::Vector2d(1, 2));
    check_matrix<Eigen::VectorXd>(Eigen::VectorXd::Random(9));
    check_matrix<Eigen::RowVectorXi>(Eigen::RowVectorXi::Random(9));
    check_matrix<Eigen::MatrixXcd>(Eigen::MatrixXcd::Random(3, 3));
    check_matrix<Eigen::ArrayXXf>(Eigen::ArrayXXf::Random(3, 3));
    check_matrix<Eigen::Array3d>(Eigen::Array3d::Random());
    check_matrix<Eigen::Matrix<double, 3, Eigen::Dynamic>>(
        Eigen::Matrix<double, 3, Eigen::Dynamic>::Random(3, 6));
}

TEST_CASE("matrices cross inside containers and types") {
    const std::vector<Eigen::MatrixXd> several{Eigen::MatrixXd::Random(2, 3), Eigen::MatrixXd(),
                                               Eigen::MatrixXd::Random(4, 1)};
    const auto copies = there_and_back(several);
    REQUIRE(copies.size() == 3);
    CHECK(copies[0] == several[0]);
    CHECK(copies[1].size() == 0);
    CHECK(copies[2] == several[2]);

    const std::vector<Eigen::Vector4d> fixed(10, Eigen::Vector4d(1, 2, 3, 4));
    CHECK(there_and_back(fixed)[9] == fixed[9]);
    CHECK(there_and_back(std::map<std::string, Eigen::Matrix3d>{{"a", Eigen::Matrix3d::Identity()}})
              .at("a") == Eigen::Matrix3d::Identity());
    CHECK(std::get<0>(there_and_back(std::tuple(Eigen::VectorXd(Eigen::VectorXd::Ones(3)), 1)))
              .sum() == 3);

    const Model model{
        Eigen::MatrixXd::Random(3, 3), Eigen::Vector3d(1, 2, 3), {Eigen::VectorXf::Ones(2)}};
    const Model copy = there_and_back(model);
    CHECK(copy.weights == model.weights);
    CHECK(copy.offset == model.offset);
    CHECK(copy.layers.at(0) == model.layers.at(0));
}

TEST_CASE("a matrix takes its elements and little more") {
    CHECK(ship::footprint(Eigen::MatrixXd(200, 200)) == ship::Footprint{200 * 200 * 8 + 64, 64});
    CHECK(ship::footprint(Eigen::Vector3d()) == ship::Footprint{24, 8});
    CHECK(ship::footprint(Eigen::Vector4d()) == ship::Footprint{32, 8}); // fits into a task record
}

TEST_CASE("maps of const read in place") {
    const Eigen::MatrixXd matrix = Eigen::MatrixXd::Random(20, 10);
    const Payload payload = packed(matrix, Eigen::Vector3d(1, 2, 3));
    ship::Reader reader = payload.reader();
    auto inspect = [&](Eigen::Map<const Eigen::MatrixXd> map,
                       const Eigen::Map<const Eigen::Vector3d>& small) {
        CHECK(payload.contains(map.data()));
        CHECK(payload.contains(small.data()));
        CHECK(reinterpret_cast<std::uintptr_t>(map.data()) % 64 == 0);
        return map == matrix && small == Eigen::Vector3d(1, 2, 3);
    };
    CHECK(ship::invoke_decoded<Eigen::MatrixXd, Eigen::Vector3d>(inspect, reader));
}

TEST_CASE("references to const read in place too") {
    const Eigen::MatrixXd matrix = Eigen::MatrixXd::Random(20, 10);
    const Payload payload = packed(matrix);
    ship::Reader reader = payload.reader();
    auto inspect = [&](const Eigen::Ref<const Eigen::MatrixXd>& reference) {
        return payload.contains(reference.data()) && reference == matrix;
    };
    CHECK(ship::invoke_decoded<Eigen::MatrixXd>(inspect, reader));
}

TEST_CASE("values and references take what they say") {
    const Eigen::MatrixXd matrix = Eigen::MatrixXd::Random(3, 3);
    CHECK(call([](const Eigen::MatrixXd& m) { return m.sum(); }, matrix) == matrix.sum());
    CHECK(call([](Eigen::MatrixXd m) { return m.sum(); }, matrix) == matrix.sum());
    CHECK(call([](const auto& m) { return m.sum(); }, matrix) == matrix.sum());
    CHECK(call([](const Eigen::MatrixXd& m) { return m.sum(); },
               Eigen::Matrix2d(Eigen::Matrix2d::Ones())) == 4);
}

TEST_CASE("expressions arrive as the matrices they stand for") {
    const Eigen::MatrixXd a = Eigen::MatrixXd::Random(4, 4);
    const Eigen::MatrixXd b = Eigen::MatrixXd::Random(4, 4);
    const auto same = [](const Eigen::MatrixXd& m) { return m; };
    CHECK(call(same, a * b) == Eigen::MatrixXd(a * b));
    CHECK(call(same, a + b) == Eigen::MatrixXd(a + b));
    CHECK(call(same, a.transpose()) == Eigen::MatrixXd(a.transpose()));
    CHECK(call(same, a.block(1, 1, 2, 2)) == Eigen::MatrixXd(a.block(1, 1, 2, 2)));
    CHECK(call(same, Eigen::Map<const Eigen::MatrixXd>(a.data(), 2, 8)) ==
          Eigen::MatrixXd(Eigen::Map<const Eigen::MatrixXd>(a.data(), 2, 8)));
    CHECK(call([](const Eigen::RowVectorXd& row) { return row; }, a.row(1)) == a.row(1));
    CHECK(call([](const Eigen::ArrayXXd& array) { return array.sum(); }, a.array() * b.array()) ==
          dshm::test::approximately((a.array() * b.array()).sum()));
}

TEST_CASE("an expression result is a plain matrix") {
    const Eigen::MatrixXd matrix = Eigen::MatrixXd::Random(3, 3);
    auto twice = [](const Eigen::MatrixXd& m) { return 2 * m; };
    STATIC_REQUIRE(std::is_same_v<decltype(call(twice, matrix)), Eigen::MatrixXd>);
    CHECK(call(twice, matrix) == Eigen::MatrixXd(2 * matrix));
}

TEST_CASE("what of Eigen cannot cross is known at compile time") {
    STATIC_REQUIRE_FALSE(ship::Shippable<Eigen::Ref<Eigen::MatrixXd>>);
    STATIC_REQUIRE_FALSE(
        ship::Shippable<Eigen::Map<Eigen::MatrixXd>>); // it can be sent, and arrives as a matrix
    STATIC_REQUIRE_FALSE(ship::Shippable<Eigen::Matrix<std::string, 2, 2>>);
    STATIC_REQUIRE_FALSE(
        ship::Shippable<ship::WireType<std::pair<Eigen::Map<Eigen::Matrix2d>, int>>>);
    STATIC_REQUIRE(ship::Shippable<ship::WireType<std::pair<Eigen::Map<Eigen::MatrixXd>, int>>>);
    STATIC_REQUIRE(std::is_same_v<ship::WireType<Eigen::Map<Eigen::MatrixXd>>, Eigen::MatrixXd>);
}
