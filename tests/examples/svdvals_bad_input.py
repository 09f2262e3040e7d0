#!/usr/bin/env python3
"""svdvals given what it cannot use: one sentence on standard error, nothing on standard output."""

import os
import subprocess
import unittest

from svdvals_program import DATA, SVDVALS, InFolder, main, run

HEADER = "%%MatrixMarket matrix coordinate real general\n"
GOOD = os.path.join(DATA, "gradient.mtx")


class Files(InFolder):
    def refuse(self, outcome, sentence):
        self.assertEqual(outcome.error, f"svdvals: {sentence}\n")
        self.assertEqual(outcome.output, "")
        self.assertEqual(outcome.status, 2)

    def refuse_content(self, content, wrong, *options):
        path = self.write("bad.mtx", content)
        self.refuse(run(*options, path), f"{path}:{wrong}")

    def test_missing(self):
        self.refuse(run("nowhere.mtx"), "nowhere.mtx: cannot be opened: No such file or directory")

    def test_folder(self):
        self.refuse(run(self.folder), f"{self.folder}: cannot be read: Is a directory")

    @unittest.skipIf(os.geteuid() == 0, "root may read everything")
    def test_forbidden(self):
        path = self.write("secret.mtx", HEADER)
        os.chmod(path, 0)
        self.refuse(run(path), f"{path}: cannot be opened: Permission denied")

    def test_something_else(self):
        for path in SVDVALS, "/dev/null", __file__:
            self.refuse(run(path), f"{path}:1: not a Matrix Market file: "
                                   "the first line does not begin with %%MatrixMarket")

    def test_endless(self):
        self.refuse(run("/dev/zero"), "/dev/zero:1: the line is longer than 65536 characters")

    def test_truncated(self):
        with open(GOOD, encoding="utf-8") as file:
            lines = file.readlines()
        self.refuse_content("".join(lines[:40]), "41: the file breaks off after 37 of 80 entries")
        self.refuse_content("".join(lines[:2]),
                            "3: the file breaks off before the line with the sizes")

    def test_index_out_of_range(self):
        self.refuse_content(HEADER + "2 2 1\n3 1 1\n", "3: row 3 is outside 1 to 2")
        self.refuse_content(HEADER + "2 2 1\n1 0 1\n", "3: column 0 is outside 1 to 2")

    def test_no_number(self):
        self.refuse_content(HEADER + "2 2 1\n1 1 one\n",
                            "3: the value is 'one', not a number that a double can hold")

    def test_absurd_size(self):
        self.refuse_content(HEADER + "1000000000 1000000000 1\n1 1 1\n",
                            "2: the size is 1000000000 x 1000000000, more than the 134217728 "
                            "elements that are taken")
        self.refuse_content(HEADER + "0 0 0\n",
                            "2: the size is 0 x 0; a matrix has at least one row and one column")

    def test_complex(self):
        self.refuse_content("%%MatrixMarket matrix coordinate complex general\n",
                            "1: the elements are complex; only real, integer and pattern are read")

    def test_last_of_several(self):
        """All files are read before anything is computed or printed; the same with workers."""
        for workers in 0, 2:
            self.refuse(run(GOOD, GOOD, "nowhere.mtx", workers=workers),
                        "nowhere.mtx: cannot be opened: No such file or directory")

    def test_check_without_reference(self):
        path = self.write("alone.mtx", HEADER + "1 1 1\n1 1 1\n")
        self.refuse(run("--check", path),
                    f"{self.folder}/alone.svdvals: cannot be opened: No such file or directory")

    def test_check_with_bad_reference(self):
        path = self.write("short.mtx", HEADER + "2 2 1\n1 1 1\n")
        reference = self.write("short.svdvals", "1\n")
        self.refuse(run("--check", path),
                    f"{reference}: holds 1 numbers, not the 2 singular values of the matrix")
        self.write("short.svdvals", "1\nzero\n")
        self.refuse(run("--check", path),
                    f"{reference}:2: the number is 'zero', not a number that a double can hold")


class Check(InFolder):
    def test_failed(self):
        """The table is shown all the same; status 1, and each file that failed is named."""
        content = HEADER + "2 2 2\n1 1 2\n2 2 1\n"
        right, wrong = self.write("right.mtx", content), self.write("wrong.mtx", content)
        self.write("right.svdvals", "2\n1\n")
        self.write("wrong.svdvals", "2\n1.000000001\n")
        outcome = run("--check", right, wrong, workers=2)
        self.assertEqual(outcome.status, 1)
        self.assertEqual(outcome.error, f"svdvals: {wrong}: a singular value is 5.0e-10 of the "
                                        "largest away from the reference, more than 1e-10\n")
        self.assertIn("check     failed for 1 of 2", outcome.lines())


class Options(InFolder):
    def refuse(self, wrong, *arguments):
        for workers in 0, 2:
            outcome = run(*arguments, workers=workers)
            self.assertEqual(outcome.error, f"svdvals: {wrong}; svdvals --help tells more\n")
            self.assertEqual((outcome.status, outcome.output), (2, ""))

    def test_none(self):
        self.refuse("at least one FILE is required")

    def test_unknown(self):
        self.refuse("The following argument was not expected: --nonsense", "--nonsense", GOOD)


class Output(InFolder):
    def test_full(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            outcome = run(GOOD, stdout=full)
        self.assertEqual(outcome.error,
                         "svdvals: the results cannot be written: No space left on device\n")
        self.assertEqual(outcome.status, 3)

    def test_closed(self):
        """Whoever reads goes away: the program ends, by the signal or with a sentence, never hangs."""
        reader, writer = os.pipe()
        os.close(reader)
        try:
            outcome = run(GOOD, stdout=writer, workers=2)
        finally:
            os.close(writer)
        by_signal = outcome.status == 128 + 13 and outcome.error == ""
        by_sentence = outcome.status == 3 and "cannot be written: Broken pipe" in outcome.error
        self.assertTrue(by_signal or by_sentence, (outcome.status, outcome.error))


if __name__ == "__main__":
    main()
