#!/usr/bin/env python3
"""23_file_histogram counts a file that no cache holds, and says what is wrong with what is none.

usage: file_histogram.py FILE_HISTOGRAM DSHM_RUN
"""

import collections
import os
import random
import subprocess
import sys
import tempfile
import unittest

PROGRAM, DSHM_RUN = sys.argv[1:3]
BLOCK, BLOCKS = 1 << 20, 64


def run(*arguments, workers=0):
    launcher = [DSHM_RUN, "-n", str(workers)] if workers else []
    return subprocess.run([*launcher, PROGRAM, *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=60)


def name_of(byte):
    return chr(byte) if 0x20 < byte < 0x7f else f"0x{byte:02x}"


class FileHistogram(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """64 times the same MiB, and three bytes, so that the last part is longer."""
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.path = os.path.join(cls.folder.name, "bytes")
        block = random.Random(1).randbytes(BLOCK // 2) + b"more of the letter e" * (BLOCK // 40 + 1)
        block = block[:BLOCK]
        with open(cls.path, "wb") as file:
            for _ in range(BLOCKS):
                file.write(block)
            file.write(b"end")
        cls.counts = collections.Counter({byte: BLOCKS * n for byte, n in collections.Counter(block).items()})
        cls.counts.update(b"end")

    def check_all(self, done):
        self.assertEqual(done.returncode, 0, done.stderr)
        first, *lines = done.stdout.splitlines()
        self.assertEqual(first, f"{BLOCKS * BLOCK + 3} bytes")
        seen = [line.split()[:2] for line in lines]
        self.assertEqual(seen, [[name_of(byte), str(self.counts[byte])] for byte in range(256)])

    def test_all_bytes_on_any_number_of_workers(self):
        self.check_all(run("--all", self.path))
        for workers in (1, 3):
            self.check_all(run("--all", self.path, workers=workers))

    def test_the_most_frequent_ten(self):
        done = run(self.path)
        self.assertEqual(done.returncode, 0, done.stderr)
        expected = sorted(self.counts, key=lambda byte: (-self.counts[byte], byte))[:10]
        self.assertEqual([line.split()[:2] for line in done.stdout.splitlines()[1:]],
                         [[name_of(byte), str(self.counts[byte])] for byte in expected])

    def test_a_relative_path_and_an_empty_file(self):
        path = os.path.join(self.folder.name, "empty")
        open(path, "wb").close()
        done = run("--all", os.path.relpath(path))
        self.assertEqual((done.returncode, done.stdout.splitlines()[0]), (0, "0 bytes"), done.stderr)

    def test_what_is_no_file(self):
        for arguments, sentence in {
            (os.path.join(self.folder.name, "missing"),): "No such file",
            (self.folder.name,): "Is a directory",
            (): "which file?",
            ("--many", self.path): "there is no option --many",
            (self.path, self.path): "one file at a time",
        }.items():
            done = run(*arguments)
            self.assertEqual(done.returncode, 2, done)
            self.assertIn(sentence, done.stderr)
            self.assertEqual(done.stdout, "")

    def test_help(self):
        done = run("--help")
        self.assertEqual(done.returncode, 0)
        self.assertTrue(done.stdout.startswith("usage: 23_file_histogram"), done.stdout)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
