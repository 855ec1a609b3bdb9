"""The echo server from outside: every byte comes back, whatever its clients do."""

import os
import random
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys

from common import (DEADLINE, Client, Server, Skip, check, equal, main, program, test, wait_exit,
                    wait_until)

MIB = 1024 * 1024


def echo_server(**keywords):
    return Server("echo_server", **keywords)


def exchange(connection, data, chunk):
    """Sends `data` in chunks of chunk() bytes while reading; what came back."""
    connection.setblocking(False)
    sent = 0
    back = bytearray()
    while len(back) < len(data):
        ready = select.select([connection], [connection] if sent < len(data) else [], [], DEADLINE)
        check(ready[0] or ready[1], "nothing moved; %d of %d bytes are back" % (len(back), len(data)))
        if ready[0]:
            piece = connection.recv(chunk())
            check(piece, "the stream ended after %d of %d bytes" % (len(back), len(data)))
            back += piece
        if ready[1]:
            try:
                sent += connection.send(data[sent:sent + chunk()])
            except BlockingIOError:
                pass
    connection.setblocking(True)
    connection.settimeout(DEADLINE)
    return bytes(back)


@test
def bytes_come_back_in_chunks_of_any_size():
    with echo_server() as server:
        for seed in range(12):
            generator = random.Random(seed)
            most = generator.choice((1, 3, 100, 4096, 4097, 70000))
            data = generator.randbytes(min(most * 300, MIB))
            with server.connect() as connection:
                back = exchange(connection, data, lambda: generator.randint(1, most))
                check(back == data, "seed %d: other bytes" % seed)


@test
def a_hundred_connections_do_not_mix():
    generator = random.Random(1)
    with echo_server() as server:
        count = server.descriptors()
        connections = [server.connect() for _ in range(100)]
        for _ in range(20):
            sent = [generator.randbytes(generator.randint(1, 6000)) for _ in connections]
            for connection, data in zip(connections, sent):
                connection.sendall(data)
            for connection, data in zip(connections, sent):
                back = b""
                while len(back) < len(data):
                    piece = connection.recv(65536)
                    check(piece, "the stream ended")
                    back += piece
                check(back == data, "other bytes")
        for connection in connections:
            connection.close()
        server.wait_descriptors(count)


@test
def what_was_sent_before_the_end_comes_back():
    data = random.Random(2).randbytes(3 * MIB)
    with echo_server() as server:
        with server.connect() as connection:
            connection.setblocking(False)
            sent = 0
            back = bytearray()
            ended = False
            while not ended:
                ready = select.select([connection], [connection] if sent < len(data) else [], [],
                                      DEADLINE)
                check(ready[0] or ready[1], "nothing moved")
                if ready[1]:
                    sent += connection.send(data[sent:sent + 65536])
                    if sent == len(data):
                        connection.shutdown(socket.SHUT_WR)
                if ready[0]:
                    piece = connection.recv(65536)
                    ended = not piece
                    back += piece
            check(back == data, "%d bytes of %d" % (len(back), len(data)))


@test
def netcat_gets_its_bytes_back():
    if not shutil.which("nc"):
        raise Skip("nc is not installed")
    data = random.Random(3).randbytes(MIB)
    with echo_server() as server:
        host, port = server.address
        done = subprocess.run(["nc", "-N", host, str(port)], input=data, stdout=subprocess.PIPE,
                              timeout=DEADLINE)
        check(done.stdout == data, "%d bytes of %d" % (len(done.stdout), len(data)))


@test
def clients_that_vanish_leave_nothing():
    with echo_server() as server:
        count = server.descriptors()
        for number in range(200):
            client = Client(server)
            if number % 4 > 0:
                client.send(b"x" * (number * 997))
            if number % 4 == 2:
                client.half_close()
            if number % 2:
                client.reset()
            else:
                client.close()
        with server.connect() as connection:
            equal(exchange(connection, b"still here", lambda: 100), b"still here")
        server.wait_descriptors(count)


@test
def a_client_that_does_not_read_costs_no_memory_and_no_time():
    with echo_server() as server:
        before = server.memory()
        greedy = server.connect(receive_buffer=4096)
        greedy.setblocking(False)
        with server.connect() as other:
            stuck = 0
            while stuck < 20:
                try:
                    greedy.send(b"x" * 65536)
                    stuck = 0
                except BlockingIOError:
                    stuck += 1
                    equal(exchange(other, b"ping", lambda: 100), b"ping")
        check(server.memory() - before < 4 * MIB, "%d bytes more" % (server.memory() - before))
        greedy.close()


@test
def signals_end_it_cleanly_with_clients_connected():
    for number in (signal.SIGINT, signal.SIGTERM):
        with echo_server() as server:
            idle = server.connect()
            busy = server.connect()
            busy.sendall(b"x" * 100)
            wait_until(lambda: select.select([busy], [], [], 0)[0], "an echo")
            server.process.send_signal(number)
            equal(wait_exit(server.process), 0)
            try:
                equal(idle.recv(1), b"")
            except ConnectionResetError:
                pass
            idle.close()
            busy.close()


@test
def a_signal_makes_it_tell_what_is_in_flight():
    with echo_server(env={"PROACTOR_DEBUG": "1"}) as server:
        with server.connect() as connection:
            equal(exchange(connection, b"abc", lambda: 100), b"abc")

            def shows_reader():
                # The echo may be back before its write is reported and the next read started.
                server.process.send_signal(signal.SIGUSR1)
                return "  read_stream 0x" in server.log()
            wait_until(shows_reader, "a dump")
            check(" ms old, started by echo_server+0x" in server.log(), server.log())
            check("debug: " not in server.log(), server.log())
            equal(exchange(connection, b"def", lambda: 100), b"def")


@test
def a_lack_of_descriptors_is_told_when_it_begins():
    with echo_server() as server:
        def waits():
            """How often its threads have waited for something."""
            folder = "/proc/%d/task" % server.process.pid
            count = 0
            for task in os.listdir(folder):
                with open(os.path.join(folder, task, "status")) as file:
                    count += int(re.search(r"\nvoluntary_ctxt_switches:\s+(\d+)", file.read())[1])
            return count

        def wait_for_tries(number):
            begun = waits()
            wait_until(lambda: waits() >= begun + number, "%d tries" % number)

        def told():
            return server.log().count("warning: accept: process has too many open files")

        limits = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE,
                         (server.descriptors(), limits[1]))
        # Accepts that were begun before may have taken the old limit along.
        clients = [server.connect() for _ in range(20)]
        wait_until(lambda: told() > 0, "a warning")
        wait_for_tries(6)
        count = told()
        wait_for_tries(6)
        equal(told(), count)
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, limits)
        for client in clients:
            equal(exchange(client, b"abc", lambda: 100), b"abc")
            client.close()


@test
def it_listens_on_unix_sockets_too():
    with echo_server(listen="unix:@echo-test-%d" % os.getpid()) as server:
        with server.connect() as connection:
            equal(exchange(connection, b"abc" * 10000, lambda: 5000), b"abc" * 10000)


@test
def the_command_line_is_checked():
    path = program("echo_server")
    done = subprocess.run([path, "--help"], stdout=subprocess.PIPE, timeout=DEADLINE)
    equal(done.returncode, 0)
    for word in (b"--listen", b"--threads", b"--concurrency", b"--group"):
        check(word in done.stdout, word)
    for arguments, status in ((["--none"], 2), (["--listen", "nonsense"], 1),
                              (["--threads", "0"], 2), (["--threads", "257"], 2),
                              (["--group", "0"], 2), (["--group", "257"], 2),
                              (["--concurrency", "0"], 2), (["--concurrency", "2"], 2),
                              (["--group", "2", "--threads", "2"], 2),
                              (["--group", "2", "--concurrency", "2"], 2)):
        done = subprocess.run([path, *arguments], stderr=subprocess.PIPE, timeout=DEADLINE)
        equal((arguments, done.returncode), (arguments, status))
    with echo_server() as server:
        done = subprocess.run([path, "--listen", server.listen], stderr=subprocess.PIPE,
                              timeout=DEADLINE)
        equal(done.returncode, 1)
        check(done.stderr.count(b"address in use") == 1, done.stderr)


@test
def a_full_stdout_ends_it_with_a_word():
    for arguments, words in ((["--help"], []),
                             (["--listen", "127.0.0.1:0"], [b"stdout can not be written"])):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([program("echo_server"), *arguments], stdout=full,
                                  stderr=subprocess.PIPE, timeout=DEADLINE)
        equal(done.returncode, 1)
        # In front of it stands the port.
        equal(done.stderr.splitlines()[1:], [b"echo_server: " + word for word in words])


if __name__ == "__main__":
    sys.exit(main())
