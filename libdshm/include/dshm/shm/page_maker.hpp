// Lets a thread say how the pages of the next large run are made.
//
// While one lives, the heap hands it each run of at least `least_bytes` that the thread allocates,
// claimed and not yet backed; no other process can have the run then. What it does not make, the heap
// makes by itself. They may end in any order, since a thread may go on with another task meanwhile;
// then that one's next large run may be made by a maker that was installed for another.
#pragma once

#include <cstddef>
#include <utility>

#include "dshm/shm/layout.hpp"

namespace dshm::shm {

class PageMaker {
public:
    PageMaker(const PageMaker&) = delete;
    PageMaker& operator=(const PageMaker&) = delete;

    static PageMaker* installed(std::size_t bytes) noexcept {
        return installed_ != nullptr && bytes >= installed_->least_bytes_ ? installed_ : nullptr;
    }

    // Whether pages that are there already are of no use, because it matters where they lie.
    virtual bool wants_fresh_pages() const noexcept = 0;
    // True when every page of the range is there. Must not make them by touching: a page that the
    // file system does not have is a signal.
    virtual bool make_pages(Offset first, std::size_t bytes) noexcept = 0;

protected:
    explicit PageMaker(std::size_t least_bytes) noexcept
        : least_bytes_(least_bytes), outer_(std::exchange(installed_, this)) {}
    ~PageMaker() {
        PageMaker** link = &installed_;
        while (*link != this)
            link = &(*link)->outer_;
        *link = outer_;
    }

private:
    static inline thread_local PageMaker* installed_ = nullptr;

    std::size_t least_bytes_;
    PageMaker* outer_;
};

} // namespace dshm::shm
