"""Runs every fuzz target of a build of the preset `fuzz` for a while.

    python3 tests/fuzz/run.py BUILD_DIR [--seconds N] [--minimise] [TARGET ...]

Each begins with its kept corpus, tests/fuzz/corpus/TARGET. An input that fails is printed and left in
the build. --minimise then replaces the corpus by the smallest set of inputs that reaches as much.
Prints one line a target and, last, the counts.
"""

import argparse
import base64
import concurrent.futures
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
# Longer inputs reach nothing more, and make a corpus hard to read.
INPUT_BYTES_MAX = {"http_head": 2000, "file_lines": 1500, "operations": 1200}
INPUT_BYTES_USUAL = 400
ENVIRONMENT = dict(os.environ, ASAN_OPTIONS="detect_leaks=1", UBSAN_OPTIONS="print_stacktrace=1")


def corpus(name):
    return os.path.join(HERE, "corpus", name)


def fuzz(program, name, seconds, found):
    """Runs one target; (name, what failed or None, a line to show)."""
    artefacts = os.path.join(os.path.dirname(program), "failed-%s-" % name)
    for old in glob.glob(artefacts + "*"):
        os.unlink(old)
    done = subprocess.run(
        [program, "-max_total_time=%d" % seconds, "-print_final_stats=1", "-timeout=60",
         "-rss_limit_mb=2048", "-verbosity=0", "-artifact_prefix=" + artefacts,
         "-max_len=%d" % INPUT_BYTES_MAX.get(name, INPUT_BYTES_USUAL), found, corpus(name)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=ENVIRONMENT, check=False, timeout=seconds + 600)
    text = done.stdout.decode("utf-8", "backslashreplace")
    runs = re.search(r"number_of_executed_units: (\d+)", text)
    if done.returncode == 0 and runs:
        return name, None, "%s runs" % runs[1]
    for failed in glob.glob(artefacts + "*"):
        with open(failed, "rb") as file:
            text += "%s: base64 %s\n" % (failed, base64.b64encode(file.read()).decode())
    return name, text[-8000:], "failed"


def minimise(program, name, found):
    smallest = tempfile.mkdtemp()
    subprocess.run([program, "-merge=1", "-use_counters=0", "-max_len=%d" % INPUT_BYTES_MAX.get(name, INPUT_BYTES_USUAL),
                    smallest, corpus(name), found], stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, env=ENVIRONMENT, check=True)
    for old in os.listdir(corpus(name)):
        # Those with a name of their own once failed, or were written by hand.
        if re.fullmatch(r"[0-9a-f]{40}", old):
            os.unlink(os.path.join(corpus(name), old))
    for new in os.listdir(smallest):
        shutil.copy(os.path.join(smallest, new), os.path.join(corpus(name), new))
    shutil.rmtree(smallest)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("build")
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--minimise", action="store_true")
    arguments = parser.parse_intermixed_args()
    folder = os.path.join(os.path.abspath(arguments.build), "tests", "fuzz")
    programs = {os.path.basename(path)[len("fuzz_"):]: path
                for path in glob.glob(os.path.join(folder, "fuzz_*")) if os.access(path, os.X_OK)}
    names = arguments.targets or sorted(programs)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool, \
            tempfile.TemporaryDirectory() as temporary:
        found = {name: os.path.join(temporary, name) for name in names}
        for path in found.values():
            os.mkdir(path)
        for name, problem, line in pool.map(
                lambda name: fuzz(programs[name], name, arguments.seconds, found[name]), names):
            print("%s fuzz.%s: %s" % ("FAIL" if problem else "ok  ", name, line), flush=True)
            if problem:
                failed += 1
                print(problem)
            elif arguments.minimise:
                minimise(programs[name], name, found[name])
    print("%d passed, %d failed, 0 skipped" % (len(names) - failed, failed))
    return 1 if failed or not names else 0


if __name__ == "__main__":
    sys.exit(main())
