"""The chat client from outside: in a pipe, in a terminal, against servers good and bad.

usage: test_chat_client.py FOLDER_OF_THE_PROGRAMS [PART_OF_A_TEST'S_NAME]
"""

import fcntl
import os
import pty
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time

from common import (DEADLINE, WINDOWS, Client, Server, check, equal, main, program, read_line, test,
                    wait_exit, wait_readable, wait_until)


def run_client(*arguments, data=b"", **options):
    """Runs the client to its end; (status, stdout, stderr)."""
    if "stdin" not in options:
        options["input"] = data
    done = subprocess.run([program("chat_client"), *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=2 * DEADLINE, **options)
    return done.returncode, done.stdout, done.stderr


class ClientProcess:
    """A client with pipes, or with a terminal of its own, whose other end is `input` and `output`."""

    def __init__(self, *arguments, in_terminal=False):
        command = [program("chat_client"), *arguments]
        if in_terminal:
            self.input, terminal = pty.openpty()
            self.output = self.input
            settings = termios.tcgetattr(terminal)
            settings[3] &= ~termios.ECHO
            termios.tcsetattr(terminal, termios.TCSANOW, settings)
            self.process = subprocess.Popen(
                command, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
            os.close(terminal)
        else:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                bufsize=0)
            self.input = self.process.stdin.fileno()
            self.output = self.process.stdout.fileno()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()
        if not self.process.stdin:
            os.close(self.input)

    def type(self, text):
        os.write(self.input, text if isinstance(text, bytes) else text.encode())

    def expect(self, *lines):
        for line in lines:
            equal(read_line(self.output).decode().replace("\r\n", "\n"), line + "\n")

    def minds_interrupts(self):
        with open("/proc/%d/status" % self.process.pid) as file:
            caught = [line.split()[1] for line in file if line.startswith("SigCgt:")]
        return bool(int(caught[0], 16) & 1 << signal.SIGINT - 1)

    def expect_status(self, status):
        equal(wait_exit(self.process), status)


class FakeServer:
    """A server that says what it is told."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(DEADLINE)
        self.name = "127.0.0.1:%d" % self.listener.getsockname()[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    def accept(self):
        connection, _ = self.listener.accept()
        connection.settimeout(DEADLINE)
        return connection


@test
def pipe_sends_its_lines_and_prints_until_the_server_ends():
    with Server("chat_server") as server:
        ann = Client(server)
        equal(ann.line(), b"* guest1 joined lobby")
        status, out, err = run_client(server.listen, data=b"hi\n/who\n")
        equal((status, err), (0, b""))
        equal(out, b"* guest2 joined lobby\n* in lobby: guest1, guest2\n")
        equal([ann.line() for _ in range(3)],
              [b"* guest2 joined lobby", b"guest2: hi", b"* guest2 left lobby"])


@test
def last_line_needs_no_newline():
    with Server("chat_server") as server:
        ann = Client(server)
        ann.line()
        equal(run_client(server.listen, data="ü\nlast ☃".encode())[0], 0)
        equal([ann.line().decode() for _ in range(4)],
              ["* guest2 joined lobby", "guest2: ü", "guest2: last ☃", "* guest2 left lobby"])
        equal(run_client(server.listen, data=b"")[0], 0)
        equal([ann.line() for _ in range(2)],
              [b"* guest3 joined lobby", b"* guest3 left lobby"])


@test
def name_is_taken_at_once():
    with Server("chat_server") as server:
        status, out, _ = run_client(server.listen, "--nick", "ann", data=b"/who\n")
        equal(status, 0)
        equal(out, b"* guest1 joined lobby\n* guest1 is now ann\n* in lobby: ann\n")
        status, out, _ = run_client("--nick=bob", server.listen, data=b"/quit\nnot sent\n")
        equal((status, out), (0, b"* guest2 joined lobby\n* guest2 is now bob\n"))


@test
def stdin_may_be_a_file_or_nothing():
    with Server("chat_server") as server:
        ann = Client(server)
        ann.line()
        with tempfile.TemporaryFile() as file:
            lines = [b"line %d" % i for i in range(5000)]
            file.write(b"\n".join(lines))
            file.seek(0)
            equal(run_client(server.listen, stdin=file)[0], 0)
        equal(ann.line(), b"* guest2 joined lobby")
        for line in lines:
            equal(ann.line(), b"guest2: " + line)
        equal(ann.line(), b"* guest2 left lobby")
        equal(run_client(server.listen, stdin=subprocess.DEVNULL)[0], 0)
        # Wine opens a folder of its own in its place.
        if not WINDOWS:
            equal(run_client(server.listen, stdin=None, preexec_fn=lambda: os.close(0))[0], 0)


@test
def stdin_that_can_not_be_read_is_told():
    with Server("chat_server") as server, tempfile.TemporaryDirectory() as folder:
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        status, output, log = run_client(server.listen, stdin=directory)
        os.close(directory)
        equal((status, output), (1, b"* guest1 joined lobby\n"))
        check(log.startswith(b"chat_client: stdin: "), log)


@test
def much_is_sent_as_fast_as_it_is_taken():
    with FakeServer() as server, ClientProcess(server.name) as client:
        connection = server.accept()
        connection.sendall(b"* welcome\n")
        client.expect("* welcome")
        sent = 0
        os.set_blocking(client.input, False)
        line = b"m" * 99 + b"\n"
        # The server reads nothing yet: the client must stop reading the pipe at some time.
        try:
            while sent < 64 * 1024 * 1024:
                sent += os.write(client.input, line)
            raise AssertionError("the client reads without a bound")
        except BlockingIOError:
            pass
        got = 0
        client.process.stdin.close()
        while True:
            data = connection.recv(1 << 20)
            if not data:
                break
            got += len(data)
        equal(got, sent)
        connection.close()
        client.expect_status(0)


@test
def server_may_be_named():
    with Server("chat_server") as server:
        name = "localhost:%d" % server.address[1]
        equal(run_client(name, data=b"/who\n")[0], 0)


@test
def server_may_have_a_path():
    with tempfile.TemporaryDirectory() as folder:
        with Server("chat_server", listen="unix:%s/chat" % folder) as server:
            equal(run_client(server.listen, data=b"/who\n")[1].splitlines()[-1],
                  b"* in lobby: guest1")
    expect_no_connection("unix:/nonexistent/socket", b"no such file")


def expect_no_connection(name, words):
    status, out, err = run_client(name, data=b"hi\n")
    equal((status, out), (1, b""))
    check(words in err and err.count(b"\n") == 1, err)


@test
def no_connection_is_told():
    with FakeServer() as server:
        closed = server.name
    expect_no_connection(closed, b"connection refused")
    expect_no_connection("no.such.host.invalid:1", b"host name")
    for name in ("nonsense", "", "host:99999"):
        status, out, err = run_client(name, data=b"hi\n")
        check(status in (1, 2) and not out and err, (name, status, out, err))


@test
def mistakes_in_the_command_line_are_told():
    equal(run_client("--help")[0], 0)
    for arguments in ([], ["a:1", "b:2"], ["--what", "a:1"], ["a:1", "--nick"],
                      ["a:1", "--nick", "a b"], ["a:1", "--nick", ""], ["a:1", "--nick", "a" * 33]):
        status, out, err = run_client(*arguments)
        equal((status, out), (2, b""))
        equal(err.count(b"\n"), 1)


@test
def lost_connection_is_told():
    with FakeServer() as server:
        for goodbye, status in ((b"* welcome\n", 0), (b"", 1), ("reset", 1)):
            with ClientProcess(server.name) as client:
                connection = server.accept()
                client.type("hi\n")
                equal(connection.recv(100), b"hi\n")
                if goodbye == "reset":
                    connection.sendall(b"* welcome\n")
                    client.expect("* welcome")
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                          b"\1\0\0\0\0\0\0\0")
                else:
                    connection.sendall(goodbye)
                connection.close()
                client.expect_status(status)
                check(client.process.stderr.read().count(b"\n") == 1)


@test
def hostile_server_does_not_reach_the_terminal():
    with FakeServer() as server, ClientProcess(server.name) as client:
        connection = server.accept()
        for line, printed in ((b"\x1b[2Jwiped\n", "\\x1b[2Jwiped"),
                              ("grüße ☃ 𝄞\n".encode(), "grüße ☃ 𝄞"),
                              (b"\xc2\x9b31m \xff\xc0\x80\n", "\\xc2\\x9b31m \\xff\\xc0\\x80"),
                              ("\u202eevil\n".encode(), "\\xe2\\x80\\xaeevil"),
                              (b"a\rb\tc\x00d\x7f\n", "a\\x0db\\x09c\\x00d\\x7f"),
                              (b"\n", "")):
            connection.sendall(line)
            client.expect(printed)
        # A line without an end is printed in bounded pieces.
        connection.sendall(b"n" * 1000000)
        connection.sendall(b"\nlast")
        connection.close()
        seen = b""
        while not seen.endswith(b"last\n"):
            wait_readable(client.output, time.monotonic() + DEADLINE)
            seen += os.read(client.output, 65536)
        equal(seen, b"n" * 1000000 + b"\nlast\n")
        client.expect_status(0)


@test
def line_arrives_in_pieces_and_is_printed_whole():
    with FakeServer() as server, ClientProcess(server.name) as client:
        connection = server.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in "ann: wörter ☃\n".encode():
            connection.sendall(bytes([byte]))
        client.expect("ann: wörter ☃")
        connection.close()
        client.expect_status(0)


@test
def two_in_terminals_talk_and_leave():
    with Server("chat_server") as server:
        baseline = server.descriptors()
        with ClientProcess(server.listen, "--nick", "ann", in_terminal=True) as ann:
            ann.expect("* guest1 joined lobby", "* guest1 is now ann")
            with ClientProcess(server.listen, "--nick", "bob", in_terminal=True) as bob:
                bob.expect("* guest2 joined lobby", "* guest2 is now bob")
                ann.expect("* guest2 joined lobby", "* guest2 is now bob")
                ann.type("hällo\n")
                bob.expect("ann: hällo")
                bob.type("hi\n")
                ann.expect("bob: hi")
                bob.type("\x04")  # the end of a terminal's input
                ann.expect("* bob left lobby")
                bob.expect_status(0)
            ann.type("\x03")  # Ctrl-C
            ann.expect_status(0)
        server.wait_descriptors(baseline)


@test
def interrupt_ends_it_in_order():
    with Server("chat_server") as server:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with ClientProcess(server.listen) as client:
                check(b" joined lobby" in read_line(client.output))
                client.process.send_signal(number)
                client.expect_status(0)
                equal(client.process.stderr.read(), b"")
    # Also while it connects: a listener whose queue is full answers nothing.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        name = "127.0.0.1:%d" % listener.getsockname()[1]
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            fillers.append(filler)
        with ClientProcess(name) as client:
            wait_until(client.minds_interrupts, "a handler of SIGINT")
            client.process.send_signal(signal.SIGINT)
            client.expect_status(0)
        for filler in fillers:
            filler.close()


@test
def server_that_stops_ends_the_client_in_order():
    server = Server("chat_server")
    with ClientProcess(server.listen) as client:
        client.expect("* guest1 joined lobby")
        server.stop()
        client.expect("* server is shutting down")
        client.expect_status(0)


@test
def closed_stdout_ends_it():
    with FakeServer() as server, ClientProcess(server.name) as client:
        connection = server.accept()
        client.process.stdout.close()
        connection.sendall(b"x\n")
        client.expect_status(1)
        connection.close()
        client.output = client.input


@test
def full_stdout_ends_it_with_a_word():
    with FakeServer() as server, open("/dev/full", "wb") as full:
        client = subprocess.Popen([program("chat_client"), server.name], stdin=subprocess.PIPE,
                                  stdout=full, stderr=subprocess.PIPE)
        connection = server.accept()
        connection.sendall(b"x\n")
        _, err = client.communicate(timeout=DEADLINE)
        equal(client.returncode, 1)
        check(b"stdout can not be written" in err, err)
        connection.close()


@test
def dump_does_not_cut_what_is_being_printed():
    lines = b"".join(b"%079d\n" % number for number in range(1000))
    with FakeServer() as server:
        client = subprocess.Popen([program("chat_client"), server.name], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        output = client.stdout.fileno()
        fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, 4096)
        connection = server.accept()
        connection.sendall(lines)

        def waits_for_its_reader():
            unread = fcntl.ioctl(output, termios.FIONREAD, b"\0\0\0\0")
            with open("/proc/%d/stat" % client.pid) as file:
                state = file.read().rsplit(")", 1)[1].split()[0]
            return int.from_bytes(unread, sys.byteorder) == 4096 and state == "S"
        for _ in range(10):
            wait_until(waits_for_its_reader, "a full pipe")
            client.send_signal(signal.SIGUSR1)
        connection.close()
        printed, log = client.communicate(timeout=DEADLINE)
        equal((client.returncode, printed == lines), (0, True))
        check(b"in flight" in log, log)


if __name__ == "__main__":
    sys.exit(main())
