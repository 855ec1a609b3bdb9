"""The programs themselves when an allocation fails, whichever it is.

    FAILING_MALLOC_LIBRARY=libfailing_malloc.so python3 test_memory.py SAMPLES_DIR [NAME]

Each allocation of a program's life fails in turn, alone and with the two behind it: a server says so
and does not begin, or it loses what the failure hit, and no more. The next session is served
completely, and nothing is left of the one before.
"""

import mmap
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "samples"))

from common import (DEADLINE, NotListening, Server, check, equal,  # pylint: disable=wrong-import-position
                    main, program, test, wait_until)

LIBRARY = os.environ["FAILING_MALLOC_LIBRARY"]

# How many fail one after the other. For more of them a connection waits until there is memory again.
COUNTS = (1, 3)
ALL = 1 << 40
FORMS = ((), ("--threads", "3", "--concurrency", "2"), ("--group", "2"))
THREADS = 3  # of a form that has further ones

ROOT = tempfile.TemporaryDirectory(prefix="proactor-test-")
FILE = bytes(range(256)) * 400
for _name in ("file", "other file"):
    with open(os.path.join(ROOT.name, _name), "wb") as _file:
        _file.write(FILE)


class Memory:
    """The numbers of failing_malloc.c."""

    NAMES = ("calls", "first", "count", "failed", "live")
    NUMBER = struct.Struct("@Q")

    def __init__(self):
        self.file = tempfile.NamedTemporaryFile(prefix="proactor-test-")
        self.file.truncate(mmap.PAGESIZE)
        self.map = mmap.mmap(self.file.fileno(), mmap.PAGESIZE)
        self.env = {"LD_PRELOAD": LIBRARY, "FAILING_MALLOC": self.file.name}

    def get(self, name):
        return self.NUMBER.unpack_from(self.map, self.NUMBER.size * self.NAMES.index(name))[0]

    def set(self, **values):
        for name, value in values.items():
            self.NUMBER.pack_into(self.map, self.NUMBER.size * self.NAMES.index(name), value)

    def fail(self, first, count):
        """From now on those calls fail; 0: none does."""
        self.set(first=0, calls=0, failed=0, count=count)
        self.set(first=first)


class Lost(Exception):
    """A session was not served completely."""


def require(condition, what):
    if not condition:
        raise Lost(what)


def until_end(connection):
    data = bytearray()
    while more := connection.recv(65536):
        data += more
    return bytes(data)


def connect(server):
    connection = server.connect()
    connection.settimeout(DEADLINE)
    return connection


# ---- sessions: each is served completely, or Lost; another answer is a failure ----

def echo_session(server):
    with connect(server) as connection:
        connection.sendall(FILE[:50000])
        connection.shutdown(socket.SHUT_WR)
        data = until_end(connection)
        check(FILE.startswith(data), "another echo")
        require(len(data) == 50000, "%d bytes" % len(data))


# Target, status, whether the body is the file.
REQUESTS = ((b"/file", 200, True), (b"/other%20file", 200, True), (b"/nothing", 404, False),
            (b"/", 200, False), (b"/file", 200, True))


def file_session(server):
    with connect(server) as connection:
        for target, _, _ in REQUESTS:
            connection.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % target)
        connection.shutdown(socket.SHUT_WR)
        data = until_end(connection)
    is_whole = True
    for target, status, is_file in REQUESTS:
        head, end, data = data.partition(b"\r\n\r\n")
        require(end, "no answer to %r" % target)
        length = int(re.search(rb"Content-Length: (\d+)", head).group(1))
        body, data = data[:length], data[length:]
        if not head.startswith(b"HTTP/1.1 %d " % status):
            check(head.startswith(b"HTTP/1.1 503 "), head)
            is_whole = False
        elif is_file:
            check(FILE.startswith(body), "other bytes")
            require(len(body) == len(FILE), "%d bytes" % len(body))
    require(is_whole, "refused")
    with connect(server) as connection:
        connection.sendall(b"file\nnothing\n")
        connection.shutdown(socket.SHUT_WR)
        data = until_end(connection)
    whole = FILE + b"File transmit error!\r\n"
    require(data != b"File transmit error!\r\n" * 2, "refused")
    check(whole.startswith(data), "other bytes")
    require(data == whole, "%d bytes" % len(data))


SAID = (b"/nick ann%d\n/join den\n/who\n/rooms\n/msg nobody hi\nhi\n/join lobby\nhello\n/help\n"
        b"/nonsense\n\xff\n/quit\n")
HELP = 7  # lines


def until_alone(listener, number):
    """What is heard from then on: who was there before may be a while in leaving."""
    deadline = time.monotonic() + DEADLINE
    ask = b"/nick bob%d\n/who\n" % number
    while True:
        listener.sendall(ask)
        heard = bytearray()
        while not re.search(rb"^\* in lobby: .*\n", heard, re.MULTILINE):
            more = listener.recv(65536)
            require(more, "no place")
            heard += more
        alone = heard.find(b"* in lobby: bob%d\n" % number)
        if alone >= 0:
            return heard[alone:]
        require(time.monotonic() < deadline, "others stay")
        ask = b"/who\n"


def chat_session(server):
    """One listens, while another says all there is to say."""
    with connect(server) as listener:
        number = listener.getsockname()[1]
        heard = until_alone(listener, number)
        with connect(server) as talker:
            talker.sendall(SAID % number)
            answer = until_end(talker)
        listener.sendall(b"/quit\n")
        heard += until_end(listener)
    names = {b"ann%d" % number: b"ann", b"bob%d" % number: b"bob"}
    for old in re.findall(rb"guest\d+", heard + answer):
        names[old] = b"guest"
    for old, new in names.items():
        heard = heard.replace(old, new)
        answer = answer.replace(old, new)
    equal_or_lost(bytes(heard), b"* in lobby: bob\n"
                  b"* guest joined lobby\n* guest is now ann\n* ann left lobby\n"
                  b"* ann joined lobby\nann: hello\n* ann left lobby\n")
    lines = answer.split(b"\n")
    require(sum(line.startswith(b"* /") for line in lines) == HELP, "help")
    equal_or_lost(
        b"\n".join(line for line in lines if not line.startswith(b"* /")),
        b"* guest joined lobby\n* guest is now ann\n* ann joined den\n* in den: ann\n"
        b"* rooms: lobby (1), den (1)\n! nobody is called nobody\n* ann joined lobby\n"
        b"! unknown command: /nonsense\n! refused: not UTF-8\n")


def equal_or_lost(seen, expected):
    require(seen == expected, "%r instead of %r" % (seen, expected))


SERVICES = (("echo_server", (), echo_session),
            ("file_server", ("--root", ROOT.name), file_session),
            ("chat_server", (), chat_session))


def is_lost(session, server):
    """Runs a session that a failure may hit. It may end in any way, but in time."""
    try:
        session(server)
    except TimeoutError:
        raise
    except (Lost, OSError):
        return True
    return False


# ---- from the beginning to the end ----

def begin(name, arguments, memory):
    """The server; None when it refuses, with a word."""
    try:
        return Server(name, *arguments, env=memory.env)
    except NotListening as refusal:
        equal(refusal.status, 1)
        check(re.search("memory|stdout can not be written", refusal.log), refusal.log)
        return None


def wait_threads(server, form):
    """Some begin when it listens already: until they run, or there is no memory for them."""
    if form:
        wait_until(lambda: len(os.listdir("/proc/%d/task" % server.process.pid)) >= THREADS or
                   "threads can be had" in server.log(), "its threads")


def live(service, form, memory, first, count):
    """A server from its start to the end of its first session, in which those allocations fail. The
    second is served, and then it ends though no allocation goes well. Returns what became of it, and
    how many there were."""
    name, arguments, session = service
    memory.set(live=0)
    memory.fail(first, count)
    server = begin(name, (*arguments, *form), memory)
    if not server:
        return "refused", memory.get("calls")
    with server:
        wait_threads(server, form)
        idle = server.descriptors()
        with_failure = is_lost(session, server)
        server.wait_descriptors(idle)
        calls = memory.get("calls")
        memory.fail(0, 0)
        session(server)
        server.wait_descriptors(idle)
        memory.fail(1, ALL)
        server.stop(signal.SIGTERM)
    return "lost a session" if with_failure else "served", calls


@test
def servers_refuse_or_serve_when_any_allocation_of_their_life_fails():
    memory = Memory()
    for service in SERVICES:
        for form in FORMS:
            outcome, calls = live(service, form, memory, 0, 0)
            equal(outcome, "served")
            left = memory.get("live")
            outcomes = {}
            for first in range(1, calls + 1):
                for count in COUNTS:
                    outcome, _ = live(service, form, memory, first, count)
                    outcomes[outcome] = outcomes.get(outcome, 0) + 1
                    check(memory.get("live") <= left, "%s: %d failed from %d on: %d pieces of "
                          "memory are left, not %d" % (
                              service[0], count, first, memory.get("live"), left))
            print("%s: %d calls, %r" % (" ".join((service[0], *form)), calls, outcomes), flush=True)


def serve(session, server, memory, idle, left):
    """A session that is served completely, and leaves nothing."""
    session(server)
    server.wait_descriptors(idle)
    wait_until(lambda: memory.get("live") <= left, "%d pieces of memory, not %d" % (
        left, memory.get("live")))


@test
def session_is_lost_at_most_and_the_next_is_served_when_any_allocation_fails():
    memory = Memory()
    for name, arguments, session in SERVICES:
        for form in FORMS:
            memory.fail(0, 0)
            with Server(name, *arguments, *form, env=memory.env) as server:
                wait_threads(server, form)
                idle = server.descriptors()
                # What is kept for later is made first.
                for _ in range(10):
                    serve(session, server, memory, idle, sys.maxsize)
                left = memory.get("live")
                memory.fail(0, 0)
                serve(session, server, memory, idle, left)
                calls = memory.get("calls")
                lost = 0
                for first in range(1, calls + 1):
                    for count in COUNTS:
                        memory.fail(first, count)
                        lost += is_lost(session, server)
                        server.wait_descriptors(idle)
                        memory.fail(0, 0)
                        serve(session, server, memory, idle, left)
            print("%s: %d calls, %d sessions lost" % (" ".join((name, *form)), calls, lost),
                  flush=True)


def talk(remote, memory):
    """A client that says two lines and leaves. Returns its status, after what it says was minded."""
    done = subprocess.run(
        [program("chat_client"), remote, "--nick", "ann"], input=b"/who\nhello", check=False,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=2 * DEADLINE,
        env=dict(os.environ, **memory.env))
    if done.returncode == 0:
        equal(re.sub(rb"guest\d+", b"guest", done.stdout),
              b"* guest joined lobby\n* guest is now ann\n* in lobby: ann\n")
    else:
        equal(done.returncode, 1)
        check(re.fullmatch(rb"(chat_client: [ -~]+\n)+", done.stderr), "%r" % done.stderr)
    return done.returncode


@test
def client_talks_or_tells_why_not_when_any_allocation_of_its_life_fails():
    memory = Memory()
    with Server("chat_server") as server:
        idle = server.descriptors()
        # A name is not looked up: libc's own look-up crashes when it lacks memory.
        equal(talk(server.listen, memory), 0)
        calls = memory.get("calls")
        failures = 0
        for first in range(1, calls + 1):
            for count in COUNTS:
                memory.fail(first, count)
                failures += talk(server.listen, memory)
                server.wait_descriptors(idle)
    print("chat_client: %d calls, %d failures" % (calls, failures), flush=True)


if __name__ == "__main__":
    sys.exit(main())
