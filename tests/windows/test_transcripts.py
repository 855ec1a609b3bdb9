"""Transcripts of the services, byte for byte the same whether client and server are Linux's or
Windows' (under Wine).

    test_transcripts.py FOLDER_OF_EXE LINUX_SAMPLES
"""

import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "..", "samples"))
os.environ.setdefault("PROACTOR_TEST_DEADLINE", "60")

import common  # noqa: E402
from common import Server, check, equal, read_line, test, wait_exit  # noqa: E402

EXE_FOLDER = os.path.abspath(sys.argv[1])
LINUX_FOLDER = os.path.abspath(sys.argv[2])
BIG_BYTES = 3 * 1024 * 1024 + 7

folder = tempfile.mkdtemp()


def make_programs():
    """For each system a folder with programs of the same names."""
    for name in ("chat_server", "chat_client", "file_server"):
        os.makedirs(os.path.join(folder, "windows"), exist_ok=True)
        path = os.path.join(folder, "windows", name)
        with open(path, "w") as file:
            file.write("#!/bin/sh\nexec %s %s \"$@\"\n" % (
                os.path.join(here, "wine.sh"), os.path.join(EXE_FOLDER, name + ".exe")))
        os.chmod(path, stat.S_IRWXU)


def programs_of(system):
    return LINUX_FOLDER if system == "linux" else os.path.join(folder, "windows")


def server_of(system, name, *arguments):
    sys.argv[1] = programs_of(system)
    return Server(name, *arguments)


# ---- chat ----

class Talker:
    """A chat_client in a pipe."""

    def __init__(self, system, server, nick):
        sys.argv[1] = programs_of(system)
        self.process = subprocess.Popen(
            [common.program("chat_client"), server.listen, "--nick", nick],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.lines = []

    def say(self, text):
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()

    def hear(self, text):
        """Reads up to a line that contains it."""
        while True:
            line = read_line(self.process.stdout)
            check(line, "%r never came: %r" % (text, self.lines))
            self.lines.append(line)
            if text.encode() in line:
                return

    def leave(self):
        self.process.stdin.close()
        while True:
            line = read_line(self.process.stdout)
            if not line:
                break
            self.lines.append(line)
        equal(wait_exit(self.process), 0)
        self.process.stdout.close()


def converse(server_system, client_system):
    """What each of three said to each other, as each of them heard it."""
    with server_of(server_system, "chat_server") as server:
        ann = Talker(client_system, server, "ann")
        ann.hear("is now ann")
        bob = Talker(client_system, server, "bob")
        bob.hear("is now bob")
        ann.hear("is now bob")
        eve = Talker(client_system, server, "eve")
        for one in (ann, bob, eve):
            one.hear("is now eve")
        ann.say("good morning, \u00e4\u20ac\U0001d11e")
        for one in (bob, eve):
            one.hear("\U0001d11e")
        bob.say("/msg ann between us")
        ann.hear("between us")
        eve.say("/nick bob")
        eve.say("/who")
        eve.hear("ann, bob, eve")
        eve.say("/join attic")
        for one in (ann, bob):
            one.hear("left lobby")
        eve.hear("joined attic")
        eve.say("/rooms")
        eve.hear("rooms:")
        eve.say("bad \x07 byte")
        eve.say("/help")
        eve.say("/who")
        eve.hear("in attic: eve")
        eve.leave()
        bob.say("x" * 4000)
        ann.hear("x" * 4000)
        bob.leave()
        ann.hear("bob left lobby")
        ann.leave()
        return [b"".join(one.lines) for one in (ann, bob, eve)]


@test
def chat_is_the_same_whoever_serves_and_whoever_talks():
    transcripts = {}
    for server in ("linux", "windows"):
        for client in ("linux", "windows"):
            transcripts[server, client] = converse(server, client)
    for pair, transcript in transcripts.items():
        equal((pair, transcript), (pair, transcripts["linux", "linux"]))
    check(b"\r" not in b"".join(transcripts["windows", "windows"]))


# ---- files ----

def make_root():
    root = os.path.join(folder, "root")
    os.mkdir(root)
    os.mkdir(os.path.join(root, "list"))
    for name, data in (("hello.txt", b"hello, world\n"), ("empty.txt", b""),
                       ("big.bin", bytes(range(251)) * (BIG_BYTES // 251 + 1)),
                       ("list/one.txt", b"1"), ("list/two & three.txt", b"23")):
        path = os.path.join(root, name)
        with open(path, "wb") as file:
            file.write(data[:BIG_BYTES])
        os.utime(path, (784111777, 784111777))
    os.utime(os.path.join(root, "list"), (784111777, 784111777))
    return root


def http(target, method="GET", *fields):
    return ("\r\n".join(("%s %s HTTP/1.1" % (method, target), "Host: a") + fields) +
            "\r\n\r\n").encode()


LAST = "Connection: close"
CONVERSATIONS = (
    b"hello.txt\nempty.txt\nbig.bin\nmissing\n../hello.txt\nlist\nhello.txt\r\n",
    http("/hello.txt") + http("/hello.txt", "HEAD") + http("/empty.txt") + http("/missing") +
    http("/big.bin", "GET", LAST),
    http("/list/") + http("/list") + http("/../x") + http("/%2e%2e/x") + http("/a%00b") +
    http("/hello.txt", "POST", "Content-Length: 0", LAST),
    http("/hello.txt", "GET", "Range: bytes=2-5") + http("/big.bin", "GET", "Range: bytes=-7") +
    http("/hello.txt", "GET", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT", LAST),
    b"GET / HTTP/9.9\r\n\r\n",
    b"nonsense / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"x" * 30000 + b"\nhello.txt\n",
)


def without_dates(answer):
    """The time of the answer itself may differ."""
    return b"\r\n".join(line for line in answer.split(b"\r\n") if not line.startswith(b"Date: "))


def ask_everything(system, root):
    answers = []
    with server_of(system, "file_server", "--root", root) as server:
        for conversation in CONVERSATIONS:
            with server.connect() as connection:
                connection.sendall(conversation)
                connection.shutdown(socket.SHUT_WR)
                answer = b""
                while True:
                    data = connection.recv(1 << 20)
                    if not data:
                        break
                    answer += data
                answers.append(without_dates(answer))
    return answers


@test
def files_come_the_same_from_both():
    root = make_root()
    linux = ask_everything("linux", root)
    windows = ask_everything("windows", root)
    for i, (left, right) in enumerate(zip(linux, windows)):
        check(left == right, "conversation %d: %r... from Linux, %r... from Windows" %
              (i, left[:2000], right[:2000]))
    check(all(linux))


try:
    make_programs()
    sys.argv[2:] = []
    status = common.main()
finally:
    shutil.rmtree(folder)
sys.exit(status)
