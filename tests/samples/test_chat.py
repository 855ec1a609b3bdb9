"""The chat server from outside: every promise of its protocol and every refusal.

usage: test_chat.py FOLDER_OF_THE_PROGRAMS [PART_OF_A_TEST'S_NAME]
"""

import os
import random
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time

from common import (DEADLINE, WINDOWS, Client, Server, check, equal, main, program, test, wait_exit,
                    wait_until)

LINE_BYTES = 4096
UNREAD_BYTES = 256 * 1024


class Chatter(Client):
    """A connection that knows its name."""

    def __init__(self, server, name=None, receive_buffer=None):
        super().__init__(server, receive_buffer)
        words = self.line().decode().split()
        equal(words[0], "*")
        equal(words[2:], ["joined", "lobby"])
        self.name = words[1]
        if name:
            self.send("/nick %s\n" % name)
            self.expect("* %s is now %s" % (self.name, name))
            self.name = name

    def expect(self, *lines):
        """The next lines are these."""
        for line in lines:
            equal(self.line(), line if isinstance(line, bytes) else line.encode())

    def skip_to(self, wanted):
        """Reads up to this line."""
        line = b""
        while line != wanted.encode():
            line = self.line()
            check(line is not None, "the end came before %r" % wanted)

    def expect_end(self):
        """The server ends the connection in order, without another line."""
        equal(self.line(), None)

    def ask(self, text):
        """Sends a line and returns the next one."""
        self.send(text + "\n")
        return self.line().decode()


def chatters(server, *names):
    """Chatters who have seen each other come."""
    found = []
    for name in names:
        chatter = Chatter(server, name)
        for other in found:
            arrival = other.line().decode().split()
            equal(arrival[2:], ["joined", "lobby"])
            other.expect("* %s is now %s" % (arrival[1], name))
        found.append(chatter)
    return found


class Swarm:
    """Many connections served at once: what is to be sent goes out as it can, what comes is kept."""

    def __init__(self, clients):
        self.clients = clients
        self.output = {client: b"" for client in clients}
        self.ended = set()

    def send(self, client, data):
        self.output[client] += data

    def run(self, is_done, what, seconds=None):
        """Moves bytes until is_done()."""
        deadline = time.monotonic() + (seconds or DEADLINE)
        with selectors.DefaultSelector() as selector:
            for client in self.clients:
                client.buffer = bytearray(client.buffer)  # grows without being copied
                if client in self.ended:
                    continue
                client.socket.setblocking(False)
                events = selectors.EVENT_READ
                if self.output[client]:
                    events |= selectors.EVENT_WRITE
                selector.register(client.socket, events, client)
            while not is_done():
                check(time.monotonic() < deadline, "not in time: " + what)
                for key, events in selector.select(max(0, deadline - time.monotonic())):
                    self._move(selector, key.data, events)
        for client in self.clients:
            client.buffer = bytes(client.buffer)
            client.socket.settimeout(DEADLINE)

    def _move(self, selector, client, events):
        if events & selectors.EVENT_WRITE:
            sent = client.socket.send(self.output[client][:65536])
            self.output[client] = self.output[client][sent:]
            if not self.output[client]:
                selector.modify(client.socket, selectors.EVENT_READ, client)
        if events & selectors.EVENT_READ:
            data = client.socket.recv(262144)
            client.buffer += data
            if not data:
                self.ended.add(client)
                selector.unregister(client.socket)


def crowd(server, count):
    """`count` chatters in the lobby, with nothing left to read."""
    clients = [Chatter(server) for _ in range(count)]
    for index, client in enumerate(clients):
        for later in clients[index + 1:]:
            client.expect("* %s joined lobby" % later.name)
    return clients


# ---- arriving, talking, leaving ----

@test
def newcomer_is_a_guest_in_the_lobby():
    with Server("chat_server") as server:
        first = Client(server)
        equal(first.line(), b"* guest1 joined lobby")
        second = Client(server)
        equal(second.line(), b"* guest2 joined lobby")
        equal(first.line(), b"* guest2 joined lobby")


@test
def line_reaches_everyone_else_in_the_room_and_nobody_else():
    with Server("chat_server") as server:
        ann, bob, eve, dan = chatters(server, "ann", "bob", "eve", "dan")
        dan.send("/join cellar\n")
        dan.expect("* dan joined cellar")
        for other in (ann, bob, eve):
            other.expect("* dan left lobby")
        ann.send("hello, wörld ☃ 𝄞\n")
        bob.expect("ann: hello, wörld ☃ 𝄞")
        eve.expect("ann: hello, wörld ☃ 𝄞")
        bob.send("hi\n")
        ann.expect("bob: hi")
        eve.expect("bob: hi")
        dan.send("alone\n/who\n")
        dan.expect("* in cellar: dan")
        ann.send("/who\n")
        ann.expect("* in lobby: ann, bob, eve")


@test
def carriage_return_before_the_newline_is_ignored():
    with Server("chat_server") as server:
        ann, bob = chatters(server, "ann", "bob")
        ann.send(b"one\r\n/nick anna\r\ntwo\n\r\n\nthree\r\n")
        bob.expect("ann: one", "* ann is now anna", "anna: two", "anna: three")


@test
def line_may_come_byte_by_byte():
    with Server("chat_server") as server:
        ann, bob = chatters(server, "ann", "bob")
        ann.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in "grüße ☃ an alle\n/nick anna\nfertig\n".encode():
            ann.send(bytes([byte]))
        bob.expect("ann: grüße ☃ an alle", "* ann is now anna", "anna: fertig")


@test
def lines_may_be_cut_and_joined_anywhere():
    chance = random.Random(1)
    with Server("chat_server") as server:
        ann, bob = chatters(server, "ann", "bob")
        ann.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lines = ["%d %s" % (i, "é" * chance.randrange(0, 900)) for i in range(300)]
        stream = "".join(line + chance.choice(("\n", "\r\n")) for line in lines).encode()
        at = 0
        while at < len(stream):
            size = chance.choice((1, 2, 3, 100, 1000, 4095, 4096, 4097, 20000))
            ann.send(stream[at:at + size])
            at += size
        for line in lines:
            bob.expect("ann: " + line)


@test
def empty_line_reaches_nobody():
    with Server("chat_server") as server:
        ann, bob = chatters(server, "ann", "bob")
        ann.send("\n\r\n \nend\n")
        bob.expect("ann:  ", "ann: end")


@test
def quit_and_end_of_stream_leave_after_all_lines():
    with Server("chat_server") as server:
        baseline = server.descriptors()
        ann, bob, eve = chatters(server, "ann", "bob", "eve")
        ann.send("bye\n/quit\nnever said\n")
        ann.expect_end()
        for other in (bob, eve):
            other.expect("ann: bye", "* ann left lobby")
        ann.close()
        bob.send("/who\n/rooms\none\n" + "two\n" * 100 + "unfinished")
        bob.half_close()
        bob.expect("* in lobby: bob, eve", "* rooms: lobby (2)")
        bob.expect_end()
        bob.close()
        eve.expect("bob: one", *["bob: two"] * 100, "* bob left lobby")
        equal(eve.ask("/who"), "* in lobby: eve")
        eve.close()
        server.wait_descriptors(baseline)


@test
def help_lists_every_command_and_unknown_ones_are_told():
    with Server("chat_server") as server:
        ann, bob = chatters(server, "ann", "bob")
        ann.send("/help\n/who\n")
        lines = []
        while not lines or not lines[-1].startswith("* in "):
            lines.append(ann.line().decode())
        check(all(line.startswith("* ") for line in lines))
        for word in ("/nick", "/join", "/who", "/rooms", "/msg", "/quit", "/help"):
            check(any(line.startswith("* %s " % word) for line in lines), word)
        equal(ann.ask("/dance with me"), "! unknown command: /dance")
        equal(ann.ask("/"), "! unknown command: /")
        equal(ann.ask("/nickel x"), "! unknown command: /nickel")
        equal(ann.ask("/nic x"), "! unknown command: /nic")
        # A long one is cut, between characters.
        answer = ann.ask("/" + "ü" * 1000)
        check(answer.startswith("! unknown command: /üü") and len(answer.encode()) < 100, answer)
        ann.send("end\n")
        bob.expect("ann: end")


# ---- names and rooms ----

@test
def name_is_unique_ignoring_case():
    with Server("chat_server") as server:
        ann, bob = chatters(server, "ann", "bob")
        equal(bob.ask("/nick ANN"), "! name is taken: ann")
        equal(bob.ask("/nick bob"), "! name is taken: bob")
        equal(bob.ask("/nick Bob"), "* bob is now Bob")
        ann.expect("* bob is now Bob")
        equal(ann.ask("/nick bOB"), "! name is taken: Bob")
        bob.send("/quit\n")
        bob.expect_end()
        ann.expect("* Bob left lobby")
        equal(ann.ask("/nick bob"), "* ann is now bob")
        equal(ann.ask("/nick guest3"), "* bob is now guest3")
        # The next guest's number is taken, so it gets another.
        equal(Chatter(server).name, "guest4")


@test
def bad_names_are_refused():
    answers = {"nick": "! a name is 1-32 letters, digits, _ or -",
               "join": "! a room is 1-32 letters, digits, _ or -"}
    bad = ["", " ", "a b", "a,b", "a:b", "/", "..", "é", "ａnn", "a" * 33, "*", "!", "a.b",
           "x" * 4000]
    good = ["a", "A-_9", "0", "-", "_", "b" * 32]
    with Server("chat_server") as server:
        ann, bob = chatters(server, "ann", "bob")
        for word, answer in answers.items():
            for name in bad:
                equal(ann.ask("/%s %s" % (word, name)), answer)
            equal(ann.ask("/" + word), answer)
        old = "ann"
        for name in good:
            equal(ann.ask("/nick " + name), "* %s is now %s" % (old, name))
            bob.expect("* %s is now %s" % (old, name))
            old = name
        equal(ann.ask("/nick  spaces  "), "* %s is now spaces" % old)
        bob.expect("* %s is now spaces" % old)


@test
def race_for_a_name_has_one_winner():
    with Server("chat_server") as server:
        racers = crowd(server, 40)
        swarm = Swarm(racers)
        for racer in racers:
            swarm.send(racer, b"/nick Winner\n")
        swarm.run(lambda: all(b"is now Winner\n" in racer.buffer and
                              (b"! name is taken: Winner\n" in racer.buffer or
                               b"* %s is now" % racer.name.encode() in racer.buffer)
                              for racer in racers), "an answer for each racer")
        losers = [racer for racer in racers if b"! name is taken" in racer.buffer]
        equal(len(losers), len(racers) - 1)


@test
def room_lives_while_it_has_members():
    with Server("chat_server") as server:
        ann, bob = chatters(server, "ann", "bob")
        equal(ann.ask("/rooms"), "* rooms: lobby (2)")
        equal(ann.ask("/join Games"), "* ann joined Games")
        bob.expect("* ann left lobby")
        equal(ann.ask("/rooms"), "* rooms: lobby (1), Games (1)")
        equal(bob.ask("/join gAMES"), "* bob joined Games")
        ann.expect("* bob joined Games")
        equal(ann.ask("/rooms"), "* rooms: Games (2)")
        equal(ann.ask("/join games"), "! you are in Games already")
        equal(ann.ask("/join lobby"), "* ann joined lobby")
        bob.expect("* ann left Games")
        bob.send("/quit\n")
        bob.expect_end()
        equal(ann.ask("/rooms"), "* rooms: lobby (1)")
        equal(ann.ask("/join games"), "* ann joined games")


@test
def private_line_reaches_that_one_only():
    with Server("chat_server") as server:
        ann, bob, eve = chatters(server, "ann", "bob", "eve")
        ann.send("/msg BOB  psst, ☃\n/msg bob\n/msg\n/msg bob \n/msg nobody x\n/msg ann myself\n")
        bob.expect("ann (private):  psst, ☃")
        ann.expect(*["! usage: /msg NICK TEXT"] * 3, "! nobody is called nobody",
                   "ann (private): myself")
        equal(ann.ask("/msg " + "z" * 3000 + " x"), "! nobody is called " + "z" * 64)
        eve.send("/join cellar\n")
        eve.expect("* eve joined cellar")
        eve.send("/msg bob from afar\n")
        bob.expect("* eve left lobby", "eve (private): from afar")


@test
def long_lists_go_on_in_another_line():
    with Server("chat_server") as server:
        clients = [Chatter(server) for _ in range(150)]
        names = []
        asker = clients[0]
        for index, client in enumerate(clients):
            name = ("n%d-" % index).ljust(32, "x")
            names.append(name)
            client.send("/nick %s\n/join r%s\n" % (name, name[1:]))
            client.skip_to("* %s joined r%s" % (name, name[1:]))
        for name, client in zip(names, clients):
            client.send("/join lobby\n")
            asker.skip_to("* %s joined lobby" % name)
        asker.send("/who\n")
        listed = []
        lines = 0
        while len(listed) < len(clients):
            line = asker.line()
            check(len(line) < LINE_BYTES, "a line of %d bytes" % len(line))
            check(line.startswith(b"* in lobby: "), line)
            listed += line.decode()[len("* in lobby: "):].split(", ")
            lines += 1
        equal(sorted(listed), sorted(names))
        check(lines == 2, "%d lines" % lines)


# ---- refusals ----

@test
def line_has_at_most_4096_bytes_with_its_newline():
    for text, end, is_good in ((4094, b"\n", True), (4095, b"\n", True), (4096, b"\n", False),
                               (4097, b"\n", False), (4094, b"\r\n", True), (4095, b"\r\n", False),
                               (4096, b"", False), (10000, b"", False)):
        with Server("chat_server") as server:
            ann, bob = chatters(server, "ann", "bob")
            ann.send(b"first\n" + b"x" * text + end)
            bob.expect("ann: first")
            if is_good:
                bob.expect(b"ann: " + b"x" * text)
                ann.send("still here\n")
                bob.expect("ann: still here")
            else:
                ann.expect("! line too long")
                ann.expect_end()
                bob.expect("* ann left lobby")
                bob.send("/who\n")
                bob.expect("* in lobby: bob")


@test
def too_long_a_line_is_told_to_one_who_goes_on_sending():
    with Server("chat_server") as server:
        baseline = server.descriptors()
        ann, bob = chatters(server, "ann", "bob")
        ann.send(b"y" * 900000)  # less than what the server throws away before it closes
        ann.expect("! line too long")
        ann.expect_end()
        ann.close()
        bob.expect("* ann left lobby")
        # And one who never stops does not keep the connection.
        eve = Chatter(server, "eve")
        bob.line(), bob.line()
        deadline = time.monotonic() + DEADLINE
        try:
            while time.monotonic() < deadline:
                eve.send(b"z" * 65536)
            raise AssertionError("the server took everything")
        except OSError:
            pass
        eve.close()
        bob.expect("* eve left lobby")
        bob.close()
        server.wait_descriptors(baseline)


def hostile_texts():
    """Bytes that no line may contain: invalid UTF-8 and characters that steer terminals."""
    texts = [bytes([byte]) for byte in range(0x80, 0x100)]
    texts += [bytes([lead, 0x80 + low]) for lead in (0xc0, 0xc1) for low in range(0, 64, 7)]
    texts += [bytes([0xe0, second, 0x80]) for second in range(0x80, 0xa0)]
    texts += [bytes([0xf0, second, 0x80, 0x80]) for second in range(0x80, 0x90)]
    texts += [bytes([0xed, second, last]) for second in range(0xa0, 0xc0) for last in (0x80, 0xbf)]
    texts += [bytes([0xf4, second, 0x80, 0x80]) for second in range(0x90, 0xc0, 5)]
    texts += [bytes([lead, 0x80, 0x80, 0x80]) for lead in range(0xf5, 0xf8)]
    texts += [b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80", b"\xfe", b"\xff", b"\xff\xfe"]
    for good in ("é", "☃", "𝄞"):
        whole = good.encode()
        texts += [whole[:cut] for cut in range(1, len(whole))]
        texts += [whole[:cut] + b"A" for cut in range(1, len(whole))]
        texts += [whole + whole[-1:], whole[:-1] + b"\xc3", whole[1:]]
    texts += [bytes([byte]) for byte in range(0x20) if byte != 0x0a]
    texts += [b"\x7f", b"\x1b[2J", b"\x1b]0;title\x07", b"\r\r", b"a\rb", b"\x00", b"a\x00b"]
    codes = list(range(0x80, 0xa0)) + [0x061c, 0x200e, 0x200f] + list(range(0x2028, 0x202f))
    codes += list(range(0x2066, 0x206a))
    texts += [chr(code).encode() for code in codes]
    return texts


def good_texts():
    """The neighbours of what is refused, and the corners of each length."""
    codes = [0x20, 0x7e, 0xa0, 0xff, 0x61b, 0x61d, 0x7ff, 0x800, 0x2027, 0x202f, 0x200d, 0x2010,
             0x2065, 0x206a, 0xd7ff, 0xe000, 0xfeff, 0xfffd, 0xffff, 0x10000, 0x1f600, 0x10ffff]
    return [chr(code) for code in codes] + ["👩‍👩‍👧", "日本語", "שלום", "e\u0301", "%s%n%x"]


@test
def hostile_text_is_refused_and_reaches_nobody():
    with Server("chat_server") as server:
        ann, bob = chatters(server, "ann", "bob")
        texts = hostile_texts()
        check(len(texts) >= 300, "only %d" % len(texts))
        for number, text in enumerate(texts):
            forms = [b"x" + text + b"y", b"/msg bob " + text + b".", b"/nick " + text + b".",
                     b"/join " + text + b"_", b"/" + text + b"_"]
            if text != b"\r":
                forms.append(text)
            ann.send(b"\n".join(forms) + b"\nmark %d\n" % number)
            for form in forms:
                answer = ann.line()
                check(answer in (b"! refused: not UTF-8", b"! refused: control character"),
                      "%r was answered by %r" % (form, answer))
            bob.expect("ann: mark %d" % number)
        for text in good_texts():
            ann.send(text + "\n")
            bob.expect("ann: " + text)


@test
def control_characters_and_bad_utf8_are_told_apart():
    with Server("chat_server") as server:
        ann = Chatter(server, "ann")
        ann.send(b"\x1b[31mred\n\xc2\x9b31m\n\xe2\x80\xaeevil\na\tb\n\xc0\x8a\n")
        ann.expect(*["! refused: control character"] * 4, "! refused: not UTF-8")


@test
def log_is_one_printable_line_for_each_event():
    with Server("chat_server") as server:
        ann, bob = chatters(server, "ann", "bob")
        ann.send(b"\x1b[2J\nforged\nchat_server: bob dropped\n/nick x\ny\n")
        bob.expect("ann: forged", "ann: chat_server: bob dropped", "* ann is now x", "x: y")
        ann.reset()
        bob.expect("* x left lobby")
        log = server.log()
    check("dropped" not in log and "forged" not in log, log)
    for line in log.splitlines():
        check(line.startswith("chat_server: "), line)
        check(line.isprintable() and line.isascii(), repr(line))


@test
def connections_are_limited():
    with Server("chat_server", "--max-connections", "3") as server:
        guests = crowd(server, 3)
        first = guests[0]
        fourth = Client(server)
        equal(fourth.rest(), b"")
        equal(first.ask("/rooms"), "* rooms: lobby (3)")
        first.send("/quit\n")
        first.expect_end()
        first.close()
        # Its place is free once the server has closed it.
        def gets_in():
            fifth = Client(server)
            return fifth.line() is not None
        wait_until(gets_in, "a free place")
    with Server("chat_server", "--max-per-address", "2") as server:
        guests = crowd(server, 2)
        equal(Client(server).rest(), b"")
        equal(guests[0].ask("/rooms"), "* rooms: lobby (2)")
        check("too many connections from one address" in server.log(), server.log())


# ---- load ----

@test
def broadcast_of_200_clients_arrives_whole_and_in_order():
    count, lines = 200, 20
    with Server("chat_server") as server:
        baseline = server.descriptors()
        clients = crowd(server, count)
        swarm = Swarm(clients)
        sent = {client: [b"%s: line %d of %s" % (client.name.encode(), i, client.name.encode())
                         for i in range(lines)] for client in clients}
        for client in clients:
            own = client.name.encode() + b": "
            swarm.send(client, b"".join(line[len(own):] + b"\n" for line in sent[client]))
        size = sum(len(line) + 1 for client in clients for line in sent[client])
        own_size = {client: sum(len(line) + 1 for line in sent[client]) for client in clients}
        swarm.run(lambda: all(len(client.buffer) >= size - own_size[client] for client in clients),
                  "all lines everywhere")
        for client in clients:
            seen = {}
            check(client.buffer.endswith(b"\n"))
            for line in client.buffer.split(b"\n")[:-1]:
                seen.setdefault(line.split(b":")[0], []).append(line)
            for other in clients:
                expected = None if other is client else sent[other]
                equal(seen.get(other.name.encode()), expected)
            client.buffer = b""
        for client in clients:
            client.close()
        server.wait_descriptors(baseline)


@test
def burst_of_long_lines_drops_nobody_who_reads():
    count = 100
    with Server("chat_server") as server:
        clients = crowd(server, count)
        swarm = Swarm(clients)
        # All lines are there at once: 400 KB for each member before it could read any.
        server.process.send_signal(signal.SIGSTOP)
        for client in clients:
            client.send(b"b" * (LINE_BYTES - 1) + b"\n")
        server.process.send_signal(signal.SIGCONT)
        size = (count - 1) * (LINE_BYTES + len("guest0: "))
        swarm.run(lambda: all(len(client.buffer) >= size for client in clients),
                  "all lines everywhere", 2 * DEADLINE)
        for client in clients:
            lines = client.buffer.split(b"\n")
            equal(lines.pop(), b"")
            equal({line.split(b": ")[0].decode() for line in lines},
                  {other.name for other in clients} - {client.name})
            check(all(line.endswith(b": " + b"b" * (LINE_BYTES - 1)) for line in lines))


@test
def slow_reader_is_dropped_and_nobody_waits_for_it():
    with Server("chat_server") as server:
        baseline = server.descriptors()
        ann, bob = chatters(server, "ann", "bob")
        sloth = Chatter(server, "sloth", receive_buffer=4096)
        for other in (ann, bob):
            other.line(), other.line()
        swarm = Swarm([ann, bob])
        line = b"s" * 1000 + b"\n"
        total = 3000  # 3 MB: more than what the kernels and the server keep for one
        swarm.send(ann, line * total)
        notice = b"* sloth dropped: too slow\n"
        size = total * len(b"ann: " + line) + len(notice)
        swarm.run(lambda: len(bob.buffer) >= size, "all lines for the one who reads")
        equal(bob.buffer.count(notice), 1)
        equal(bob.buffer.replace(notice, b""), total * (b"ann: " + line))
        equal(ann.buffer, notice)
        # It was dropped by what piled up: the bound, and what the kernels hold.
        before = bob.buffer.index(notice)
        check(UNREAD_BYTES // 2 < before < UNREAD_BYTES + 1024 * 1024, "dropped at %d" % before)
        bob.buffer = ann.buffer = b""
        equal(ann.ask("/who"), "* in lobby: ann, bob")
        for client in (ann, bob, sloth):
            client.close()
        server.wait_descriptors(baseline)


@test
def broadcast_shares_its_bytes():
    count, lines = 100, 50
    with Server("chat_server") as server:
        talker = Chatter(server)
        sleepers = [Chatter(server, receive_buffer=4096) for _ in range(count)]
        for sleeper in sleepers:
            talker.expect("* %s joined lobby" % sleeper.name)
        before = server.memory()
        # Less than a member may let pile up: 200 KiB wait for each of them.
        talker.send((b"m" * (LINE_BYTES - 1) + b"\n") * lines + b"/who\n")
        check(talker.line().startswith(b"* in lobby: "))
        grown = server.memory() - before
        copies = count * lines * LINE_BYTES
        check(grown < copies // 4, "%d bytes more, copies would be %d" % (grown, copies))


@test
def one_who_asks_without_reading_is_made_to_wait_not_dropped():
    with Server("chat_server") as server:
        ann, bob = chatters(server, "ann", "bob")
        swarm = Swarm([ann])
        asked = 20000
        swarm.send(ann, b"/help\n" * asked + b"/quit\n")
        # Nothing is read from ann until its own output stops moving: the server reads no more.
        ann.socket.setblocking(False)
        try:
            while swarm.output[ann]:
                sent = ann.socket.send(swarm.output[ann])
                swarm.output[ann] = swarm.output[ann][sent:]
        except BlockingIOError:
            pass
        bob.send("/who\n")
        bob.expect("* in lobby: ann, bob")
        swarm.run(lambda: ann in swarm.ended, "all answers, then the end")
        equal(ann.buffer.count(b"* /help "), asked)
        bob.expect("* ann left lobby")


@test
def abrupt_resets_disturb_nobody():
    with Server("chat_server") as server:
        baseline = server.descriptors()
        ann, bob = chatters(server, "ann", "bob")
        for round_number in range(30):
            guests = [Chatter(server) for _ in range(3)]
            ann.send("round %d\n" % round_number)
            guests[0].send("half a line")
            guests[1].send("x\n" * 50)
            for guest in guests:
                guest.reset()
        ann.send("end\n")
        rounds = 0
        gone = 0
        line = b""
        while line != b"ann: end":
            line = bob.line()
            check(line is not None, "bob was disturbed")
            if line == b"ann: round %d" % rounds:
                rounds += 1
            gone += line.endswith(b" left lobby")
        equal(rounds, 30)
        while gone < 90:
            gone += bob.line().endswith(b" left lobby")
        ann.close()
        bob.close()
        server.wait_descriptors(baseline)


@test
def thousand_come_and_go_and_leave_nothing():
    with Server("chat_server") as server:
        baseline = server.descriptors()
        watcher = Chatter(server)
        for number in range(1000):
            client = Client(server)
            if number % 3 == 0:
                client.send("/nick me\n/join room%d\n" % number)
            elif number % 3 == 1:
                client.send("/quit\n")
            client.close() if number % 2 else client.reset()
            watcher.buffer = b""
            if number % 50 == 0:
                watcher.send("/help\n")
        watcher.close()
        server.wait_descriptors(baseline)
        late = Chatter(server)

        def is_alone():
            line = late.ask("/rooms")
            while not line.startswith("* rooms: "):
                line = late.line().decode()
            return line == "* rooms: lobby (1)"
        # At once where sockets are the server's own descriptors, which they are not under Wine.
        wait_until(is_alone, "an empty lobby")


@test
def nonsense_harms_nobody_else():
    chance = random.Random(7)
    pieces = [b"/nick ", b"/join ", b"/msg ", b"/who", b"/rooms", b"/help", b"/quit", b"/", b"\n",
              b"\r\n", b" ", b"bob", b"ann", b"lobby", b"\x1b[2J", b"\xff", "ü☃𝄞".encode(),
              b"\xe2\x80\xae", b"%n%s", b"* ann left lobby", b"! ", b"x" * 4096, b"\0"]
    with Server("chat_server") as server:
        baseline = server.descriptors()
        ann, bob = chatters(server, "ann", "bob")
        for number in range(100):
            fool = Client(server)
            data = b"".join(chance.choice(pieces) for _ in range(chance.randrange(1, 120)))
            try:
                fool.send(data)
                fool.half_close()
                fool.rest()
            except OSError:
                pass  # it may have been told to go while it still sent
            fool.close()
            ann.send("mark %d\n" % number)
            line = b""
            while line != b"ann: mark %d" % number:
                line = bob.line()
                text = line.decode("utf-8", "strict")
                check(not any(ord(letter) < 32 or letter in "\x7f\u202e" for letter in text), line)
        ann.close()
        bob.close()
        server.wait_descriptors(baseline)


# ---- starting and stopping ----

def stopped_by(signal_number):
    server = Server("chat_server")
    ann, bob = chatters(server, "ann", "bob")
    sloth = Client(server, receive_buffer=4096)
    ann.line(), bob.line()
    swarm = Swarm([ann])
    swarm.send(ann, b"w" * 1000 + b"\n/help\n")
    swarm.run(lambda: b"/help " in ann.buffer and not swarm.output[ann], "an answer")
    ann.buffer = b""
    server.stop(signal_number, 10)
    ann.expect("* server is shutting down")
    ann.expect_end()
    check(bob.rest().endswith(b"* server is shutting down\n"))
    sloth.close()
    check("stopping" in server.log(), server.log())


@test
def interrupt_tells_everyone_and_ends_in_order():
    stopped_by(signal.SIGINT)


@test
def terminate_tells_everyone_and_ends_in_order():
    stopped_by(signal.SIGTERM)


@test
def terminal_that_is_closed_tells_everyone_and_ends_in_order():
    stopped_by(signal.SIGHUP)


@test
def server_under_nohup_outlives_its_terminal():
    ignore = [sys.executable, "-c", "import os, signal, sys\n"
              "signal.signal(signal.SIGHUP, signal.SIG_IGN)\nos.execv(sys.argv[1], sys.argv[1:])"]
    with Server("chat_server", before=ignore) as server:
        ann = Chatter(server, "ann")
        server.process.send_signal(signal.SIGHUP)
        equal(ann.ask("/rooms"), "* rooms: lobby (1)")


@test
def stop_does_not_wait_for_ever_for_one_who_does_not_read():
    server = Server("chat_server")
    ann = Chatter(server, "ann")
    sloth = Client(server, receive_buffer=4096)
    ann.line()
    # Fills what the kernels hold for the sloth, and some of what the server does. Under Wine they
    # hold less.
    ann.send((b"w" * 4000 + b"\n") * (40 if WINDOWS else 90) + b"/rooms\n")
    ann.expect("* rooms: lobby (2)")
    began = time.monotonic()
    server.stop(seconds=15)
    check(time.monotonic() - began < 10, "it took %.1f s" % (time.monotonic() - began))
    sloth.close()


@test
def listens_where_it_is_told():
    with Server("chat_server", listen="localhost:0") as server:
        check(server.listen.startswith(("127.0.0.1:", "[::1]:")), server.listen)
        Chatter(server, "ann")
    if socket.has_ipv6 and os.path.exists("/proc/net/if_inet6"):
        with Server("chat_server", listen="[::1]:0") as server:
            check(server.listen.startswith("[::1]:"), server.listen)
            Chatter(server, "ann")


@test
def listens_on_unix_sockets_too():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "chat.sock")
        with Server("chat_server", listen="unix:" + path) as server:
            equal(server.listen, "unix:" + path)
            ann, bob = chatters(server, "ann", "bob")
            ann.send("hi\n")
            bob.expect("ann: hi")


def run_program(name, *arguments, data=b"", **options):
    """Runs a program to its end; (status, stdout, stderr)."""
    done = subprocess.run([program(name), *arguments], input=data, capture_output=True,
                          timeout=2 * DEADLINE, **options)
    return done.returncode, done.stdout, done.stderr


@test
def command_line_is_checked():
    status, out, err = run_program("chat_server", "--help")
    equal((status, err), (0, b""))
    for word in (b"--listen", b"--max-connections", b"--max-per-address", b"--threads",
                 b"--concurrency", b"--group", b"Ctrl-C"):
        check(word in out, word)
    for arguments in (["--what"], ["--listen"], ["operand"], ["--max-connections", "0"],
                      ["--max-connections", "99999999999"], ["--max-connections", "-1"],
                      ["--max-connections=1x"], ["--threads", "0"], ["--group=x"],
                      ["--concurrency", "2"], ["--group", "2", "--threads", "2"]):
        status, out, err = run_program("chat_server", *arguments)
        equal((status, out), (2, b""))
        equal(err.count(b"\n"), 1)
    for listen in ("nonsense", "127.0.0.1", "127.0.0.1:99999", "unix:", "\x1b[31m:1", ""):
        status, out, err = run_program("chat_server", "--listen", listen)
        equal((status, out), (1, b""))
        check(err.endswith(b"\n") and b"\x1b" not in err, err)
    with Server("chat_server") as server:
        status, out, err = run_program("chat_server", "--listen", server.listen)
        equal((status, out), (1, b""))
        check(server.listen.encode() + b": address in use" in err, err)


if __name__ == "__main__":
    sys.exit(main())
