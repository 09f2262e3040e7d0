"""Containers and files of a session, used by workers that are fresh processes.

usage: shared_elsewhere.py DSHM_RUN SUBJECT SHARED_SUBJECT
"""

import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from processes import Program, case, check, finish, start  # noqa: E402

SUBJECT = os.path.abspath(sys.argv[3])
start()
case("containers and files")
with tempfile.TemporaryDirectory() as directory:
    code, output, errors = Program(SUBJECT, directory, env={"DSHM_WORKERS": "0"}).end()
    check(code == 0, "all of it holds", code, output, errors)
    check(output == "same address\n", "the segment lies where the master has it", output)
    check(os.path.getsize(os.path.join(directory, "array")) == 8024, "the file has its length")
finish()
