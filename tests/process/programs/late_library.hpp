// The library that exec_subject opens after its Session. Built twice, with different answers and so
// with different build ids.
#pragma once

extern "C" {

int late_answer(int value);
// Sends a function of the library itself to a worker, and gives what comes back.
int late_call(int worker, int value);
}
