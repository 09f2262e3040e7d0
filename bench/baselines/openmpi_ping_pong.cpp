// A message to another rank and back over MPI, as a coprocess (see support/coprocess.hpp).
//
// Rank 0 reads a number of round trips, and of bytes if not eight, from standard input, plays them, and prints the seconds of one.
// An MPI receive spins, so between games rank 1 waits in a read of the named pipe that rank 0 writes the numbers into: argument 1.
#include <mpi.h>

#include <cstdint>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

namespace {

struct Game {
    long trips = 0;
    std::size_t words = 1; // of eight bytes; the first counts the trips
};

bool read_game(std::istream& from, Game& game) {
    std::string line;
    if (!std::getline(from, line))
        return false;
    std::istringstream numbers(line);
    std::size_t bytes = 8;
    numbers >> game.trips >> bytes;
    game.words = bytes / 8;
    return true;
}

void serve(int tag, long trips, std::size_t words) {
    std::vector<std::int64_t> ball(words);
    for (long i = 0; i < trips; ++i) {
        MPI_Recv(ball.data(), int(words), MPI_INT64_T, 0, tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        ++ball[0];
        MPI_Send(ball.data(), int(words), MPI_INT64_T, 0, tag, MPI_COMM_WORLD);
    }
}

/// The ball's first word in the end, which counts the trips.
std::int64_t play(int tag, long trips, std::size_t words) {
    std::vector<std::int64_t> ball(words);
    for (long i = 0; i < trips; ++i) {
        MPI_Send(ball.data(), int(words), MPI_INT64_T, 1, tag, MPI_COMM_WORLD);
        MPI_Recv(ball.data(), int(words), MPI_INT64_T, 1, tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    }
    return ball[0];
}

void lead(const char* pipe) {
    std::ofstream orders(pipe);
    Game game;
    while (read_game(std::cin, game)) {
        orders << game.trips << ' ' << game.words * 8 << std::endl;
        play(0, game.trips / 10 + 1, game.words); // warms up, and hides how late rank 1 woke
        const double start = MPI_Wtime();
        const std::int64_t counted = play(1, game.trips, game.words);
        const double seconds = (MPI_Wtime() - start) / static_cast<double>(game.trips);
        std::cout << (counted == game.trips ? seconds : -1.0) << std::endl;
    }
}

void follow(const char* pipe) {
    std::ifstream orders(pipe);
    Game game;
    while (read_game(orders, game)) {
        serve(0, game.trips / 10 + 1, game.words);
        serve(1, game.trips, game.words);
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
