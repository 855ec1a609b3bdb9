"""Plants mistakes into the library, one at a time, and sees whether the checker finds each.

    python3 tests/mutants/run.py COMPILER INCLUDE_DIR PARTS LIBRARY [NAME ...]

COMPILER is the command to compile and link with, its options included; PARTS the archive of the
checker; LIBRARY the archive of the library without mistakes. Only the changed file is compiled: its
object comes first, so that the archive's own is left out. Tells which seed found each mistake;
fails when one is not found within SEEDS seeds of each session, or when its text does not stand in
the file exactly once.
"""

import concurrent.futures
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

import mutants

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SEEDS = 2000
# Against hangs; a session of its own limits each seed.
TIMEOUT_S = 600


class Mutation:
    def __init__(self, compiler, include, parts, library, folder):
        self.compiler = shlex.split(compiler)
        self.include = include
        self.parts = parts
        self.library = library
        self.folder = folder

    def command(self, source, file, program):
        return [*self.compiler, "-std=c11", "-D_GNU_SOURCE", "-g", "-O1", "-w", "-I", self.include,
                "-iquote", os.path.join(ROOT, os.path.dirname(file)), source, self.parts,
                self.library, "-o", program]

    def build(self, mutant, program):
        """Returns what is wrong, or None."""
        name, _, file, old, new = mutant
        with open(os.path.join(ROOT, file), encoding="utf-8") as original:
            text = original.read()
        if text.count(old) != 1:
            return "its text stands %d times in %s" % (text.count(old), file)
        if old == new:
            return "it changes nothing"
        source = os.path.join(self.folder, "%s_%s" % (name, os.path.basename(file)))
        with open(source, "w", encoding="utf-8") as changed:
            changed.write(text.replace(old, new))
        command = self.command(source, file, program)
        # What the archives need of the system; a library without io_uring needs less.
        for libraries in (["-luring", "-lpthread"], ["-lpthread"]):
            result = subprocess.run([*command, *libraries], capture_output=True, text=True,
                                    check=False)
            if result.returncode == 0:
                return None
        return "it does not compile: " + result.stderr.strip()[-800:]

    def run(self, mutant):
        """(whether it was found, what is to be told)"""
        program = os.path.join(self.folder, mutant[0])
        problem = self.build(mutant, program)
        if problem:
            return False, problem
        began = time.monotonic()
        try:
            result = subprocess.run([program, str(SEEDS)], capture_output=True, text=True,
                                    timeout=TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            return False, "the checker does not end"
        finally:
            os.remove(program)
        told = result.stdout.strip().splitlines()[-1:] or ["status %d" % result.returncode]
        return result.returncode == 1, "%s (%.1f s)" % (told[0], time.monotonic() - began)


def main(arguments):
    compiler, include, parts, library, *names = arguments
    # Sessions are what the checker chooses.
    for name in [name for name in os.environ if name.startswith("PROACTOR_")]:
        del os.environ[name]
    wanted = [mutant for mutant in mutants.MUTANTS if not names or mutant[0] in names]
    assert len({mutant[0] for mutant in wanted}) == len(wanted), "two have one name"
    folder = tempfile.mkdtemp()
    survivors = 0
    try:
        mutation = Mutation(compiler, include, parts, library, folder)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for mutant, (is_found, told) in zip(wanted, pool.map(mutation.run, wanted)):
                print("%s %s [%s]: %s" % ("killed" if is_found else "SURVIVED", mutant[0],
                                          mutant[1], told), flush=True)
                survivors += not is_found
    finally:
        shutil.rmtree(folder)
    kinds = len({mutant[1] for mutant in wanted})
    print("%d of %d mistakes of %d kinds found within %d seeds" % (
        len(wanted) - survivors, len(wanted), kinds, SEEDS))
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
