#!/usr/bin/env python3
"""What svdvals prints for the matrix of this repository, alone and with workers."""

import os
import re
import unittest

from svdvals_program import DATA, InFolder, main, run

NUMBER = r"\d+(\.\d+)?(e[-+]\d+)?"
MATRIX = os.path.join(DATA, "gradient.mtx")


class Table(InFolder):
    def find(self, outcome, pattern):
        self.assertEqual((outcome.status, outcome.error), (0, ""), outcome.output)
        found = re.search(f"^{pattern}$", outcome.output, re.MULTILINE)
        self.assertTrue(found, f"no line like «{pattern}» in\n{outcome.output}")
        return found

    def test_alone(self):
        outcome = run(MATRIX)
        self.find(outcome, r"matrix +size +largest +smallest +seconds")
        row = self.find(outcome, rf"gradient +49 x 20 +(?P<largest>{NUMBER}) +(?P<smallest>{NUMBER})"
                                 rf" +{NUMBER}")
        self.assertAlmostEqual(float(row["largest"]), 14.99348787945043, places=12)
        self.assertAlmostEqual(float(row["smallest"]), 4.381246535949897, places=12)
        self.find(outcome, rf"1 matrix, 1 worker; the longest took {NUMBER} s \(gradient\)")
        self.find(outcome, rf"parallel +{NUMBER} s")
        self.find(outcome, rf"serial +{NUMBER} s, {NUMBER} times as long")

    def test_check_with_workers(self):
        outcome = run("--check", MATRIX, MATRIX, MATRIX, workers=2)
        rows = re.findall(r"^gradient .*e-1\d$", outcome.output, re.MULTILINE)
        self.assertEqual(len(rows), 3, outcome.output)
        self.find(outcome, r"3 matrices, 2 workers; .*")
        self.find(outcome, rf"check +passed: at most {NUMBER} of the largest value away from the "
                           r"reference \(gradient\)")

    def test_order_is_that_of_the_command_line(self):
        """Although the largest is computed first."""
        header = "%%MatrixMarket matrix array real general\n"
        files = [self.write(f"{name}.mtx", header + f"{size} 1\n" + "1\n" * size)
                 for name, size in (("a", 2), ("b", 200), ("c", 50))]
        outcome = run(*files, workers=2)
        self.assertEqual(outcome.status, 0, outcome.error)
        self.assertEqual([line.split()[0] for line in outcome.lines()[1:4]], ["a", "b", "c"])
        self.assertEqual([line.split()[1] for line in outcome.lines()[1:4]], ["2", "200", "50"])

    def test_no_serial(self):
        outcome = run("--no-serial", MATRIX, workers=2)
        self.find(outcome, r"parallel .*")
        self.assertNotIn("serial ", outcome.output)

    def test_help(self):
        outcome = run("--help")
        self.find(outcome, r"Usage: svdvals .*")
        for option in "--check", "--no-serial":
            self.assertIn(option, outcome.output)


if __name__ == "__main__":
    main()
