// main() of the Catch2 test programs, compiled once for all of them.

#ifndef CATCH_CONFIG_RUNNER
#define CATCH_CONFIG_RUNNER
#endif

#include "catch.hpp"

int main(int argc, char** argv) {
    return Catch::Session().run(argc, argv);
}
