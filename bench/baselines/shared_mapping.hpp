// Memory that a process and its later forks share: what bare forked processes use in place of a SharedArray.
//
// Every page is made when the mapping is, so that no measurement pays for first touches. The memory goes
// when the last process that has it mapped ends.
#pragma once

#include <cerrno>
#include <cstddef>
#include <span>
#include <sys/mman.h>
#include <system_error>
#include <type_traits>

namespace bench {

template <class T>
class SharedMapping {
    static_assert(std::is_trivially_copyable_v<T>);

public:
    explicit SharedMapping(std::size_t count) : count_(count) {
        void* address = mmap(nullptr, bytes(), PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (address == MAP_FAILED)
            throw std::system_error(errno, std::generic_category(), "mmap");
        data_ = static_cast<T*>(address);
    }
    ~SharedMapping() { munmap(data_, bytes()); }
    SharedMapping(const SharedMapping&) = delete;
    SharedMapping& operator=(const SharedMapping&) = delete;

    T* data() const { return data_; }
    std::size_t size() const { return count_; }
    T& operator[](std::size_t i) const { return data_[i]; }
    std::span<T> span() const { return {data_, count_}; }

private:
    std::size_t bytes() const { return count_ * sizeof(T); }

    std::size_t count_;
    T* data_ = nullptr;
};

} // namespace bench
