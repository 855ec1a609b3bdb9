"""Counts the single tests in what ctest ran, and names those that failed or were skipped.

    python3 tests/count.py JUNIT_FILE

A Check program tells "100%: Checks: 12, Failures: 0, Errors: 0", a script "12 passed, 0 failed,
1 skipped"; a program that tells nothing is one test. Prints a line for each failure and skip and,
last, the counts.
"""

import re
import sys
import xml.etree.ElementTree

CHECK_COUNTS = re.compile(r"^\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)$", re.MULTILINE)
SCRIPT_COUNTS = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", re.MULTILINE)
SKIP = re.compile(r"^(?:skip\b:? ?(.*)|(\w+: left out, .*))$", re.MULTILINE)
FAILURE = re.compile(r"^(?:FAIL (.*)|\S+:\d+:([FES]:.*))$", re.MULTILINE)


def count(case):
    """(passed, failed, skipped, [reason of each skip]) of one testcase element."""
    output = case.findtext("system-out") or ""
    skips = [first or second for first, second in SKIP.findall(output)]
    if case.get("status") == "notrun":
        element = case.find("skipped")
        message = element.get("message") if element is not None else ""
        if "SKIP" not in message.upper():  # its program could not be started
            return 0, 1, 0, []
        return 0, 0, 1, skips or [message]
    passed = failed = skipped = 0
    for checks, failures, errors in CHECK_COUNTS.findall(output):
        broken = int(failures) + int(errors)
        passed += int(checks) - broken - len(skips)
        failed += broken
        skipped += len(skips)
    for counts in SCRIPT_COUNTS.findall(output):
        passed += int(counts[0])
        failed += int(counts[1])
        skipped += int(counts[2])
    if case.get("status") == "fail":
        failed = max(failed, 1)  # it crashed, or ran out of time, before it could tell
    elif passed + failed + skipped == 0:
        passed = 1
    return passed, failed, skipped, skips


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    totals = [0, 0, 0]
    for case in xml.etree.ElementTree.parse(sys.argv[1]).getroot().iter("testcase"):
        *counts, skips = count(case)
        totals = [total + number for total, number in zip(totals, counts)]
        for reason in skips:
            print("skip: %s: %s" % (case.get("name"), reason))
        if counts[1]:
            found = FAILURE.findall(case.findtext("system-out") or "")
            failure = case.find("failure")
            why = failure.get("message", "") if failure is not None else "it did not start"
            for script_line, check_line in found or [(why or "it failed without a word", "")]:
                print("FAIL: %s: %s" % (case.get("name"), script_line or check_line))
    print("%d passed, %d failed, %d skipped" % tuple(totals))
    return 0


if __name__ == "__main__":
    sys.exit(main())
