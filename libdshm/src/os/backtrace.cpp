#include "dshm/os/backtrace.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include <cstring>

#include "dshm/os/symbols.hpp"

namespace dshm::os {

namespace {

// A line of a longer name would be read by nobody.
constexpr std::size_t longest_name = 512;
// The beginning of a loaded file, with its headers and its build id: tells whether the file at its
// path is still the one that was loaded.
constexpr std::size_t compared = 1024;

const std::uintptr_t* interrupted_at(void* context) {
    auto* const machine = static_cast<ucontext_t*>(context);
#if defined(__x86_64__)
    return reinterpret_cast<const std::uintptr_t*>(&machine->uc_mcontext.gregs[REG_RIP]);
#elif defined(__aarch64__)
    return reinterpret_cast<const std::uintptr_t*>(&machine->uc_mcontext.pc);
#else
    static_cast<void>(machine);
    return nullptr;
#endif
}

struct Found {
    const link_map* module;
    const void* first;
};

Found find_module(std::uintptr_t address) {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 35)
    dl_find_object found{};
    if (_dl_find_object(reinterpret_cast<void*>(address), &found) != 0)
        return {};
    return {found.dlfo_link_map, found.dlfo_map_start};
#else // may wait for the loader's lock; the handler's own alarm ends that
    Dl_info info{};
    void* module = nullptr;
    if (dladdr1(reinterpret_cast<void*>(address), &info, &module, RTLD_DL_LINKMAP) == 0)
        return {};
    return {static_cast<const link_map*>(module), info.dli_fbase};
#endif
}

// A jump to where no code is: no unwinder knows what is there, but the return address of the call
// lies on top of the stack. Makes the context that of the caller.
void go_to_caller([[maybe_unused]] void* context) {
#if defined(__x86_64__)
    greg_t* const registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
    const auto* const top = reinterpret_cast<const greg_t*>(registers[REG_RSP]);
    registers[REG_RIP] = *top;
    registers[REG_RSP] += 8;
#endif
}

template <class F>
struct Walk {
    std::uintptr_t from; // nothing is told before this one
    F told;
    std::size_t left;
    bool begun = false;

    static _Unwind_Reason_Code step(_Unwind_Context* context, void* argument) {
        auto& walk = *static_cast<Walk*>(argument);
        int before_instruction = 0; // as in the frame that a signal interrupted
        const std::uintptr_t address = _Unwind_GetIPInfo(context, &before_instruction);
        walk.begun |= address == walk.from;
        if (!walk.begun)
            return _URC_NO_REASON;
        if (address == 0 || walk.left-- == 0)
            return _URC_END_OF_STACK;
        walk.told(address - (before_instruction != 0 ? 0 : 1)); // in the call, not behind
        return _URC_NO_REASON;
    }
};

template <class F>
bool walk_from(std::uintptr_t address, std::size_t most, F&& told) {
    Walk<F&> walk{address, told, most};
    _Unwind_Backtrace(&Walk<F&>::step, &walk);
    return walk.begun;
}

// Of the program, from before any signal. Ends with a zero byte.
std::array<char, 512> program_path{};

std::string_view file_name(std::string_view path) {
    if (path.empty()) // as the loader has it
        path = program_path.data();
    return path.substr(path.rfind('/') + 1);
}

// Lines in a room that may end.
class Lines {
public:
    explicit Lines(std::span<char> room) : room_(room) {}
    void add(std::string_view text) {
        full_ = full_ || text.size() > room_.size() - size_;
        if (full_)
            return;
        std::memcpy(room_.data() + size_, text.data(), text.size());
        size_ += text.size();
    }
    void add_number(std::uint64_t value, unsigned base) {
        std::array<char, 24> digits;
        std::size_t at = digits.size();
        do
            digits[--at] = "0123456789abcdef"[value % base];
        while ((value /= base) != 0);
        add({digits.data() + at, digits.size() - at});
    }
    // Keeps the line only if all of it has found room.
    bool end_line() {
        add("\n");
        if (full_)
            size_ = whole_;
        whole_ = size_;
        return !full_;
    }
    std::size_t size() const { return size_; }

private:
    std::span<char> room_;
    std::size_t size_ = 0, whole_ = 0;
    bool full_ = false;
};

} // namespace

void Backtrace::prepare() noexcept {
    if (program_path[0] != '\0')
        return;
    if (readlink("/proc/self/exe", program_path.data(), program_path.size() - 1) <= 0)
        std::strcpy(program_path.data(), "program");
    std::size_t seen = 0;
    _Unwind_Backtrace(
        [](_Unwind_Context* context, void* count) {
            ++*static_cast<std::size_t*>(count);
            return _Unwind_GetIP(context) == 0 ? _URC_END_OF_STACK : _URC_NO_REASON;
        },
        &seen);
    static_cast<void>(find_module(reinterpret_cast<std::uintptr_t>(&Backtrace::prepare)));
}

void Backtrace::add(std::uintptr_t address) noexcept {
    const std::size_t at =
        count_ < most_first ? count_ : most_first + (count_ - most_first) % most_last;
    frames_[at] = {address, most_modules, {}};
    ++count_;
}

// Where the n-th of those that were kept lies.
std::size_t Backtrace::place_of(std::size_t frame) const noexcept {
    if (frame < most_first || count_ <= most_first + most_last)
        return frame;
    return most_first + (frame - most_first + (count_ - most_first)) % most_last;
}

void Backtrace::walk(void* context) noexcept {
    const auto note = [this](std::uintptr_t address) { add(address); };
    const std::uintptr_t* const at = interrupted_at(context);
    count_ = module_count_ = 0;
    if (at == nullptr)
        return;
    if (find_module(*at).module != nullptr) {
        if (!walk_from(*at, deepest, note))
            add(*at);
        return;
    }
    add(*at);
    go_to_caller(context);
    if (*at != frames_[0].address)
        walk_from(*at, deepest, note);
}

std::size_t Backtrace::module_of(std::uintptr_t address) noexcept {
    const Found found = find_module(address);
    if (found.module == nullptr)
        return most_modules;
    for (std::size_t i = 0; i < module_count_; ++i)
        if (modules_[i].first == found.first)
            return i;
    if (module_count_ == most_modules)
        return most_modules;
    modules_[module_count_] = {found.module->l_name, found.module->l_addr, found.first};
    return module_count_++;
}

void Backtrace::find_modules() noexcept {
    for (std::size_t i = 0; i < kept(); ++i)
        frames_[i].module = module_of(frames_[i].address);
}

void Backtrace::find_names() noexcept {
    for (std::size_t module = 0; module < module_count_; ++module)
        find_names_in(module);
}

// The file stays mapped: the names lie in it, and the process is about to end.
void Backtrace::find_names_in(std::size_t number) noexcept {
    const Module& module = modules_[number];
    const int file = open(module.path[0] == '\0' ? "/proc/self/exe" : module.path,
                          O_RDONLY | O_CLOEXEC | O_NOCTTY);
    struct stat state {};
    if (file < 0 || fstat(file, &state) != 0 ||
        state.st_size < static_cast<off_t>(compared)) // also what is no file: linux-vdso.so.1
        return;
    const auto size = static_cast<std::size_t>(state.st_size);
    void* const start = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    if (start == MAP_FAILED || std::memcmp(start, module.first, compared) != 0)
        return;
    std::array<std::uint64_t, most_first + most_last> addresses;
    std::array<std::string_view, most_first + most_last> names;
    for (std::size_t i = 0; i < kept(); ++i)
        addresses[i] = frames_[i].module == number ? frames_[i].address - module.base : ~0ull;
    find_function_names({static_cast<const std::byte*>(start), size},
                        std::span(addresses).first(kept()), std::span(names).first(kept()));
    for (std::size_t i = 0; i < kept(); ++i)
        if (!names[i].empty())
            frames_[i].name = names[i];
}

void Backtrace::forget_names() noexcept {
    for (Frame& frame : frames_)
        frame.name = {};
}

std::size_t Backtrace::write(std::span<char> room, std::string_view last) const noexcept {
    Lines lines(room);
    for (std::size_t i = 0; i < kept(); ++i) {
        const Frame& frame = frames_[place_of(i)];
        if (frame.name.starts_with(last) && !last.empty())
            break;
        if (i == most_first && count_ > kept()) {
            lines.add("... ");
            lines.add_number(count_ - kept(), 10);
            lines.add(" more calls ...");
            lines.end_line();
        }
        if (!frame.name.empty() && frame.name.size() <= longest_name) {
            lines.add(frame.name);
            lines.add(" ");
        }
        if (frame.module == most_modules) {
            lines.add("[0x");
            lines.add_number(frame.address, 16);
        } else {
            const Module& module = modules_[frame.module];
            lines.add("[");
            lines.add(file_name(module.path));
            lines.add("+0x");
            lines.add_number(frame.address - module.base, 16);
        }
        lines.add("]");
        if (!lines.end_line())
            break;
    }
    return lines.size();
}

} // namespace dshm::os
