"""A TCP proxy that does to connections what bad networks do: cuts the bytes into other pieces, holds
them back, breaks connections in their middle. All of it is chosen by a seed and the order in which
connections come."""

import collections
import heapq
import random
import selectors
import socket
import struct
import threading
import time

PIECE_MAX = 3000
HELD_MAX = 64 * 1024  # bytes of one direction; then its sender has to wait


class Direction:
    """From one socket to the other."""

    def __init__(self, source, target):
        self.source = source
        self.target = target
        self.pieces = collections.deque()  # (when, bytes), b"" is the end
        self.held = 0
        self.last = 0.0
        self.has_end = False


class Proxy:
    """`with Proxy(address, seed) as proxy: … proxy.address …`; `cut_one_in` connections are broken."""

    def __init__(self, target, seed, cut_one_in=4):
        self.target = target
        self.random = random.Random(seed)
        self.cut_one_in = cut_one_in
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.listener.setblocking(False)
        self.address = self.listener.getsockname()
        self.waker, self.woken = socket.socketpair()
        self.selector.register(self.listener, selectors.EVENT_READ, None)
        self.selector.register(self.woken, selectors.EVENT_READ, None)
        self.due = []  # (when, number, direction)
        self.number = 0
        self.links = {}  # socket: (its outgoing direction, the other one, [bytes left before a cut, client])
        self.connections = 0
        self.cuts = 0
        self.cut_clients = set()  # their addresses
        self.is_over = False
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over = True
        self.waker.send(b"x")
        self.thread.join()
        for link in list(self.links):
            link.close()
        for file in (self.listener, self.waker, self.woken, self.selector):
            file.close()

    def has_cut(self, client):
        """Whether the proxy itself has broken this client's connection."""
        return client.getsockname() in self.cut_clients

    def run(self):
        while not self.is_over:
            timeout = max(0, self.due[0][0] - time.monotonic()) if self.due else None
            for key, _ in self.selector.select(timeout):
                if key.fileobj is self.listener:
                    self.accept()
                elif key.fileobj in self.links:
                    self.read(key.fileobj)
            while self.due and self.due[0][0] <= time.monotonic():
                self.write(heapq.heappop(self.due)[2])

    def accept(self):
        client, name = self.listener.accept()
        try:
            server = socket.create_connection(self.target, timeout=10)
        except OSError:
            client.close()
            return
        there, back = Direction(client, server), Direction(server, client)
        self.cut_clients.discard(name)
        # As often within the first hundred bytes as between 2,000 and 200,000.
        left = [int(10 ** self.random.uniform(0, 5.3)) if self.random.randrange(self.cut_one_in) == 0
                else None, name]
        for link, out, other in ((client, there, back), (server, back, there)):
            link.setblocking(False)
            self.links[link] = (out, other, left)
            self.selector.register(link, selectors.EVENT_READ, None)
        self.connections += 1

    def later(self, direction, when):
        self.number += 1
        heapq.heappush(self.due, (when, self.number, direction))

    def hold(self, direction, data):
        """Each piece goes out behind the one before, a little later."""
        delay = self.random.choice((0, 0, 0, 0.001, 0.005, 0.02, 0.1))
        direction.last = max(time.monotonic(), direction.last) + delay * self.random.random()
        direction.pieces.append((direction.last, data))
        direction.held += len(data)
        self.later(direction, direction.last)

    def read(self, link):
        direction, _, left = self.links[link]
        try:
            data = link.recv(16384)
        except BlockingIOError:
            return
        except OSError:
            self.cut(direction, True)
            return
        if left[0] is not None and data:
            left[0] -= len(data)
            if left[0] <= 0:
                self.cuts += 1
                self.cut_clients.add(left[1])
                self.cut(direction, self.random.randrange(2) == 0)
                return
        if not data:
            self.selector.unregister(link)
            direction.has_end = True
            self.hold(direction, b"")
        while data:
            size = self.random.randrange(1, PIECE_MAX)
            self.hold(direction, data[:size])
            data = data[size:]
        if direction.held > HELD_MAX and not direction.has_end:
            self.selector.unregister(link)

    def write(self, direction):
        """The first piece that is due, as much of it as fits."""
        if direction.source not in self.links or not direction.pieces:
            return
        when, data = direction.pieces.popleft()
        try:
            sent = direction.target.send(data) if data else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self.cut(direction, True)
            return
        was_full = direction.held > HELD_MAX
        direction.held -= sent
        if data and sent < len(data):
            direction.pieces.appendleft((when, data[sent:]))
            self.later(direction, time.monotonic() + 0.005)
            return
        if not data:
            self.end(direction)
        elif was_full and direction.held <= HELD_MAX and not direction.has_end:
            self.selector.register(direction.source, selectors.EVENT_READ, None)

    def end(self, direction):
        other = self.links[direction.source][1]
        try:
            direction.target.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        direction.pieces = None
        if other.pieces is None:
            self.cut(direction, False)

    def cut(self, direction, is_reset):
        for link in (direction.source, direction.target):
            if link not in self.links:
                continue
            del self.links[link]
            try:
                self.selector.unregister(link)
            except KeyError:
                pass
            if is_reset:
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            link.close()
