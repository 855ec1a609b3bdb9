"""The services in a bad world: system calls that are interrupted, few descriptors, no locked memory,
clients that vanish by a reset or never read, and a network that splits, delays and cuts.

    python3 test_outside.py SAMPLES_DIR [NAME]

The network is bad for some seconds for each service; with PROACTOR_TEST_LONG=1 for ten minutes,
and then for five more in which it runs several threads.
"""

import os
import random
import re
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "samples"))

from chaos import Proxy  # pylint: disable=wrong-import-position
from common import (DEADLINE, Client, Server, Skip, check, equal,  # pylint: disable=wrong-import-position
                    main, program, test, wait_exit, wait_until)

SEED = int(os.environ.get("PROACTOR_TEST_SEED", "1"))
LONG = os.environ.get("PROACTOR_TEST_LONG") == "1"


def echo_back(connection, size, seed):
    """Sends and gets that many bytes."""
    data = random.Random(seed).randbytes(size)
    got = bytearray()
    at = 0
    deadline = time.monotonic() + DEADLINE
    connection.setblocking(False)
    while len(got) < size:
        check(time.monotonic() < deadline, "the echo does not come: %d of %d" % (len(got), size))
        readable, writable, _ = select.select([connection], [connection] if at < size else [], [], 1)
        if writable:
            at += connection.send(data[at:at + 5000])
        if readable:
            more = connection.recv(65536)
            check(more, "the stream ended")
            got += more
    connection.setblocking(True)
    check(bytes(got) == data, "the echo is another")


def processor_seconds(server):
    with open("/proc/%d/stat" % server.process.pid) as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ---- system calls that are interrupted ----

STORMS = [("io_uring", "io_uring_enter", ("EINTR", "EAGAIN", "EBUSY")),
          ("epoll", "epoll_wait,epoll_pwait,epoll_pwait2", ("EINTR",)),
          ("epoll", "recvfrom,recvmsg,sendto,sendmsg,accept4,read,readv,writev", ("EINTR",))]


@test
def interrupted_system_calls_change_nothing():
    if not shutil.which("strace"):
        raise Skip("strace is not installed")
    port = os.environ.get("PROACTOR_PORT", "io_uring")
    for storm_port, calls, errors in STORMS:
        for error in errors if storm_port == port else ():
            # Detached, so that the service is this process's child.
            strace = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + calls, "-e",
                      "inject=%s:error=%s:when=5+3" % (calls, error)]
            with Server("echo_server", before=strace) as server:
                for seed in range(3):
                    with server.connect() as connection:
                        echo_back(connection, 100000, seed)
                with server.connect() as connection:
                    before = processor_seconds(server)
                    # Nothing comes: it waits, and does not spin.
                    check(not select.select([connection], [], [], 1)[0], "an echo of nothing")
                    used = processor_seconds(server) - before
                    check(used < 0.3, "%.2f s of processor time in an idle second" % used)


# ---- limits ----

def limits(**wanted):
    """A command that sets soft limits and becomes the rest of its line."""
    lines = "".join("resource.setrlimit(resource.%s, (%d, resource.getrlimit(resource.%s)[1])); " % (
        name, value, name) for name, value in wanted.items())
    return [sys.executable, "-c",
            "import os, resource, sys; %sos.execv(sys.argv[1], sys.argv[1:])" % lines]


@test
def few_descriptors_make_connections_wait_and_harm_no_other():
    limit = 40
    with Server("echo_server", before=limits(RLIMIT_NOFILE=limit)) as server:
        first = server.connect()
        echo_back(first, 1000, 1)
        others = [server.connect() for _ in range(2 * limit)]
        echo_back(first, 1000, 2)
        check(server.descriptors() <= limit, "more descriptors than the limit")
        for connection in others[:limit]:
            connection.close()
        # Those that waited are served, the last too.
        for connection in others[limit:]:
            if connection is others[limit + limit // 2]:
                break
            echo_back(connection, 1000, 3)
        echo_back(first, 1000, 4)
        for connection in (first, *others):
            connection.close()


@test
def no_locked_memory_is_no_obstacle():
    with Server("echo_server", before=limits(RLIMIT_MEMLOCK=0)) as server:
        with server.connect() as connection:
            echo_back(connection, 100000, 1)


# ---- streams of the process ----

# What each says to one who sends a line and the end.
SAYS = {"echo_server": b"line\n", "chat_server": b"* guest1 joined lobby\n",
        "file_server": b"File transmit error!\r\n"}
# What can be wrong with a descriptor.
BAD_STREAMS = {"closed": "os.close(%d)", "full": "os.dup2(os.open('/dev/full', os.O_WRONLY), %d)",
               "left": "r, w = os.pipe(); os.dup2(w, %d); os.close(r); os.close(w)"}


def streams(*wrong):
    """A command that spoils streams and becomes the rest of its line."""
    return [sys.executable, "-c", "import os, signal, sys; "
            "signal.signal(signal.SIGPIPE, signal.SIG_DFL); %s; os.execv(sys.argv[1], sys.argv[1:])"
            % "; ".join(wrong)]


class SilentServer:
    """One that can not say that it listens."""

    def __init__(self, path):
        self.path = path

    def connect(self, _):
        connection = socket.socket(socket.AF_UNIX)
        wait_until(lambda: connection.connect_ex(self.path) == 0, "a connection")
        return connection


def check_serves(server, name):
    for _ in range(3):
        client = Client(server)
        client.send("line\n")
        client.half_close()
        equal(re.sub(b"guest[0-9]+", b"guest1", client.rest()), SAYS[name])
        client.close()


@test
def log_that_can_not_be_written_is_no_obstacle():
    for name in SAYS:
        for what in BAD_STREAMS.values():
            with Server(name, before=streams(what % 2)) as server:
                before = processor_seconds(server)
                check_serves(server, name)
                check(processor_seconds(server) - before < 1, "it spins")


@test
def closed_streams_are_no_obstacle():
    for name in SAYS:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "socket")
            process = subprocess.Popen(
                [*streams("os.closerange(0, 3)"), program(name), "--listen", "unix:" + path])
            try:
                check_serves(SilentServer(path), name)
                process.terminate()
                equal(wait_exit(process), 0)
            finally:
                process.kill()


@test
def first_line_that_can_not_be_written_ends_it():
    for name in SAYS:
        for what in ("full", "left"):
            done = subprocess.run(
                [*streams(BAD_STREAMS[what] % 1), program(name), "--listen", "127.0.0.1:0"],
                stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=DEADLINE, check=False)
            equal(done.returncode, 1)
            check(b"stdout can not be written" in done.stderr, done.stderr)


# ---- clients ----

@test
def resets_in_the_middle_leave_nothing():
    with tempfile.TemporaryDirectory() as root:
        with open(os.path.join(root, "file"), "wb") as file:
            file.write(random.Random(1).randbytes(2000000))
        with Server("file_server", "--root", root) as server:
            with server.connect() as connection:
                connection.sendall(b"GET /file HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                while connection.recv(65536):
                    pass
            idle = server.descriptors()
            for after in range(0, 400000, 20000):
                client = Client(server, receive_buffer=4096)
                client.send("GET /file HTTP/1.1\r\nHost: x\r\n\r\n")
                got = 0
                while got < after:
                    got += len(client.socket.recv(65536))
                client.reset()
            wait_until(lambda: server.descriptors() <= idle, "the descriptors of dead clients")


@test
def clients_that_never_read_cost_little():
    with tempfile.TemporaryDirectory() as root:
        with open(os.path.join(root, "file"), "wb") as file:
            file.truncate(50000000)
        with Server("file_server", "--root", root) as server:
            before = server.memory()
            clients = [Client(server, receive_buffer=4096) for _ in range(100)]
            for client in clients:
                client.send("GET /file HTTP/1.1\r\nHost: x\r\n\r\n")
            with server.connect() as connection:
                connection.sendall(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
                check(connection.recv(100).startswith(b"HTTP/1.1 404"), "others are not served")
            check(server.memory() - before < 100 * 65536 + 4000000,
                  "%d bytes for 100 clients" % (server.memory() - before))
            for client in clients:
                client.close()


# ---- a bad network ----

class Soak:
    """Clients in threads, until the time is over; the first problem is kept."""

    def __init__(self, proxy, seconds):
        self.proxy = proxy
        self.end = time.monotonic() + seconds
        self.problem = None
        self.whole = 0
        self.cut = 0
        self.lock = threading.Lock()
        self.lines = {}  # how many of each talker's were heard, by those who heard its end
        self.dropped = set()

    def goes_on(self):
        return time.monotonic() < self.end and not self.problem

    def count(self, is_whole):
        with self.lock:
            self.whole += is_whole
            self.cut += not is_whole

    def link(self, function, number, link):
        """One connection; whatever breaks it must be the proxy."""
        try:
            connection = socket.create_connection(self.proxy.address, timeout=DEADLINE)
        except ConnectionError:
            self.count(False)  # it took it, and was quick
            return
        with connection:
            try:
                function(self, connection, number, link)
                self.count(True)
            except (ConnectionError, EOFError) as problem:
                check(self.proxy.has_cut(connection),
                      "%d.%d: the service ended it: %r" % (number, link, problem))
                self.count(False)

    def client(self, function, number):
        link = 0
        while self.goes_on():
            link += 1
            try:
                self.link(function, number, link)
            except Exception as problem:  # pylint: disable=broad-except
                self.problem = self.problem or problem

    def run(self, function, count):
        threads = [threading.Thread(target=self.client, args=(function, number))
                   for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.problem:
            raise self.problem


def growth(samples):
    """By how much they rise, by the median of their steps: a leak grows in each round, a heap that
    has seen a greater crowd only once."""
    steps = [later - earlier for earlier, later in zip(samples, samples[1:])]
    return statistics.median(steps) * len(steps)


# How the service runs its threads, and for how many rounds.
FORMS = [((), 20), (("--threads", "4"), 5), (("--group", "2"), 5)] if LONG else [
    ((), 3), (("--threads", "4"), 3), (("--group", "2"), 3)]
ROUND_SECONDS = 30 if LONG else 0.5
CLIENTS = 12 if LONG else 8
# What is touched for the first time late: a few pages of a heap for each thread.
GROWTH_MAX = (320 if LONG else 160) * 1024


def soak(function, name, *arguments):
    """Runs clients through a bad network, in rounds; between them nothing may be left, and what the
    service holds must not have grown from the second round to the last."""
    for form, rounds in FORMS:
        with Server(name, *form, *arguments) as server, Proxy(server.address, SEED) as proxy:
            idle = server.descriptors()
            samples = []
            whole = cut = 0
            for _ in range(rounds):
                run = Soak(proxy, ROUND_SECONDS)
                run.run(function, CLIENTS)
                server.wait_descriptors(idle)
                samples.append(server.own_memory())
                whole += run.whole
                cut += run.cut
            print("%s: %d whole, %d cut, %d connections, %d of them broken, %d descriptors, KiB %s" % (
                " ".join(form), whole, cut, proxy.connections, proxy.cuts, idle,
                " ".join(str(sample // 1024) for sample in samples)))
            check(whole > 0, "nothing came through")
            check(growth(samples[1:]) <= GROWTH_MAX, "memory grew: %r" % samples)


FILE = random.Random(7).randbytes(300000)


def download(_, connection, number, link):
    """A part of the file, whole, or else the connection is broken."""
    size = 1 + random.Random(number * 1000 + link).randrange(len(FILE))
    connection.sendall(b"GET /file HTTP/1.1\r\nHost: x\r\nRange: bytes=0-%d\r\n"
                       b"Connection: close\r\n\r\n" % (size - 1))
    answer = bytearray()
    try:
        while True:
            more = connection.recv(65536)
            if not more:
                break
            answer += more
    finally:
        head, _, body = bytes(answer).partition(b"\r\n\r\n")
        check(FILE[:size].startswith(body), "client %d got other bytes" % number)
    if len(body) < size:
        raise EOFError("%d of %d bytes" % (len(body), size))
    check(head.startswith(b"HTTP/1.1 206 "), "another answer: %r" % head[:50])


@test
def downloads_through_a_bad_network_are_whole_or_broken():
    with tempfile.TemporaryDirectory() as root:
        with open(os.path.join(root, "file"), "wb") as file:
            file.write(FILE)
        soak(download, "file_server", "--root", root)


LINES = 200 if LONG else 60  # that each talker says


class Talker:
    """Says numbered lines, and minds what the others say: of one whose coming it heard the first
    line is number 1, each other is the next, and all who hear somebody leave have heard the same."""

    def __init__(self, run, connection, name):
        self.run = run
        self.connection = connection
        self.name = name
        self.heard = {}  # talker: the number of its last line
        self.rest = b""

    def take_notice(self, line):
        words = line.split(b" ")
        if words[2:4] == [b"is", b"now"]:
            self.heard[words[4]] = 0
        elif words[2] in (b"left", b"dropped:"):
            talker = words[1]
            last = self.heard.pop(talker, None)
            with self.run.lock:
                if words[2] == b"dropped:":
                    self.run.dropped.add(talker)
                if last is not None:
                    equal((talker, last), (talker, self.run.lines.setdefault(talker, last)))

    def take_line(self, line):
        talker, text = line.split(b": ", 1)
        number, padding = text.split(b" ", 1)
        number = int(number)
        check(padding == padded(number), "a line came changed: %r" % line[:100])
        check(talker != self.name, "%r hears itself" % talker)
        last = self.heard.get(talker, number - 1)
        check(last == number - 1,
              "%r heard line %d of %r after %d" % (self.name, number, talker, last))
        self.heard[talker] = number

    def hear(self, seconds):
        """Takes what has come; False at the end of the stream."""
        if not select.select([self.connection], [], [], seconds)[0]:
            return True
        more = self.connection.recv(65536)
        *lines, self.rest = (self.rest + more).split(b"\n")
        for line in lines:
            check(not line.startswith(b"! "), "an error: %r" % line[:100])
            if line.startswith(b"* "):
                self.take_notice(line)
            else:
                self.take_line(line)
        return bool(more)


def padded(number):
    return b"x" * (number % 300)


def talk(run, connection, number, link):
    name = b"t%d-%d-%d" % (number, link, connection.getsockname()[1])
    talker = Talker(run, connection, name)
    connection.sendall(b"/nick %s\n" % name)
    for said in range(1, LINES + 1):
        connection.sendall(b"%d %s\n" % (said, padded(said)))
        if not talker.hear(0.01):
            raise EOFError("after %d lines" % said)
    connection.sendall(b"/quit\n")
    deadline = time.monotonic() + DEADLINE
    while talker.hear(1):
        check(time.monotonic() < deadline, "%r: no end comes" % name)
    if run.proxy.has_cut(connection):
        raise EOFError("cut")
    with run.lock:
        # Whoever heard all of it to the end heard them all.
        if name not in run.dropped:
            equal((name, run.lines.setdefault(name, LINES)), (name, LINES))


@test
def chat_through_a_bad_network_reaches_each_member_once_and_in_order():
    soak(talk, "chat_server")


# ---- sudden death ----

KILLS = 200 if LONG else 20


def contents(folder):
    """Name, type, size, times and bytes of all that is below a folder."""
    found = {}
    for base, folders, names in os.walk(folder):
        for name in folders + names:
            path = os.path.join(base, name)
            status = os.stat(path)
            data = b""
            if name in names:
                with open(path, "rb") as file:
                    data = file.read()
            found[path] = (status.st_mode, status.st_size, status.st_mtime_ns, data)
    return found


class Download:
    """Gets the file again and again on one connection, and minds every byte."""

    HEAD_END = b"\r\n\r\n"

    def __init__(self, server):
        self.connection = server.connect()
        self.answer = bytearray()
        self.size = 0
        self.ask()

    def ask(self):
        self.connection.sendall(b"GET /file HTTP/1.1\r\nHost: x\r\n\r\n")

    def take(self):
        """What has come; 0 at the end of the stream, also when it is a reset."""
        try:
            more = self.connection.recv(65536)
        except ConnectionError:
            return 0
        self.answer += more
        at = self.answer.find(self.HEAD_END)
        if at >= 0:
            body = at + len(self.HEAD_END)
            check(self.answer.startswith(b"HTTP/1.1 200 "), "another answer")
            check(FILE.startswith(self.answer[body:]), "other bytes")
            if len(self.answer) == body + len(FILE):
                self.answer.clear()
                self.ask()
        return len(more)


def kill_after(server, size):
    """Kills it when clients got so many bytes; each of them must see the end."""
    downloads = {}
    for _ in range(4):
        download = Download(server)
        downloads[download.connection] = download
    taken = 0
    while taken < size:
        readable = select.select(list(downloads), [], [], DEADLINE)[0]
        check(readable, "nothing comes")
        for connection in readable:
            taken += downloads[connection].take()
    server.kill()
    for download in downloads.values():
        try:
            while download.take():
                pass
        except ConnectionError:
            pass  # of the next request
        download.connection.close()


@test
def a_killed_file_server_starts_again_at_once_and_leaves_nothing():
    choose = random.Random(SEED)
    with tempfile.TemporaryDirectory() as root:
        os.mkdir(os.path.join(root, "folder"))
        for name in ("file", "folder/file"):
            with open(os.path.join(root, name), "wb") as file:
                file.write(FILE)
        before = contents(root)
        forms = [form for form, _ in FORMS]
        listen = "127.0.0.1:0"
        for number in range(KILLS):
            server = Server("file_server", "--root", root, *forms[number % len(forms)],
                            listen=listen)
            listen = server.listen
            kill_after(server, int(10 ** choose.uniform(0, 7)))
            check(contents(root) == before, "what is in the root has changed")
        with Server("file_server", "--root", root, listen=listen) as server:
            with server.connect() as connection:
                connection.sendall(b"GET /file HTTP/1.0\r\n\r\n")
                answer = bytearray()
                while more := connection.recv(65536):
                    answer += more
                check(answer.endswith(Download.HEAD_END + FILE), "the file is not whole")


@test
def a_killed_chat_server_starts_again_at_once():
    choose = random.Random(SEED)
    listen = "127.0.0.1:0"
    for _ in range(KILLS // 2):
        server = Server("chat_server", listen=listen)
        listen = server.listen
        talker, listener = Client(server), Client(server)
        for client in (talker, listener):
            check(client.line().endswith(b" joined lobby"), "no greeting")
        talker.send(b"".join(b"%d\n" % number for number in range(2000)))
        last = -1
        for _ in range(choose.randrange(1000)):
            text = listener.line()
            number = int(text.split(b": ")[1])
            equal(number, last + 1)
            last = number
        server.kill()
        for client in (talker, listener):
            try:
                client.socket.settimeout(DEADLINE)
                while client.socket.recv(65536):
                    pass
            except ConnectionError:
                pass
            client.close()


if __name__ == "__main__":
    sys.exit(main())
