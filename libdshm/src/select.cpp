#include "dshm/select.hpp"

namespace dshm::detail {

namespace {

class FirstReady final : public runtime::WaitFor {
public:
    explicit FirstReady(std::span<const Selectable* const> sources) : sources_(sources) {}

    bool ready() override {
        for (first_ = 0; first_ < sources_.size(); ++first_)
            if (sources_[first_]->ready())
                return true;
        return false;
    }
    void about_to_sleep() override {
        for (const Selectable* source : sources_)
            source->about_to_sleep();
    }
    bool interruptible() const override { return true; }
    void for_each_key(const std::function<void(runtime::EventKey)>& f) const override {
        for (const Selectable* source : sources_)
            source->for_each_key(f);
    }
    std::size_t first() const { return first_; }

private:
    std::span<const Selectable* const> sources_;
    std::size_t first_ = 0;
};

} // namespace

std::size_t select(std::span<const Selectable* const> sources) {
    for (;;) {
        FirstReady wait(sources);
        runtime::current().scheduler().wait(wait);
        if (sources[wait.first()]->really())
            return wait.first();
    }
}

} // namespace dshm::detail
