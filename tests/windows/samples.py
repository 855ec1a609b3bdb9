"""Runs the tests of the samples from outside against the Windows programs under Wine.

    samples.py FOLDER_OF_EXE MODULE ...

The clients are Linux's. Each program is reached by a script that becomes Wine, so a signal to it is
a Ctrl-C. What left_out.txt names as MODULE.TEST is skipped, with the reason that stands there.
"""

import importlib
import os
import stat
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "..", "samples"))

os.environ["PROACTOR_TEST_WINDOWS"] = "1"
os.environ.setdefault("PROACTOR_TEST_DEADLINE", "90")

import common  # noqa: E402


def left_out():
    """The reasons, by name."""
    reasons = {}
    with open(os.path.join(here, "left_out.txt")) as file:
        for line in file:
            name, _, reason = line.strip().partition(" ")
            if name and not name.startswith("#"):
                reasons[name] = reason
    return reasons


def make_scripts(exe_folder, folder):
    """A script for each program."""
    for name in os.listdir(exe_folder):
        base, extension = os.path.splitext(name)
        if extension != ".exe":
            continue
        path = os.path.join(folder, base)
        with open(path, "w") as file:
            file.write("#!/bin/sh\nexec %s %s \"$@\"\n" % (
                os.path.join(here, "wine.sh"), os.path.join(exe_folder, name)))
        os.chmod(path, stat.S_IRWXU)


def skipping(function, reason):
    def skip():
        raise common.Skip(reason)
    skip.__name__ = function.__name__
    return skip


def main():
    exe_folder = os.path.abspath(sys.argv[1])
    modules = sys.argv[2:]
    reasons = left_out()
    with tempfile.TemporaryDirectory() as folder:
        make_scripts(exe_folder, folder)
        sys.argv[1:] = [folder, os.environ.get("PROACTOR_TEST_ONLY", "")]
        for module in modules:
            before = len(common._tests)
            importlib.import_module(module)
            for i in range(before, len(common._tests)):
                function = common._tests[i]
                reason = reasons.get(module + "." + function.__name__)
                if reason:
                    common._tests[i] = skipping(function, reason)
        return common.main()


sys.exit(main())
