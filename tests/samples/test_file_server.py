"""The file server from outside: curl, nc and raw sockets; every answer, every refusal, every limit."""

import atexit
import email.utils
import hashlib
import http.client
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

import common
from common import (DEADLINE, WINDOWS, Server, Skip, check, equal, main, program, test, wait_exit,
                    wait_readable, wait_until)

MIB = 1024 * 1024
HELLO = b"hello, world\n"
SECRET = b"this lies beside the root\n"
BIG = 24 * MIB
SPARSE = 2 * 1024 * MIB + 200 * MIB + 12
SMALL_FILES = os.environ.get("PROACTOR_TEST_SMALL_FILES") == "1"
MARKS = {0: b"first", 2 ** 31 - 2: b"31 bits", SPARSE - 4: b"last"}
ERROR_LINE = b"File transmit error!\r\n"

base = tempfile.mkdtemp(prefix="file_server.")
root = os.path.join(base, "root")
atexit.register(shutil.rmtree, base, ignore_errors=True)


def path(*parts):
    return os.path.join(root, *parts)


# Names as odd as the system has them.
ODD = "a b & 'c'.txt" if WINDOWS else "a b & <c>'\".txt"
MARKUP = "&b&'.txt" if WINDOWS else "<b>&\"\x1b[2J\x7f\n'.txt"
MARKUP_ESCAPED = "&amp;b&amp;" if WINDOWS else "&lt;b&gt;&amp;&quot;?[2J??"


def write(name, data):
    os.makedirs(os.path.dirname(path(name)), exist_ok=True)
    with open(path(name), "wb") as file:
        file.write(data)


def make_root():
    """All that the tests ask for, and a secret beside it."""
    os.mkdir(root)
    with open(os.path.join(base, "secret.txt"), "wb") as file:
        file.write(SECRET)
    write("hello.txt", HELLO)
    write("empty.txt", b"")
    write(ODD, b"odd\n")
    write("\u00e4\u20ac.txt", b"umlaut\n")
    write("page/index.html", b"<p>index</p>\n")
    write("list/two.txt", b"2")
    write("list/one.txt", b"1")
    write("list/" + MARKUP, b"3")
    write("list/sub/three.txt", b"3")
    for number in range(1100):
        write("many/%04d" % number, b"")
    block = hashlib.sha256(b"seed").digest() * 32768
    write("big.bin", b"".join(bytes([i]) + block[1:] for i in range(BIG // MIB)))
    with open(path("sparse.bin"), "wb") as file:
        file.truncate(SPARSE)
        for at, mark in MARKS.items():
            file.seek(at)
            file.write(mark)
    os.utime(path("hello.txt"), (784111777, 784111777))
    os.symlink("../secret.txt", path("link_out"))
    os.symlink("/etc/passwd", path("link_absolute"))
    os.symlink("hello.txt", path("link_inside"))
    os.symlink("..", path("link_directory"))
    os.symlink("/proc/self", path("link_proc"))
    os.symlink("link_loop", path("link_loop"))
    os.mkfifo(path("fifo"))
    write("locked.txt", SECRET)
    os.chmod(path("locked.txt"), 0)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path("socket"))
    listener.close()
    try:
        os.mknod(path("null"), 0o666 | 0o020000, os.makedev(1, 3))
    except OSError:
        os.symlink("/dev/null", path("null"))


make_root()


class FileServer(Server):
    """Closes what clients are left before it stops the server, which would wait for them."""

    def __init__(self, *arguments, **keywords):
        self.clients = []
        super().__init__("file_server", "--root", root, *arguments, **keywords)

    def __exit__(self, *arguments):
        for client in self.clients:
            client.close()
        super().__exit__(*arguments)


file_server = FileServer


class Client(common.Client):
    def __init__(self, server, receive_buffer=None):
        super().__init__(server, receive_buffer)
        server.clients.append(self)


class Response:
    """One response of HTTP, read from a client to its last byte and no further."""

    def __init__(self, client, method="GET"):
        self.status_line = client.line().rstrip(b"\r").decode()
        check(self.status_line.startswith("HTTP/1.1 "), "status line %r" % self.status_line)
        self.status = int(self.status_line.split()[1])
        self.fields = {}
        while True:
            line = client.line()
            check(line is not None and line.endswith(b"\r"), "field line %r" % line)
            if line == b"\r":
                break
            name, value = line[:-1].decode().split(": ", 1)
            check(name.lower() not in self.fields, "field %s twice" % name)
            self.fields[name.lower()] = value
        length = 0 if method == "HEAD" or self.status == 304 else int(
            self.fields["content-length"])
        self.body = take(client, length)
        self.is_kept = self.fields.get("connection") != "close"


def take(client, length):
    """Exactly `length` bytes."""
    pieces = [client.buffer[:length]]
    client.buffer = client.buffer[length:]
    left = length - len(pieces[0])
    while left:
        data = client.socket.recv(min(left, MIB))
        check(data, "the stream ended %d bytes early" % left)
        pieces.append(data)
        left -= len(data)
    return b"".join(pieces)


def request(target, *fields, method="GET", version="1.1", host=True):
    lines = ["%s %s HTTP/%s" % (method, target, version)]
    if host and version != "1.0":
        lines.append("Host: test")
    return "\r\n".join(lines + list(fields)).encode("utf-8", "surrogateescape") + b"\r\n\r\n"


def ask(client, target, *fields, method="GET", **keywords):
    client.send(request(target, *fields, method=method, **keywords))
    return Response(client, method)


def once(server, data, method="GET"):
    """The response to `data` on a connection of its own."""
    client = Client(server)
    client.send(data)
    response = Response(client, method)
    client.close()
    return response


def at_end(client):
    """Whether the server ended the connection and nothing more came."""
    return client.rest() == b""


def big_bytes():
    with open(path("big.bin"), "rb") as file:
        return file.read()


def run(*command, stdin=None):
    return subprocess.run(command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=DEADLINE)


def need(tool):
    if not shutil.which(tool):
        raise Skip("%s is not installed" % tool)


def curl(server, target, *options):
    need("curl")
    host, port = server.address
    return run("curl", "-sS", "--path-as-is", *options, "http://%s:%d%s" % (host, port, target))


# ---- HTTP: files ----

@test
def get_sends_the_file_behind_its_head():
    with file_server() as server:
        response = once(server, request("/hello.txt"))
        equal(response.status, 200)
        equal(response.body, HELLO)
        equal(response.fields["content-type"], "text/plain; charset=utf-8")
        equal(response.fields["last-modified"], "Sun, 06 Nov 1994 08:49:37 GMT")
        equal(response.fields["accept-ranges"], "bytes")
        now = email.utils.parsedate_to_datetime(response.fields["date"]).timestamp()
        check(abs(now - time.time()) < 60, "date %r" % response.fields["date"])
        check(response.is_kept)


@test
def head_sends_the_same_head_and_nothing_else():
    with file_server() as server:
        client = Client(server)
        for target in ("/hello.txt", "/big.bin", "/empty.txt", "/list/", "/page/", "/none", "/list"):
            get = ask(client, target)
            head = ask(client, target, method="HEAD")
            for fields in (get.fields, head.fields):
                fields.pop("date")
            equal(head.status, get.status)
            equal(head.fields, get.fields)
        client.half_close()
        check(at_end(client))


@test
def an_empty_file_is_a_response_without_a_body():
    with file_server() as server:
        response = once(server, request("/empty.txt"))
        equal((response.status, response.fields["content-length"], response.body), (200, "0", b""))


@test
def names_are_percent_decoded_and_the_query_ignored():
    with file_server() as server:
        client = Client(server)
        for target, body in (("/" + urllib.parse.quote(ODD), b"odd\n"),
                             ("/%C3%A4%E2%82%AC.txt", b"umlaut\n"), ("/\u00e4\u20ac.txt", b"umlaut\n"),
                             ("/%68ello.txt", HELLO), ("/hello.txt?x=/../y#", None),
                             ("/hello.txt?x=/../y", HELLO), ("/./list//../", None),
                             ("//hello.txt", HELLO), ("/./hello.txt", HELLO),
                             ("http://other/hello.txt", HELLO)):
            if body is None:
                check(once(server, request(target)).status in (400, 403), target)
                continue
            response = ask(client, target)
            equal((target, response.status, response.body), (target, 200, body))


@test
def a_large_file_arrives_whole():
    with file_server() as server:
        response = once(server, request("/big.bin"))
        equal(response.fields["content-type"], "application/octet-stream")
        equal(hashlib.sha256(response.body).digest(), hashlib.sha256(big_bytes()).digest())


@test
def a_file_beyond_two_gibibytes_arrives_whole():
    need("curl")
    with file_server() as server:
        response = once(server, request("/sparse.bin", method="HEAD"), "HEAD")
        equal(response.fields["content-length"], str(SPARSE))
        for at, mark in MARKS.items():
            part = once(server, request("/sparse.bin", "Range: bytes=%d-%d" %
                                        (at, at + len(mark) - 1)))
            equal((part.status, part.body), (206, mark))
        # Where another run has sent all of it, the last of it will do.
        first = SPARSE - 16 * MIB if SMALL_FILES else 0
        done = curl(server, "/sparse.bin", "--range", "%d-" % first, "-o", "/dev/null",
                    "-w", "%{size_download}")
        equal((done.returncode, done.stdout), (0, b"%d" % (SPARSE - first)))


@test
def ranges_are_sent_as_parts():
    data = HELLO
    size = len(data)
    with file_server() as server:
        client = Client(server)
        for value, first, last in (("0-0", 0, 0), ("0-4", 0, 4), ("7-", 7, size - 1),
                                   ("-3", size - 3, size - 1), ("0-999", 0, size - 1),
                                   ("2-" + "9" * 40, 2, size - 1), ("-" + "9" * 40, 0, size - 1),
                                   ("-999", 0, size - 1)):
            response = ask(client, "/hello.txt", "Range: bytes=" + value)
            equal((value, response.status), (value, 206))
            equal(response.fields["content-range"], "bytes %d-%d/%d" % (first, last, size))
            equal(response.body, data[first:last + 1])
        for value in ("13-", "99-100", "-0", "9" * 40 + "-"):
            response = ask(client, "/hello.txt", "Range: bytes=" + value)
            equal((value, response.status), (value, 416))
            equal(response.fields["content-range"], "bytes */%d" % size)
        for value in ("bytes=4-2", "bytes=0-1,3-4", "lines=1-2", "bytes=x", "bytes="):
            response = ask(client, "/hello.txt", "Range: " + value)
            equal((value, response.status, response.body), (value, 200, data))
        for date, status in (("Sun, 06 Nov 1994 08:49:37 GMT", 206),
                             ("Sun, 06 Nov 1994 08:49:38 GMT", 200), ("\"tag\"", 200)):
            response = ask(client, "/hello.txt", "Range: bytes=1-2", "If-Range: " + date)
            equal((date, response.status), (date, status))
        response = ask(client, "/empty.txt", "Range: bytes=-5")
        equal((response.status, response.body), (200, b""))


@test
def a_file_of_this_very_second_has_no_parts_to_go_on_with():
    write("new.txt", HELLO)
    now = int(time.time())
    os.utime(path("new.txt"), (now + 1000, now + 1000))  # which is told as this second
    with file_server() as server:
        client = Client(server)
        for second in range(now - 1, now + 4):
            response = ask(client, "/new.txt", "Range: bytes=1-2",
                           "If-Range: " + email.utils.formatdate(second, usegmt=True))
            equal((second - now, response.status), (second - now, 200))


@test
def what_has_not_changed_is_not_sent_again():
    with file_server() as server:
        client = Client(server)
        for date, status in (("Sun, 06 Nov 1994 08:49:37 GMT", 304),
                             ("Sunday, 06-Nov-94 08:49:37 GMT", 304),
                             ("Sun Nov  6 08:49:36 1994", 200),
                             ("Tue, 06 Nov 2029 08:49:37 GMT", 304),
                             ("Sun, 06 Nov 1994 08:49:36 GMT", 200), ("yesterday", 200)):
            for method in ("GET", "HEAD"):
                response = ask(client, "/hello.txt", "If-Modified-Since: " + date, method=method)
                equal((date, response.status), (date, status))
                if status == 304:
                    check("content-length" not in response.fields)
                    equal(response.body, b"")
        response = ask(client, "/hello.txt", "If-None-Match: \"a\"",
                       "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT")
        equal(response.status, 200)
        equal(ask(client, "/hello.txt", "If-None-Match: *").status, 304)
        equal(ask(client, "/nothing", "If-None-Match: *").status, 404)


@test
def a_download_does_not_go_on_with_another_version():
    same, before = "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:36 GMT"
    with file_server() as server:
        client = Client(server)
        for fields, status in ((("If-Unmodified-Since: " + same,), 206),
                               (("If-Unmodified-Since: " + before,), 412),
                               (("If-Unmodified-Since: yesterday",), 206),
                               (("If-Match: *",), 206), (("If-Match: \"a\"",), 412),
                               (("If-Match: \"a\"", "If-Match: *"), 206),
                               (("If-Match: *", "If-Unmodified-Since: " + before), 206),
                               # Of two conditions this one comes first.
                               (("If-Unmodified-Since: " + before, "If-Modified-Since: " + same), 412)):
            response = ask(client, "/hello.txt", "Range: bytes=1-2", *fields)
            equal((fields, response.status), (fields, status))


@test
def curl_downloads_and_resumes():
    with file_server() as server:
        whole = hashlib.sha256(big_bytes()).hexdigest()
        target = os.path.join(base, "download")
        equal(curl(server, "/big.bin", "-o", target).returncode, 0)
        with open(target, "r+b") as file:
            equal(hashlib.sha256(file.read()).hexdigest(), whole)
            file.truncate(BIG // 3)
        equal(curl(server, "/big.bin", "-C", "-", "-o", target).returncode, 0)
        with open(target, "rb") as file:
            equal(hashlib.sha256(file.read()).hexdigest(), whole)
        equal(curl(server, "/hello.txt", "-r", "7-11").stdout, b"world")
        equal(curl(server, "/hello.txt", "--http1.0").stdout, HELLO)
        equal(curl(server, "/page", "-L").stdout, b"<p>index</p>\n")
        check(b"200 OK" in curl(server, "/hello.txt", "-I").stdout)
        equal(curl(server, "/none", "-f").returncode, 22)
        done = curl(server, "/hello.txt", "-d", "some=body", "-w", "%{http_code}")
        check(done.stdout.endswith(b"405"), repr(done.stdout))
        done = curl(server, "/hello.txt", "-T", path("big.bin"), "-w", "%{http_code}")
        check(done.stdout.endswith(b"405"), repr(done.stdout))


@test
def the_http_client_of_python_is_content():
    with file_server() as server:
        connection = http.client.HTTPConnection(*server.address, timeout=DEADLINE)
        for _ in range(3):
            connection.request("GET", "/hello.txt")
            response = connection.getresponse()
            equal((response.status, response.read()), (200, HELLO))
        connection.close()


# ---- HTTP: directories ----

@test
def a_directory_shows_its_index_or_a_list():
    with file_server() as server:
        client = Client(server)
        response = ask(client, "/page/")
        equal((response.status, response.body), (200, b"<p>index</p>\n"))
        equal(response.fields["content-type"], "text/html; charset=utf-8")
        response = ask(client, "/list/")
        equal(response.status, 200)
        body = response.body.decode()
        references = re.findall(r'<a href="([^"]*)">', body)
        equal(references, ["../", urllib.parse.quote(MARKUP), "one.txt", "sub/", "two.txt"])
        check(MARKUP_ESCAPED in body)
        check("<b>" not in body)
        for reference in references:
            equal((reference, ask(client, "/list/" + reference).status),
                  (reference, 403 if reference == "../" else 200))


@test
def a_list_harms_no_terminal_and_hides_no_name():
    if WINDOWS:
        raise Skip("names are not bytes there")
    # C1 controls, what turns the direction, lines of Unicode, no UTF-8, half a character.
    names = [b"\xc2\x9b2J", b"\x9b2J", b"\xe2\x80\xaegnp.exe", b"\xe2\x80\xa8x", b"\xff\xfe",
             b"\xe2<b>", b"\xc3\xa4 \xe2\x82\xac"]
    folder = tempfile.mkdtemp(dir=root).encode()
    for name in names:
        with open(os.path.join(folder, name), "wb") as file:
            file.write(name)
    with file_server() as server:
        client = Client(server)
        place = "/" + os.path.basename(folder).decode() + "/"
        body = ask(client, place).body
        shown = re.findall(rb'<li><a href="([^"]*)">(.*?)</a></li>', body)[1:]
        equal({text for _, text in shown},
              {b"?2J", b"?gnp.exe", b"?x", b"??", b"?&lt;b&gt;", b"\xc3\xa4 \xe2\x82\xac"})
        equal({ask(client, place + reference.decode()).body for reference, _ in shown}, set(names))
    shutil.rmtree(folder)


@test
def a_list_has_no_parts_and_no_version():
    with file_server() as server:
        client = Client(server)
        response = ask(client, "/list/", "Range: bytes=0-1",
                       "If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT",
                       "If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT")
        equal(response.status, 200)
        check("accept-ranges" not in response.fields and "last-modified" not in response.fields)
        equal(ask(client, "/list/", "If-Match: \"a\"").status, 412)
        equal(ask(client, "/list/", "If-Match: *").status, 200)
        equal(ask(client, "/list/", "If-None-Match: *").status, 304)
        equal(ask(client, "/list", "If-None-Match: *").status, 301)
        equal(ask(client, "/hello.txt").body, HELLO)


@test
def a_list_shows_no_links():
    with file_server() as server:
        body = once(server, request("/")).body
        for name in (b"link_out", b"link_proc", b"fifo", b"socket"):
            check(name not in body, name)


@test
def a_list_shows_the_folder_and_has_an_end():
    with file_server() as server:
        body = once(server, request("/")).body
        check(b"secret" not in body)
        for name in (b"hello.txt", b"list/", b"%C3%A4%E2%82%AC.txt"):
            check(name in body, name)
        body = once(server, request("/many/")).body
        equal(body.count(b"<li>"), 1001)
        check(b"more entries" in body)


@test
def a_directory_without_its_slash_moves_there():
    with file_server() as server:
        client = Client(server)
        for target, location in (("/list", "list/"), ("/list/sub", "sub/"), ("/%6cist?x", "list/"),
                                 ("//page", "page/")):
            response = ask(client, target)
            equal((target, response.status), (target, 301))
            equal(response.fields["location"], location)


@test
def a_file_with_a_slash_behind_it_is_not_found():
    with file_server() as server:
        client = Client(server)
        for target in ("/hello.txt/", "/hello.txt/x", "/hello.txt/."):
            equal((target, ask(client, target).status), (target, 404))


# ---- HTTP: connections ----

@test
def requests_may_be_sent_ahead():
    targets = ["/hello.txt", "/empty.txt", "/none", "/list/", "/big.bin"] * 20
    with file_server() as server:
        client = Client(server)
        methods = ["HEAD" if target == "/big.bin" else "GET" for target in targets]
        client.send(b"".join(request(target, method=method)
                             for target, method in zip(targets, methods)))
        client.half_close()
        for target, method in zip(targets, methods):
            response = Response(client, method)
            equal((target, response.status), (target, 404 if target == "/none" else 200))
            if target == "/hello.txt":
                equal(response.body, HELLO)
        check(at_end(client))


@test
def a_request_may_come_byte_by_byte():
    with file_server() as server:
        client = Client(server)
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(2):
            for byte in request("/hello.txt", "Accept: */*"):
                client.send(bytes([byte]))
            equal(Response(client).body, HELLO)


@test
def a_connection_is_kept_as_the_client_wants():
    keep, close = "Connection: keep-alive", "Connection: close"
    with file_server() as server:
        for version, fields, kept in (("1.1", (), True), ("1.1", (close,), False),
                                      ("1.1", ("Connection: a, Close",), False),
                                      ("1.0", (), False), ("1.0", (keep,), True),
                                      ("1.0", (keep, close), False)):
            client = Client(server)
            response = ask(client, "/hello.txt", *fields, version=version)
            equal((version, fields, response.status), (version, fields, 200))
            equal(response.is_kept, kept)
            if version == "1.0" and kept:
                equal(response.fields["connection"], "keep-alive")
            if kept:
                equal(ask(client, "/hello.txt").body, HELLO)
            else:
                check(at_end(client))
            client.close()


@test
def nothing_is_answered_behind_the_last_request():
    with file_server() as server:
        client = Client(server)
        client.send(request("/hello.txt", "Connection: close") + request("/hello.txt") * 50)
        equal(Response(client).body, HELLO)
        check(at_end(client))


# ---- HTTP: refusals ----

def refusals():
    """(status, whether the connection goes on, the bytes)"""
    yield 404, True, request("/none")
    yield 404, True, request("/list/none")
    yield 403, True, request("/../secret.txt")
    yield 403, True, request("/link_out")
    yield 403, True, request("/fifo")
    yield 400, True, request("/%zz")
    yield 400, True, request("/%00")
    yield 400, True, request("*")
    yield 404, True, request("/" + "x" * 300)
    yield 404, True, request("/" + "x/" * 3000 + "y")
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"):
        yield 405, True, request("/hello.txt", method=method)
    yield 405, True, request("/", "Content-Length: 5", method="POST") + b"12345"
    yield 501, True, request("/", method="BREW")
    yield 501, True, request("/", "Content-Length: 5", method="BREW") + b"12345"
    yield 501, False, request("/", "Transfer-Encoding: chunked", method="POST") + b"0\r\n\r\n"
    yield 505, False, request("/", version="2.0")
    yield 505, False, request("/", version="0.9")
    yield 414, False, request("/" + "x" * 8192)
    yield 414, False, b"GET /" + b"x" * 100000
    yield 431, False, request("/", "A: " + "x" * 16384)
    yield 431, False, b"GET / HTTP/1.1\r\nA: " + b"x" * 100000
    yield 431, False, request("/", *["A: b"] * 100)
    yield 400, False, request("/", host=False)
    yield 400, False, request("/", "Host: again")
    yield 400, True, request("http:///hello.txt")
    yield 400, False, request("/", "Content-Length: 1", "Content-Length: 1") + b"x"
    yield 400, False, request("/", "Content-Length: 1", "Content-Length: 2") + b"x"
    yield 400, False, request("/", "Content-Length: 5", "Transfer-Encoding: chunked")
    yield 400, False, request("/", "Content-Length: -1")
    yield 400, False, request("/", "A: b", " folded")
    yield 400, False, request("/", "A : b")
    yield 400, False, request("/", "A: b\rc")
    yield 400, False, request("/", "A: b\0c")
    yield 400, False, request("/", "no colon")
    yield 400, False, b"GET /\r\n\r\n"
    yield 400, False, b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n"
    yield 400, False, b"GET / HTTP/1.x\r\nHost: a\r\n\r\n"
    yield 400, False, b"get / FOO HTTP/1.1\r\nHost: a\r\n\r\n"


@test
def each_refusal_has_its_status_and_keeps_what_can_be_kept():
    with file_server() as server:
        for status, kept, data in refusals():
            client = Client(server)
            client.send(data)
            response = Response(client)
            equal((data[:80], response.status, response.is_kept), (data[:80], status, kept))
            check(len(response.body) < 100, "a long body")
            check(root.encode() not in response.body and base.encode() not in response.body)
            if status == 405:
                equal(response.fields["allow"], "GET, HEAD")
            if kept:
                equal(ask(client, "/hello.txt").body, HELLO)
            else:
                check(at_end(client), repr(data[:80]))
            client.close()


@test
def a_body_is_never_taken_for_a_request():
    inner = request("/hello.txt")
    with file_server() as server:
        client = Client(server)
        client.send(request("/list/one.txt", "Content-Length: %d" % len(inner)) + inner +
                    request("/list/two.txt"))
        equal(Response(client).body, b"1")
        equal(Response(client).body, b"2")
        client.half_close()
        check(at_end(client))

        client = Client(server)
        for byte in request("/", "Content-Length: %d" % len(inner), method="POST") + inner:
            client.send(bytes([byte]))
        equal(Response(client).status, 405)
        equal(ask(client, "/list/two.txt").body, b"2")

        for fields in (("Content-Length: 100000",), ("Transfer-Encoding: chunked",),
                       ("Content-Length: %d" % len(inner), "Expect: 100-continue")):
            client = Client(server)
            client.send(request("/list/one.txt", *fields) + inner)
            check(not Response(client).is_kept)
            check(at_end(client))


@test
def the_answer_to_a_large_body_is_seen_by_its_sender():
    with file_server() as server:
        for _ in range(5):
            client = Client(server)
            client.send(request("/", "Content-Length: %d" % MIB, method="POST") + b"x" * (MIB // 2))
            response = Response(client)
            equal((response.status, response.is_kept), (405, False))
            check(at_end(client))
            client.close()


# ---- the line protocol ----

@test
def a_line_gets_the_bytes_of_the_file():
    with file_server() as server:
        client = Client(server)
        for line in (b"hello.txt\n", b"hello.txt\r\n", b"./hello.txt\n", b"list/../hello.txt\n"):
            client.send(line)
            expected = ERROR_LINE if b".." in line else HELLO
            equal((line, take(client, len(expected))), (line, expected))
        client.send("\u00e4\u20ac.txt\n" + ODD + "\n")
        equal(take(client, 11), b"umlaut\nodd\n")
        client.send(b"empty.txt\nhello.txt\nGET /hello.txt HTTP/1.1\nhello.txt\n")
        equal(take(client, 2 * len(HELLO) + len(ERROR_LINE)), HELLO + ERROR_LINE + HELLO)
        client.send(b"hello.txt")
        client.half_close()
        check(at_end(client), "an unfinished line was answered")


@test
def a_refused_line_is_one_line_and_the_connection_goes_on():
    with file_server() as server:
        client = Client(server)
        for line in (b"", b"none", b"list", b"list/", b".", b"..", b"/", b"/etc/passwd",
                     b"../secret.txt", b"link_out", b"link_inside", b"link_directory/secret.txt",
                     b"fifo", b"socket", b"null", b"a\0b", b"x" * 255, b"x" * 1024, b"x" * 1025,
                     b"x" * 1026, b"x" * 5000, b"hello.txt/" + b"x" * 20000, b"\xff\xfe",
                     b"hello.txt\r"):
            client.send(line + b"\r\n")
            equal((line[:80], take(client, len(ERROR_LINE))), (line[:80], ERROR_LINE))
            client.send(b"hello.txt\n")
            equal(take(client, len(HELLO)), HELLO)


@test
def a_name_of_1024_bytes_is_taken():
    name = "/".join(["d" * 200] * 5)
    name += "/" + "f" * (1024 - len(name) - 1)
    equal(len(name), 1024)
    write(name, b"deep\n")
    with file_server() as server:
        client = Client(server)
        client.send(name + "\r\n" + name + "x\n")
        equal(take(client, 5 + len(ERROR_LINE)), b"deep\n" + ERROR_LINE)
        for byte in name + "\n":
            client.send(byte)
        equal(take(client, 5), b"deep\n")


@test
def a_first_line_too_long_for_a_name_is_refused_as_one():
    with file_server() as server:
        client = Client(server)
        client.send(b"x" * 30000 + b"\nhello.txt\n")
        equal(take(client, len(ERROR_LINE) + len(HELLO)), ERROR_LINE + HELLO)


@test
def netcat_gets_whole_files_though_it_ends_at_once():
    need("nc")
    with file_server() as server:
        host, port = server.address
        done = run("nc", "-N", host, str(port), stdin=b"hello.txt\n")
        equal((done.returncode, done.stdout), (0, HELLO))
        done = run("nc", "-N", host, str(port), stdin=b"big.bin\n")
        equal(hashlib.sha256(done.stdout).digest(), hashlib.sha256(big_bytes()).digest())
        done = run("nc", "-N", host, str(port), stdin=b"big.bin\nnone\nhello.txt\n")
        equal(done.stdout[BIG:], ERROR_LINE + HELLO)


# ---- names ----

def hostile_names():
    """Names that must never leave the root, as decoded bytes."""
    ups = ["../" * depth for depth in (1, 2, 3, 8, 40)]
    for up in ups:
        for name in ("secret.txt", "etc/passwd", "root/../secret.txt", ""):
            yield up + name
            yield "list/" + up + name
            yield "./" + up + name
    for name in ("..", ".. ", "..;", "list/..", "list/../..", "list/sub/../../../secret.txt",
                 "/", "/etc/passwd", "//etc/passwd", "///etc/passwd", "/../secret.txt",
                 base + "/secret.txt", root + "/hello.txt", "./../secret.txt", ".../secret.txt",
                 "..\\secret.txt", "..\\..\\etc\\passwd", "list\\..\\..\\secret.txt", "\\etc\\passwd",
                 "C:\\secret.txt", "C:/secret.txt", "c:secret.txt", "\\\\?\\C:\\secret.txt",
                 "//server/share/secret.txt", "file:///etc/passwd", "~/secret.txt", "~root",
                 "$HOME/secret.txt", "`id`", "$(id)", "|id", ";id", "hello.txt::$DATA", "CON", "NUL",
                 "COM1", "link_out", "link_absolute", "link_inside", "link_directory",
                 "link_directory/secret.txt", "link_proc/root/etc/passwd", "link_proc/cwd/secret.txt",
                 "link_proc/environ", "link_loop", "link_loop/x", "fifo", "socket", "null",
                 "list/../link_out", "..%2fsecret.txt", "%2e%2e/secret.txt", "%2e%2e%2fsecret.txt",
                 "..%c0%afsecret.txt", "..%252fsecret.txt", "%252e%252e/secret.txt",
                 "..%5csecret.txt", "..%u2215secret.txt", "..\u2215secret.txt", "\uff0e\uff0e/secret.txt",
                 ".\u200b./secret.txt", "..\x01/secret.txt", "proc/self/environ", "dev/null",
                 "dev/stdin", "x" * 256, "a/" * 500 + "b", "../" * 300 + "etc/passwd",
                 "locked.txt/..", "hello.txt/../../secret.txt", "none/../../secret.txt",
                 "empty.txt/../hello.txt", "..\t", "\t..", ".. /secret.txt", "..//secret.txt",
                 "..///../secret.txt", "list//..//..//secret.txt", "list/./.././../secret.txt"):
        yield name


def encodings(name):
    """Ways to write a name in a target."""
    raw = name.encode("utf-8", "surrogateescape")
    safe = "".join("%%%02x" % byte if byte <= 32 or byte == 127 or byte in b"?#" else chr(byte)
                   for byte in raw)
    safe = safe.encode("latin-1")
    yield safe
    yield b"".join(b"%%%02X" % byte for byte in raw)
    yield b"".join(b"%%%02x" % byte if byte != 47 else b"/" for byte in raw)
    yield safe.replace(b".", b"%2e")
    yield safe.replace(b"../", b"%2e.%2f")
    yield safe + b"%00.txt"


SAFE_BODIES = (b"Not Found\n", b"Forbidden\n", b"Bad Request\n", b"URI Too Long\n",
               b"Moved Permanently\n")


def is_leak(data):
    with open("/etc/passwd", "rb") as file:
        passwd = file.read()
    return SECRET in data or passwd[:20] in data


@test
def no_name_in_a_request_leaves_the_root():
    count = 0
    with file_server() as server:
        for name in hostile_names():
            client = Client(server)
            for encoded in set(encodings(name)):
                client.send(b"GET /" + encoded + b" HTTP/1.1\r\nHost: a\r\n\r\n")
                response = Response(client)
                count += 1
                check(not is_leak(response.body), "%r leaks" % encoded)
                check(response.status in (400, 403, 404) or name.strip("./") == "" or
                      ("..%" not in name and response.status in (200, 301)),
                      "%r: %d" % (encoded, response.status))
                if response.status != 200:
                    check(response.body.split(b" ", 0)[0] in SAFE_BODIES, repr(response.body))
                else:
                    check(b".." not in encoded and b"%2e%2e" not in encoded.lower(), repr(encoded))
                check(response.is_kept)
            client.close()
    check(count >= 300, "%d vectors" % count)


@test
def no_name_in_a_line_leaves_the_root():
    count = 0
    with file_server() as server:
        client = Client(server)
        for name in hostile_names():
            if name in ("",):
                continue
            client.send(name.encode("utf-8", "surrogateescape") + b"\n")
            equal((name, take(client, len(ERROR_LINE))), (name, ERROR_LINE))
            count += 1
        client.send("hello.txt\n")
        equal(take(client, len(HELLO)), HELLO)
    check(count >= 100, "%d vectors" % count)


@test
def links_and_devices_are_forbidden():
    with file_server() as server:
        client = Client(server)
        for name in ("link_out", "link_absolute", "link_inside", "link_directory/secret.txt",
                     "link_proc/environ", "link_loop", "fifo", "socket", "null"):
            response = ask(client, "/" + name)
            equal((name, response.status, response.body), (name, 403, b"Forbidden\n"))


@test
def a_file_that_may_not_be_read_is_forbidden():
    if os.geteuid() == 0:
        raise Skip("root may read everything")
    with file_server() as server:
        equal(once(server, request("/locked.txt")).status, 403)


# ---- slow and broken clients ----

@test
def an_unfinished_request_is_closed_in_time_however_it_trickles():
    with file_server("--request-timeout", "1") as server:
        idle = Client(server)
        half = Client(server)
        half.send("GET / HTTP/1.1\r\nHost:")
        line = Client(server)
        line.send("hello")
        kept = Client(server)
        equal(ask(kept, "/hello.txt").body, HELLO)
        began = time.monotonic()
        slow = Client(server)
        sent = 0
        while not select.select([slow.socket], [], [], 0.1)[0]:  # the beat of a trickling client
            check(time.monotonic() - began < DEADLINE, "never closed")
            slow.send("G")
            sent += 1
        try:
            equal(slow.socket.recv(1), b"")
        except ConnectionResetError:
            pass
        check(time.monotonic() - began > 0.95, "closed after %.2f s" % (time.monotonic() - began))
        for client in (idle, half, line, kept):
            check(at_end(client))


@test
def a_client_that_takes_nothing_is_closed_in_time():
    with file_server("--stall-timeout", "1", "--request-timeout", "1") as server:
        count = server.descriptors()
        stalled = Client(server, receive_buffer=4096)
        stalled.send(request("/big.bin"))
        slow = Client(server, receive_buffer=65536)
        slow.send(request("/sparse.bin", "Range: bytes=0-%d" % (6 * MIB - 1)))
        began = time.monotonic()
        got = 0
        while time.monotonic() - began < 2.5 and got < 6 * MIB:  # slow, but it takes something
            wait_readable(slow.socket, time.monotonic() + DEADLINE)
            got += len(slow.socket.recv(32768))
            select.select([], [], [], 0.02)
        wait_until(lambda: "deadline passed" in server.log(), "the stalled client's end")
        check(time.monotonic() - began > 0.95)
        while True:
            data = slow.socket.recv(MIB)
            if not data:
                break
            got += len(data)
        check(got > 6 * MIB, "the slow client got %d bytes" % got)
        equal(server.log().count("deadline passed"), 1)
        slow.close()
        server.wait_descriptors(count)
        stalled.close()


@test
def a_reset_in_a_transfer_hurts_nobody_else():
    with file_server() as server:
        count = server.descriptors()
        for number in range(40):
            client = Client(server, receive_buffer=8192)
            client.send(request("/big.bin") if number % 2 else b"big.bin\n")
            take(client, number * 1777)
            client.reset()
        equal(once(server, request("/hello.txt")).body, HELLO)
        server.wait_descriptors(count)


@test
def a_file_that_shrinks_ends_the_connection_unclean():
    for data in (request("/shrinking"), b"shrinking\n"):
        with open(path("shrinking"), "wb") as file:
            file.truncate(512 * MIB)
        with file_server() as server:
            count = server.descriptors()
            client = Client(server, receive_buffer=65536)
            client.send(data)
            got = len(client.socket.recv(65536))
            os.truncate(path("shrinking"), MIB)
            is_reset = False
            try:
                while True:
                    piece = client.socket.recv(MIB)
                    if not piece:
                        break
                    got += len(piece)
            except ConnectionResetError:
                is_reset = True
            check(is_reset, "%d bytes and a clean end" % got)
            check(got < 512 * MIB)
            check("shorter" in server.log(), server.log())
            equal(once(server, request("/hello.txt")).body, HELLO)
            client.close()
            server.wait_descriptors(count)
    os.unlink(path("shrinking"))


@test
def a_hundred_downloads_run_at_once():
    expected = hashlib.sha256(big_bytes()).digest()
    failures = []

    def download(server, number):
        try:
            client = Client(server)
            client.send(request("/big.bin", "Range: bytes=0-%d" % (4 * MIB - 1)) if number % 2
                        else request("/big.bin", "Connection: close"))
            body = Response(client).body
            if number % 2 == 0 and hashlib.sha256(body).digest() != expected:
                failures.append(number)
            if number % 2 and len(body) != 4 * MIB:
                failures.append(number)
            client.close()
        except Exception as error:  # told by the main thread
            failures.append((number, error))

    with file_server() as server:
        count = server.descriptors()
        threads = [threading.Thread(target=download, args=(server, number)) for number in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        equal(failures, [])
        server.wait_descriptors(count)


def two_are_served_and_no_third(server):
    """The two."""
    first, second = Client(server), Client(server)
    equal(ask(first, "/hello.txt").body, HELLO)
    equal(ask(second, "/hello.txt").body, HELLO)
    third = Client(server)
    try:
        equal(third.socket.recv(1), b"")
    except ConnectionResetError:
        pass
    return first, second


@test
def more_connections_than_allowed_are_closed():
    with file_server("--max-connections", "2") as server:
        first, _second = two_are_served_and_no_third(server)
        first.close()

        def is_served():
            try:
                return once(server, request("/hello.txt")).body == HELLO
            except (OSError, AttributeError):
                return False
        wait_until(is_served, "a free place")


@test
def more_connections_of_one_address_than_allowed_are_closed():
    with file_server("--max-per-address", "2") as server:
        first, _second = two_are_served_and_no_third(server)
        equal(ask(first, "/hello.txt").body, HELLO)
        check("too many connections from one address" in server.log(), server.log())
        if not WINDOWS:
            # The whole of 127/8 is this host; another address of it is another client.
            with socket.socket() as other:
                other.settimeout(DEADLINE)
                other.bind(("127.0.0.2", 0))
                other.connect(server.address)
                other.sendall(request("/hello.txt", "Connection: close"))
                check(other.recv(65536).startswith(b"HTTP/1.1 200 "), "it is not served")


@test
def a_client_of_ipv4_is_one_where_ipv6_is_spoken_too():
    if not os.path.exists("/proc/net/if_inet6"):
        raise Skip("no IPv6 here")
    with file_server("--max-per-address", "2", listen="[::]:0") as server:
        port = server.address[1]

        def connect(host, source):
            client = Client.__new__(Client)
            client.buffer = b""
            client.socket = socket.create_connection((host, port), DEADLINE, (source, 0))
            server.clients.append(client)
            return client

        for host, source in (("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "127.0.0.2"), ("::1", "::1")):
            served = [connect(host, source) for _ in range(2)]
            for client in served:
                equal(ask(client, "/hello.txt").body, HELLO)
            third = connect(host, source)
            try:
                equal(third.socket.recv(1), b"")
            except ConnectionResetError:
                pass
            equal(ask(served[0], "/hello.txt").body, HELLO)


# ---- the process ----

@test
def sigint_lets_downloads_finish():
    def is_refused():
        try:
            server.connect().close()
        except (ConnectionRefusedError, ConnectionResetError):
            return True
        return False

    with file_server("--stop-timeout", "120") as server:
        idle = Client(server)
        equal(ask(idle, "/hello.txt").body, HELLO)
        lines = Client(server, receive_buffer=8192)
        lines.send(b"big.bin\nhello.txt\n")
        web = Client(server, receive_buffer=8192)
        web.send(request("/big.bin"))
        got = [take(client, 1000) for client in (lines, web)]
        server.process.send_signal(signal.SIGINT)
        check(at_end(idle))
        wait_until(is_refused, "the end of listening", 1)
        got[0] += take(lines, BIG - 1000)
        check(at_end(lines), "answered a line after the signal")
        equal(hashlib.sha256(got[0]).digest(), hashlib.sha256(big_bytes()).digest())
        web.buffer = got[1]
        equal(len(Response(web).body), BIG)
        lines.close()
        web.close()
        equal(wait_exit(server.process), 0)


@test
def a_second_sigint_ends_at_once():
    with file_server() as server:
        client = Client(server, receive_buffer=4096)
        client.send(request("/big.bin"))
        take(client, 1)
        server.process.send_signal(signal.SIGINT)
        wait_until(lambda: "stopping" in server.log(), "the first signal")
        began = time.monotonic()
        server.process.send_signal(signal.SIGINT)
        equal(wait_exit(server.process), 0)
        check(time.monotonic() - began < 3, "took %.1f s" % (time.monotonic() - began))


@test
def a_download_that_the_end_cuts_is_reset_and_a_whole_one_is_not():
    with file_server("--stop-timeout", "60") as server:
        whole, cut = Client(server), Client(server, receive_buffer=4096)
        for client in (whole, cut):
            client.send("big.bin\n")
            take(client, 1)
        server.process.send_signal(signal.SIGINT)
        wait_until(lambda: "stopping" in server.log(), "the signal")
        equal(len(whole.rest()), BIG - 1)
        whole.close()
        server.process.send_signal(signal.SIGINT)
        equal(wait_exit(server.process), 0)
        try:
            got = len(cut.rest())
        except ConnectionResetError:
            return
        check(False, "%d bytes and a clean end" % got)


@test
def a_drain_has_an_end():
    with file_server() as server:
        client = Client(server, receive_buffer=4096)
        client.send(request("/big.bin"))
        take(client, 1)
        server.process.send_signal(signal.SIGTERM)
        equal(wait_exit(server.process), 0)


@test
def the_log_is_one_escaped_line_for_each_request():
    with file_server() as server:
        once(server, request("/hello.txt"))
        client = Client(server)
        client.send("evil\x1b[2J\t\"\\\u20ac.txt\n")
        take(client, len(ERROR_LINE))
        client.close()
        once(server, request("/%0d%0aforged"))
        # An answer may be there before its line, and lines of several threads come in any order.
        wait_until(lambda: len(re.findall(r'" [24]', server.log())) == 3, "three lines")
        log = server.log()
        check(re.search(r'^file_server: 127\.0\.0\.1:\d+ "GET /hello\.txt HTTP/1\.1" 200 \d+$', log,
                        re.MULTILINE), log)
        check(r'"evil\x1b[2J\x09\"\\\xe2\x82\xac.txt" 404 22' in log, log)
        check(not any(line.startswith("forged") for line in log.splitlines()), log)
        check(re.search(r"^file_server: port (io_uring|epoll|iocp)", log, re.MULTILINE), log)
        wanted = os.environ.get("PROACTOR_PORT")
        check(not wanted or "port " + wanted in log, log)


@test
def the_command_line_is_checked():
    server = program("file_server")
    done = run(server, "--help")
    equal(done.returncode, 0)
    for word in (b"--listen", b"--root", b"--request-timeout", b"--stall-timeout",
                 b"--max-connections", b"--max-per-address", b"--threads", b"--concurrency",
                 b"--group"):
        check(word in done.stdout, word)
    for arguments in (("--none",), ("extra",), ("--request-timeout", "0"),
                      ("--max-connections", "x"), ("--listen",), ("--threads", "0"),
                      ("--concurrency", "2"), ("--group", "2", "--threads", "2")):
        done = run(server, *arguments)
        equal((arguments, done.returncode, done.stdout), (arguments, 2, b""))
        check(done.stderr)
    for arguments in (("--listen", "127.0.0.1:0", "--root", "/none"),
                      ("--listen", "127.0.0.1:0", "--root", path("hello.txt")),
                      ("--listen", "nonsense")):
        done = run(server, *arguments)
        equal((arguments, done.returncode, done.stdout), (arguments, 1, b""))
    with file_server() as other:
        equal(run(server, "--listen", other.listen).returncode, 1)


@test
def it_listens_on_ipv6_too():
    if not os.path.exists("/proc/net/if_inet6"):
        raise Skip("no IPv6 here")
    with file_server(listen="[::1]:0") as server:
        equal(once(server, request("/hello.txt")).body, HELLO)


@test
def it_listens_on_unix_sockets_too():
    with file_server(listen="unix:" + os.path.join(base, "listening")) as server:
        equal(once(server, request("/hello.txt")).body, HELLO)


@test
def no_descriptor_is_left():
    with file_server("--request-timeout", "1") as server:
        count = server.descriptors()
        for _ in range(20):
            for target in ("/hello.txt", "/list/", "/page/", "/none", "/fifo", "/list", "/empty.txt"):
                for method in ("GET", "HEAD", "POST"):
                    once(server, request(target, method=method), method)
                    once(server, request(target, "Range: bytes=99999-", method=method), method)
        client = Client(server)
        client.send("hello.txt\nnone\n")
        take(client, len(HELLO) + len(ERROR_LINE))
        client.close()
        server.wait_descriptors(count)


if __name__ == "__main__":
    sys.exit(main())
