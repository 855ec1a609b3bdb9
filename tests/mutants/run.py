"""Plants mistakes into the library and the services, one at a time, and sees whether the sessions in
simulated worlds find each; or, with --ports, mistakes into the ports, which the scenarios of the
contract have to find.

    python3 run.py [--ports] --compiler CC --include DIR --libraries LIBRARY ...
                   --program PREFIX ARCHIVE ... [--program ...] [--only NAME ...]

A mistake in a file whose path begins with PREFIX is looked for by the program that the archives
make, any other by that with the prefix "library". Only the changed file is compiled: its object comes first, so that the
archive's own is left out. Tells which seed found each mistake, or which scenario; fails when one
is not found within SEEDS seeds of each session, or when its text does not stand in the file exactly
once. A scenario that hangs has found it.
"""

import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

import mutants
import port_mutants

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SEEDS = 2000
# Of a service, whose seeds take longer.
SERVICE_SEEDS = 500
# Against hangs; the sessions limit each seed.
TIMEOUT_S = 800
# Of scenarios, which take a second at most: what they wait for, and all of one.
WAIT_MS = 4000
SCENARIO_S = 12


def parse_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--include", required=True)
    parser.add_argument("--libraries", nargs="*", default=[])
    parser.add_argument("--program", nargs="+", action="append", required=True)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--ports", action="store_true")
    # Values may begin with a minus.
    words = [word.replace("-", "\0", 1) if word.startswith(("-l", "-W", "-L", "-p")) else word
             for word in sys.argv[1:]]
    arguments = parser.parse_args(words)
    arguments.libraries = [word.replace("\0", "-") for word in arguments.libraries]
    arguments.program = {prefix: [word.replace("\0", "-") for word in archives]
                         for prefix, *archives in arguments.program}
    return arguments


def build(arguments, folder, mutant):
    """(the program, None), or (None, what is wrong)"""
    name, _, file, old, new = mutant[:5]
    with open(os.path.join(ROOT, file), encoding="utf-8") as original:
        text = original.read()
    if text.count(old) != 1:
        return None, "its text stands %d times in %s" % (text.count(old), file)
    if old == new:
        return None, "it changes nothing"
    source = os.path.join(folder, "%s_%s" % (name, os.path.basename(file)))
    with open(source, "w", encoding="utf-8") as changed:
        changed.write(text.replace(old, new))
    prefix = next((prefix for prefix in arguments.program if file.startswith(prefix)), "library")
    program = os.path.join(folder, name)
    result = subprocess.run(
        [arguments.compiler, "-std=c11", "-D_GNU_SOURCE", "-g", "-O1", "-w",
         "-I", arguments.include, "-iquote", os.path.join(ROOT, os.path.dirname(file)), source,
         *arguments.program[prefix], *arguments.libraries, "-o", program],
        capture_output=True, text=True, check=False)
    if result.returncode:
        return None, "it does not compile: " + result.stderr.strip()[-800:]
    return program, None


def told(output):
    """The line that says what was found."""
    for pattern in (r"seeds? \d+.*: ", ":[FE]:"):
        for line in output.splitlines():
            if re.search(pattern, line):
                return line
    return output.strip()[-300:]


def surroundings(mutant):
    """What the program that looks for it is called with, its environment, and its time."""
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("PROACTOR_", "CK_"))}
    if len(mutant) == 5:
        # For the programs of services; the library's own knows it by itself.
        environment["PROACTOR_SIM_SEEDS"] = str(SERVICE_SEEDS)
        return [], environment, TIMEOUT_S
    port, scenarios = mutant[5:]
    environment.update(PROACTOR_PORT=port, PROACTOR_TEST_LIMIT_MS=str(WAIT_MS),
                       CK_TIMEOUT_MULTIPLIER="0.1")
    return scenarios.split(), environment, SCENARIO_S * (1 + len(scenarios.split()))


def run(arguments, folder, mutant):
    """(whether it was found, what is to be told)"""
    program, problem = build(arguments, folder, mutant)
    if problem:
        return False, problem
    began = time.monotonic()
    options, environment, timeout_s = surroundings(mutant)
    # What a crash leaves behind goes with the folder.
    environment["TMPDIR"] = folder
    try:
        result = subprocess.run([program, *options], capture_output=True, text=True,
                                errors="replace", timeout=timeout_s, check=False, env=environment)
    except subprocess.TimeoutExpired:
        return arguments.ports, "the program does not end"
    finally:
        os.remove(program)
    return result.returncode == 1, "%s (%.1f s)" % (told(result.stdout), time.monotonic() - began)


def main():
    arguments = parse_arguments()
    wanted = [mutant for mutant in (port_mutants if arguments.ports else mutants).MUTANTS
              if not arguments.only or mutant[0] in arguments.only]
    assert len({mutant[0] for mutant in wanted}) == len(wanted), "two have one name"
    folder = tempfile.mkdtemp()
    survivors = 0
    try:
        # Programs that hang need no processor.
        workers = os.cpu_count() * (2 if arguments.ports else 1)
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            ends = pool.map(lambda mutant: run(arguments, folder, mutant), wanted)
            for mutant, (is_found, what) in zip(wanted, ends):
                print("%s %s [%s]: %s" % ("killed" if is_found else "SURVIVED", mutant[0],
                                          mutant[1], what), flush=True)
                survivors += not is_found
    finally:
        shutil.rmtree(folder)
    print("%d of %d mistakes of %d kinds found within %s" % (
        len(wanted) - survivors, len(wanted), len({mutant[1] for mutant in wanted}),
        "their scenarios" if arguments.ports else "%d seeds" % SEEDS))
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
