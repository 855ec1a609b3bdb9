"""What docs/simulation.md shows of the example, against the example.

    python3 tests/sim/example/check.py PROGRAM     PROGRAM is the built sim_example

Each piece of C in the part that finds the mistake must be in example.c, but for spaces, comments and
what is left out (…); each command that begins with a dollar must print what stands below it.
"""

import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
DOCUMENT = os.path.join(HERE, "../../../docs/simulation.md")
PART = re.compile(r"^## Ten minutes.*?(?=^## )", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LEFT_OUT = "…"
TIMEOUT_S = 300


def bare(code):
    return re.sub(r"\s+", "", re.sub(r"/\*.*?\*/", "", code, flags=re.DOTALL))


def is_in_order(pieces, text):
    at = 0
    for piece in pieces:
        at = text.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return True


def sources():
    """The example as it should be, and with the mistake that the text plants."""
    with open(os.path.join(HERE, "example.c"), encoding="utf-8") as file:
        text = bare(file.read())
    return [
        text.replace("!is_mistaken&&", ""),
        re.sub(r"if\(!is_mistaken&&.*?return;}", "", text),
    ]


def check_code(block):
    pieces = [bare(piece) for piece in block.split(LEFT_OUT)]
    return any(is_in_order(pieces, source) for source in sources())


def check_transcript(block, program):
    """A command, and lines of which some are left out. What starts a debugger is not run."""
    command, _, shown = block.partition("\n")
    words = command[2:].split()
    settings = dict(word.split("=", 1) for word in words if "=" in word)
    if "sim_example" not in words:
        return True
    arguments = words[words.index("sim_example") + 1 :]
    output = subprocess.run(
        [program] + arguments,
        env=dict(os.environ, **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=TIMEOUT_S,
        check=False,
    ).stdout.decode("utf-8", "replace")
    pieces = [piece.strip() for piece in shown.split(LEFT_OUT)]
    return output.startswith(pieces[0]) and is_in_order(pieces, output)


def main():
    with open(DOCUMENT, encoding="utf-8") as file:
        part = PART.search(file.read()).group(0)
    passed = failed = 0
    for language, block in BLOCK.findall(part):
        if language == "c":
            is_right = check_code(block)
        elif block.startswith("$ "):
            is_right = check_transcript(block, sys.argv[1])
        else:
            continue
        passed += is_right
        failed += not is_right
        if not is_right:
            print("FAIL docs/simulation.md is out of date:\n" + block)
    print("%d passed, %d failed, 0 skipped" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
