#!/usr/bin/env python3
"""Checks the Spin models of this directory, and that the mistakes put into them are found.

    run_models.py [scratch directory]

Each line of the tables is one exhaustive search: a model and its bounds. Two searches run at a time. With DSHM_TEST_FULL=1 in the
environment the wider bounds are searched as well. Ends with 0 when all is as expected, 1 when not, 77 (skipped) without spin or gcc.
Takes 100 seconds of processor time, with the wider bounds 350, and at most 2 GiB.
"""

import concurrent.futures
import os
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

# No errors. The longest first.
SOUND = [
    ("waking", "NW=3 T=2 MAXC=0"),
    ("task_queue", "NW=1 NT=3 D=2 MAXC=1"),  # records and cells are used again
    ("channel", "NP=1 NC=2 M=1 MAXC=1"),
    ("shares", "MAXC=0"),
    ("shares", "MAXC=1 NO_ENDER"),
    ("task_queue", "NW=2 NT=1 D=1 MAXC=1"),
    ("task_queue", "NW=1 NT=1 D=1 MAXC=2"),
    ("task_queue", "NW=2 NT=2 D=1 MAXC=0"),
    ("task_queue", "NW=1 NT=2 D=2 MAXC=1"),
    # Tasks that are repeated after a death: by another, by the same slot, one of two, up to the last attempt.
    ("task_queue", "NW=2 NT=1 D=1 MAXC=1 ATTEMPTS=2"),
    ("task_queue", "NW=1 NT=1 D=1 MAXC=3 ATTEMPTS=2"),
    ("task_queue", "NW=1 NT=2 D=2 MAXC=1 ATTEMPTS=2"),
    ("doorbell", "ROUNDS=2 MAXC=2"),
    ("waking", "NW=2 T=2 MAXC=1"),
    ("waking", "NW=2 T=1 MAXC=1 NO_SUCCESSOR"),
    ("channel", "NP=1 NC=2 M=2 MAXC=0"),
    ("channel", "NP=2 NC=1 M=2 MAXC=0"),
    ("channel", "NP=2 NC=1 M=1 MAXC=1"),
    ("channel", "NP=2 NC=1 M=1 MAXC=0 EARLY"),
    ("channel", "NP=1 NC=1 M=2 MAXC=1 EARLY"),
    ("channel", "NP=2 NC=1 M=1 MAXC=1 GRANTS=2"),
    ("channel", "NP=1 NC=1 M=3 MAXC=2"),  # cells are used again
    # Parking: several messages; deaths; threads of one process; waits that are set aside; some that give up; a close.
    ("parking", "MAXC=0"),
    ("parking", "OP=1 MAXC=0 WALK"),
    ("parking", "OP=1 MAXC=1"),
    ("parking", "TOGETHER MAXC=0"),
    ("parking", "TOGETHER OP=1 MAXC=1"),
    ("parking", "ASIDE OP=1 MAXC=1"),
    ("parking", "OP=1 MAXC=0 GIVE_UPS=1"),
    ("parking", "NT=1 OT=2 OP=1 MAXC=1 CLOSES"),
]

# The same with wider bounds: DSHM_TEST_FULL.
SOUND_AND_WIDE = [
    ("shares", "MAXC=1"),
    ("channel", "NP=1 NC=2 M=2 MAXC=1"),
    ("parking", "MAXC=1"),
    ("parking", "ASIDE OP=3 MAXC=0"),
    ("channel", "NP=2 NC=1 M=2 MAXC=1"),
    ("channel", "NP=2 NC=1 M=2 MAXC=0 GRANTS=2"),
    ("channel", "NP=2 NC=1 M=1 MAXC=1 EARLY"),
    ("task_queue", "NW=2 NT=1 D=1 MAXC=2"),
    ("task_queue", "NW=1 NT=2 D=2 MAXC=2"),
    ("task_queue", "NW=2 NT=2 D=2 MAXC=0"),
    ("parking", "OP=1 MAXC=0 CLOSES"),
    ("parking", "MAXC=0 WALK"),
]

# An error must be found.
MISTAKES = [
    # The words are no snapshot; a share is counted before its bit is set; the launcher leaves the bit of the dead.
    ("shares", "MAXC=0 MUTATE_NO_COUNT"),
    ("shares", "MAXC=0 MUTATE_COUNT_FIRST"),
    ("shares", "MAXC=1 MUTATE_BIT_OF_DEAD_STAYS"),
    # Head is moved before the task is claimed, before the rest of the batch is copied, or not looked at by producers.
    ("task_queue", "NW=1 NT=2 D=2 MAXC=1 MUTATE_ADVANCE_BEFORE_CLAIM"),
    ("task_queue", "NW=1 NT=2 D=2 MAXC=1 MUTATE_ADVANCE_BEFORE_COPY"),
    ("task_queue", "NW=1 NT=3 D=2 MAXC=1 MUTATE_IGNORE_HEAD"),
    # Who clears a ready bit does not look at the ring again; recovery renews only the bit of the dead.
    ("task_queue", "NW=1 NT=2 D=2 MAXC=1 MUTATE_NO_SECOND_PEEK"),
    ("task_queue", "NW=1 NT=2 D=2 MAXC=1 MUTATE_RENEW_OWN_BIT_ONLY"),
    # Recovery does not put the queued tasks of a dead origin again.
    ("task_queue", "NW=1 NT=2 D=2 MAXC=1 MUTATE_NO_REPUT"),
    # Repeated without a bound; a result that is written before it is marked; queued again and not put, or put too early.
    ("task_queue", "NW=1 NT=1 D=1 MAXC=2 ATTEMPTS=2 MUTATE_REPEAT_FOR_EVER"),
    ("task_queue", "NW=1 NT=1 D=1 MAXC=2 ATTEMPTS=2 MUTATE_MARK_AFTER_WRITE"),
    ("task_queue", "NW=1 NT=1 D=1 MAXC=1 ATTEMPTS=2 MUTATE_NO_PUT_OF_REPEATED"),
    ("task_queue", "NW=2 NT=1 D=1 MAXC=1 ATTEMPTS=2 MUTATE_PUT_BEFORE_QUEUED"),
    # Parking: no second look, the event after the ring, a waiter that disarms, no ring after a death or only on an odd word.
    ("doorbell", "MUTATE_NO_SECOND_LOOK"),
    ("doorbell", "MUTATE_RING_BEFORE_EVENT"),
    ("doorbell", "MUTATE_WAITER_DISARMS"),
    ("doorbell", "MUTATE_NO_RING_ALWAYS"),
    ("doorbell", "MUTATE_RING_ODD_ONLY"),
    # Waking: a thief does not look at the rest, or before its mark is gone; no last look, at the ring or at the own mark; marks
    # that stay with the dead or the awake.
    ("waking", "NW=3 T=3 MAXC=0 MUTATE_NO_LOOK_AT_THE_REST"),
    ("waking", "NW=3 T=3 MAXC=0 MUTATE_LOOK_BEFORE_MARK"),
    ("waking", "NW=3 T=2 MAXC=0 MUTATE_NO_LAST_LOOK"),
    ("waking", "NW=3 T=3 MAXC=0 MUTATE_NO_LOOK_AT_MARK"),
    ("waking", "NW=2 T=1 MAXC=1 NO_SUCCESSOR MUTATE_MARK_OF_DEAD_STAYS"),
    ("waking", "NW=3 T=2 MAXC=0 MUTATE_NO_LOOK_AT_PARKED"),
    # Channels. Roles: no mark for a holder at work, flight said after the look, a holder that leaves without the verdict.
    ("channel", "NP=2 NC=1 M=2 MAXC=0 MUTATE_NO_MARK"),
    ("channel", "NP=2 NC=1 M=2 MAXC=0 MUTATE_LOOK_BEFORE_FLIGHT"),
    ("channel", "NP=2 NC=1 M=2 MAXC=0 GRANTS=2 MUTATE_LEAVE_WITHOUT_VERDICT"),
    # One walk over cells that are being written; a message that is given back as if it had never been claimed.
    ("channel", "NP=2 NC=1 M=2 MAXC=0 MUTATE_ONE_LOOK"),
    ("channel", "NP=1 NC=2 M=1 MAXC=1 MUTATE_RETURNED_IS_FULL"),
    # Cells are swept before roles; the end leaves producers their roles, or is not sealed.
    ("channel", "NP=2 NC=1 M=1 MAXC=1 MUTATE_SWEEP_FIRST"),
    ("channel", "NP=2 NC=1 M=1 MAXC=0 EARLY MUTATE_END_KEEPS_ROLES"),
    ("channel", "NP=2 NC=1 M=1 MAXC=0 EARLY MUTATE_NO_SEAL"),
    # Parking: no look after arming, the mask before the message, no bit again after a wake in vain, by a thread that sleeps and for
    # waits that are set aside; a bit that stays with who has left, or goes with the first of two threads; no handing on.
    ("parking", "MAXC=0 MUTATE_NO_SECOND_LOOK"),
    ("parking", "MAXC=0 MUTATE_LOOK_AT_MASK_FIRST"),
    ("parking", "MAXC=0 MUTATE_NOT_AGAIN"),
    ("parking", "ASIDE MAXC=0 MUTATE_NOT_AGAIN"),
    ("parking", "MAXC=0 MUTATE_BIT_STAYS"),
    ("parking", "TOGETHER MAXC=0 MUTATE_CLEAR_FOR_ALL"),
    ("parking", "MAXC=0 MUTATE_NO_HANDING_ON"),
    # The bit of the dead stays; nobody is rung, or told to look; what it was closing stays open.
    ("parking", "OP=1 MAXC=1 MUTATE_BIT_OF_DEAD_STAYS"),
    ("parking", "MAXC=1 MUTATE_NO_RING_AFTER_DEATH"),
    ("parking", "ASIDE MAXC=1 MUTATE_NO_LOOK_AFTER_DEATH"),
    ("parking", "NT=1 OT=2 OP=1 MAXC=1 CLOSES MUTATE_NO_END_FOR_THE_DEAD"),
    # A close that wakes nobody; who has learnt of the end does not wake the next.
    ("parking", "NT=1 OP=1 MAXC=0 CLOSES MUTATE_CLOSER_WAKES_NOBODY"),
    ("parking", "NT=3 OP=1 MAXC=0 CLOSES MUTATE_END_NOT_HANDED_ON"),
]


def run(command, directory):
    return subprocess.run(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=SECONDS_EACH, check=True).stdout


def search(model, definitions, optimise, scratch):
    """The number of errors that an exhaustive search finds, and of states that it visits."""
    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        run(["spin", "-a"] + ["-D" + name for name in definitions.split()] + [str(HERE / f"{model}.pml")], directory)
        # gcc takes longer to optimise most of the searches than they then take.
        run(["gcc", "-O2" if optimise else "-O0", "-w", "-DSAFETY", "-DCOLLAPSE", "-DVECTORSZ=1024",
             f"-DMEMLIM={MEBIBYTES_EACH}", "-o", "pan", "pan.c"], directory)
        report = run(["./pan", f"-m{DEEPEST}", "-w24" if optimise else "-w20"], directory)  # slots of its hash table
    errors = re.search(r"errors: (\d+)", report)
    states = re.search(r"(\d+) states, stored", report)
    complete = "Search not completed" not in report or errors and int(errors[1]) > 0
    if not errors or not states or not complete or "max search depth too small" in report:
        raise RuntimeError("the search was not complete:\n" + report)
    return int(errors[1]), int(states[1])


def check(case, must_fail, optimise, scratch):
    model, definitions = case
    name = f"{model} {definitions}"
    try:
        errors, states = search(model, definitions, optimise, scratch)
    except (RuntimeError, subprocess.SubprocessError) as error:
        return False, f"{name}: {error}\n{getattr(error, 'output', '') or ''}"
    found = f"{'an error' if errors else 'no error'} in {states:,} states"
    expected = (errors > 0) == must_fail
    return expected, f"{'as expected' if expected else 'UNEXPECTED '}: {name}: {found}"


def searches():
    """Case, whether an error must be found, whether it is worth optimising. The longest first."""
    wide = SOUND_AND_WIDE if "DSHM_TEST_FULL" in os.environ else []
    return ([(case, False, True) for case in wide] + [(case, False, place == 0) for place, case in enumerate(SOUND)] +
            [(case, True, False) for case in MISTAKES])


def main():
    if shutil.which("spin") is None or shutil.which("gcc") is None:
        print("skipped: needs spin and gcc")
        return SKIPPED
    scratch = sys.argv[1] if len(sys.argv) > 1 else None
    with concurrent.futures.ThreadPoolExecutor(SEARCHES_AT_ONCE) as pool:
        results = [pool.submit(check, *one, scratch) for one in searches()]
        good = True
        for result in concurrent.futures.as_completed(results):
            expected, text = result.result()
            good = good and expected
            print(text, flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
