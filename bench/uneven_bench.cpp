// A loop whose iterations take different times, under the three schedules, against the same rows on bare forked processes in the best
// division (the ceiling, which knows the cost of every row beforehand), OpenMP's schedules, and one process.
//
// A static split gives the second worker nearly everything that is dear; a guided one must stay within 5 % of the ceiling.
#include <dshm/dshm.hpp>

#include "baselines/crew.hpp"
#include "baselines/openmp.hpp"
#include "baselines/uneven.hpp"
#include "support/comparison.hpp"

namespace {

using dshm::Schedule;

/// Rows, what each gives, and what it costs in any unit.
template <class Row, class Cost>
struct Work {
    const char* name;
    long rows;
    Row row;
    Cost cost;

    std::vector<long> costs() const {
        std::vector<long> costs;
        for (long i = 0; i < rows; ++i)
            costs.push_back(cost(i));
        return costs;
    }
    long sum() const {
        long total = 0;
        for (long i = 0; i < rows; ++i)
            total += row(i);
        return total;
    }
};
template <class Row, class Cost>
Work(const char*, long, Row, Cost) -> Work<Row, Cost>;

/// Bare processes that know the cost of every row.
class BareRows {
public:
    template <class Row, class Cost>
    BareRows(const Work<Row, Cost>& work, int members)
        : shares_(bench::divide_well(work.costs(), members)),
          sums_(static_cast<std::size_t>(members) * stride),
          crew_(members, [this, row = work.row](int member) {
              long sum = 0;
              for (const long i : shares_[static_cast<std::size_t>(member)])
                  sum += row(i);
              sums_[static_cast<std::size_t>(member) * stride] = sum;
          }) {}

    long run() {
        crew_.run();
        long total = 0;
        for (std::size_t i = 0; i < sums_.size(); i += stride)
            total += sums_[i];
        return total;
    }

private:
    static constexpr std::size_t stride = 16; // a slot for each member, two cache lines apart

    std::vector<std::vector<long>> shares_;
    bench::SharedMapping<long> sums_;
    bench::Crew crew_;
};

template <class Row, class Cost>
void compare(bench::Program& program, const Work<Row, Cost>& work, BareRows& bare) {
    const int threads = program.workers();
    const long expected = work.sum();
    const auto scheduled = [=](Schedule schedule) {
        return bench::once(
            [=] {
                return dshm::distributed(std::plus<>{}, dshm::range(0, work.rows), work.row,
                                         dshm::schedule(schedule));
            },
            expected);
    };
    auto& rows = program.compare(std::string("uneven/") + work.name).rounds(21);
    rows.subject("libdshm guided", scheduled(Schedule::guided));
    rows.peer("libdshm dynamic", scheduled(Schedule::dynamic));
    rows.peer("libdshm static", scheduled(Schedule::static_));
    rows.peer("bare forked processes, best division",
              bench::once([&bare] { return bare.run(); }, expected), 0.95);
    if (bench::has_openmp) {
        const auto openmp = [=](bench::OpenmpSchedule schedule) {
            return bench::once(
                [=] { return bench::openmp_sum(work.rows, threads, work.row, schedule); },
                expected);
        };
        rows.peer("OpenMP guided", openmp(bench::OpenmpSchedule::guided));
        rows.peer("OpenMP dynamic", openmp(bench::OpenmpSchedule::dynamic));
        rows.peer("OpenMP static", openmp(bench::OpenmpSchedule::static_));
    }
    rows.peer("serial", bench::once([=] { return work.sum(); }, expected));
}

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    bench::Program program(argc, argv);
    dshm::addprocs(program.workers());

    const long rows = program.size(400L, 20L);
    const long columns = program.size(300L, 10L);
    const auto mandelbrot_row = [=](long i) {
        return bench::mandelbrot_steps(i, rows, columns, 1000);
    };
    const Work mandelbrot{"mandelbrot", rows, mandelbrot_row, mandelbrot_row};
    const long tosses_a_step = program.size(2'000L, 10L);
    const Work triangle{"triangle", rows,
                        [=](long i) { return bench::triangle_heads(i, tosses_a_step); },
                        [](long i) { return i; }};
    BareRows bare_mandelbrot(mandelbrot, program.workers());
    BareRows bare_triangle(triangle, program.workers());

    compare(program, mandelbrot, bare_mandelbrot);
    compare(program, triangle, bare_triangle);
    return program.run();
}
