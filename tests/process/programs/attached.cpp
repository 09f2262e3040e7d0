// A program of its own that attaches to the session named by its first argument.
#include <dshm/dshm.hpp>

#include <iostream>

#include "dshm/attach.hpp"

int main(int argc, char** argv) try {
    if (argc < 2)
        return 2;
    dshm::Client client = dshm::attach(argv[1]);
    auto grid = client.array<double, 2>("grid");
    std::cout << client.session_name() << ' ' << grid.dims()[0] << 'x' << grid.dims()[1] << ' '
              << grid(2, 3) << '\n';
    grid(0, 0) = 100;
    for (const dshm::NamedObject& object : client.names())
        std::cout << object.name << ' ';
    std::cout << std::endl;
    const int number = client.channel<int>("numbers").take();
    client.channel<std::string>("texts").put("the answer is " + std::to_string(number));
    if (argc > 2) // waits until it is killed or the session ends
        client.channel<int>("numbers").take();
    return 0;
} catch (const std::exception& error) {
    std::cerr << error.what() << std::endl;
    return 1;
}
