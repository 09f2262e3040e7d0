// 19: pmap over several collections, with batches, progress, on chosen workers.
//
// Julia: pmap((w, n) -> w^n, words, counts; batch_size = 8)

#include <dshm/dshm.hpp>

#include <algorithm>
#include <iostream>
#include <string>
#include <vector>

namespace {

std::string repeated(const std::string& word, int count) {
    std::string text;
    for (int i = 0; i < count; ++i)
        text += word;
    return text;
}

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    if (dshm::nprocs() == 1)
        dshm::addprocs(2);

    // Element by element, as far as the shorter collection goes, and in its order whoever is done first.
    const std::vector<std::string> words{"ha", "ho", "hey", "la", "never reached"};
    const std::vector<int> counts{3, 2, 2, 4};
    for (const std::string& text : dshm::pmap(repeated, words, counts))
        std::cout << text << '\n';

    // Batches find their size themselves; here it is given. A bar with rate and time left is drawn on standard
    // error when that is a terminal. A range is a collection too.
    const auto squares = dshm::pmap([](std::ptrdiff_t n) { return n * n; }, dshm::range(0, 10'000),
                                    dshm::batch_size(500), dshm::progress("squares"));
    std::cout << squares.size() << " squares, the last is " << squares.back() << '\n';

    // Only on the workers that are named.
    const dshm::WorkerId chosen = dshm::workers().back();
    const auto ids = dshm::pmap([](int) { return dshm::myid(); }, counts, dshm::on(chosen));
    std::cout << "all on the chosen one: " << std::boolalpha
              << std::all_of(ids.begin(), ids.end(), [=](int id) { return id == chosen; }) << '\n';

    // A map within a map: a worker that waits for its own elements takes others meanwhile.
    const auto rows = dshm::pmap(
        [](int row) {
            const std::vector<int> columns{1, 2, 3};
            const auto products = dshm::pmap([row](int column) { return row * column; }, columns);
            return repeated("|", products[0]) + ' ' + std::to_string(products[2]);
        },
        counts);
    for (const std::string& row : rows)
        std::cout << row << '\n';

    // In this process, as tasks that wait together rather than one after the other.
    const auto woken = dshm::asyncmap(
        [](int n) {
            dshm::sleep_for(std::chrono::milliseconds(n));
            return n;
        },
        counts, dshm::ntasks(4));
    std::cout << "asleep together: " << woken.size() << '\n';
}
