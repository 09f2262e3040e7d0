"""How the tests of svdvals call it: the command line they share, and a run with its outcome.

Each test is called as: NAME.py SVDVALS DSHM_RUN DATA [MATRICES]
"""

import os
import subprocess
import sys
import tempfile
import unittest

SVDVALS, DSHM_RUN, DATA = sys.argv[1:4]
MATRICES = os.environ.get("DSHM_MATRICES") or (sys.argv[4] if len(sys.argv) > 4 else "")
SECONDS = 100


class Outcome:
    """Exit status, standard output and standard error of one run."""

    def __init__(self, done):
        self.status, self.output, self.error = done.returncode, done.stdout, done.stderr

    def lines(self):
        return self.output.splitlines()


def run(*arguments, workers=0, **keywords):
    """Runs svdvals, under dshm-run if there shall be workers; a run that hangs is killed and fails."""
    launcher = [DSHM_RUN, "-n", str(workers)] if workers else []
    keywords.setdefault("stdout", subprocess.PIPE)
    done = subprocess.run([*launcher, SVDVALS, *map(str, arguments)], text=True, timeout=SECONDS,
                          stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False, **keywords)
    return Outcome(done)


class InFolder(unittest.TestCase):
    """A test with a folder of its own, gone afterwards."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def write(self, name, content):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
        return path


def main():
    unittest.main(argv=sys.argv[:1])
