"""What the tests reached of the library: lines and branches, by gcov.

    python3 tests/coverage.py BUILD_DIR [--lines MIN] [--branches MIN] [--unmarked MAX]
        [--files] [--missing [NAME ...]]

BUILD_DIR is a build of the preset `coverage` in which tests have run. Counts proactor/, handlers/ and
asynch/ as compiled for the static library. What can not be reached is marked in the source, with the
reason: a line with "Not covered: REASON" in its comment, or the one below a comment that begins so;
if that line opens a block, the whole block.

Prints "coverage: lines xx.x %, branches yy.y %"; the status is 1 when less than MIN percent of either,
or more than MAX lines that were neither reached nor marked, which are listed then. A few are reached
by chance only, so MAX is not 0.
"""

import argparse
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIBRARY = ("proactor/", "handlers/", "asynch/")
MARK = re.compile(r"/\* Not covered: .")


def excluded_lines(name):
    """Numbers of the lines that a mark takes out."""
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        lines = file.read().split("\n")
    excluded = set()
    for number, line in enumerate(lines):
        if not MARK.search(line):
            continue
        first = number
        if line.strip().startswith("/*"):
            while "*/" not in lines[first]:
                first += 1
            first += 1
        last = first
        # A statement may take several lines; what it opens is closed at the same indent.
        indent = re.match(r"\s*", lines[first])[0]
        while not re.search(r"[;{}]\s*(/\*.*)?$", lines[last]) or (
                lines[last].rstrip().endswith("{") and first == last):
            if lines[last].rstrip().endswith("{"):
                break
            last += 1
        if lines[last].rstrip().endswith("{"):
            last += 1
            while not lines[last].startswith(indent + "}"):
                last += 1
        elif re.match(r"\s*(if|while|for)\b.*[^;]$", lines[first]) and first == last:
            last += 1
        excluded.update(range(number + 1, last + 2))
    return excluded


def measured(build):
    """{file: {line: [count, {branch: count}]}}; a line of a header counts in every file."""
    objects = os.path.join(build, "CMakeFiles", "proactor_static.dir")
    data = [os.path.join(folder, name) for folder, _, names in os.walk(objects)
            for name in names if name.endswith(".gcda")]
    if not data:
        sys.exit("no test has run in %s" % build)
    output = subprocess.run(
        ["gcov", "--json-format", "--stdout", "--branch-probabilities", *data],
        capture_output=True, check=True, cwd=build).stdout.decode()
    files = {}
    for document in output.splitlines():
        if not document.startswith("{"):
            continue
        for file in json.loads(document)["files"]:
            name = os.path.relpath(os.path.join(build, file["file"]), ROOT)
            if not name.startswith(LIBRARY):
                continue
            lines = files.setdefault(name, {})
            for line in file["lines"]:
                entry = lines.setdefault(line["line_number"], [0, {}])
                entry[0] += line["count"]
                for index, branch in enumerate(line["branches"]):
                    key = (line.get("function_name"), index)
                    entry[1][key] = entry[1].get(key, 0) + branch["count"]
    return files


def without_excluded(files):
    for name in files:
        excluded = excluded_lines(name)
        files[name] = {number: entry for number, entry in files[name].items()
                       if number not in excluded}
    return files


def counts(lines):
    """Lines covered, lines, branches covered, branches."""
    branches = [count for entry in lines.values() for count in entry[1].values()]
    return (sum(1 for entry in lines.values() if entry[0]), len(lines),
            sum(1 for count in branches if count), len(branches))


def percent(part, whole):
    return 100.0 * part / whole if whole else 100.0


def show_files(files):
    for name in sorted(files, key=lambda name: counts(files[name])[1] - counts(files[name])[0]):
        lines, lines_all, branches, branches_all = counts(files[name])
        print("%-40s lines %4d of %4d %5.1f %%, branches %4d of %4d %5.1f %%" % (
            name, lines, lines_all, percent(lines, lines_all), branches, branches_all,
            percent(branches, branches_all)))


def show_missing(files, wanted):
    for name in sorted(files):
        if wanted and not any(word in name for word in wanted):
            continue
        with open(os.path.join(ROOT, name), encoding="utf-8") as file:
            text = file.read().split("\n")
        for number, (count, branches) in sorted(files[name].items()):
            missed = sum(1 for count_of_branch in branches.values() if not count_of_branch)
            if count and not missed:
                continue
            what = "line" if not count else "%d/%d" % (missed, len(branches))
            print("%s:%d: %s: %s" % (name, number, what, text[number - 1].strip()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("build")
    parser.add_argument("--lines", type=float, default=0)
    parser.add_argument("--branches", type=float, default=0)
    parser.add_argument("--unmarked", type=int)
    parser.add_argument("--files", action="store_true")
    parser.add_argument("--missing", nargs="*")
    arguments = parser.parse_args()
    files = without_excluded(measured(os.path.abspath(arguments.build)))
    if arguments.files:
        show_files(files)
    if arguments.missing is not None:
        show_missing(files, arguments.missing)
    lines, lines_all, branches, branches_all = (
        sum(column) for column in zip(*(counts(lines) for lines in files.values())))
    unmarked = lines_all - lines
    is_unmarked = arguments.unmarked is not None and unmarked > arguments.unmarked
    if is_unmarked:
        show_missing({name: {number: [count, {}] for number, (count, _) in lines_of.items()}
                      for name, lines_of in files.items()}, None)
        print("%d lines are neither reached nor marked, at most %d may be" %
              (unmarked, arguments.unmarked))
    lines, branches = percent(lines, lines_all), percent(branches, branches_all)
    print("coverage: lines %.1f %%, branches %.1f %%" % (lines, branches))
    return 1 if is_unmarked or lines < arguments.lines or branches < arguments.branches else 0


if __name__ == "__main__":
    sys.exit(main())
