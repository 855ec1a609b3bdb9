"""What the tests of the samples share: a runner, a server process, a line client.

A test file defines functions marked @test and ends with `sys.exit(main())`. The programs are looked
for in the folder given as first argument, or in PROACTOR_SAMPLES. Nothing sleeps: every wait is a
select with a deadline.
"""

import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

# The programs are Windows'; the clients are not.
WINDOWS = bool(os.environ.get("PROACTOR_TEST_WINDOWS"))

DEADLINE = float(os.environ.get("PROACTOR_TEST_DEADLINE", "30"))  # seconds for any one wait

# Further arguments of every server: the form in which it runs its threads.
FORM = os.environ.get("PROACTOR_TEST_FORM", "").split()

_tests = []


class Skip(Exception):
    """Raised by a test that can not run here, with the reason."""


def test(function):
    """Marks a test; its name is the fact that it proves."""
    _tests.append(function)
    return function


def main():
    """Runs the tests (those whose name contains the second argument); 0 when none failed."""
    wanted = sys.argv[2] if len(sys.argv) > 2 else ""
    passed = failed = skipped = 0
    for function in _tests:
        if wanted not in function.__name__:
            continue
        began = time.monotonic()
        try:
            function()
            passed += 1
            word = "ok  "
        except Skip as reason:
            skipped += 1
            word = "skip (%s)" % reason
        except Exception:  # a failed test must not keep the others from running
            traceback.print_exc(file=sys.stdout)
            failed += 1
            word = "FAIL"
        print("%s %s %.2f s" % (word, function.__name__, time.monotonic() - began), flush=True)
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped), flush=True)
    return 1 if failed else 0


def program(name):
    """The path of a built sample."""
    folder = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("PROACTOR_SAMPLES", ".")
    for base, _, names in os.walk(folder):
        path = os.path.join(base, name)
        if name in names and os.access(path, os.X_OK):
            return path
    raise AssertionError("%s was not built in %s" % (name, folder))


def check(condition, message="check failed"):
    """An assert that stays on and says what was seen."""
    if not condition:
        raise AssertionError(message)


def equal(seen, expected):
    check(seen == expected, "saw %r, expected %r" % (seen, expected))


def wait_readable(file, deadline):
    """Waits until `file` is readable; AssertionError at the deadline (time.monotonic())."""
    ready, _, _ = select.select([file], [], [], max(0, deadline - time.monotonic()))
    check(ready, "nothing arrived in time")


def wait_until(condition, what, seconds=None):
    """For facts that come without an event (such as /proc): asks again every few milliseconds."""
    deadline = time.monotonic() + (seconds or DEADLINE)
    while not condition():
        check(time.monotonic() < deadline, "not in time: " + what)
        select.select([], [], [], 0.005)


def read_line(file, deadline=None):
    """One line of a pipe's descriptor, without reading beyond it; b"" at its end."""
    deadline = deadline or time.monotonic() + DEADLINE
    line = b""
    while not line.endswith(b"\n"):
        wait_readable(file, deadline)
        byte = os.read(file if isinstance(file, int) else file.fileno(), 1)
        if not byte:
            break
        line += byte
    return line


def wait_exit(process, seconds=None):
    """Waits for a process by its pidfd; its exit status."""
    if process.poll() is None:
        descriptor = os.pidfd_open(process.pid)
        try:
            wait_readable(descriptor, time.monotonic() + (seconds or DEADLINE))
        finally:
            os.close(descriptor)
    return process.wait()


class NotListening(AssertionError):
    """Raised by a server that ended without listening; `status` is what it ended with."""

    def __init__(self, status, log):
        super().__init__("it ended with status %d; log:\n%s" % (status, log))
        self.status = status
        self.log = log


class Server:
    """A server on a free loopback port: `with Server("chat_server") as server: …`. Leaving the block
    stops it with SIGINT and checks that it exits with 0. `before` is a command that becomes it."""

    def __init__(self, name, *arguments, listen="127.0.0.1:0", env=None, before=()):
        # To append, as this process and the service share its place in the file.
        self.log_file = tempfile.TemporaryFile("a+b")
        self.process = subprocess.Popen(
            [*before, program(name), "--listen", listen, *FORM, *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log_file,
            env=dict(os.environ, **(env or {})))
        first = read_line(self.process.stdout).decode()
        found = re.fullmatch(r"listening on (.*)\n", first)
        if not found:
            try:
                status = None if first else wait_exit(self.process)
            finally:
                self.kill()
            if status is not None:
                raise NotListening(status, self.log())
            raise AssertionError("first line %r; log:\n%s" % (first, self.log()))
        self.listen = found.group(1)
        if self.listen.startswith("unix:"):
            self.address = self.listen[5:].replace("@", "\0", 1)
            self.family = socket.AF_UNIX
        else:
            host, port = self.listen.rsplit(":", 1)
            self.family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
            self.address = (host.strip("[]"), int(port))

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            self.kill()
            lines = self.log().splitlines()
            print("---- end of the server's log of %d lines ----" % len(lines))
            print("\n".join(lines[-30:] + ["----"]))
            return
        self.stop()

    def log(self):
        """All that it wrote to stderr so far."""
        # The server writes at the same file's offset, which must stay where it is.
        descriptor = self.log_file.fileno()
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(
            "ascii", "backslashreplace")

    def connect(self, receive_buffer=None):
        """A connected blocking socket with a deadline."""
        connection = socket.socket(self.family, socket.SOCK_STREAM)
        connection.settimeout(DEADLINE)
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.connect(self.address)
        return connection

    def descriptors(self):
        """How many descriptors it has open."""
        return len(os.listdir("/proc/%d/fd" % self.process.pid))

    def wait_descriptors(self, count):
        """Waits until it has `count` descriptors open."""
        try:
            wait_until(lambda: self.descriptors() == count, "%d descriptors" % count)
        except AssertionError:
            folder = "/proc/%d/fd" % self.process.pid
            names = [os.readlink(os.path.join(folder, name)) for name in os.listdir(folder)]
            raise AssertionError("%d descriptors instead of %d: %s" % (len(names), count, names))

    def memory(self):
        """Resident bytes."""
        with open("/proc/%d/statm" % self.process.pid) as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def own_memory(self):
        """Resident bytes of its own, without the pages of programs and files."""
        with open("/proc/%d/status" % self.process.pid) as file:
            return int(re.search(r"RssAnon:\s+(\d+) kB", file.read()).group(1)) * 1024

    def stop(self, signal_number=signal.SIGINT, seconds=None):
        """Stops it by a signal and checks the clean end."""
        self.process.send_signal(signal_number)
        try:
            status = wait_exit(self.process, seconds)
        except AssertionError:
            self.kill()
            raise
        self.process.stdout.close()
        check(status == 0, "exit status %d; log:\n%s" % (status, self.log()))

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Client:
    """A connection spoken to in lines."""

    def __init__(self, server, receive_buffer=None):
        self.socket = server.connect(receive_buffer)
        self.buffer = b""

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def line(self, deadline=None):
        """The next line without its newline; None at the end of the stream."""
        deadline = deadline or time.monotonic() + DEADLINE
        while b"\n" not in self.buffer:
            wait_readable(self.socket, deadline)
            data = self.socket.recv(65536)
            if not data:
                check(not self.buffer, "the stream ended within a line: %r" % self.buffer[:80])
                return None
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line

    def rest(self):
        """All bytes until the end of the stream."""
        data = self.buffer
        self.buffer = b""
        deadline = time.monotonic() + DEADLINE
        while True:
            wait_readable(self.socket, deadline)
            more = self.socket.recv(65536)
            if not more:
                return data
            data += more

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def close(self):
        self.socket.close()

    def reset(self):
        """Closes with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()
