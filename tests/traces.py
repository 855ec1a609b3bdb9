"""The normalised traces of the conformance program, which must be the same on every port.

    python3 tests/traces.py record FILE PROGRAM [ARGUMENT ...]   runs it, its trace goes to FILE
    python3 tests/traces.py compare FILE FILE ...                each against the first
    python3 tests/traces.py seeds FIRST LAST PROGRAM             simulated, with each of those seeds

A file that is not there belongs to a port that this machine does not have. A scenario that one of
two ports leaves out is not compared between them.
"""

import difflib
import os
import signal
import subprocess
import sys
import tempfile

EXIT_SKIPPED = 77
DIFFERENCE_LINES_MAX = 60
LEFT_OUT = "  left out"


def record(path, command):
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    os.environ["PROACTOR_TEST_TRACE"] = path
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, and a program would inherit it
        signal.signal(ignored, signal.SIG_DFL)
    os.execvp(command[0], command)


def read_scenarios(path):
    """The lines of each scenario: its name, and those below it, which are indented."""
    scenarios = {}
    with open(path, encoding="utf-8") as file:
        for line in file.read().splitlines():
            if not line.startswith(" "):
                name = line
            scenarios.setdefault(name, []).append(line)
    return scenarios


def lines_of(trace, other):
    """The lines of a trace, but for what it or the other leaves out."""
    return [
        line
        for name, lines in trace.items()
        if LEFT_OUT not in lines and LEFT_OUT not in other.get(name, [])
        for line in lines
    ]


def compare(paths):
    traces = []
    for path in paths:
        if os.path.exists(path):
            traces.append((os.path.basename(path), read_scenarios(path)))
    if len(traces) < 2:
        print("skip: there is one port only")
        return EXIT_SKIPPED
    reference_name, reference = traces[0]
    failed = 0
    for name, trace in traces[1:]:
        wanted, got = lines_of(reference, trace), lines_of(trace, reference)
        difference = list(difflib.unified_diff(wanted, got, reference_name, name, "", "", 5, ""))
        if difference:
            failed += 1
            print("FAIL %s differs from %s" % (name, reference_name))
            print("\n".join(difference[:DIFFERENCE_LINES_MAX]))
    print("%d passed, %d failed, 0 skipped" % (len(traces) - 1 - failed, failed))
    return 1 if failed else 0


def run_seeds(first, last, program):
    """Whatever order the simulated world chooses, the traces are the same."""
    with tempfile.TemporaryDirectory() as directory:
        paths = [os.path.join(directory, "seed_%d" % seed) for seed in range(first, last + 1)]
        for path in paths:
            environment = dict(os.environ, PROACTOR_TEST_TRACE=path)
            environment["PROACTOR_TEST_SEED"] = path.rpartition("_")[2]
            status = subprocess.run([program], env=environment, check=False).returncode
            if status:
                print("FAIL %s: PROACTOR_TEST_SEED=%s" % (path, environment["PROACTOR_TEST_SEED"]))
                return status
        return compare(paths)


def main():
    arguments = sys.argv[1:]
    if len(arguments) >= 3 and arguments[0] == "record":
        return record(arguments[1], arguments[2:])
    if len(arguments) >= 3 and arguments[0] == "compare":
        return compare(arguments[1:])
    if len(arguments) == 4 and arguments[0] == "seeds":
        return run_seeds(int(arguments[1]), int(arguments[2]), arguments[3])
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
