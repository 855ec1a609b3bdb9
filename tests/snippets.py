"""The C that the documents show, against programs that are compiled.

    python3 tests/snippets.py

Each piece of C in README.md and docs/*.md must be in one of the sources below, but for spaces,
comments and what is left out (…). tests/snippets.c holds those that are no part of another program.
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


def main():
    sources = [bare(read(name)) for name in SOURCES]
    sources += [MISTAKE.sub("", source) for source in sources]
    sources += [source.replace("!is_mistaken&&", "") for source in sources]
    passed = failed = 0
    documents = [os.path.relpath(name, ROOT) for name in glob.glob(ROOT + "/docs/*.md")]
    for name in sorted(documents):
        for block in BLOCK.findall(read(name)):
            if any(is_in(block, source) for source in sources):
                passed += 1
            else:
                failed += 1
                print("FAIL %s: nothing that is compiled has\n%s" % (name, block))
    print("%d passed, %d failed, 0 skipped" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
