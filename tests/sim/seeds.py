"""Very many seeds of all sessions of the simulated port, and of the samples, in parallel processes.

    python3 tests/sim/seeds.py FOLDER [JOBS] [--long]     FOLDER has the built tests, optimised

The seeds are the same every time; --long takes ten times as many. In all there must be 100,000 seeds
and 100 million completions, and the simulated port must make a million completions a second of
processor time. The last line tells how many checks passed, failed and were skipped.
"""

import concurrent.futures
import os
import re
import subprocess
import sys
import time

SEEDS_MIN = 100_000
COMPLETIONS_MIN = 100_000_000
MILLIONS_A_SECOND_MIN = 1.0
LONG_FACTOR = 10
CHUNK = 5000  # seeds of one process
TIMEOUT_S = 1200

# The arguments before the seeds, and how many: what many seeds of it cost, and what they may find.
SESSIONS = {
    "echo": (["sim", "seeds", "echo"], 60_000),
    "chat": (["sim", "seeds", "chat"], 120_000),
    "transfer": (["sim", "seeds", "transfer"], 60_000),
    "dgram": (["sim", "seeds", "dgram"], 60_000),
    "chat_server": (["sim_chat", "seeds"], 20_000),
    "file_server": (["sim_file_service", "seeds"], 20_000),
}

COUNTS = re.compile(r"^(\d+) seeds, (\d+) completions", re.MULTILINE)
SPEED = re.compile(r"^speed: ([0-9.]+) million completions", re.MULTILINE)


def run(command, **environment):
    """Its exit status and what it printed."""
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(os.environ, **environment),
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 1, "%s: no end after %d s\n" % (" ".join(command), TIMEOUT_S)
    return done.returncode, done.stdout.decode("utf-8", "replace")


class Checks:
    def __init__(self):
        self.passed = 0
        self.failed = 0

    def note(self, is_right, text):
        self.passed += is_right
        self.failed += not is_right
        print("%s %s" % ("ok  " if is_right else "FAIL", text), flush=True)


def chunks_of(command, seeds):
    for first in range(1, seeds + 1, CHUNK):
        yield command + [str(first), str(min(CHUNK, seeds + 1 - first))]


def run_sessions(checks, folder, jobs, factor):
    began = time.monotonic()
    totals = [0, 0]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        # All at once, so that no processor waits for the end of a session.
        runs = {
            name: [
                pool.submit(run, chunk)
                for chunk in chunks_of([os.path.join(folder, command[0])] + command[1:], seeds * factor)
            ]
            for name, (command, seeds) in SESSIONS.items()
        }
        for name, results in runs.items():
            sums = [0, 0]
            is_right = True
            for status, text in (result.result() for result in results):
                counts = COUNTS.search(text)
                if status or not counts:
                    is_right = False
                    print(text)
                else:
                    sums = [total + int(count) for total, count in zip(sums, counts.groups())]
            totals = [total + count for total, count in zip(totals, sums)]
            checks.note(is_right, "%s: %d seeds, %d completions" % (name, *sums))
    checks.note(
        totals[0] >= SEEDS_MIN and totals[1] >= COMPLETIONS_MIN,
        "in all %d seeds and %d completions in %d s" % (*totals, time.monotonic() - began),
    )


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--long"]
    if not 1 <= len(arguments) <= 2:
        print(__doc__, file=sys.stderr)
        return 2
    folder = arguments[0]
    jobs = int(arguments[1]) if len(arguments) > 1 else os.cpu_count() or 2
    checks = Checks()
    program = os.path.join(folder, "sim")

    # Before the machine is busy.
    status, text = run([program], CK_RUN_CASE="speed")
    speed = SPEED.search(text)
    checks.note(
        status == 0 and speed is not None and float(speed.group(1)) >= MILLIONS_A_SECOND_MIN,
        text.strip().splitlines()[1] if speed else text,
    )
    status, text = run([program], CK_RUN_CASE="sessions")
    if status:
        print(text)
    checks.note(status == 0, "the sessions, and that their hashes are those of every compiler")
    run_sessions(checks, folder, jobs, LONG_FACTOR if "--long" in sys.argv else 1)
    print("%d passed, %d failed, 0 skipped" % (checks.passed, checks.failed))
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
