// Eight bytes to another rank and back over MPI, as a coprocess (see support/coprocess.hpp).
//
// Rank 0 reads a number of round trips from standard input, plays them, and prints the seconds of one. An MPI receive spins, so
// between games rank 1 waits in a read of the named pipe that rank 0 writes the numbers into: argument 1.
#include <mpi.h>

#include <cstdint>
#include <fstream>
#include <iostream>

namespace {

void serve(int tag, long trips) {
    std::int64_t ball = 0;
    for (long i = 0; i < trips; ++i) {
        MPI_Recv(&ball, 1, MPI_INT64_T, 0, tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        ++ball;
        MPI_Send(&ball, 1, MPI_INT64_T, 0, tag, MPI_COMM_WORLD);
    }
}

/// The ball's value in the end, which counts the trips.
std::int64_t play(int tag, long trips) {
    std::int64_t ball = 0;
    for (long i = 0; i < trips; ++i) {
        MPI_Send(&ball, 1, MPI_INT64_T, 1, tag, MPI_COMM_WORLD);
        MPI_Recv(&ball, 1, MPI_INT64_T, 1, tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    }
    return ball;
}

void lead(const char* pipe) {
    std::ofstream orders(pipe);
    long trips = 0;
    while (std::cin >> trips) {
        orders << trips << std::endl;
        play(0, trips / 10 + 1); // warms up, and hides how late rank 1 woke
        const double start = MPI_Wtime();
        const std::int64_t counted = play(1, trips);
        const double seconds = (MPI_Wtime() - start) / static_cast<double>(trips);
        std::cout << (counted == trips ? seconds : -1.0) << std::endl;
    }
}

void follow(const char* pipe) {
    std::ifstream orders(pipe);
    long trips = 0;
    while (orders >> trips) {
        serve(0, trips / 10 + 1);
        serve(1, trips);
    }
}

} // namespace

int main(int argc, char** argv) {
    MPI_Init(&argc, &argv);
    int rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (argc != 2)
        MPI_Abort(MPI_COMM_WORLD, 2);
    rank == 0 ? lead(argv[1]) : follow(argv[1]);
    MPI_Finalize();
}
