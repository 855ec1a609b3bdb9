"""Windows' own ways with the services, from outside: names that are traps, Ctrl-C, named pipes. A
module of samples.py."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from common import DEADLINE, Client, Server, check, equal, program, read_line, test, wait_exit

ERROR_LINE = b"File transmit error!\r\n"
PLAIN = b"plain\n"

# Part of a name, and a path.
DEVICES = ("CON", "con", "PRN", "AUX", "NUL", "nul.txt", "NUL .txt", "nul.tar.gz", "COM1", "com9.log",
           "COM0", "LPT1", "lpt3.prn", "COM\u00b9", "LPT\u00b3.x", "CONIN$", "conout$", "CLOCK$",
           "folder/NUL", "NUL/plain.txt", "./CON", "folder/../AUX")
TRAPS = (
    # Streams of a file.
    "plain.txt:stream", "plain.txt::$DATA", ":stream", "folder:x/inner.txt", "folder::$INDEX_ALLOCATION",
    # Trailing dots and spaces, which the system drops.
    "plain.txt.", "plain.txt ", "plain.txt. .", "folder./inner.txt", "folder /inner.txt", "...",
    # Backslashes, drives, the long form, shares.
    "folder\\inner.txt", "..\\secret.txt", "\\windows\\win.ini", "C:\\windows\\win.ini",
    "C:/windows/win.ini", "c:plain.txt", "C:", "z:/etc/passwd", "\\\\?\\C:\\windows\\win.ini",
    "\\??\\C:\\windows\\win.ini", "\\\\.\\C:", "\\\\.\\pipe\\x", "\\\\host\\share\\x", "//host/share/x",
    "//?/C:/windows/win.ini", "//./pipe/x", "//127.0.0.1/c$/windows/win.ini",
    # Aliases.
    "ARATHE~1.TEX", "aratherl~1.tex", "FOLDER~1/inner.txt",
    # What is in no name.
    "plain*.txt", "plain?txt", "plain<txt", "plain>txt", "plain|txt", "plain\"txt", "plain\ttxt")


def make_root():
    """A folder, whose parent has what must not be read. What is a trap on Windows may lie there."""
    base = tempfile.mkdtemp()
    root = os.path.join(base, "root")
    os.makedirs(os.path.join(root, "folder"))
    for name, data in (("../secret.txt", b"secret\n"), ("plain.txt", PLAIN),
                       ("a rather long name.text", PLAIN), ("folder/inner.txt", b"inner\n"),
                       ("nul.txt", b"trap\n"), ("aux", b"trap\n"), ("trailing.", b"trap\n"),
                       ("folder/com1.log", b"trap\n"), ("back\\slash", b"trap\n")):
        with open(os.path.join(root, name), "wb") as file:
            file.write(data)
    return base, root


def percent(name):
    return "".join("%%%02X" % byte for byte in name.encode())


def answer_to(server, target):
    """The status and the body of a request that is the last."""
    client = Client(server)
    client.send("GET /%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % target)
    head, _, body = client.rest().partition(b"\r\n\r\n")
    client.close()
    return int(head.split()[1]), body


def each_trap():
    for name in DEVICES + TRAPS:
        yield name
    for name in ("aux", "trailing.", "folder/com1.log", "back\\slash"):
        yield name


@test
def names_that_are_traps_are_refused_to_browsers():
    base, root = make_root()
    try:
        with Server("file_server", "--root", root) as server:
            for name in each_trap():
                status, body = answer_to(server, percent(name))
                check(status in (400, 403, 404), "%r: %d %r" % (name, status, body))
                check(len(body) < 100 and b"trap" not in body, repr((name, body)))
            equal(answer_to(server, "plain.txt"), (200, PLAIN))
            equal(answer_to(server, "a%20rather%20long%20name.text"), (200, PLAIN))
            equal(answer_to(server, "PLAIN.TXT")[0], 200)
    finally:
        shutil.rmtree(base)


@test
def names_that_are_traps_are_refused_in_lines():
    base, root = make_root()
    try:
        with Server("file_server", "--root", root) as server:
            client = Client(server)
            for name in each_trap():
                client.send(name + "\nplain.txt\n")
                equal((name, client.line() + b"\n"), (name, ERROR_LINE))
                equal((name, client.line() + b"\n"), (name, PLAIN))
            client.close()
    finally:
        shutil.rmtree(base)


@test
def ctrl_c_ends_each_service_cleanly_with_clients_connected():
    base, root = make_root()
    try:
        for name, *arguments in (("echo_server",), ("chat_server",), ("file_server", "--root", root)):
            server = Server(name, *arguments)
            clients = [Client(server) for _ in range(3)]
            # All are accepted: the last one is answered.
            clients[2].send({"echo_server": "x\n", "chat_server": "/who\n"}.get(name, "plain.txt\n"))
            check(clients[2].line() is not None)
            server.stop(signal.SIGINT)
            for client in clients:
                client.rest()
                client.close()
            check("iocp" in server.log(), server.log())
    finally:
        shutil.rmtree(base)


@test
def ctrl_c_ends_a_client():
    with Server("chat_server") as server:
        client = subprocess.Popen([program("chat_client"), server.listen], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE)
        check(read_line(client.stdout))
        client.send_signal(signal.SIGINT)
        check(wait_exit(client) is not None)
        client.stdin.close()
        client.stdout.close()


class PipeTalker:
    """A chat_client that stays until the server ends: a pipe has no half-close."""

    def __init__(self, server, nick):
        self.process = subprocess.Popen(
            [program("chat_client"), server.listen, "--nick", nick],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def say(self, text):
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()

    def hear(self, text):
        deadline = time.monotonic() + DEADLINE
        while text.encode() not in read_line(self.process.stdout, deadline):
            check(time.monotonic() < deadline, text)

    def end(self):
        equal(wait_exit(self.process), 0)
        self.process.stdin.close()
        self.process.stdout.close()


@test
def services_run_on_named_pipes():
    name = "unix:\\\\.\\pipe\\proactor-test-%d" % os.getpid()
    with Server("chat_server", listen=name) as server:
        equal(server.listen, name)
        ann = PipeTalker(server, "ann")
        ann.hear("is now ann")
        bob = PipeTalker(server, "bob")
        ann.hear("is now bob")
        bob.hear("is now bob")
        ann.say("through a pipe")
        bob.hear("ann: through a pipe")
    ann.end()
    bob.end()


@test
def port_that_is_taken_is_told():
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    with Server("echo_server") as server:
        for address in (taken.getsockname(), server.address):
            done = subprocess.run(
                [program("echo_server"), "--listen", "%s:%d" % address], stdin=subprocess.DEVNULL,
                capture_output=True, timeout=DEADLINE, check=False)
            equal((done.returncode, done.stdout), (1, b""))
            check(b"in use" in done.stderr, done.stderr)
    taken.close()
