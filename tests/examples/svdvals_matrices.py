#!/usr/bin/env python3
"""svdvals on matrices that are not part of this repository, with their singular values beside them.

They are looked for in the folder that DSHM_MATRICES names, else in the one given as an argument.
Without them the test is skipped.
"""

import glob
import os
import sys
import unittest

from svdvals_program import MATRICES, main, run

SKIPPED = 77  # to Meson


class Matrices(unittest.TestCase):
    def test_check(self):
        files = sorted(glob.glob(os.path.join(MATRICES, "*.mtx")))
        for workers in 2, 4, 0:
            outcome = run("--check", "--no-serial", *files, workers=workers)
            print(outcome.output)
            self.assertEqual((outcome.status, outcome.error), (0, ""))
            names = [line.split()[0] for line in outcome.lines()[1:1 + len(files)]]
            self.assertEqual([name + ".mtx" for name in names], list(map(os.path.basename, files)))


if __name__ == "__main__":
    if not glob.glob(os.path.join(MATRICES, "*.mtx")):
        print(f"skipped: no matrices in '{MATRICES}'; DSHM_MATRICES may name their folder")
        sys.exit(SKIPPED)
    main()
