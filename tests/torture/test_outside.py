"""The services in a bad world: system calls that are interrupted, few descriptors, no locked memory,
clients that vanish by a reset or never read, and a network that splits, delays and cuts.

    python3 test_outside.py SAMPLES_DIR [NAME]

The network is bad for ten seconds for each service, for ten minutes with PROACTOR_TEST_LONG=1.
"""

import os
import random
import select
import shutil
import socket
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "samples"))

from chaos import Proxy  # pylint: disable=wrong-import-position
from common import (DEADLINE, Client, Server, Skip, check, equal,  # pylint: disable=wrong-import-position
                    main, test, wait_until)

SEED = int(os.environ.get("PROACTOR_TEST_SEED", "1"))
# Of each of two rounds.
SECONDS = 300 if os.environ.get("PROACTOR_TEST_LONG") == "1" else 5


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

    def __init__(self, proxy):
        self.proxy = proxy
        self.end = time.monotonic() + SECONDS
        self.problem = None
        self.whole = 0
        self.cut = 0
        self.lock = threading.Lock()

    def goes_on(self):
        return time.monotonic() < self.end and not self.problem

    def count(self, is_whole):
        with self.lock:
            self.whole += is_whole
            self.cut += not is_whole

    def client(self, function, number):
        links = 0
        while self.goes_on():
            links += 1
            try:
                with socket.create_connection(self.proxy.address, timeout=DEADLINE) as connection:
                    function(self, connection, number, links)
            except (ConnectionError, BrokenPipeError):
                self.count(False)
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


def soak(server, function, clients):
    """Runs the clients through a bad network twice; what the service holds must not have grown."""
    with Proxy(server.address, SEED) as proxy:
        idle = server.descriptors()
        warm = None
        for _ in range(2):
            run = Soak(proxy)
            run.run(function, clients)
            check(run.whole > 0, "nothing came through")
            wait_until(lambda: server.descriptors() <= idle, "the descriptors of clients that left")
            print("%d whole, %d cut, %d connections, %d of them broken, %d KiB" % (
                run.whole, run.cut, proxy.connections, proxy.cuts, server.memory() // 1024))
            if warm is not None:
                check(server.memory() <= warm + warm // 4 + (1 << 20),
                      "memory grew from %d to %d bytes" % (warm, server.memory()))
            warm = server.memory()


FILE = random.Random(7).randbytes(300000)


def download(run, connection, number, link):
    size = random.Random(number * 1000 + link).randrange(len(FILE))
    connection.sendall(b"GET /file HTTP/1.1\r\nHost: x\r\nRange: bytes=0-%d\r\n"
                       b"Connection: close\r\n\r\n" % size)
    answer = bytearray()
    while run.goes_on():
        more = connection.recv(65536)
        if not more:
            break
        answer += more
    head, _, body = bytes(answer).partition(b"\r\n\r\n")
    check(FILE.startswith(body), "client %d got other bytes" % number)
    is_whole = len(body) == size + 1
    check(not is_whole or head.startswith(b"HTTP/1.1 206 "), "another answer: %r" % head[:50])
    run.count(is_whole)


@test
def downloads_through_a_bad_network_are_whole_or_broken():
    with tempfile.TemporaryDirectory() as root:
        with open(os.path.join(root, "file"), "wb") as file:
            file.write(FILE)
        with Server("file_server", "--root", root) as server:
            soak(server, download, 8)


def talk(run, connection, number, link):
    """Says numbered lines; those of each other must come one by one."""
    heard = {}
    rest = b""
    said = 0
    connection.settimeout(0.05)
    while run.goes_on() and said < 200:
        said += 1
        connection.sendall(b"%d.%d.%d %s\n" % (number, link, said, b"x" * (said % 300)))
        try:
            more = connection.recv(65536)
            if not more:
                break
            rest += more
        except TimeoutError:
            continue
        *lines, rest = rest.split(b"\n")
        for line in lines:
            if line[:1] in b"*!":
                continue
            words = line.split(b": ", 1)[1].split(b" ")
            talker = words[0].rsplit(b".", 1)
            count = int(talker[1])
            check(words[1] == b"x" * (count % 300), "a line came changed: %r" % line[:100])
            check(heard.get(talker[0], count - 1) == count - 1,
                  "%d heard line %d of %r after %r" % (number, count, talker[0],
                                                      heard.get(talker[0])))
            heard[talker[0]] = count
    run.count(said == 200 or time.monotonic() >= run.end)


@test
def chat_through_a_bad_network_keeps_every_order():
    with Server("chat_server") as server:
        soak(server, talk, 8)


if __name__ == "__main__":
    sys.exit(main())
