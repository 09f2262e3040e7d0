// Sparse matrices, diagonals, permutations and transforms, there and back, and damaged.
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include <Eigen/Geometry>
#include <Eigen/SparseCore>

#include "dshm/eigen.hpp"
#include "payload.hpp"
#include "support/catch.hpp"

namespace ship = dshm::ship;
using dshm::test::packed;
using dshm::test::Payload;
using dshm::test::there_and_back;

namespace {

using ColMajor = Eigen::SparseMatrix<double>;
using RowMajor = Eigen::SparseMatrix<float, Eigen::RowMajor>;
using LongIndices = Eigen::SparseMatrix<double, Eigen::ColMajor, std::ptrdiff_t>;

template <class M>
M sample(Eigen::Index rows, Eigen::Index columns) {
    M matrix(rows, columns);
    std::vector<Eigen::Triplet<typename M::Scalar, typename M::StorageIndex>> entries;
    for (Eigen::Index j = 0; j < columns; ++j)
        for (Eigen::Index i = j % 3; i < rows; i += 2 + j % 2)
            entries.emplace_back(static_cast<typename M::StorageIndex>(i),
                                 static_cast<typename M::StorageIndex>(j),
                                 static_cast<typename M::Scalar>(i + 10 * j + 1));
    matrix.setFromTriplets(entries.begin(), entries.end());
    return matrix;
}

template <class M>
void check_sparse(const M& matrix) {
    const M copy = there_and_back(matrix);
    REQUIRE(copy.rows() == matrix.rows());
    REQUIRE(copy.cols() == matrix.cols());
    CHECK(copy.nonZeros() == matrix.nonZeros());
    CHECK(copy.toDense() == matrix.toDense());
}

template <class F, class... Args>
auto call(F function, const Args&... args) {
    const Payload payload = packed(args...);
    ship::Reader reader = payload.reader();
    return ship::invoke_decoded<ship::WireType<Args>...>(function, reader);
}

template <class T>
T decoded(const Payload& payload) {
    ship::Reader reader = payload.reader();
    return ship::decode<T>(reader);
}

// Every byte damaged in several ways: another matrix, whole in itself, or an error.
template <class M>
void check_damage(const M& matrix) {
    const Payload whole = packed(matrix);
    for (std::size_t position = 0; position < whole.size(); ++position)
        for (const int value : {0, 1, 2, 127, 128, 255}) {
            const Payload damaged(whole, whole.size());
            damaged.data()[position] = static_cast<std::byte>(value);
            try {
                const M copy = decoded<M>(damaged);
                if (copy.rows() < 100 && copy.cols() < 100)
                    CHECK(copy.toDense().size() == copy.rows() * copy.cols());
            } catch (const dshm::DecodeError&) {
            }
        }
    for (std::size_t size = 0; size < whole.size(); ++size)
        CHECK_THROWS_AS(decoded<M>(Payload(whole, size)), dshm::DecodeError);
}

struct System {
    ColMajor matrix;
    Eigen::VectorXd right;

    template <class Archive>
    void serialize(Archive& archive) {
        archive(matrix, right);
    }
};

} // namespace

TEST_CASE("sparse matrices of every storage cross") {
    check_sparse(sample<ColMajor>(7, 5));
    check_sparse(sample<RowMajor>(7, 5));
    check_sparse(sample<LongIndices>(40, 30));
    check_sparse(ColMajor(4, 0));
    check_sparse(ColMajor(0, 4));
    check_sparse(ColMajor(6, 6));
    check_sparse(sample<Eigen::SparseMatrix<std::complex<double>>>(3, 3));
    CHECK(there_and_back(ColMajor()).size() == 0);
}

TEST_CASE("a matrix with gaps arrives compressed") {
    ColMajor matrix(6, 4);
    matrix.reserve(Eigen::VectorXi::Constant(4, 5));
    matrix.insert(1, 0) = 1;
    matrix.insert(5, 2) = 2;
    matrix.insert(0, 2) = 3;
    REQUIRE(!matrix.isCompressed());
    check_sparse(matrix);
    CHECK(there_and_back(matrix).isCompressed());
    RowMajor rows(6, 4);
    rows.insert(3, 3) = 1;
    check_sparse(rows);
}

TEST_CASE("sparse vectors cross") {
    Eigen::SparseVector<double> column(10);
    column.insert(3) = 1;
    column.insert(9) = 2;
    check_sparse(column);
    Eigen::SparseVector<float, Eigen::RowMajor> row(5);
    row.insert(0) = 1;
    check_sparse(row);
    check_sparse(Eigen::SparseVector<double>(7));
    check_sparse(Eigen::SparseVector<double>());
}

TEST_CASE("sparse matrices cross inside containers and types") {
    const std::vector<ColMajor> several{sample<ColMajor>(3, 4), ColMajor(2, 2)};
    CHECK(there_and_back(several)[0].toDense() == several[0].toDense());
    CHECK(there_and_back(std::map<std::string, ColMajor>{{"a", several[0]}}).at("a").nonZeros() ==
          several[0].nonZeros());
    const System system{several[0], Eigen::VectorXd::Ones(3)};
    CHECK(there_and_back(system).matrix.toDense() == several[0].toDense());
}

TEST_CASE("a map of const reads a sparse matrix in place") {
    const ColMajor matrix = sample<ColMajor>(50, 40);
    const Payload payload = packed(matrix);
    ship::Reader reader = payload.reader();
    auto inspect = [&](Eigen::Map<const ColMajor> map) {
        return payload.contains(map.valuePtr()) && payload.contains(map.innerIndexPtr()) &&
               map.toDense() == matrix.toDense();
    };
    CHECK(ship::invoke_decoded<ColMajor>(inspect, reader));
}

TEST_CASE("sparse expressions arrive as the matrices they stand for") {
    const ColMajor a = sample<ColMajor>(6, 6);
    const auto same = [](const ColMajor& m) { return m; };
    CHECK(call(same, a + a).toDense() == (2 * a).toDense());
    CHECK(call(same, ColMajor(a * a)).toDense() == (a * a).toDense());
    CHECK(call([](const auto& m) { return m.nonZeros(); }, a.transpose()) == a.nonZeros());
    CHECK(call([](const ColMajor& m) { return ColMajor(m * 2); }, a).toDense() == 2 * a.toDense());
    CHECK(call(same, Eigen::Map<const ColMajor>(a.rows(), a.cols(), a.nonZeros(), a.outerIndexPtr(),
                                                a.innerIndexPtr(), a.valuePtr()))
              .toDense() == a.toDense());
}

TEST_CASE("damaged sparse matrices are errors, or whole in themselves") {
    check_damage(sample<ColMajor>(5, 4));
    check_damage(sample<RowMajor>(3, 2));
    check_damage(sample<LongIndices>(3, 3));
    Eigen::SparseVector<double> vector(10);
    vector.insert(3) = 1;
    check_damage(vector);
}

TEST_CASE("diagonals and permutations cross") {
    Eigen::DiagonalMatrix<double, Eigen::Dynamic> diagonal(Eigen::VectorXd::LinSpaced(4, 1, 4));
    CHECK(there_and_back(diagonal).diagonal() == diagonal.diagonal());
    Eigen::DiagonalMatrix<float, 3> fixed(1, 2, 3);
    CHECK(there_and_back(fixed).diagonal() == fixed.diagonal());

    Eigen::PermutationMatrix<Eigen::Dynamic> permutation(5);
    permutation.setIdentity();
    permutation.applyTranspositionOnTheRight(0, 3);
    CHECK(there_and_back(permutation).indices() == permutation.indices());
    CHECK_THROWS_AS((decoded<Eigen::PermutationMatrix<3>>(packed(Eigen::Vector3i(0, 1, 3)))),
                    dshm::DecodeError);
    CHECK_THROWS_AS((decoded<Eigen::PermutationMatrix<3>>(packed(Eigen::Vector3i(0, 1, 1)))),
                    dshm::DecodeError);
}

TEST_CASE("transforms and what they are made of cross as their bytes") {
    const Eigen::Quaterniond turn(Eigen::AngleAxisd(0.5, Eigen::Vector3d::UnitY()));
    Eigen::Isometry3d isometry = Eigen::Isometry3d::Identity();
    isometry.rotate(turn).translate(Eigen::Vector3d(1, 2, 3));
    CHECK(there_and_back(turn).coeffs() == turn.coeffs());
    CHECK(there_and_back(isometry).matrix() == isometry.matrix());
    CHECK(there_and_back(std::vector<Eigen::Isometry3d>(3, isometry))[2].matrix() ==
          isometry.matrix());
    CHECK(there_and_back(Eigen::Affine2f(Eigen::Affine2f::Identity())).matrix() ==
          Eigen::Affine2f::Identity().matrix());
    CHECK(there_and_back(Eigen::Translation3d(1, 2, 3)).vector() == Eigen::Vector3d(1, 2, 3));
    CHECK(there_and_back(Eigen::AngleAxisd(turn)).isApprox(Eigen::AngleAxisd(turn)));
    CHECK(there_and_back(Eigen::Rotation2Df(0.25f)).angle() == 0.25f);
    const Eigen::AlignedBox3d box(Eigen::Vector3d::Zero(), Eigen::Vector3d::Ones());
    CHECK(there_and_back(box).isApprox(box));
    const Eigen::Hyperplane<double, 3> plane(Eigen::Vector3d::UnitZ(), 1.0);
    CHECK(there_and_back(plane).coeffs() == plane.coeffs());
    CHECK(call([](const Eigen::Isometry3d& t) { return t.inverse(); }, isometry).matrix() ==
          isometry.inverse().matrix());
}
