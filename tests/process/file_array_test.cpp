// SharedArrays in files: what each mode does, what is refused, and what is left of the file when
// something fails or somebody dies.

#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "dshm/runtime/process.hpp"
#include "sanitizers.hpp"
#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;
namespace fs = std::filesystem;

namespace {

class Directory {
public:
    Directory() {
        std::string pattern = (fs::temp_directory_path() / "dshm-files.XXXXXX").string();
        path_ = mkdtemp(pattern.data());
    }
    Directory(const Directory&) = delete;
    ~Directory() { fs::remove_all(path_); }
    std::string path() const { return path_; }
    std::string operator/(const char* name) const { return path_ + "/" + name; }
    std::size_t files() const {
        return static_cast<std::size_t>(
            std::distance(fs::directory_iterator(path_), fs::directory_iterator()));
    }

private:
    std::string path_;
};

template <class T>
void write_file(const std::string& path, const std::vector<T>& values, std::size_t zeros = 0) {
    std::ofstream file(path, std::ios::binary);
    file << std::string(zeros, '\0');
    file.write(reinterpret_cast<const char*>(values.data()),
               static_cast<std::streamsize>(values.size() * sizeof(T)));
}

template <class T>
std::vector<T> read_file(const std::string& path, std::size_t offset = 0) {
    std::vector<T> values((fs::file_size(path) - offset) / sizeof(T));
    std::ifstream file(path, std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset));
    file.read(reinterpret_cast<char*>(values.data()),
              static_cast<std::streamsize>(values.size() * sizeof(T)));
    return values;
}

template <class E = std::invalid_argument, class... Arguments>
std::string refused(const Arguments&... arguments) {
    return thrown_by<E>([&] { SharedVector<int>::map_file(arguments...); });
}

// Those whose paths begin so.
std::size_t files_mapped_here(const std::string& path) {
    std::ifstream maps("/proc/self/maps");
    std::size_t found = 0;
    for (std::string line; std::getline(maps, line);)
        found += has(line, path) ? 1u : 0u;
    return found;
}
bool is_mapped_here(const std::string& path) { return files_mapped_here(path) != 0; }

void write_text(const char* path, const std::string& text) { std::ofstream(path) << text; }

// A file system of 1 MiB that only this process and its children see.
bool mount_small_disk(const std::string& path) {
    const std::string user = "0 " + std::to_string(geteuid()) + " 1",
                      group = "0 " + std::to_string(getegid()) + " 1";
    if (unshare(CLONE_NEWNS) != 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
            return false;
        write_text("/proc/self/setgroups", "deny");
        write_text("/proc/self/uid_map", user);
        write_text("/proc/self/gid_map", group);
    }
    return mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           mount("none", path.c_str(), "tmpfs", 0, "size=1m") == 0;
}

std::uint64_t objects() { return counters().objects; }

} // namespace

// ---- modes --------------------------------------------------------------------------------------

TEST_CASE("processes that lengthen one file at once cut it for nobody") {
    const Directory directory;
    in_session(3, [&] {
        for (int round = 0; round < 30; ++round) {
            const std::string path = directory / std::to_string(round).c_str();
            everywhere(
                [](const std::string& file) {
                    const std::size_t size = 1000 * static_cast<std::size_t>(myid());
                    const auto mine = SharedVector<char>::map_file(file, size, mode("a+"));
                    mine[static_cast<std::ptrdiff_t>(size) - 1] = 'x';
                },
                path);
            DEMAND(fs::file_size(path) == 4000);
        }
    });
}

TEST_CASE("modes of files do what they do in Julia") {
    const Directory directory;
    in_session(2, [&] {
        const std::string path = directory / "a";
        {
            const auto made = SharedVector<int>::map_file(path, 10); // w+: there is none
            DEMAND(fs::file_size(path) == 40 && made[9] == 0);
            fetch_from(2, [made] { made[3] = 33; });
            fetch_from(3, [made] { made[4] = made[3] + 1; });
        }
        DEMAND(read_file<int>(path)[4] == 34);
        {
            const auto kept = SharedVector<int>::map_file(path, 5); // r+: there is one
            DEMAND(kept[4] == 34 && fs::file_size(path) == 40);
            const auto same = SharedVector<int>::map_file(path, 10, mode("a+"));
            kept[0] = 1;
            DEMAND(same[0] == 1);
            const auto only_read = SharedVector<int>::map_file(path, 10, mode("r"));
            DEMAND(fetch_from(2, [only_read] { return only_read[4]; }) == 34);
            DEMAND(has(refused(path, 10, mode("w+")), "in use"));
            DEMAND(read_file<int>(path)[4] == 34);
        }
        const auto grown = SharedVector<int>::map_file(path, 100, mode("a+"));
        DEMAND(fs::file_size(path) == 400 && grown[4] == 34 && grown[99] == 0);
        const auto appended = SharedVector<int>::map_file(directory / "b", {4}, mode("a+"));
        DEMAND(fs::file_size(directory / "b") == 16);
        write_file<int>(directory / "c", {1, 2, 3, 4, 5});
        const auto anew = SharedMatrix<int>::map_file(directory / "c", {2, 1}, mode("w+"));
        DEMAND(fs::file_size(directory / "c") == 8 && anew[0] == 0);
        const auto with_r_plus = SharedVector<int>::map_file(directory / "c", 4, mode("r+"));
        DEMAND(fs::file_size(directory / "c") == 16);
    });
}

TEST_CASE("an array begins anywhere in its file, and processes write their parts") {
    const Directory directory;
    in_session(2, [&] {
        const std::string path = directory / "a";
        write_file<unsigned char>(path, {1, 1, 1, 1});
        using Bytes = SharedVector<std::uint8_t>;
        const auto bytes =
            Bytes::map_file(path, 10'000, offset(13), mode("a+"), init([](const Bytes& all) {
                                for (const auto i : all.localindices())
                                    all[static_cast<std::size_t>(i)] =
                                        static_cast<std::uint8_t>(myid());
                            }));
        const auto seen = read_file<std::uint8_t>(path);
        DEMAND(seen.size() == 10'013 && seen[0] == 1 && seen[4] == 0);
        DEMAND(seen[13] == 2 && seen[5012] == 2 && seen[5013] == 3 && seen[10'012] == 3);
        const auto doubles =
            SharedVector<double>::map_file(directory / "b", 1000, offset(4096 * 3 + 8));
        fill(doubles, 2.5);
        DEMAND(read_file<double>(directory / "b", 4096 * 3 + 8) == std::vector<double>(1000, 2.5));
#ifndef DSHM_SANITIZED
        const auto odd = SharedVector<double>::map_file(directory / "c", 1000, offset(13));
        map_inplace([](double x) { return x + 1; }, odd);
        DEMAND(reduce(std::plus<>(), odd) == 1000);
        DEMAND(read_file<double>(directory / "c", 13) == std::vector<double>(1000, 1));
        DEMAND(has(thrown_by<std::logic_error>([&] { odd.atomic(0); }), "aligned"));
#endif
    });
}

TEST_CASE("a file without elements") {
    const Directory directory;
    in_session(1, [&] {
        const auto none = SharedVector<int>::map_file(directory / "a", 0);
        DEMAND(none.size() == 0 && none.begin() == none.end() &&
               fs::file_size(directory / "a") == 0);
        DEMAND(fetch([none] { return none.size(); }) == 0);
        const auto behind = SharedVector<int>::map_file(directory / "b", 0, offset(100));
        DEMAND(fs::file_size(directory / "b") == 100);
        fill(none, 1);
        const auto read = SharedVector<int>::map_file(directory / "a", 0, mode("r"));
        DEMAND(read.size() == 0);
    });
}

TEST_CASE("arrays in files go where others go") {
    const Directory directory;
    in_session(2, [&] {
        const std::string path = directory / "a";
        {
            const auto array = SharedMatrix<int>::map_file(path, 3, 4, named("board"), on({3}));
            DEMAND(array.procs() == (std::vector{3}));
            const WorkerId late = addprocs(1).front();
            fetch_from(late, [] { SharedMatrix<int>::open("board")(1, 2) = 12; });
            DEMAND(array.at(1, 2) == 12);
            const auto back = fetch_from(2, [array] { return array; });
            DEMAND(back.data() == array.data());
            const auto flat = array.reshape<1>(12);
            DEMAND(flat[1 + 3 * 2] == 12);
            const auto from_worker = fetch_from(
                2,
                [](const std::string& where) {
                    return SharedVector<int>::map_file(where, 12, mode("r+"));
                },
                path);
            DEMAND(from_worker[7] == 12 && from_worker.data() != array.data());
            const auto copy = array.deepcopy();
            copy[0] = 5;
            DEMAND(array[0] == 0);
            DEMAND(is_mapped_here(path));
            back.close();
            thrown_by<std::out_of_range>([&] { array.at(0, 0); });
        }
        // A worker may have let go last.
        until([&] {
            SharedVector<int>::map_file(directory / "b", 1);
            return objects() == 0 && !is_mapped_here(path);
        });
    });
}

TEST_CASE("a worker keeps the last files that it let go of while others hold the arrays") {
    const Directory directory;
    in_session(1, [&] {
        constexpr std::size_t most = runtime::FileMappings::most_kept;
        const auto kept = [&] {
            return fetch_from(
                2, [](const std::string& path) { return files_mapped_here(path); },
                directory.path() + "/kept");
        };
        std::vector<SharedVector<int>> arrays;
        for (std::size_t i = 0; i < 2 * most; ++i) {
            // Made before, or the maker's mapping has no name.
            const std::string path = directory.path() + "/kept" + std::to_string(i);
            write_file<int>(path, std::vector<int>(1000));
            arrays.push_back(SharedVector<int>::map_file(path, 1000));
            fetch_from(2, [array = arrays.back()] { array[0] = 1; });
            DEMAND(kept() == std::min(i + 1, most));
        }
        const SharedVector<int> last = arrays.back();
        const auto where = [last] { return reinterpret_cast<std::uintptr_t>(last.data()); };
        const std::uintptr_t first = fetch_from(2, where);
        DEMAND(fetch_from(2, where) == first && kept() == most);
        DEMAND(files_mapped_here(directory / "kept") == 2 * most);
        // Who drops the last handle of all unmaps at once; the worker when it sleeps, or maps.
        arrays.clear();
        until([&] {
            SharedVector<int>::map_file(directory / "other", 1);
            return files_mapped_here(directory / "kept") == 1;
        });
        until([&] {
            fetch_from(2, [last] { last[1] = 1; });
            return kept() == 1;
        });
        DEMAND(fetch_from(2, [last] { return last[0] + last[1]; }) == 2);
    });
}

TEST_CASE("many arrays in files leave no descriptor and no mapping behind") {
    const Directory directory;
    in_session(1, [&] {
        const auto descriptors = [] {
            return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
        };
        const auto before = descriptors();
        for (int i = 0; i < 200; ++i) {
            const auto array = SharedVector<int>::map_file(directory / "a", 1000, mode("a+"));
            array[0] += 1;
        }
        DEMAND(descriptors() == before);
        DEMAND(!is_mapped_here(directory / "a"));
        DEMAND(read_file<int>(directory / "a")[0] == 200);
    });
}

// ---- what is refused ----------------------------------------------------------------------------

TEST_CASE("files that cannot be an array's are refused with a reason") {
    const Directory directory;
    in_session(1, [&] {
        const std::string path = directory / "a";
        const std::string relative = refused("some/where", 10);
        DEMAND(has(relative, "relative") &&
               has(relative, fs::current_path().string() + "/some/where"));
        refused("", 10);
        refused(std::string("/tmp/\0x", 7), 10);
        DEMAND(has(thrown_by<std::invalid_argument>([] { mode("w"); }), "w+"));
        thrown_by<std::invalid_argument>([] { mode("rw"); });
        thrown_by<std::invalid_argument>([] { offset(-1); });
        DEMAND(has(refused(path, 10, mode("r")), "does not exist"));
        DEMAND(has(refused(path, 10, mode("r+")), "w+"));
        DEMAND(has(refused(directory.path(), 10), "a directory"));
        DEMAND(has(refused("/dev/null", 10), "a device"));
        mkfifo((directory / "fifo").c_str(), 0600);
        DEMAND(has(refused(directory / "fifo", 10, mode("r")), "a FIFO"));
        DEMAND(has(refused<std::system_error>(directory / "no/file", 10), "there is no directory"));
        write_file<int>(path, {1, 2, 3});
        DEMAND(has(refused(path, 4, mode("r")), "too short"));
        DEMAND(
            has(refused(path, 3, mode("r"), init([](const SharedVector<int>&) {})), "initialised"));
        DEMAND(has(refused<std::system_error>(path + "/x", 3), "cannot be reached"));
        refused(path, 3, offset(std::numeric_limits<std::ptrdiff_t>::max()));
        thrown_by<std::length_error>(
            [&] { SharedMatrix<int>::map_file(path, 1L << 40, 1L << 40); });
        fs::create_symlink(directory / "nothing", directory / "link");
        DEMAND(has(refused(directory / "link", 3), "symbolic link"));
        if (geteuid() != 0) {
            fs::permissions(path, fs::perms::owner_read);
            DEMAND(has(refused<std::system_error>(path, 3, mode("r+")), "mode(\"r\")"));
            DEMAND(SharedVector<int>::map_file(path, 3, mode("r"))[2] == 3);
        }
        DEMAND(read_file<int>(path) == (std::vector{1, 2, 3}) && objects() == 0);
    });
    CHECK(directory.files() == 3);
}

TEST_CASE("a limit of the length of files is an error and nothing is left") {
    const Directory directory;
    in_session(1, [&] {
        write_file<int>(directory / "kept", {1, 2, 3});
        rlimit old{};
        getrlimit(RLIMIT_FSIZE, &old);
        const rlimit low{4096, old.rlim_max};
        setrlimit(RLIMIT_FSIZE, &low);
        const std::string made = refused<std::system_error>(directory / "a", 10'000);
        const std::string grown = refused<std::system_error>(directory / "kept", 10'000);
        const std::string anew = refused<std::system_error>(directory / "kept", 10'000, mode("w+"));
        setrlimit(RLIMIT_FSIZE, &old);
        for (const auto& text : {made, grown, anew})
            DEMAND(has(text, "ulimit -f"));
        DEMAND(!fs::exists(directory / "a"));
        DEMAND(read_file<int>(directory / "kept") == (std::vector{1, 2, 3}));
    });
}

TEST_CASE("a full disk is an error and nothing is left") {
    const Directory directory;
    const int status = run_in_child([&] {
        if (!mount_small_disk(directory.path()))
            return; // not allowed here
        const Outcome outcome = outcome_of(1, [&] {
            write_file<int>(directory / "kept", {1, 2, 3});
            DEMAND(has(refused<std::system_error>(directory / "a", 1'000'000), "free space"));
            DEMAND(has(refused<std::system_error>(directory / "kept", 1'000'000), "No space"));
            DEMAND(has(refused<std::system_error>(directory / "kept", 1'000'000, mode("w+")),
                       "left as"));
            DEMAND(!fs::exists(directory / "a"));
            DEMAND(read_file<int>(directory / "kept") == (std::vector{1, 2, 3}));
            // A hole is filled before it is mapped, not when it is written.
            fs::resize_file(directory / "kept", 4'000'000);
            DEMAND(has(refused<std::system_error>(directory / "kept", 1'000'000), "free space"));
            const auto fits = SharedVector<int>::map_file(directory / "b", 100'000);
            fill(fits, 1);
        });
        demand(outcome.exited_with(0), (outcome.errors + " a full disk").c_str());
    });
    CHECK(left_well(status));
}

TEST_CASE("an init that fails leaves no file and no growth") {
    const Directory directory;
    in_session(2, [&] {
        write_file<int>(directory / "kept", {1, 2, 3});
        for (const char* name : {"kept", "made"})
            thrown_by<CompositeException>([&] {
                SharedVector<int>::map_file(
                    directory / name, 1000,
                    init([](const SharedVector<int>&) { throw std::runtime_error("no"); }));
            });
        DEMAND(!fs::exists(directory / "made"));
        DEMAND(fs::file_size(directory / "kept") == 12);
        thrown_by<std::invalid_argument>([&] {
            const SharedVector<int> taken(1, named("taken"));
            SharedVector<int>::map_file(directory / "made", 10, named("taken"));
        });
        DEMAND(!fs::exists(directory / "made"));
    });
}

TEST_CASE("a file that was replaced or cut is refused by who comes later") {
    const Directory directory;
    in_session(1, [&] {
        const std::string path = directory / "a";
        const auto array = SharedVector<int>::map_file(path, 1000);
        fs::rename(path, directory / "b");
        write_file<int>(path, std::vector<int>(1000));
        DEMAND(has(thrown_by<RemoteException>([&] { fetch([array] { return array[0]; }); }),
                   "another file"));
        fs::remove(path);
        DEMAND(has(thrown_by<RemoteException>([&] { fetch([array] { return array[0]; }); }),
                   "No such file"));
        fs::rename(directory / "b", path);
        DEMAND(fetch([array] { return array[0]; }) == 0);
        // Also who has had it, and keeps it mapped.
        fs::rename(path, directory / "b");
        DEMAND(has(thrown_by<RemoteException>([&] { fetch([array] { return array[0]; }); }),
                   "No such file"));
        fs::rename(directory / "b", path);
        fs::resize_file(path, 100);
        DEMAND(has(thrown_by<RemoteException>([&] { fetch([array] { return array[0]; }); }),
                   "was cut"));
        fs::resize_file(path, 4000);
        DEMAND(fetch([array] { return array[999]; }) == 0);
        const auto other = SharedVector<int>::map_file(directory / "c", 1000);
        fs::resize_file(directory / "c", 100);
        DEMAND(has(thrown_by<RemoteException>([&] { fetch([other] { return other[0]; }); }),
                   "was cut"));
    });
}

// ---- what can only be read ----------------------------------------------------------------------

TEST_CASE("what would write an array that can only be read throws") {
    const Directory directory;
    in_session(2, [&] {
        write_file<int>(directory / "a", {3, 1, 2});
        const auto array = SharedVector<int>::map_file(directory / "a", 3, mode("r"));
        const auto says = [](const std::string& text) { return has(text, "can only be read"); };
        DEMAND(says(thrown_by<std::logic_error>([&] { fill(array, 1); })));
        DEMAND(says(thrown_by<std::logic_error>([&] { rand(array); })));
        DEMAND(says(
            thrown_by<std::logic_error>([&] { map_inplace([](int x) { return x; }, array); })));
        DEMAND(says(thrown_by<std::logic_error>([&] { copyto(array, std::vector<int>(3)); })));
        DEMAND(
            says(thrown_by<std::logic_error>([&] { parallel::sort(array.begin(), array.end()); })));
        DEMAND(reduce(std::plus<>(), array) == 6);
        DEMAND(parallel::reduce(array.begin(), array.end()) == 6);
    });
}

#ifndef DSHM_SANITIZED
TEST_CASE("who writes it all the same, or reads what was cut off, says so and dies") {
    const Directory directory;
    const Outcome outcome = in_session(2, [&] {
        write_file<int>(directory / "a", {3, 1, 2});
        const auto array = SharedVector<int>::map_file(directory / "a", 3, mode("r"));
        DEMAND(has(
            thrown_by<ProcessExitedException>([&] { fetch_from(2, [array] { array[1] = 5; }); }),
            "SIGSEGV"));
        DEMAND(array[1] == 1);
        const auto cut = SharedVector<int>::map_file(directory / "b", 10'000);
        const Flag mapped, go;
        const auto reads = spawn_at(3, [cut, mapped, go] {
            mapped.raise();
            go.await();
            return cut[9'999];
        });
        mapped.await();
        fs::resize_file(directory / "b", 10);
        go.raise();
        DEMAND(has(thrown_by<ProcessExitedException>([&] { fetch(reads); }), "SIGBUS"));
    });
    CHECK(has(outcome.errors, "can only be read: '" + directory / "a'"));
    CHECK(has(outcome.errors, "was cut while it was mapped"));
    CHECK(has(outcome.errors, directory / "b"));
}

TEST_CASE("process 1 says why it dies of a write to what can only be read") {
    const Directory directory;
    const Outcome outcome = outcome_of(1, [&] {
        write_file<int>(directory / "a", {3, 1, 2});
        const auto array = SharedVector<int>::map_file(directory / "a", 3, mode("r"));
        array[1] = 5;
    });
    CHECK(outcome.killed_by(SIGSEGV));
    CHECK(times(outcome.errors, "can only be read: '" + directory / "a'") == 1);
}
#endif

// ---- deaths -------------------------------------------------------------------------------------

TEST_CASE("a maker that is killed leaves no file or a complete one") {
    const Directory directory;
    in_session(1, [&] {
        constexpr std::size_t bytes = 8 << 20;
        for (int round = 0; round < 20; ++round) {
            const std::string path = directory / std::to_string(round).c_str();
            const WorkerId maker = addprocs(1).front();
            const Flag begins;
            const auto never = spawn_at(
                maker,
                [begins](const std::string& where) {
                    begins.raise();
                    const auto array = SharedVector<char>::map_file(where, bytes);
                    begins.await();
                    for (;;)
                        sched_yield();
                },
                path);
            begins.await();
            for (int i = 0; i < 20 * round; ++i)
                sched_yield();
            kill_worker(maker);
            thrown_by<ProcessExitedException>([&] { fetch(never); });
            DEMAND(!fs::exists(path) || fs::file_size(path) == bytes);
            fs::remove(path);
        }
        until([] {
            fetch([] {});
            return objects() == 0;
        });
    });
    CHECK(directory.files() == 0);
}

TEST_CASE("who holds an array in a file may die") {
    const Directory directory;
    in_session(2, [&] {
        const std::string path = directory / "a";
        const auto array = fetch_from(
            2,
            [](const std::string& where) {
                auto made = SharedVector<int>::map_file(where, 1000);
                made[0] = 1;
                return made;
            },
            path);
        kill_worker(2);
        array[1] = 2;
        DEMAND(fetch_from(3, [array] { return array[0] + array[1]; }) == 3);
        kill_worker(3);
        DEMAND(read_file<int>(path)[1] == 2);
        fill(array, 7);
        DEMAND(array[999] == 7);
    });
}

// ---- other parts of the library -----------------------------------------------------------------

TEST_CASE("algorithms and the check of loops work on arrays in files") {
    const Directory directory;
    setenv("DSHM_VERIFY", "1", 1);
    const Outcome outcome = outcome_of(2, [&] {
        const auto array = SharedVector<int>::map_file(directory / "a", 100'000);
        distributed(array.indices(), [array](std::size_t i) {
            array[i] = static_cast<int>(i * 7919 % 100'000);
        }).get();
        parallel::sort(array.begin(), array.end());
        DEMAND(array[0] == 0 && array[99'999] == 99'999);
        const SharedVector<int> twice(100'000);
        parallel::transform(array.begin(), array.end(), twice.begin(), [](int x) { return 2 * x; });
        DEMAND(twice[500] == 1000);
        thrown_by<std::invalid_argument>(
            [&] { parallel::for_each(array.end() - 1, array.end() + 1, [](int&) {}); });
        DEMAND(has(thrown_by<VerificationFailed>([&] {
                       distributed(array.indices(), [array](std::size_t i) {
                           array[i] = static_cast<int>(getpid());
                       }).get();
                   }),
                   "SharedArray"));
        DEMAND(has(thrown_by<std::invalid_argument>(
                       [&] { fetch([raw = array.data()] { return raw[0]; }); }),
                   "a shared mapping"));
    });
    unsetenv("DSHM_VERIFY");
    INFO(outcome.errors);
    CHECK(outcome.exited_with(0));
}
