#!/usr/bin/env python3
"""Echo servers beside each other in one interleaved run.

    sudo python3 tests/bench/run.py --build build [--rounds 15] [--seconds 1] [--connections 50]
                                    [--bytes 64] [--depth 1] [--threads N] [--instructions]
                                    [--only WORD,WORD] [--against FOLDER]

Prints for each server the median over the rounds of server CPU per message relative to the first server (a
hand-written loop), messages per server CPU-second relative to it, the rate, the 99th percentile and how often a
thread of it was switched away for each message. Without --threads all serve by one thread and the hand-written
epoll loop is the first; with it by so many, and the first is a hand-written ring on each thread. A server that is
not built or does not start is left out; --only names parts of the names of those that are to run, --against the
folder of another build whose echo_server runs too. With --instructions it also counts user instructions per message
by callgrind (the difference of two runs, so that the start does not count), and those among them that lock. It runs
in a network namespace of its own, in which TCP uses reno: other defaults, bbr above all, pace the loopback by timers
and turn the ranking round. Nothing here is a pass or fail.

On Debian: apt-get install liburing-dev libuv1-dev libasio-dev g++ valgrind"""
import argparse
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile


def proactor(name, build, port, *arguments):
    return (name, [f"{build}/samples/echo_server", "--listen", "127.0.0.1:0", *arguments], {"PROACTOR_PORT": port})


def proactors(build, threads, suffix):
    found = []
    for port in ("io_uring", "epoll"):
        if threads:
            found.append(proactor(f"group, {port}{suffix}", build, port, "--group", threads))
            found.append(proactor(f"shared, {port}{suffix}", build, port, "--threads", threads, "--concurrency",
                                  threads))
        else:
            found.append(proactor(f"proactor, {port}{suffix}", build, port))
    return found


def servers(options):
    """Name, command and environment of each; the first is what the others are compared with."""
    build = options.build
    count = str(options.threads or 1)
    epoll = ("hand-written epoll", [f"{build}/tests/bench/echo_epoll", count], {})
    ring = ("hand-written rings", [f"{build}/tests/bench/echo_ring", count], {})
    asio = ("Asio", [f"{build}/tests/bench/echo_asio", count], {})
    if options.threads:
        found = [ring, epoll, asio]
    else:
        found = [epoll, ring, asio, ("libuv", [f"{build}/tests/bench/echo_libuv"], {})]
    found += proactors(build, options.threads and count, "")
    if options.against:
        found += proactors(options.against, options.threads and count, ", other")
    words = options.only.split(",") if options.only else [""]
    return [server for server in found
            if os.path.exists(server[1][0]) and any(word in server[0] for word in words)]


class Server:
    def __init__(self, command, environment, prefix=()):
        self.process = subprocess.Popen([*prefix, *command], stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, env={**os.environ, **environment})
        line = self.process.stdout.readline().decode()
        if not line.startswith("listening on "):
            self.process.kill()
            raise RuntimeError(f"{command[0]} did not start")
        self.port = line.rsplit(":", 1)[1].strip()

    def tasks(self):
        return [f"/proc/{self.process.pid}/task/{task}" for task in os.listdir(f"/proc/{self.process.pid}/task")]

    def cpu_ns(self):
        total = 0
        for task in self.tasks():
            with open(f"{task}/schedstat") as file:
                total += int(file.read().split()[0])
        return total

    def switches(self):
        """How often its threads went to sleep."""
        total = 0
        for task in self.tasks():
            with open(f"{task}/status") as file:
                total += int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", file.read(), re.M).group(1))
        return total

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def load(build, port, options, seconds, messages=None):
    command = [f"{build}/tests/bench/load", port, str(options.connections), str(options.bytes),
               str(options.depth), str(seconds)]
    if messages:
        command.append(str(messages))
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"{' '.join(command)}: {result.stderr}")
    output = result.stdout.split()
    return dict(zip(output[::2], map(float, output[1::2])))


def measure(options):
    results = {name: [] for name, _, _ in servers(options)}
    for round_number in range(options.rounds):
        rotated = servers(options)
        shift = round_number % len(rotated)
        for name, command, environment in rotated[shift:] + rotated[:shift]:
            try:
                server = Server(command, environment)
            except RuntimeError as error:
                if round_number == 0:
                    print(f"left out: {name}: {error}", file=sys.stderr)
                continue
            load(options.build, server.port, options, 0.1)
            cpu_ns, switches = server.cpu_ns(), server.switches()
            result = load(options.build, server.port, options, options.seconds)
            result["cpu_us"] = (server.cpu_ns() - cpu_ns) / 1000 / result["messages"]
            result["switches"] = (server.switches() - switches) / result["messages"]
            server.stop()
            results[name].append(result)
    return {name: rounds for name, rounds in results.items() if rounds}


def locked_addresses(binary):
    """Where a program or library has an instruction that locks the bus: one with the prefix, or an exchange with
    memory."""
    listing = subprocess.run(["objdump", "-d", "--no-show-raw-insn", binary], capture_output=True, text=True).stdout
    return {int(address, 16) for address in re.findall(r"^ *([0-9a-f]+):\t(?:lock |xchg .*\()", listing, re.M)}


def count_instructions(dump, locked):
    """All instructions of a dump, and those among them that lock."""
    names, total, found, binary, is_call = {}, 0, 0, None, False
    for line in dump:
        if match := re.match(r"ob=\((\d+)\)(?: (.*))?", line):
            names.setdefault(match.group(1), match.group(2))
            binary = names[match.group(1)]
            if binary not in locked:
                locked[binary] = locked_addresses(binary)
        elif match := re.match(r"cob=\((\d+)\) (.*)", line):
            names[match.group(1)] = match.group(2)
        elif line.startswith("calls="):
            is_call = True
        elif match := re.match(r"0x([0-9a-f]+) \S+ (\d+)", line):
            if not is_call:
                total += int(match.group(2))
                found += int(match.group(2)) if int(match.group(1), 16) in locked[binary] else 0
            is_call = False
    return total, found


def instructions(options, command, environment):
    """The difference of two dumps of one process, so that neither start nor connecting counts. It is killed: a
    signal that interrupts the wait in a ring can hang valgrind."""
    counts, locked = [], {}
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/callgrind"
        server = Server(command, environment, ["valgrind", "--tool=callgrind", "--dump-instr=yes", "--compress-pos=no",
                                               f"--callgrind-out-file={out}"])
        for number, messages in enumerate((2000, 12000), start=1):
            load(options.build, server.port, options, 120, messages)
            subprocess.run(["callgrind_control", "-d", "bench", str(server.process.pid)], check=True,
                           capture_output=True)
            with open(f"{out}.{number}") as file:
                counts.append(count_instructions(file, locked))
        server.process.kill()
        server.process.wait()
    return [max(later - earlier, 0) / 10000 for earlier, later in zip(*counts)]


def report(options, results):
    base = [r["cpu_us"] for r in next(iter(results.values()))]
    print(f"{options.connections} connections, {options.bytes} bytes, depth {options.depth}, "
          f"{options.threads or 1} threads, {options.rounds} rounds of {options.seconds} s")
    head = (f"{'server':26} {'CPU/message':>12} {'messages/CPU':>13} {'µs':>7} {'messages/s':>11} {'p99 µs':>7} "
            f"{'sleeps':>7}")
    print(head + (f" {'instructions':>13} {'locked':>7}" if options.instructions else ""))
    for name, command, environment in servers(options):
        rounds = results.get(name)
        if not rounds:
            continue
        ratio = statistics.median(r["cpu_us"] / b for r, b in zip(rounds, base))
        line = (f"{name:26} {ratio:12.2f} {1 / ratio:13.2f} {statistics.median(r['cpu_us'] for r in rounds):7.2f} "
                f"{statistics.median(r['messages'] / r['seconds'] for r in rounds):11.0f} "
                f"{statistics.median(r['p99_us'] for r in rounds):7.0f} "
                f"{statistics.median(r['switches'] for r in rounds):7.2f}")
        if options.instructions:
            line += " {:13.0f} {:7.2f}".format(*instructions(options, command, environment))
        print(line, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--bytes", type=int, default=64)
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--against", default="")
    parser.add_argument("--instructions", action="store_true")
    parser.add_argument("--in-namespace", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.in_namespace:
        setup = ("ip link set lo up && sysctl -qw net.ipv4.tcp_congestion_control=reno && "
                 "exec \"$@\"")
        os.execvp("unshare", ["unshare", "-n", "sh", "-c", setup, "sh", sys.executable,
                              os.path.abspath(__file__), *sys.argv[1:], "--in-namespace"])
    report(options, measure(options))


if __name__ == "__main__":
    main()
