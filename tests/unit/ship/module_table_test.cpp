// Function identities: one table, several processes that have the same modules in different places.
#include <dlfcn.h>

#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "dshm/ship/module_table.hpp"
#include "support/catch.hpp"

namespace ship = dshm::ship;
using dshm::test::contains;
using ship::FunctionId;
using ship::LoadedModule;
using ship::ModuleRegistry;
using ship::ModuleTable;

namespace {

int local_function(int value) { return value + 1; }

const char some_table[] = "static data has an identity too";

const void* address(std::uintptr_t number) { return reinterpret_cast<const void*>(number); }

LoadedModule module_at(const std::string& name, const std::string& build_id, std::uintptr_t base) {
    return {name, build_id, ship::module_key(build_id, name), base, base, base + 0x1000};
}

// A process that has these modules loaded; `modules` may change under way.
struct FakeProcess {
    std::vector<LoadedModule> modules;
    std::uint64_t version = 1;
    int lists = 0;

    ship::ModuleSource source() {
        return {[this] {
                    ++lists;
                    return modules;
                },
                [this] { return version; }};
    }
};

std::unique_ptr<ModuleTable> fresh_table() {
    auto table = std::make_unique<ModuleTable>();
    std::memset(static_cast<void*>(table.get()), 0, sizeof *table); // as the segment's pages are
    return table;
}

} // namespace

TEST_CASE("functions and data of this program have an identity, and back") {
    const auto table = fresh_table();
    ModuleRegistry registry(*table);
    const auto function = reinterpret_cast<const void*>(&local_function);
    const FunctionId id = registry.id_of(function);
    CHECK_FALSE(id.null());
    CHECK(registry.id_of(function) == id);
    CHECK(registry.address_of(id) == function);
    CHECK(registry.address_of(registry.id_of(some_table)) == some_table);
    CHECK(registry.id_of(some_table).module() == id.module());
}

TEST_CASE("the null function is null everywhere") {
    const auto table = fresh_table();
    ModuleRegistry registry(*table);
    CHECK(registry.id_of(nullptr).null());
    CHECK(registry.address_of({}) == nullptr);
}

TEST_CASE("two registries over one table agree") {
    const auto table = fresh_table();
    ModuleRegistry sender(*table);
    ModuleRegistry receiver(*table);
    const auto function = reinterpret_cast<const void*>(&local_function);
    CHECK(receiver.address_of(sender.id_of(function)) == function);
    CHECK(receiver.id_of(function) == sender.id_of(function));
}

TEST_CASE("processes may have a module at different addresses, and modules in different order") {
    const auto table = fresh_table();
    FakeProcess one{{module_at("app", "id-a", 0x10000), module_at("lib", "id-l", 0x50000)}};
    FakeProcess two{{module_at("lib", "id-l", 0x20000), module_at("app", "id-a", 0x90000)}};
    ModuleRegistry sender(*table, one.source());
    ModuleRegistry receiver(*table, two.source());

    const FunctionId in_library = sender.id_of(address(0x50123));
    const FunctionId in_program = sender.id_of(address(0x10456));
    CHECK(receiver.address_of(in_library) == address(0x20123));
    CHECK(receiver.address_of(in_program) == address(0x90456));
    CHECK(receiver.id_of(address(0x20123)) == in_library);
    CHECK(receiver.id_of(address(0x90456)) == in_program);
}

TEST_CASE("a module without a build id goes by name and sizes") {
    const auto table = fresh_table();
    FakeProcess one{{module_at("plain", "", 0x10000)}};
    FakeProcess two{{module_at("plain", "", 0x30000)}};
    FakeProcess other{{module_at("other", "", 0x30000)}};
    const FunctionId id = ModuleRegistry(*table, one.source()).id_of(address(0x10010));
    CHECK(ModuleRegistry(*table, two.source()).address_of(id) == address(0x30010));
    CHECK_THROWS_AS(ModuleRegistry(*table, other.source()).address_of(id), dshm::UnknownFunction);
}

TEST_CASE("another build of a module is refused by name and build id") {
    const auto table = fresh_table();
    FakeProcess one{{module_at("/opt/old/app", "\x12\xab", 0x10000)}};
    FakeProcess two{{module_at("/opt/new/app", "\x12\xac", 0x10000)}};
    const FunctionId id = ModuleRegistry(*table, one.source()).id_of(address(0x10010));
    ModuleRegistry receiver(*table, two.source());
    CHECK_THROWS_AS(receiver.address_of(id), dshm::UnknownFunction);
    CHECK_THROWS_WITH(receiver.address_of(id), contains("'/opt/old/app' (build id 12ab)") &&
                                                   contains("same build") &&
                                                   contains("another one (build id 12ac)"));
}

TEST_CASE("an address outside every image is refused") {
    const auto table = fresh_table();
    ModuleRegistry registry(*table);
    const int on_the_stack = 0;
    const auto on_the_heap = std::make_unique<int>(0);
    CHECK_THROWS_AS(registry.id_of(&on_the_stack), dshm::UnknownFunction);
    CHECK_THROWS_AS(registry.id_of(on_the_heap.get()), dshm::UnknownFunction);
}

TEST_CASE("a damaged identity is refused") {
    const auto table = fresh_table();
    FakeProcess one{{module_at("app", "id-a", 0x10000)}};
    ModuleRegistry registry(*table, one.source());
    const FunctionId id = registry.id_of(address(0x10010));
    CHECK_THROWS_AS(registry.address_of(FunctionId::of(id.module(), 0x1000)),
                    dshm::UnknownFunction);
    CHECK_THROWS_AS(registry.address_of(FunctionId::of(1, 0)), dshm::UnknownFunction);
    CHECK_THROWS_AS(registry.address_of(FunctionId{~std::uint64_t{0}}), dshm::UnknownFunction);
}

TEST_CASE("a library that is opened later is found on a miss") {
    const auto table = fresh_table();
    FakeProcess one{{module_at("app", "id-a", 0x10000), module_at("lib", "id-l", 0x50000)}};
    FakeProcess two{{module_at("app", "id-a", 0x10000)}};
    const FunctionId id = ModuleRegistry(*table, one.source()).id_of(address(0x50010));
    ModuleRegistry receiver(*table, two.source());
    CHECK_THROWS_AS(receiver.address_of(id), dshm::UnknownFunction);
    two.modules.push_back(module_at("lib", "id-l", 0x80000));
    ++two.version;
    CHECK(receiver.address_of(id) == address(0x80010));
}

TEST_CASE("a library that is opened again elsewhere is followed") {
    const auto table = fresh_table();
    FakeProcess process{{module_at("lib", "id-l", 0x50000)}};
    ModuleRegistry registry(*table, process.source());
    const FunctionId id = registry.id_of(address(0x50010));
    process.modules = {module_at("lib", "id-l", 0x70000), module_at("new", "id-n", 0x50000)};
    ++process.version;
    CHECK_FALSE(registry.id_of(address(0x50010)) == id);
    CHECK(registry.address_of(id) == address(0x70010));
}

TEST_CASE("known modules are translated without looking around") {
    const auto table = fresh_table();
    FakeProcess process{{module_at("app", "id-a", 0x10000)}};
    ModuleRegistry registry(*table, process.source());
    const FunctionId id = registry.id_of(address(0x10010));
    const int lists = process.lists;
    for (int i = 0; i < 1000; ++i)
        CHECK(registry.address_of(id) == address(0x10010));
    CHECK(process.lists == lists);
}

TEST_CASE("modules in use do not push each other out") {
    const auto table = fresh_table();
    FakeProcess process{{module_at("a", "id-a", 0x10000), module_at("b", "id-b", 0x20000)}};
    FakeProcess other{{module_at("b", "id-b", 0x60000), module_at("a", "id-a", 0x70000)}};
    ModuleRegistry sender(*table, process.source());
    ModuleRegistry receiver(*table, other.source());
    const FunctionId a = sender.id_of(address(0x10010));
    const FunctionId b = sender.id_of(address(0x20010));
    for (int i = 0; i < 100; ++i) {
        CHECK(receiver.address_of(a) == address(0x70010));
        CHECK(receiver.address_of(b) == address(0x60010));
    }
    CHECK(other.lists == 1);
}

TEST_CASE("a real library: opened, named, found by another registry") {
    const auto table = fresh_table();
    ModuleRegistry before(*table);
    static_cast<void>(before.id_of(some_table)); // has looked around before the library came
    void* library = ::dlopen("libresolv.so.2", RTLD_NOW | RTLD_LOCAL);
    REQUIRE(library != nullptr);
    const void* function = ::dlsym(library, "ns_initparse");
    REQUIRE(function != nullptr);
    const FunctionId id = before.id_of(function);
    ModuleRegistry after(*table);
    CHECK(after.address_of(id) == function);
    CHECK_THAT(table->texts(id.module()).path, contains("libresolv"));
    ::dlclose(library);
}

TEST_CASE("a frozen process does not ask the loader") {
    const ship::ModuleSource source = ship::ModuleSource::of_this_process();
    ship::freeze_modules({{module_at("/p/only", "id", 0x10000)}, 0});
    CHECK(source.list().size() == 1);
    CHECK(source.version() == ship::ModuleSource::of_this_process().version());
    ship::thaw_modules();
    CHECK(source.list().size() > 1);
}

TEST_CASE("a process that asks again keeps its list while nothing was loaded") {
    const ship::ModuleSource source = ship::ModuleSource::of_this_process();
    ship::freeze_modules({{module_at("/p/only", "id", 0x10000)}, source.version()});
    ship::thaw_modules();
    CHECK(source.list().size() == 1);
    void* library = ::dlopen("libresolv.so.2", RTLD_NOW | RTLD_LOCAL);
    REQUIRE(library != nullptr);
    CHECK(source.list().size() > 1);
    ::dlclose(library);
}

TEST_CASE("the modules of this process have build ids and ranges that do not overlap") {
    const auto modules = ship::ModuleSource::of_this_process().list();
    REQUIRE_FALSE(modules.empty());
    for (const LoadedModule& module : modules) {
        CHECK(module.first < module.last);
        CHECK(module.key != 0);
        CHECK_FALSE(module.name.empty());
    }
}

TEST_CASE("a row whose owner died before it wrote the texts is completed by the next one") {
    const auto table = fresh_table();
    const LoadedModule module = module_at("app", "\x12\xab", 0x10000);
    CHECK(table->enter(module) == 0);
    auto& rows =
        *reinterpret_cast<std::array<ship::ModuleEntry, ModuleTable::capacity>*>(table.get());
    const std::uint64_t key = rows[0].key.load(std::memory_order_relaxed);
    std::memset(static_cast<void*>(&rows[0]), 0, sizeof rows[0]);
    rows[0].key.store(key, std::memory_order_relaxed); // and then: kill -9

    CHECK(table->identity(0) == 0);
    CHECK(table->texts(0).path == "(unnamed)");
    CHECK(table->enter(module) == 0);
    CHECK(table->identity(0) == module.key);
    CHECK(table->texts(0).path == "app");
    CHECK(table->texts(0).build_id == "12ab");
}

TEST_CASE("a path that does not fit is no path any more, only a name") {
    const auto table = fresh_table();
    const std::string directory = "/" + std::string(500, 'd') + "/";
    const std::size_t deep = table->enter(module_at(directory + "lib.so", "id", 0x10000));
    CHECK(table->texts(deep).path == "lib.so");
    const std::size_t row =
        table->enter(module_at(std::string(1000, 'n'), std::string(40, '\x11'), 0x10000));
    CHECK(table->texts(row).path == std::string(455, 'n'));
    CHECK(table->texts(row).build_id == std::string(62, '1'));
}

TEST_CASE("one module at two paths has two rows, and either is understood") {
    const auto table = fresh_table();
    FakeProcess one{{module_at("/a/lib.so", "id-l", 0x10000)}};
    FakeProcess two{{module_at("/b/lib.so", "id-l", 0x20000)}};
    ModuleRegistry first(*table, one.source());
    ModuleRegistry second(*table, two.source());
    const FunctionId from_first = first.id_of(address(0x10010));
    const FunctionId from_second = second.id_of(address(0x20010));
    CHECK(table->texts(from_first.module()).path == "/a/lib.so");
    CHECK(table->texts(from_second.module()).path == "/b/lib.so");
    CHECK(first.address_of(from_second) == address(0x10010));
    CHECK(second.address_of(from_first) == address(0x20010));
}

namespace {

// What a FakeProcess finds in its file system.
struct FakeFiles {
    std::vector<LoadedModule> files;
    int opened = 0;
    int closed = 0;

    ship::ModuleSource source_of(FakeProcess& process) {
        ship::ModuleSource source = process.source();
        source.open = [this, &process](const std::string& path, std::uint64_t) {
            ship::OpenedLibrary result;
            for (const LoadedModule& file : files)
                if (file.name == path) {
                    process.modules.push_back(file);
                    ++process.version;
                    ++opened;
                    result.handle = &process;
                }
            if (result.handle == nullptr)
                result.problem = "no such file";
            return result;
        };
        source.close = [this, &process](void*) {
            process.modules.pop_back();
            ++process.version;
            ++closed;
        };
        return source;
    }
};

} // namespace

TEST_CASE("a library that is missing is opened by its path, once") {
    const auto table = fresh_table();
    FakeProcess one{{module_at("/p/lib.so", "id-l", 0x50000)}};
    FakeProcess two{{module_at("/p/app", "id-a", 0x10000)}};
    FakeFiles files{{module_at("/p/lib.so", "id-l", 0x80000)}};
    const FunctionId id = ModuleRegistry(*table, one.source()).id_of(address(0x50010));
    ModuleRegistry receiver(*table, files.source_of(two));
    CHECK(receiver.loaded_address_of(id) == nullptr);
    CHECK(files.opened == 0);
    CHECK(receiver.address_of(id) == address(0x80010));
    CHECK(receiver.address_of(id) == address(0x80010));
    CHECK(receiver.loaded_address_of(id) == address(0x80010));
    CHECK(files.opened == 1);
    CHECK(files.closed == 0);
}

TEST_CASE("another build at the path is closed again and refused by both build ids") {
    const auto table = fresh_table();
    FakeProcess one{{module_at("/p/lib.so", "\x12\xab", 0x50000)}};
    FakeProcess two;
    FakeFiles files{{module_at("/p/lib.so", "\x12\xac", 0x80000)}};
    const FunctionId id = ModuleRegistry(*table, one.source()).id_of(address(0x50010));
    ModuleRegistry receiver(*table, files.source_of(two));
    CHECK_THROWS_WITH(receiver.address_of(id),
                      contains("'/p/lib.so' (build id 12ab)") && contains("another build"));
    CHECK(files.opened == 1);
    CHECK(files.closed == 1);
    CHECK(two.modules.empty());
    files.files.clear();
    CHECK_THROWS_WITH(receiver.address_of(id), contains("12ab") && contains("no such file"));
    files.files = one.modules; // it is put back
    CHECK(receiver.address_of(id) == address(0x50010));
}

TEST_CASE("what has no path is not looked for") {
    const auto table = fresh_table();
    FakeProcess one{{module_at("linux-vdso.so.1", "id-v", 0x50000)}};
    FakeProcess two;
    FakeFiles files{one.modules};
    const FunctionId id = ModuleRegistry(*table, one.source()).id_of(address(0x50010));
    ModuleRegistry receiver(*table, files.source_of(two));
    CHECK_THROWS_WITH(receiver.address_of(id), contains("linux-vdso.so.1"));
    CHECK(files.opened == 0);
}

TEST_CASE("a real library that is another build, or no library, is not opened") {
    const auto open = ship::ModuleSource::of_this_process().open;
    void* const library = ::dlopen("libresolv.so.2", RTLD_NOW | RTLD_LOCAL);
    REQUIRE(library != nullptr);
    std::string path;
    for (const LoadedModule& module : ship::ModuleSource::of_this_process().list())
        if (module.name.find("libresolv") != std::string::npos)
            path = module.name;
    ::dlclose(library);
    REQUIRE_FALSE(path.empty());
    const ship::OpenedLibrary other = open(path, 4711);
    CHECK(other.handle == nullptr);
    CHECK_THAT(other.problem, contains("another build"));
    CHECK(other.other_build.size() >= 16);
    CHECK(open("/etc/passwd", 4711).handle == nullptr);
    CHECK(open("/nowhere/lib.so", 4711).handle == nullptr);
    CHECK_FALSE(ship::program_build_id().empty());
}

TEST_CASE("many threads enter the same modules and agree on their rows") {
    const auto table = fresh_table();
    constexpr std::size_t modules = 100;
    std::vector<std::array<std::size_t, modules>> rows(4);
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < rows.size(); ++t)
        threads.emplace_back([&, t] {
            for (std::size_t i = 0; i < modules; ++i) {
                const std::size_t which = (i * 7 + t * 31) % modules; // each in its own order
                rows[t][which] = table->enter(module_at("lib" + std::to_string(which), "", 0));
            }
        });
    for (std::thread& thread : threads)
        thread.join();
    for (const auto& others : rows)
        CHECK(others == rows[0]);
    for (std::size_t i = 0; i < modules; ++i)
        CHECK(table->texts(rows[0][i]).path == "lib" + std::to_string(i));
}

TEST_CASE("threads share a registry while libraries come and go") {
    const auto table = fresh_table();
    std::atomic<std::uint64_t> version = 1;
    ModuleRegistry registry(*table,
                            {[] {
                                 return std::vector<LoadedModule>{module_at("a", "id-a", 0x10000),
                                                                  module_at("b", "id-b", 0x20000)};
                             },
                             [&] { return version.load(); }});
    const FunctionId a = registry.id_of(address(0x10010));
    std::vector<std::thread> threads;
    std::atomic<int> wrong = 0;
    for (int t = 0; t < 3; ++t)
        threads.emplace_back([&] {
            for (int i = 0; i < 2000; ++i) {
                wrong += registry.address_of(a) != address(0x10010);
                wrong += registry.id_of(address(0x10010)) != a;
                if (i % 10 == 0)
                    ++version;
            }
        });
    for (std::thread& thread : threads)
        thread.join();
    CHECK(wrong == 0);
}

TEST_CASE("a full table says so") {
    const auto table = fresh_table();
    for (std::size_t i = 0; i < ModuleTable::capacity; ++i)
        CHECK(table->enter(module_at("lib" + std::to_string(i), "", 0)) == i);
    CHECK_THROWS_AS(table->enter(module_at("one too many", "", 0)), std::length_error);
    CHECK(table->enter(module_at("lib77", "", 0)) == 77);
}

TEST_CASE("without a session there is a sentence") {
    CHECK_THROWS_WITH(ship::function_id_of(some_table), contains("dshm::Session"));
    const auto table = fresh_table();
    {
        ModuleRegistry registry(*table);
        registry.make_current();
        CHECK(ship::function_address(ship::function_id_of(some_table)) == some_table);
    }
    CHECK_THROWS_AS(ship::function_id_of(some_table), std::logic_error);
}
