#!/usr/bin/env python3
"""Checks the Spin models of this directory, and that the mistakes put into them are found.

    run_models.py [scratch directory]

Each line of CASES is one exhaustive search: a model, its bounds, and whether an error must be found. Two searches run at a time.
Ends with 0 when all is as expected, 1 when not, 77 (skipped) without spin or gcc. Takes about a minute and a half and at most 1 GiB.
"""

import concurrent.futures
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SKIPPED = 77
SEARCHES_AT_ONCE = 2
MEBIBYTES_EACH = 1500
SECONDS_EACH = 600  # only against a search without end: the longest takes a fraction of it
DEEPEST = 100_000

# model, definitions, an error must be found
CASES = [
    # The longest first.
    ("task_queue", "NW=2 NT=1 D=1 MAXC=2", False),
    ("shares", "MAXC=1", False),
    ("channel", "NP=1 NC=2 M=2 MAXC=1", False),
    ("task_queue", "NW=1 NT=2 D=2 MAXC=2", False),
    ("task_queue", "NW=1 NT=3 D=2 MAXC=1", False),  # records and cells are used again
    ("task_queue", "NW=2 NT=2 D=2 MAXC=0", False),
    ("task_queue", "NW=2 NT=2 D=1 MAXC=0", False),
    ("task_queue", "NW=1 NT=2 D=2 MAXC=1", False),
    # Tasks that are repeated after a death: by another, by the same slot, one of two, up to the last attempt.
    ("task_queue", "NW=2 NT=1 D=1 MAXC=1 ATTEMPTS=2", False),
    ("task_queue", "NW=1 NT=1 D=1 MAXC=3 ATTEMPTS=2", False),
    ("task_queue", "NW=1 NT=2 D=2 MAXC=1 ATTEMPTS=2", False),
    ("doorbell", "ROUNDS=2 MAXC=2", False),
    ("waking", "NW=3 T=2 MAXC=0", False),
    ("waking", "NW=2 T=2 MAXC=1", False),
    ("waking", "NW=2 T=1 MAXC=1 NO_SUCCESSOR", False),
    ("channel", "NP=2 NC=1 M=2 MAXC=1", False),
    ("channel", "NP=2 NC=1 M=1 MAXC=1 EARLY", False),
    ("channel", "NP=2 NC=1 M=1 MAXC=1 GRANTS=2", False),
    ("channel", "NP=2 NC=1 M=2 MAXC=0 GRANTS=2", False),
    ("channel", "NP=1 NC=1 M=3 MAXC=2", False),  # cells are used again
    # The words are no snapshot; a share is counted before its bit is set; the launcher leaves the bit of the dead.
    ("shares", "MAXC=0 MUTATE_NO_COUNT", True),
    ("shares", "MAXC=0 MUTATE_COUNT_FIRST", True),
    ("shares", "MAXC=1 MUTATE_BIT_OF_DEAD_STAYS", True),
    # Head is moved before the task is claimed, before the rest of the batch is copied, or not looked at by producers.
    ("task_queue", "NW=1 NT=2 D=2 MAXC=1 MUTATE_ADVANCE_BEFORE_CLAIM", True),
    ("task_queue", "NW=1 NT=2 D=2 MAXC=1 MUTATE_ADVANCE_BEFORE_COPY", True),
    ("task_queue", "NW=1 NT=3 D=2 MAXC=1 MUTATE_IGNORE_HEAD", True),
    # Who clears a ready bit does not look at the ring again; recovery renews only the bit of the dead.
    ("task_queue", "NW=1 NT=2 D=2 MAXC=1 MUTATE_NO_SECOND_PEEK", True),
    ("task_queue", "NW=1 NT=2 D=2 MAXC=1 MUTATE_RENEW_OWN_BIT_ONLY", True),
    # Recovery does not put the queued tasks of a dead origin again.
    ("task_queue", "NW=1 NT=2 D=2 MAXC=1 MUTATE_NO_REPUT", True),
    # Repeated without a bound; a result that is written before it is marked; queued again and not put, or put too early.
    ("task_queue", "NW=1 NT=1 D=1 MAXC=2 ATTEMPTS=2 MUTATE_REPEAT_FOR_EVER", True),
    ("task_queue", "NW=1 NT=1 D=1 MAXC=2 ATTEMPTS=2 MUTATE_MARK_AFTER_WRITE", True),
    ("task_queue", "NW=1 NT=1 D=1 MAXC=1 ATTEMPTS=2 MUTATE_NO_PUT_OF_REPEATED", True),
    ("task_queue", "NW=2 NT=1 D=1 MAXC=1 ATTEMPTS=2 MUTATE_PUT_BEFORE_QUEUED", True),
    # Parking: no second look, the event after the ring, a waiter that disarms, no ring after a death or only on an odd word.
    ("doorbell", "MUTATE_NO_SECOND_LOOK", True),
    ("doorbell", "MUTATE_RING_BEFORE_EVENT", True),
    ("doorbell", "MUTATE_WAITER_DISARMS", True),
    ("doorbell", "MUTATE_NO_RING_ALWAYS", True),
    ("doorbell", "MUTATE_RING_ODD_ONLY", True),
    # Waking: a thief does not look at the rest, or before its mark is gone; no last look, at the ring or at the own mark; marks
    # that stay with the dead or the awake.
    ("waking", "NW=3 T=3 MAXC=0 MUTATE_NO_LOOK_AT_THE_REST", True),
    ("waking", "NW=3 T=3 MAXC=0 MUTATE_LOOK_BEFORE_MARK", True),
    ("waking", "NW=3 T=2 MAXC=0 MUTATE_NO_LAST_LOOK", True),
    ("waking", "NW=3 T=3 MAXC=0 MUTATE_NO_LOOK_AT_MARK", True),
    ("waking", "NW=2 T=1 MAXC=1 NO_SUCCESSOR MUTATE_MARK_OF_DEAD_STAYS", True),
    ("waking", "NW=3 T=2 MAXC=0 MUTATE_NO_LOOK_AT_PARKED", True),
    # Channels. Roles: no mark for a holder at work, flight said after the look, a holder that leaves without the verdict.
    ("channel", "NP=2 NC=1 M=2 MAXC=0 MUTATE_NO_MARK", True),
    ("channel", "NP=2 NC=1 M=2 MAXC=0 MUTATE_LOOK_BEFORE_FLIGHT", True),
    ("channel", "NP=2 NC=1 M=2 MAXC=0 GRANTS=2 MUTATE_LEAVE_WITHOUT_VERDICT", True),
    # One walk over cells that are being written; a message that is given back as if it had never been claimed.
    ("channel", "NP=2 NC=1 M=2 MAXC=0 MUTATE_ONE_LOOK", True),
    ("channel", "NP=1 NC=2 M=2 MAXC=1 MUTATE_RETURNED_IS_FULL", True),
    # Cells are swept before roles; the end leaves producers their roles, or is not sealed.
    ("channel", "NP=2 NC=1 M=1 MAXC=1 MUTATE_SWEEP_FIRST", True),
    ("channel", "NP=2 NC=1 M=1 MAXC=0 EARLY MUTATE_END_KEEPS_ROLES", True),
    ("channel", "NP=2 NC=1 M=1 MAXC=0 EARLY MUTATE_NO_SEAL", True),
]


def run(command, directory):
    return subprocess.run(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=SECONDS_EACH, check=True).stdout


def search(model, definitions, scratch):
    """The number of errors that an exhaustive search finds, and of states that it visits."""
    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        run(["spin", "-a"] + ["-D" + name for name in definitions.split()] + [str(HERE / f"{model}.pml")], directory)
        run(["gcc", "-O2", "-w", "-DSAFETY", "-DCOLLAPSE", "-DVECTORSZ=1024", f"-DMEMLIM={MEBIBYTES_EACH}", "-o", "pan",
             "pan.c"], directory)
        report = run(["./pan", f"-m{DEEPEST}"], directory)
    errors = re.search(r"errors: (\d+)", report)
    states = re.search(r"(\d+) states, stored", report)
    complete = "Search not completed" not in report or errors and int(errors[1]) > 0
    if not errors or not states or not complete or "max search depth too small" in report:
        raise RuntimeError("the search was not complete:\n" + report)
    return int(errors[1]), int(states[1])


def check(case, scratch):
    model, definitions, must_fail = case
    name = f"{model} {definitions}"
    try:
        errors, states = search(model, definitions, scratch)
    except (RuntimeError, subprocess.SubprocessError) as error:
        return False, f"{name}: {error}\n{getattr(error, 'output', '') or ''}"
    found = f"{'an error' if errors else 'no error'} in {states:,} states"
    expected = (errors > 0) == must_fail
    return expected, f"{'as expected' if expected else 'UNEXPECTED '}: {name}: {found}"


def main():
    if shutil.which("spin") is None or shutil.which("gcc") is None:
        print("skipped: needs spin and gcc")
        return SKIPPED
    scratch = sys.argv[1] if len(sys.argv) > 1 else None
    with concurrent.futures.ThreadPoolExecutor(SEARCHES_AT_ONCE) as pool:
        results = [pool.submit(check, case, scratch) for case in CASES]
        good = True
        for result in concurrent.futures.as_completed(results):
            expected, text = result.result()
            good = good and expected
            print(text, flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
