#!/usr/bin/env python3
"""The echo server of the samples beside a bare completion port loop, both under Wine, in one interleaved run.

    sh tests/windows/prepare.sh
    cmake --preset release -DPROACTOR_BUILD_BENCHMARKS=ON && cmake --build --preset release
    cmake -B build-windows-release -DCMAKE_TOOLCHAIN_FILE=tests/windows/mingw-w64.cmake \\
        -DCMAKE_BUILD_TYPE=Release -DPROACTOR_BUILD_BENCHMARKS=ON && cmake --build build-windows-release
    sudo python3 tests/bench/run_windows.py [--rounds 15] [--seconds 1] [--connections 1,50,1000]
        [--bytes 64] [--depth 1] [--build build-release] [--windows build-windows-release]

The client is a program of Linux. Server CPU is that of the program and of the wineserver, which does for it what a
kernel would. Each ratio is the median over the rounds of the bare loop's measure of that round by the proactor's, or
the reverse, so that more is better. Network namespace and prefix are the run's own. Nothing here is a pass or fail."""
import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
WINE = os.path.join(HERE, "..", "windows", "wine.sh")
WINESERVER = "/usr/lib/wine/wineserver64"
BARE = "bare loop"


def servers(build):
    return [(BARE, [f"{build}/tests/bench/echo_iocp.exe"]),
            ("proactor", [f"{build}/samples/echo_server.exe", "--listen", "127.0.0.1:0"])]


def find_wineserver(prefix):
    """Its working folder is named after the prefix."""
    status = os.stat(prefix)
    name = f"server-{status.st_dev:x}-{status.st_ino:x}"
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{process}/comm") as file:
                is_wineserver = file.read().startswith("wineserver")
            if is_wineserver and os.path.basename(os.readlink(f"/proc/{process}/cwd")) == name:
                return int(process)
        except OSError:
            continue
    raise RuntimeError("the wineserver is not running")


def cpu_ns(process):
    total = 0
    for task in os.listdir(f"/proc/{process}/task"):
        with open(f"/proc/{process}/task/{task}/schedstat") as file:
            total += int(file.read().split()[0])
    return total


class Server:
    def __init__(self, command, prefix):
        self.process = subprocess.Popen(["sh", WINE, *command], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        line = self.process.stdout.readline().decode()
        if not line.startswith("listening on "):
            self.process.kill()
            raise RuntimeError(f"{command[0]} did not start")
        self.port = line.strip().rsplit(":", 1)[1]
        self.wineserver = find_wineserver(prefix)

    def cpu_ns(self):
        return cpu_ns(self.process.pid) + cpu_ns(self.wineserver)

    def stop(self):
        # As Ctrl-C: a program that is killed may take the wineserver along.
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def load(options, server, connections):
    """What the client prints and, of the time that it measures, the server's CPU."""
    command = [f"{options.build}/tests/bench/load", server.port, str(connections), str(options.bytes),
               str(options.depth), str(options.seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
        client.stdout.readline()
        before = server.cpu_ns()
        words = client.stdout.readline().split()
        spent_ns = server.cpu_ns() - before
    result = dict(zip(words[::2], map(float, words[1::2])))
    result["cpu_us"] = spent_ns / 1000 / result["messages"]
    result["rate"] = result["messages"] / result["seconds"]
    return result


def measure(options, connections, prefix):
    results = {}
    for round_number in range(options.rounds):
        in_turn = servers(options.windows)
        if round_number % 2:
            in_turn.reverse()
        for name, command in in_turn:
            server = Server(command, prefix)
            results.setdefault(name, []).append(load(options, server, connections))
            server.stop()
    return results


def report(connections, results):
    bare = results[BARE]
    for name, rounds in results.items():
        cpu = statistics.median(b["cpu_us"] / r["cpu_us"] for r, b in zip(rounds, bare))
        rate = statistics.median(r["rate"] / b["rate"] for r, b in zip(rounds, bare))
        print(f"{connections:11} {name:10} {cpu:10.2f} {rate:10.2f} "
              f"{statistics.median(r['cpu_us'] for r in rounds):15.1f} "
              f"{statistics.median(r['rate'] for r in rounds):11.0f} "
              f"{statistics.median(r['p99_us'] for r in rounds):7.0f}", flush=True)


def run(options, prefix):
    os.environ["PROACTOR_WINEPREFIX"] = os.environ["WINEPREFIX"] = prefix
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([WINESERVER, "-p"], check=True, **quiet)
    try:
        # Wine's services start with the first program, and must not meet a measurement.
        subprocess.run(["sh", WINE, "cmd", "/c", "exit"], check=True, **quiet)
        print(f"{options.bytes} bytes, depth {options.depth}, {options.rounds} rounds of {options.seconds} s")
        print("connections server      CPU ratio rate ratio  CPU/message µs  messages/s  p99 µs")
        for connections in options.connections.split(","):
            report(connections, measure(options, connections, prefix))
    finally:
        subprocess.run([WINESERVER, "-k", "-w"], **quiet)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=f"{ROOT}/build-release")
    parser.add_argument("--windows", default=f"{ROOT}/build-windows-release")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--connections", default="1,50,1000")
    parser.add_argument("--bytes", type=int, default=64)
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("--in-namespace", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.in_namespace:
        setup = ("ip link set lo up && sysctl -qw net.ipv4.tcp_congestion_control=reno && "
                 "ulimit -n 8192 && exec \"$@\"")
        os.execvp("unshare", ["unshare", "-n", "sh", "-c", setup, "sh", sys.executable,
                              os.path.abspath(__file__), *sys.argv[1:], "--in-namespace"])
    with tempfile.TemporaryDirectory() as folder:
        prefix = os.path.join(folder, "prefix")
        shutil.copytree(f"{ROOT}/build-windows-tools/prefix", prefix, symlinks=True)
        run(options, prefix)


if __name__ == "__main__":
    main()
