// 13: a pipeline of three stages, joined by channels; each stage ends when the one before has ended.
//
// Julia: @spawnat 2 for x in source; put!(squares, x^2); end; close(squares) ...

#include <dshm/dshm.hpp>

#include <iostream>
#include <string>

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    if (dshm::nprocs() == 1)
        dshm::addprocs(2);

    const dshm::RemoteChannel<long> numbers(8), squares(8);
    const dshm::RemoteChannel<std::string> lines(8);

    dshm::remote_do(
        [=] {
            for (long i = 1; i <= 5; ++i)
                numbers.put(i);
            numbers.close();
        },
        2);
    // If a stage fails, its channel closes with what it threw, and so on down the line.
    squares.bind(dshm::spawn_at(3, [=] {
        for (const long number : numbers)
            squares.put(number * number);
    }));
    // Two stages share worker 2: one that waits lets the other run.
    lines.bind(dshm::spawn_at(2, [=] {
        for (const long square : squares)
            lines.put("square " + std::to_string(square));
    }));

    for (const std::string& line : lines)
        std::cout << line << '\n';
}
