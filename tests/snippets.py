"""The C that the documents show, against programs that are compiled, and the tests that they name.

    python3 tests/snippets.py

Each piece of C in README.md and docs/*.md must be in one of the sources below, but for spaces,
comments and what is left out (…). tests/snippets.c holds those that are no part of another program.
What stands in backquotes in the last column of a table that ends in "test" must occur in tests/.
"""

import glob
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
SOURCES = [
    "README.md",  # a whole program, which tests/run.sh compiles against the installed package
    "tests/snippets.c",
    "tests/sim/example/example.c",
    "tests/sim/example/fuzz.c",
]
BLOCK = re.compile(r"^```c\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TABLE = re.compile(r"(?:^\|.*\|\n)+", re.MULTILINE)
LEFT_OUT = "…"
# What the tutorial of docs/simulation.md shows of its mistake is the example without this.
MISTAKE = re.compile(r"if\(!is_mistaken&&.*?return;}")


def bare(code):
    return re.sub(r"\s+", "", re.sub(r"/\*.*?\*/", "", code, flags=re.DOTALL))


def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return file.read()


def is_in(block, source):
    at = 0
    for piece in bare(block).split(LEFT_OUT):
        at = source.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return True


def named_tests(text):
    """What the tables whose last column is headed "test" have in backquotes there."""
    for table in TABLE.findall(text):
        rows = [line.strip("|").split("|") for line in table.splitlines()]
        if rows[0][-1].strip() == "test":
            for row in rows[2:]:
                yield from re.findall(r"`(?:samples\.)?([^`]+)`", row[-1])


def all_of_tests():
    """The names of the files of tests/, and what stands in them."""
    for folder, _, names in os.walk(HERE):
        for name in names:
            path = os.path.join(folder, name)
            yield os.path.relpath(path, ROOT)
            if name.endswith((".c", ".h", ".py", ".txt")) and name != "snippets.py":
                yield read(path)


def main():
    sources = [bare(read(name)) for name in SOURCES]
    sources += [MISTAKE.sub("", source) for source in sources]
    sources += [source.replace("!is_mistaken&&", "") for source in sources]
    tests = "\n".join(all_of_tests())
    passed = 0
    wrong = []
    documents = [os.path.relpath(name, ROOT) for name in glob.glob(ROOT + "/docs/*.md")]
    for name in sorted(documents):
        text = read(name)
        for block in BLOCK.findall(text):
            if any(is_in(block, source) for source in sources):
                passed += 1
            else:
                wrong.append("%s: nothing that is compiled has\n%s" % (name, block))
        for test in named_tests(text):
            if test in tests:
                passed += 1
            else:
                wrong.append("%s: there is no test %s" % (name, test))
    for what in wrong:
        print("FAIL " + what)
    print("%d passed, %d failed, 0 skipped" % (passed, len(wrong)))
    return 1 if wrong or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
