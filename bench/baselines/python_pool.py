#!/usr/bin/env python3
"""Python's multiprocessing.Pool with forked workers, as a coprocess (see support/coprocess.hpp).

Reads one question a line and answers with seconds:
  start N      from nothing to the first result of N tasks on a pool of N processes
  trip N       one empty task there and back, the mean of N on a warm pool of 2 processes
  map N        a pool of 2 processes maps N doubles, in chunks as large as it likes
"""
import multiprocessing
import sys
import time

context = multiprocessing.get_context("fork")


def identity(value):
    return value


def start(processes):
    begin = time.perf_counter()
    pool = context.Pool(processes)
    results = pool.map(identity, range(processes), chunksize=1)
    seconds = time.perf_counter() - begin
    pool.terminate()
    pool.join()
    return seconds if results == list(range(processes)) else -1


def trip(count):
    with context.Pool(2) as pool:
        for i in range(20):
            pool.apply(identity, (i,))
        begin = time.perf_counter()
        right = all([pool.apply(identity, (i,)) == i for i in range(count)])
        seconds = (time.perf_counter() - begin) / count
    return seconds if right else -1


def map_doubles(count):
    values = [float(i) for i in range(count)]
    with context.Pool(2) as pool:
        pool.map(identity, values[:100])
        begin = time.perf_counter()
        right = pool.map(identity, values, chunksize=count // 4 + 1) == values
        seconds = time.perf_counter() - begin
    return seconds if right else -1


if __name__ == "__main__":
    answers = {"start": start, "trip": trip, "map": map_doubles}
    for line in sys.stdin:
        question, number = line.split()
        print(answers[question](int(number)), flush=True)
