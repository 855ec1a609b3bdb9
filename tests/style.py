"""Checks what the style promises and a program can check: layers, exported names, headers that
compile alone, formatting, banned calls, length of functions.

    python3 tests/style.py BUILD_DIR

BUILD_DIR holds a finished build of both libraries. Prints one line per check and, last, the counts.
"""

import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = ""
LAYERS = ("proactor", "handlers", "asynch", "samples")
LIBRARY = LAYERS[:3]
FUNCTION_LINES_MAX = 99
# Other versions break lines elsewhere.
CLANG_FORMAT_VERSION = "14."

TOP_LEVEL = {
    "CMakeLists.txt", "CMakePresets.json", "README.md", "LICENSE", "CHANGELOG.md",
    "CONTRIBUTING.md", "SECURITY.md", ".ci", ".gitignore", ".clang-format", *LAYERS, "tests",
    "docs"}

# call: (where it is banned, what to do instead). "" is everywhere. A line whose comment says that it is
# "on purpose" is let through.
BANNED = {
    "strcpy": ("", "bound the copy"),
    "strcat": ("", "bound the copy"),
    "sprintf": ("", "snprintf"),
    "vsprintf": ("", "vsnprintf"),
    "gets": ("", "fgets"),
    "strtok": ("", "it keeps state"),
    "gethostbyname": ("", "getaddrinfo"),
    "rand": ("", "pro_proactor_random"),
    "srand": ("", "pro_proactor_random"),
    "alloca": ("", "bound the memory"),
    "sleep": ("", "wait for the event"),
    "usleep": ("", "wait for the event"),
    "nanosleep": ("", "wait for the event"),
    "signal": ("library", "the library touches no signal disposition"),
    "sigaction": ("library", "the library touches no signal disposition"),
    "exit": ("library", "return an error"),
    "printf": ("library", "pro_proactor_log"),
    "fprintf": ("library", "pro_proactor_log"),
    "gettimeofday": ("library", "the port's clock"),
    "time": ("library", "the port's clock"),
}

# Traces of the machine on which something was written; cut in two so that this file is clean.
MACHINE_TRACES = ["/" + "work/", "/" + "tmp/inc"]

_checks = []


class Skip(Exception):
    """Raised by a check that can not run here, with the reason."""


def check(function):
    """Marks a check: it returns a list of problems."""
    _checks.append(function)
    return function


# ---- the tree ----

def tracked_files():
    """Every file of the tree, relative to its root: what git knows, or all but builds."""
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True, check=False)
    if listed.returncode == 0:
        names = listed.stdout.decode().split("\0")
        return sorted(name for name in names if os.path.isfile(os.path.join(ROOT, name)))
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name != ".git" and not name.startswith("build")]
        found += [os.path.relpath(os.path.join(folder, name), ROOT) for name in names]
    return sorted(found)


def files(*endings, under=("",)):
    return [name for name in tracked_files()
            if name.endswith(endings) and name.startswith(tuple(under))]


def library_files(*endings):
    return files(*endings, under=[folder + "/" for folder in LIBRARY])


def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return file.read()


def public_headers():
    """{"handler.h": "handlers/handler.h", …}, from CMakeLists.txt."""
    listed = re.search(r"set\(public_headers\s+([^)]*)\)", read("CMakeLists.txt")).group(1)
    return {os.path.basename(name): name for name in listed.split()}


def code_of(name):
    """The file without comments and the contents of strings; line numbers stay."""
    def blank(match):
        text = match.group(0)
        if text.startswith("/"):
            return "\n" * text.count("\n")
        return text[0] * 2
    pattern = r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'"
    return re.sub(pattern, blank, read(name), flags=re.DOTALL)


def run(arguments, text=""):
    return subprocess.run(arguments, input=text, capture_output=True, text=True, check=False)


def compilers(*names):
    found = [name for name in names if shutil.which(name)]
    if not found:
        raise Skip("none of %s is installed" % ", ".join(names))
    return found


# ---- the checks ----

@check
def top_level_holds_what_the_layout_names():
    return ["%s has no place there" % name
            for name in sorted({path.split("/")[0] for path in tracked_files()} - TOP_LEVEL)]


def include_problem(name, quoted, target, public):
    folder = name.split("/")[0]
    if not quoted:
        if not target.startswith("proactor/"):
            return None
        path = public.get(target[len("proactor/"):])
        if path is None:
            return "<%s> is not public" % target
    else:
        path = os.path.normpath(os.path.join(os.path.dirname(name), target))
        if not os.path.isfile(os.path.join(ROOT, path)):
            return '"%s" is not there' % target
        if os.path.basename(path) in public and public[os.path.basename(path)] == path:
            return '"%s" is public: <proactor/%s>' % (target, os.path.basename(path))
    target_folder = path.split("/")[0]
    if folder == "tests":
        if name.startswith("tests/consumer/") and quoted:
            return '"%s": a consumer knows the installed package only' % target
        return None
    if target_folder not in LAYERS or LAYERS.index(target_folder) > LAYERS.index(folder):
        return "%s is of a later layer" % path
    if folder == "samples" and quoted and target_folder != "samples":
        return "%s is not public" % path
    return None


@check
def files_include_their_own_layer_or_an_earlier_one():
    public = public_headers()
    problems = []
    for name in files(".c", ".h", ".cpp", under=[*(folder + "/" for folder in LAYERS), "tests/"]):
        for line in read(name).splitlines():
            match = re.match(r'\s*#\s*include\s+([<"])([^>"]+)[>"]', line)
            problem = match and include_problem(name, match[1] == '"', match[2], public)
            if problem:
                problems.append("%s: %s" % (name, problem))
    return problems


@check
def headers_are_public_or_say_that_they_are_private():
    public = set(public_headers().values())
    problems = ["%s is listed but is not there" % name
                for name in public if not os.path.isfile(os.path.join(ROOT, name))]
    for name in library_files(".h"):
        is_private = read(name).startswith("/* Private")
        if is_private == (name in public):
            problems.append("%s: CMakeLists.txt says %s, its first words say %s" % (
                name, "public" if name in public else "private",
                "private" if is_private else "public"))
    return problems


def compile_alone(compiler, language, standard, flags=()):
    problems = []
    for name in sorted(public_headers()):
        result = run([compiler, "-x", language, "-std=" + standard, "-Wall", "-Wextra",
                      "-Wpedantic", "-Werror", *flags, "-fsyntax-only",
                      "-I", os.path.join(BUILD, "include"), "-"],
                     "#include <proactor/%s>\n" % name)
        if result.returncode:
            problems.append("%s, %s: %s" % (compiler, name, result.stderr.strip()))
    return problems


@check
def public_headers_compile_alone_as_c11():
    return [problem for compiler in compilers("gcc", "clang")
            for problem in compile_alone(compiler, "c", "c11", ["-Wconversion", "-Wshadow"])]


@check
def public_headers_compile_alone_as_cxx17():
    return [problem for compiler in compilers("g++", "clang++")
            for problem in compile_alone(compiler, "c++", "c++17", ["-Wconversion", "-Wshadow"])]


@check
def public_headers_compile_for_msvc():
    """As it sees them: with its sizes and calls, and in C without atomics unless it is asked."""
    source = "".join("#include <proactor/%s>\n" % name for name in sorted(public_headers()))
    problems = []
    for processor in ["x86_64", "i686", "aarch64"]:
        for compiler, language, flags in [("clang", "c", ["-std=c11"]),
                                          ("clang", "c", ["-std=c11", "-D__STDC_NO_ATOMICS__"]),
                                          ("clang++", "c++", ["-std=c++17"])]:
            for found in compilers(compiler):
                result = run([found, "--target=%s-pc-windows-msvc" % processor, "-ffreestanding",
                              "-x", language, *flags, "-Wall", "-Wextra", "-Wpedantic", "-Werror",
                              "-fsyntax-only", "-I", os.path.join(BUILD, "include"), "-"], source)
                if result.returncode:
                    problems.append("%s %s: %s" % (processor, flags, result.stderr.strip()))
    return problems


def undocumented(name):
    """Public functions of a header whose comment lacks who may call it or since when. What the
    first comment of the header says of all goes for each."""
    text = read(name)
    first, comment = text[:text.index("*/")], ""
    for part in re.split(r"(/\*.*?\*/)", text, flags=re.DOTALL):
        if part.startswith("/*"):
            comment = first + part
            continue
        for function in re.findall(r"^PRO_API\s[^;{]*?\b(pro_\w+)\s*\(", part, re.MULTILINE):
            for what, pattern in (("who may call it", r"\[[a-z]|one thread"),
                                  ("since when", r"[Ss]ince[\s*]+0\.")):
                if not re.search(pattern, comment):
                    yield "%s: %s does not say %s" % (name, function, what)


@check
def public_functions_say_who_may_call_them_and_since_when():
    return [problem for name in sorted(public_headers().values())
            for problem in undocumented(name)]


def defined_symbols(*arguments):
    result = run(["nm", "--defined-only", *arguments])
    if result.returncode:
        raise AssertionError(result.stderr)
    rows = [line.split() for line in result.stdout.splitlines() if len(line.split()) == 3]
    # A: the name of the version itself.
    return {row[2].split("@")[0] for row in rows if row[1] != "A"}


def declared_functions():
    """Every function that a public header marks for export."""
    directive = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)
    return {match for name in public_headers().values()
            for match in re.findall(
                r"\bPRO_API\s[^;{]*?\b(pro_\w+)\s*\(", directive.sub("", code_of(name)))}


@check
def shared_library_exports_what_public_headers_declare():
    exported = defined_symbols("-D", os.path.join(BUILD, "libproactor.so"))
    declared = declared_functions()
    return (["%s is exported but not declared" % name for name in sorted(exported - declared)] +
            ["%s is declared but not exported" % name for name in sorted(declared - exported)])


@check
def shared_library_exports_pro_names_only():
    exported = defined_symbols("-D", os.path.join(BUILD, "libproactor.so"))
    if not exported:
        return ["nothing is exported"]
    return [name for name in sorted(exported) if not re.match(r"pro_[a-z]", name)]


@check
def global_symbols_of_static_library_begin_with_pro():
    symbols = defined_symbols("-g", os.path.join(BUILD, "libproactor.a"))
    if not symbols:
        return ["it is empty"]
    return [name for name in sorted(symbols) if not name.startswith("pro_")]


@check
def c_files_are_formatted():
    program = shutil.which("clang-format-14") or shutil.which("clang-format")
    if not program:
        raise Skip("clang-format is not installed")
    version = re.search(r"version ([\d.]+)", run([program, "--version"]).stdout)
    if not version or not version[1].startswith(CLANG_FORMAT_VERSION):
        raise Skip("clang-format is not version %s" % CLANG_FORMAT_VERSION.rstrip("."))
    names = [os.path.join(ROOT, name) for name in files(".c", ".h", ".cpp")]
    result = run([program, "--dry-run", "-Werror", *names])
    return sorted({line.split(":")[0] for line in result.stderr.splitlines() if ": error:" in line})


@check
def text_files_end_in_a_newline_and_lines_in_no_blank():
    problems = []
    for name in files(".c", ".h", ".cpp", ".py", ".sh", ".md", ".txt", ".json", ".in", ".map"):
        text = read(name)
        if not text.endswith("\n") or text.endswith("\n\n"):
            problems.append("%s: its end" % name)
        for number, line in enumerate(text.split("\n"), 1):
            if line != line.rstrip():
                problems.append("%s:%d" % (name, number))
    return problems


@check
def banned_functions_are_not_called():
    problems = []
    for name in files(".c", ".h", ".cpp"):
        in_library = name.startswith(tuple(folder + "/" for folder in LIBRARY))
        lines = zip(code_of(name).splitlines(), read(name).splitlines())
        for number, (line, whole_line) in enumerate(lines, 1):
            if "on purpose" in whole_line:
                continue
            for call in re.findall(r"(?<![\w.>])([a-z]+)\s*\(", line):
                where, instead = BANNED.get(call, (None, None))
                if where == "" or (where == "library" and in_library):
                    problems.append("%s:%d: %s: %s" % (name, number, call, instead))
    for name in files(".py"):
        problems += ["%s:%d: sleep" % (name, number)
                     for number, line in enumerate(read(name).splitlines(), 1)
                     if re.search(r"\btime\." + r"sleep\(", line)]
    return problems


@check
def conditional_compilation_stays_in_ports():
    problems = []
    for name in library_files(".c", ".h"):
        if name.startswith("proactor/ports/") or name == "proactor/base.h":
            continue
        guard = re.sub(r"\W", "_", os.path.basename(name)).upper()
        for number, line in enumerate(code_of(name).splitlines(), 1):
            match = re.match(r"\s*#\s*(?:if|ifdef|ifndef)\b(.*)", line)
            if match and not match[1].strip().endswith(guard):
                problems.append("%s:%d:%s" % (name, number, line))
    return problems


@check
def functions_fit_a_screen():
    problems = []
    for name in files(".c", ".cpp"):
        begin = title = None
        lines = read(name).splitlines()
        for number, line in enumerate(lines):
            if line == "{":
                begin = number
                title = lines[number - 1].strip()
            elif line == "}" and begin is not None:
                if number - begin + 1 > FUNCTION_LINES_MAX:
                    problems.append("%s:%d: %d lines: %s" % (
                        name, begin, number - begin + 1, title))
                begin = None
    return problems


@check
def headers_and_scripts_begin_with_what_they_are():
    first = {".h": "/*", ".py": ('"""', '#!/usr/bin/env python3\n"""'), ".sh": "#!"}
    return [name for name in files(*first)
            if not read(name).startswith(first[os.path.splitext(name)[1]])]


@check
def shell_scripts_parse():
    scripts = [name for name in tracked_files()
               if name.endswith(".sh") or name.startswith(".ci/")]
    problems = []
    for name in scripts:
        shell = "bash" if "bash" in read(name).split("\n")[0] else "sh"
        result = run([shell, "-n", os.path.join(ROOT, name)])
        if result.returncode:
            problems.append("%s: %s" % (name, result.stderr.strip()))
    return problems


@check
def errors_and_functions_stand_in_their_documents():
    errors, threading = read("docs/errors.md"), read("docs/threading.md")
    problems = ["docs/errors.md lacks %s" % row for row in (
        "| `PRO_%s` | %s | %s |" % entry for entry in
        re.findall(r'X\((\w+), (-\d+), "([^"]*)"\)', read("proactor/error.h"))) if row not in errors]
    return problems + ["docs/threading.md lacks %s" % name for name in sorted(declared_functions())
                       if "`%s`" % name not in threading and not name.startswith("pro_sim_")]


@check
def links_in_documents_lead_somewhere():
    problems = []
    for name in files(".md"):
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", read(name),
                                                          flags=re.DOTALL)):
            path = target.split("#")[0]
            if not path or re.match(r"[a-z]+:", path):
                continue
            if not os.path.exists(os.path.join(ROOT, os.path.dirname(name), path)):
                problems.append("%s: %s" % (name, target))
    return problems


@check
def nothing_names_the_machine_it_was_written_on():
    problems = []
    for name in tracked_files():
        with open(os.path.join(ROOT, name), "rb") as file:
            text = file.read().decode("utf-8", "replace")
        problems += ["%s: %s" % (name, trace) for trace in MACHINE_TRACES if trace in text]
    return problems


def main():
    global BUILD
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    BUILD = os.path.abspath(sys.argv[1])
    passed = failed = skipped = 0
    for function in _checks:
        try:
            problems = function()
        except Skip as reason:
            skipped += 1
            print("skip: style.%s: %s" % (function.__name__, reason))
            continue
        except (AssertionError, OSError) as problem:
            problems = [str(problem)]
        if problems:
            failed += 1
            print("FAIL style.%s" % function.__name__)
            print("".join("    %s\n" % problem for problem in problems), end="")
        else:
            passed += 1
            print("ok   style.%s" % function.__name__)
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
