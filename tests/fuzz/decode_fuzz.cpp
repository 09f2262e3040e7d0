// Decoding of arbitrary bytes: an exception or a value, never a read outside them and never more
// memory than they justify. A value that comes out can be encoded, and decodes again.
//
// The first byte of an input chooses a row of the table below: a kind of value, a view, a call with
// arguments, a closure, the record of an exception. The rest is the payload, in memory of exactly its
// size. With DSHM_FUZZ_SEEDS=DIRECTORY the program writes one whole payload of each row instead,
// called after it; run_fuzz.py compiles and runs it.
#include <array>
#include <bitset>
#include <chrono>
#include <complex>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <forward_list>
#include <fstream>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <stack>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <valarray>
#include <variant>
#include <vector>

#include <Eigen/Geometry>
#include <Eigen/SparseCore>
#include <cereal/types/polymorphic.hpp>

#include "dshm/eigen.hpp"
#include "dshm/ship/closure.hpp"
#include "dshm/ship/exception_record.hpp"
#include "dshm/ship/module_table.hpp"
#include "dshm/ship/parameters.hpp"

namespace ship = dshm::ship;

namespace app {

struct Node {
    std::string name;
    std::vector<std::vector<double>> rows;
    std::shared_ptr<int> shared;
    std::unique_ptr<std::string> owned;
    std::shared_ptr<Node> next;
    std::weak_ptr<Node> back;
    std::vector<Node> children;

    template <class Archive>
    void serialize(Archive& archive) {
        archive(name, rows, shared, owned, next, back, children);
    }
};

struct Versioned {
    std::map<std::string, std::string> texts;

    template <class Archive>
    void serialize(Archive& archive, std::uint32_t) {
        archive(texts);
    }
};

// Reads a count by itself, as cereal's own container functions do.
struct Counted {
    std::vector<short> values;

    template <class Archive>
    void save(Archive& archive) const {
        archive(cereal::make_size_tag(static_cast<cereal::size_type>(values.size())));
        archive(cereal::binary_data(values.data(), values.size() * sizeof(short)));
    }
    template <class Archive>
    void load(Archive& archive) {
        cereal::size_type size = 0;
        archive(cereal::make_size_tag(size));
        values.resize(size);
        archive(cereal::binary_data(values.data(), values.size() * sizeof(short)));
    }
};

class Made {
public:
    Made(int number, std::string text) : number_(number), text_(std::move(text)) {}

    template <class Archive>
    void save(Archive& archive) const {
        archive(number_, text_);
    }
    template <class Archive>
    static void load_and_construct(Archive& archive, cereal::construct<Made>& construct) {
        int number = 0;
        std::string text;
        archive(number, text);
        construct(number, text);
    }

private:
    int number_;
    std::string text_;
};

struct Shape {
    virtual ~Shape() = default;
    std::string name;

    template <class Archive>
    void serialize(Archive& archive) {
        archive(name);
    }
};
struct Circle : Shape {
    double radius = 1;

    template <class Archive>
    void serialize(Archive& archive) {
        archive(cereal::base_class<Shape>(this), radius);
    }
};
struct Polygon : Shape {
    std::vector<std::shared_ptr<Shape>> parts;

    template <class Archive>
    void serialize(Archive& archive) {
        archive(cereal::base_class<Shape>(this), parts);
    }
};

struct Plain {
    int number;
    double weight;
};

int doubled(int value) { return 2 * value; }

} // namespace app

CEREAL_CLASS_VERSION(app::Versioned, 2)
CEREAL_REGISTER_TYPE(app::Circle)
CEREAL_REGISTER_TYPE(app::Polygon)

namespace {

using Bytes = std::vector<std::byte>;

// Memory of exactly one payload, aligned as a block is, so that the sanitizer sees one byte too
// many.
class Block {
public:
    explicit Block(std::size_t size)
        : size_(size), data_(static_cast<std::byte*>(
                           ::operator new(size, std::align_val_t(ship::block_alignment)))) {}
    ~Block() { ::operator delete(data_, std::align_val_t(ship::block_alignment)); }
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;

    std::byte* data() const { return data_; }
    std::size_t size() const { return size_; }

private:
    std::size_t size_;
    std::byte* data_;
};

[[noreturn]] void give_up(const char* what) {
    std::fprintf(stderr, "decode_fuzz: %s\n", what);
    std::abort();
}

template <class... Ts>
Bytes encoded(const Ts&... values) {
    const Block block(ship::footprint(values...).size);
    ship::Writer writer(block.data(), block.size());
    ship::encode(writer, values...);
    if (writer.written() != block.size())
        give_up("a value took another room than it asked for");
    return {block.data(), block.data() + block.size()};
}

// Whatever was decoded is whole: it goes once more there and back. Cycles of pointers are cut by
// nobody here, so leaks are not looked for.
template <class T>
void check_value(ship::Reader& reader) {
    const T value = ship::decode<T>(reader);
    const Bytes again = encoded(value);
    const Block block(again.size());
    if (!again.empty())
        std::memcpy(block.data(), again.data(), again.size());
    ship::Reader second(block.data(), block.size());
    static_cast<void>(ship::decode<T>(second));
    if (second.remaining() != 0)
        give_up("a value did not read all that it wrote");
}

// Every byte of what is read in place.
std::uint64_t touch(const void* data, std::size_t size) {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < size; ++i)
        sum += static_cast<const volatile unsigned char*>(data)[i];
    return sum;
}

template <class View>
void check_view(ship::Reader& reader) {
    const View view = ship::decode<View>(reader);
    touch(view.data(), static_cast<std::size_t>(view.size()) * sizeof(*view.data()));
}

void check_sparse_view(ship::Reader& reader) {
    using Sparse = Eigen::SparseMatrix<double>;
    const auto view = ship::decode<Eigen::Map<const Sparse>>(reader);
    double sum = 0;
    for (Eigen::Index j = 0; j < view.outerSize(); ++j)
        for (Eigen::Map<const Sparse>::InnerIterator it(view, j); it; ++it)
            sum += it.value();
    static_cast<void>(sum);
}

void check_call(ship::Reader& reader) {
    auto function = [](std::string_view text, const std::vector<std::string>& list,
                       std::span<const int> numbers, std::optional<Eigen::VectorXf> vector) {
        return text.size() + list.size() + numbers.size() + (vector ? 1 : 0);
    };
    ship::invoke_decoded<std::string, std::vector<std::string>, std::vector<int>,
                         std::optional<Eigen::VectorXf>>(function, reader);
}

auto plain_closure() {
    return [plain = app::Plain{1, 2.5}, pair = std::array{1, 2}](int by) {
        return plain.number ^ pair[1] ^ by;
    };
}

template <class F>
Bytes encoded_closure(const F& function) {
    ship::Sizer sizer;
    ship::write_closure(sizer, function);
    const Block block(sizer.written());
    ship::Writer writer(block.data(), block.size());
    ship::write_closure(writer, function);
    return {block.data(), block.data() + block.size()};
}

template <class F>
void check_closure(ship::Reader& reader) {
    auto function = ship::read_closure<F>(reader);
    static_cast<void>(function(1));
}

void check_exception(ship::Reader& reader) {
    const auto record = ship::decode<ship::ExceptionRecord>(reader);
    const std::exception_ptr exception = ship::rebuild(record);
    encoded(ship::capture(exception, 3));
}

struct Row {
    const char* name;
    Bytes (*seed)();
    void (*check)(ship::Reader&);
};

template <class T, auto Make>
constexpr Row value_row(const char* name) {
    return {name, [] { return encoded(T(Make())); }, &check_value<T>};
}

Eigen::SparseMatrix<double> sparse_sample() {
    Eigen::SparseMatrix<double> matrix(4, 3);
    matrix.insert(1, 0) = 1;
    matrix.insert(3, 0) = 2;
    matrix.insert(0, 2) = 3;
    matrix.makeCompressed();
    return matrix;
}

app::Node node_sample() {
    app::Node node{"root", {{1, 2}, {}}, std::make_shared<int>(1), nullptr, nullptr, {}, {}};
    node.owned = std::make_unique<std::string>("owned");
    node.next = std::make_shared<app::Node>();
    node.next->shared = node.shared;
    node.next->back = node.next;
    node.children.resize(1);
    return node;
}

std::vector<std::shared_ptr<app::Shape>> shapes_sample() {
    const auto circle = std::make_shared<app::Circle>();
    const auto polygon = std::make_shared<app::Polygon>();
    polygon->parts = {circle, nullptr};
    return {circle, polygon};
}

auto guarded_closure() { // a function's address, which is translated
    return [function = &app::doubled](int by) { return function == nullptr ? 0 : by; };
}

std::exception_ptr exception_sample() {
    const auto code = std::make_error_code(std::errc::io_error);
    return std::make_exception_ptr(dshm::CompositeException(
        {std::make_exception_ptr(std::out_of_range("range")),
         std::make_exception_ptr(std::filesystem::filesystem_error("file", "a", "b", code)),
         std::make_exception_ptr(dshm::ProcessExitedException(4, "SIGKILL"))}));
}

template <class T>
std::stack<T> stack_of(T value) {
    std::stack<T> stack;
    stack.push(std::move(value));
    return stack;
}

using Variant = std::variant<std::monostate, int, std::string, std::vector<double>>;
using Function = int (*)(int);
using Member = std::size_t (std::string::*)() const noexcept;

// To add a row, append it: the first byte of the committed inputs counts from the top.
const Row rows[] = {
    value_row<int, [] { return 42; }>("int"),
    value_row<bool, [] { return true; }>("bool"),
    value_row<app::Plain, [] { return app::Plain{1, 2}; }>("plain"),
    value_row<std::string, [] { return "text"; }>("string"),
    value_row<std::u16string, [] { return u"wide"; }>("u16string"),
    value_row<std::vector<double>, [] { return std::vector<double>(40, 1.5); }>("vector_double"),
    value_row<std::vector<bool>, [] { return std::vector<bool>{true, false}; }>("vector_bool"),
    value_row<std::vector<std::string>, [] { return std::vector<std::string>{"a", ""}; }>("strings"),
    value_row<std::vector<std::vector<std::vector<char>>>,
              [] { return std::vector<std::vector<std::vector<char>>>{{{'a'}, {}}, {}}; }>("nested"),
    value_row<std::deque<std::pair<std::string, char>>,
              [] { return std::deque<std::pair<std::string, char>>{{"a", 'b'}}; }>("deque"),
    value_row<std::list<long double>, [] { return std::list<long double>{1, 2}; }>("list"),
    value_row<std::forward_list<std::string>,
              [] { return std::forward_list<std::string>{"a"}; }>("forward_list"),
    value_row<std::set<std::string>, [] { return std::set<std::string>{"a", "b"}; }>("set"),
    value_row<std::multiset<int>, [] { return std::multiset<int>{1, 1}; }>("multiset"),
    value_row<std::map<std::string, std::vector<int>>,
              [] { return std::map<std::string, std::vector<int>>{{"a", {1}}}; }>("map"),
    value_row<std::map<int, double>, [] { return std::map<int, double>{{1, 2}}; }>("map_plain"),
    value_row<std::multimap<int, bool>, [] { return std::multimap<int, bool>{{1, true}}; }>(
        "multimap"),
    value_row<std::unordered_map<std::string, int>,
              [] { return std::unordered_map<std::string, int>{{"a", 1}}; }>("unordered_map"),
    value_row<std::unordered_multimap<char, char>,
              [] { return std::unordered_multimap<char, char>{{'a', 'b'}}; }>("unordered_multimap"),
    value_row<std::unordered_set<char>, [] { return std::unordered_set<char>{'a'}; }>(
        "unordered_set"),
    value_row<std::tuple<int, std::string, std::optional<int>>,
              [] { return std::tuple(1, "a", 3); }>("tuple"),
    value_row<std::array<std::string, 2>, [] { return std::array<std::string, 2>{"a", "b"}; }>(
        "array"),
    value_row<std::array<std::string, 0>, [] { return std::array<std::string, 0>{}; }>("array_0"),
    value_row<std::optional<std::string>, [] { return "a"; }>("optional"),
    value_row<std::vector<Variant>, [] { return std::vector<Variant>{1, "a"}; }>("variant"),
    value_row<std::valarray<float>, [] { return std::valarray<float>{1, 2}; }>("valarray"),
    value_row<std::stack<std::string>, [] { return stack_of<std::string>("a"); }>("stack"),
    value_row<std::queue<int>, [] { return std::queue<int>({1, 2}); }>("queue"),
    value_row<std::priority_queue<int>,
              [] { return std::priority_queue<int>(std::less<int>(), {1, 2}); }>("priority_queue"),
    value_row<std::bitset<70>, [] { return std::bitset<70>(5); }>("bitset"),
    value_row<std::complex<double>, [] { return std::complex<double>(1, 2); }>("complex"),
    value_row<std::chrono::system_clock::time_point,
              [] { return std::chrono::system_clock::time_point(); }>("time_point"),
    value_row<std::filesystem::path, [] { return "a/b"; }>("path"),
    value_row<std::error_code, [] { return std::make_error_code(std::errc::io_error); }>(
        "error_code"),
    value_row<std::vector<std::unique_ptr<std::string>>,
              [] { return std::vector<std::unique_ptr<std::string>>(2); }>("unique_ptr"),
    value_row<std::vector<std::shared_ptr<std::string>>,
              [] {
                  return std::vector<std::shared_ptr<std::string>>(
                      2, std::make_shared<std::string>("shared"));
              }>("shared_ptr"),
    value_row<std::pair<std::shared_ptr<char>, std::shared_ptr<app::Versioned>>,
              [] {
                  return std::pair(std::make_shared<char>('a'),
                                   std::make_shared<app::Versioned>());
              }>("shared_types"),
    value_row<app::Node, &node_sample>("node"),
    value_row<std::vector<app::Versioned>,
              [] { return std::vector<app::Versioned>{{{{"a", "b"}}}, {}}; }>("versioned"),
    value_row<app::Counted, [] { return app::Counted{{1, 2, 3}}; }>("counted"),
    value_row<app::Made, [] { return app::Made(1, "made"); }>("made"),
    value_row<std::vector<std::shared_ptr<app::Made>>,
              [] {
                  return std::vector<std::shared_ptr<app::Made>>(
                      2, std::make_shared<app::Made>(1, "made"));
              }>("made_shared"),
    value_row<std::vector<std::shared_ptr<app::Shape>>, &shapes_sample>("polymorphic"),
    value_row<std::unique_ptr<app::Shape>, [] { return std::make_unique<app::Circle>(); }>(
        "polymorphic_unique"),
    value_row<Function, [] { return &app::doubled; }>("function"),
    value_row<Member, [] { return &std::string::size; }>("member"),
    value_row<Eigen::MatrixXd, [] { return Eigen::MatrixXd::Ones(3, 4).eval(); }>("matrix"),
    value_row<Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor, 4, 4>,
              [] { return Eigen::Matrix2f::Ones().eval(); }>("matrix_bounded"),
    value_row<Eigen::Matrix3f, [] { return Eigen::Matrix3f::Ones().eval(); }>("matrix_fixed"),
    value_row<std::vector<Eigen::Vector4d>, [] { return std::vector<Eigen::Vector4d>(3); }>(
        "vectors_fixed"),
    value_row<std::map<int, Eigen::ArrayXXf>,
              [] { return std::map<int, Eigen::ArrayXXf>{{1, Eigen::ArrayXXf::Ones(1, 2)}}; }>(
        "arrays"),
    value_row<Eigen::SparseMatrix<double>, &sparse_sample>("sparse"),
    value_row<Eigen::SparseMatrix<float, Eigen::RowMajor, std::ptrdiff_t>,
              [] { return Eigen::SparseMatrix<float, Eigen::RowMajor, std::ptrdiff_t>(
                      sparse_sample().cast<float>()); }>("sparse_rows"),
    value_row<Eigen::SparseVector<double>, [] { return Eigen::SparseVector<double>(sparse_sample().col(0)); }>("sparse_vector"),
    value_row<Eigen::PermutationMatrix<Eigen::Dynamic>,
              [] { return Eigen::PermutationMatrix<Eigen::Dynamic>(Eigen::VectorXi::Zero(1)); }>(
        "permutation"),
    value_row<Eigen::Isometry3d, [] { return Eigen::Isometry3d::Identity(); }>("isometry"),
    {"view_span", [] { return encoded(std::vector<double>(40)); },
     &check_view<std::span<const double>>},
    {"view_text", [] { return encoded(std::string("text")); }, &check_view<std::string_view>},
    {"view_matrix", [] { return encoded(Eigen::MatrixXd::Ones(3, 4).eval()); },
     &check_view<Eigen::Map<const Eigen::MatrixXd>>},
    {"view_sparse", [] { return encoded(sparse_sample()); }, &check_sparse_view},
    {"call",
     [] {
         return encoded(std::string("text"), std::vector<std::string>{"a"}, std::vector<int>{1},
                        std::optional<Eigen::VectorXf>(Eigen::VectorXf::Ones(2)));
     },
     &check_call},
    {"closure", [] { return encoded_closure(plain_closure()); },
     &check_closure<decltype(plain_closure())>},
    {"closure_guarded", [] { return encoded_closure(guarded_closure()); },
     &check_closure<decltype(guarded_closure())>},
    {"exception", [] { return encoded(ship::capture(exception_sample(), 2)); }, &check_exception},
};
constexpr std::size_t row_count = std::size(rows);
static_assert(row_count < 256, "one byte chooses");

void write_seeds(const std::filesystem::path& directory) {
    std::filesystem::create_directories(directory);
    for (std::size_t i = 0; i < row_count; ++i) {
        const Bytes seed = rows[i].seed();
        std::ofstream file(directory / rows[i].name, std::ios::binary);
        file.put(static_cast<char>(i));
        file.write(reinterpret_cast<const char*>(seed.data()),
                   static_cast<std::streamsize>(seed.size()));
    }
}

} // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    static ship::ModuleTable table;
    static ship::ModuleRegistry registry(table);
    registry.make_current();
    if (const char* directory = std::getenv("DSHM_FUZZ_SEEDS")) {
        write_seeds(directory);
        std::exit(0);
    }
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0)
        return 0;
    const Row& row = rows[data[0] % row_count];
    const Block block(size - 1);
    if (size > 1)
        std::memcpy(block.data(), data + 1, size - 1);
    ship::Reader reader(block.data(), block.size());
    try {
        row.check(reader);
    } catch (const std::exception&) { // damaged, and found to be
    }
    return 0;
}
