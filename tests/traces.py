"""The normalised traces of the conformance program, which must be the same on every port.

    python3 tests/traces.py record FILE PROGRAM [ARGUMENT ...]   runs it, its trace goes to FILE
    python3 tests/traces.py compare FILE FILE ...                each against the first

A file that is not there belongs to a port that this machine does not have.
"""

import difflib
import os
import signal
import sys

EXIT_SKIPPED = 77
DIFFERENCE_LINES_MAX = 60


def record(path, command):
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    os.environ["PROACTOR_TEST_TRACE"] = path
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, and a program would inherit it
        signal.signal(ignored, signal.SIG_DFL)
    os.execvp(command[0], command)


def compare(paths):
    traces = []
    for path in paths:
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                traces.append((os.path.basename(path), file.read().splitlines()))
    if len(traces) < 2:
        print("skip: there is one port only")
        return EXIT_SKIPPED
    reference_name, reference = traces[0]
    failed = 0
    for name, lines in traces[1:]:
        difference = list(difflib.unified_diff(reference, lines, reference_name, name, "", "", 5, ""))
        if difference:
            failed += 1
            print("FAIL %s differs from %s" % (name, reference_name))
            print("\n".join(difference[:DIFFERENCE_LINES_MAX]))
    print("%d passed, %d failed, 0 skipped" % (len(traces) - 1 - failed, failed))
    return 1 if failed else 0


def main():
    arguments = sys.argv[1:]
    if len(arguments) >= 3 and arguments[0] == "record":
        return record(arguments[1], arguments[2:])
    if len(arguments) >= 3 and arguments[0] == "compare":
        return compare(arguments[1:])
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
