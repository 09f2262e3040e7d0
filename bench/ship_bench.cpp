// What it costs to bring values across: encoding and decoding against plain copies in one process, and a
// call with a matrix of 4 MiB against a memcpy of its bytes into shared memory.
//
// Encoding is both passes, the one that counts and the one that writes, into a block that is in use already, as
// blocks of the heap are. Copies and decoded values are destroyed outside the measured time.
#include <dshm/dshm.hpp>

#include "baselines/shared_mapping.hpp"
#include "support/comparison.hpp"

#include <cstring>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

namespace {

namespace ship = dshm::ship;
using Eigen::MatrixXd;

/// Memory that is written again and again.
class Block {
public:
    explicit Block(std::size_t size)
        : size_(size), data_(static_cast<std::byte*>(
                           ::operator new(size, std::align_val_t(ship::block_alignment)))) {
        std::memset(data_, 1, size_);
    }
    ~Block() { ::operator delete(data_, std::align_val_t(ship::block_alignment)); }
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;

    std::byte* data() const { return data_; }
    std::size_t size() const { return size_; }

private:
    std::size_t size_;
    std::byte* data_;
};

template <class T>
void encode(const T& value, const Block& block) {
    const ship::Footprint need = ship::footprint(value);
    bench::require(need.size <= block.size(), "the block is too small");
    ship::Writer writer(block.data(), need.size);
    ship::encode(writer, value);
    benchmark::ClobberMemory();
}

template <class T>
T decode(const Block& block) {
    ship::Reader reader(block.data(), block.size());
    return ship::decode<T>(reader);
}

// ---- a matrix in one process --------------------------------------------------------------------

/// Seconds of one writing of the matrix's bytes, somewhere into the block.
template <class Write>
bench::Turn writing(const MatrixXd& matrix, const Block& block, int repeats, Write write) {
    return [&matrix, &block, repeats, write] {
        std::memset(block.data(), 0, block.size());
        write();
        const double seconds = bench::seconds_of([&] {
            for (int i = 0; i < repeats; ++i)
                write();
        });
        const auto bytes = static_cast<std::size_t>(matrix.size()) * sizeof(double);
        const bool here = std::memcmp(block.data(), matrix.data(), bytes) == 0;
        const bool behind_sizes =
            std::memcmp(block.data() + block.size() - bytes, matrix.data(), bytes) == 0;
        bench::require(here || behind_sizes, "other bytes were written");
        return seconds / repeats;
    };
}

void compare_matrix(bench::Program& program, const MatrixXd& matrix, const Block& block) {
    const auto bytes = static_cast<std::size_t>(matrix.size()) * sizeof(double);
    const int repeats = program.size(200, 2);
    program.compare("ship/encode_matrix_200x200")
        .rounds(31)
        .subject("libdshm",
                 writing(matrix, block, repeats, [&matrix, &block] { encode(matrix, block); }))
        .peer("memcpy",
              writing(matrix, block, repeats,
                      [&matrix, &block, bytes] {
                          std::memcpy(block.data(), matrix.data(), bytes);
                          benchmark::ClobberMemory();
                      }),
              1 / 1.3);
}

// ---- containers in one process ------------------------------------------------------------------

/// Seconds of making one other value that equals `value`, which goes away after the measured time.
template <class T, class Make>
bench::Turn making(const T& value, int repeats, Make make) {
    return [&value, repeats, make] {
        double seconds = 0;
        for (int i = 0; i < repeats; ++i) {
            std::optional<T> copy;
            seconds += bench::seconds_of([&] { copy.emplace(make()); });
            bench::require(*copy == value, "a value changed on its way");
        }
        return seconds / repeats;
    };
}

/// The same for decoding alone.
template <class T>
bench::Turn decoding(const T& value, const Block& block, int repeats) {
    const bench::Turn turn = making(value, repeats, [&block] { return decode<T>(block); });
    return [&value, &block, turn] {
        encode(value, block);
        return turn();
    };
}

/// Seconds of one encoding, both passes.
template <class T>
bench::Turn encoding(const T& value, const Block& block, int repeats) {
    return [&value, &block, repeats] {
        const double seconds = bench::seconds_of([&] {
            for (int i = 0; i < repeats; ++i)
                encode(value, block);
        });
        bench::require(decode<T>(block) == value, "a value changed on its way");
        return seconds / repeats;
    };
}

template <class T>
void compare_container(bench::Program& program, const std::string& name, const T& value,
                       const Block& block) {
    const int repeats = program.size(5, 1);
    const auto copying = making(value, repeats, [&value] { return value; });
    const auto there_and_back = [&value, &block] {
        encode(value, block);
        return decode<T>(block);
    };
    program.compare("ship/encode_" + name)
        .rounds(31)
        .subject("libdshm", encoding(value, block, repeats))
        .peer("copy", copying, 0.5);
    program.compare("ship/there_and_back_" + name)
        .rounds(31)
        .subject("libdshm", making(value, repeats, there_and_back))
        .peer("copy", copying, 0.5)
        .peer("libdshm, decode alone", decoding(value, block, repeats));
}

template <class Map>
Map map_of(int size, std::size_t length) {
    Map map;
    for (int i = 0; i < size; ++i) {
        std::string text = std::to_string(i) + " ";
        text.resize(length, 'x');
        if constexpr (std::is_same_v<typename Map::key_type, int>)
            map.emplace(i, std::move(text));
        else
            map.emplace("key " + std::to_string(i), std::move(text));
    }
    return map;
}

struct Containers {
    explicit Containers(int size)
        : short_texts(map_of<decltype(short_texts)>(size, 12)),
          long_texts(map_of<decltype(long_texts)>(size, 40)),
          hashed(map_of<decltype(hashed)>(size, 40)),
          rows(static_cast<std::size_t>(size), std::vector<double>(10, 1.5)) {
        for (const auto& [key, text] : long_texts)
            texts.push_back(text);
    }
    std::map<int, std::string> short_texts;
    std::map<std::string, std::string> long_texts;
    std::unordered_map<std::string, std::string> hashed;
    std::vector<std::string> texts;
    std::vector<std::vector<double>> rows;
};

void compare_containers(bench::Program& program, const Containers& all, const Block& block) {
    compare_container(program, "map_int_to_short_string", all.short_texts, block);
    compare_container(program, "map_string_to_string", all.long_texts, block);
    compare_container(program, "unordered_map_of_strings", all.hashed, block);
    compare_container(program, "vector_of_strings", all.texts, block);
    compare_container(program, "vector_of_vectors", all.rows, block);
}

// ---- a call with a matrix -----------------------------------------------------------------------

double corners(const double* data, Eigen::Index size) { return data[0] + data[size - 1]; }

void compare_call(bench::Program& program, dshm::WorkerId worker, const MatrixXd& matrix,
                  const bench::SharedMapping<double>& mapping) {
    const double expected = corners(matrix.data(), matrix.size());
    const bench::Batch batch = program.batch(50);
    const auto in_place = [](Eigen::Map<const MatrixXd> m) { return corners(m.data(), m.size()); };
    const auto as_value = [](const MatrixXd& m) { return corners(m.data(), m.size()); };
    program.compare("ship/call_with_4_MiB_matrix")
        .rounds(21)
        .subject("libdshm, read in place",
                 bench::back_to_back(batch,
                                     [=, &matrix] {
                                         bench::require_equal(
                                             dshm::fetch_from(worker, in_place, matrix), expected);
                                     }))
        .peer("memcpy into shared memory",
              bench::back_to_back(batch,
                                  [=, &matrix, &mapping] {
                                      std::memcpy(mapping.data(), matrix.data(),
                                                  mapping.size() * sizeof(double));
                                      benchmark::ClobberMemory();
                                  }),
              0.8)
        .peer("libdshm, as a value", bench::back_to_back(batch, [=, &matrix] {
                  bench::require_equal(dshm::fetch_from(worker, as_value, matrix), expected);
              }));
}

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    bench::Program program(argc, argv);
    const dshm::WorkerId worker = dshm::addprocs(program.workers()).front();

    const MatrixXd small = MatrixXd::Random(200, 200);
    const Block small_block(ship::footprint(small).size);
    compare_matrix(program, small, small_block);

    const Containers containers(program.size(10'000, 100));
    const Block block(16 << 20);
    compare_containers(program, containers, block);

    const MatrixXd large = MatrixXd::Random(1024, program.size(512, 2));
    bench::SharedMapping<double> mapping(static_cast<std::size_t>(large.size()));
    compare_call(program, worker, large, mapping);
    return program.run();
}
