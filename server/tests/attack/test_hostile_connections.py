"""Connections that are meant to keep a server busy: too slow, too large, endless, or no HTTP at all; against a real
server of two threads, whose patience is a second here instead of ten.

Shown by taking the defence out: without `Worker.handle` in `serving.py` the first four fail; without `write_error` all
that look at gunicorn's own answers; with `MAX_CONTENT_LENGTH` unset, those about bodies.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from conftest import Api, settings
from crash import crash_servers
from deskplane import sockets
from deskplane.app import make_desk, make_operations, make_registry
from deskplane.kernel import headers, openapi
from deskplane.people import keys, service
from deskplane.sockets import PatientSocket, TooSlow

pytestmark = pytest.mark.only_on("sqlite")
IMPATIENT = "import deskplane.sockets as s; s.PATIENCE = 1.0; from deskplane.cli import main; main()"
MEGABYTE = 1_048_576


class Desk:
    """A real server, and a key for it."""

    def __init__(self, port: int, key: str, log: Path) -> None:
        self.port, self.key, self.log = port, key, log

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def head(self, *more: str, path: str = "/api/v1/labels/apply", method: str = "POST") -> bytes:
        """A request's first lines, with what a good one has."""
        lines = [f"{method} {path} HTTP/1.1", "Host: desk", f"Authorization: Bearer {self.key}"]
        return "\r\n".join([*lines, "Content-Type: application/json", *more, "", ""]).encode()

    def send(self, *parts: bytes) -> tuple[int, dict[str, str], bytes]:
        """Sends as much as is taken; what comes back."""
        with self.connect() as connection:
            with suppress(ConnectionError):
                for part in parts:
                    connection.sendall(part)
            return answer_of(connection)


def answer_of(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Status (0 where the connection was closed without a word), headers, body."""
    data = b""
    with suppress(ConnectionError):
        while b"\r\n\r\n" not in data and (piece := connection.recv(65536)):
            data += piece
        found = data.partition(b"\r\n\r\n")[0].decode().split("\r\n")
        length = next((int(line.split(":")[1]) for line in found if line.lower().startswith("content-length")), 0)
        while len(data.partition(b"\r\n\r\n")[2]) < length and (piece := connection.recv(65536)):
            data += piece
    if not data:
        return 0, {}, b""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines), body


@pytest.fixture(scope="module")
def desk_on_a_port(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    directory = tmp_path_factory.mktemp("hostile")
    path = directory / "desk.db"
    shutil.copy(sqlite_template, path)
    desk = make_desk(settings(f"sqlite:///{path}"))

    def make(session: Any) -> str:
        work = desk.command_line(session)
        service.create_admin(work, "root", None)
        return keys.make(work, service.find_user(session, "root").id, {"name": "test"})

    key = desk.database.run(make, write=True)
    desk.database.dispose()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(crash_servers, "COMMAND", [sys.executable, "-c", IMPATIENT])
        with crash_servers.served(f"sqlite:///{path}", directory, workers=1, threads=2) as server:
            yield Desk(server.port, key, directory / "server.log")


@pytest.fixture
def server(desk_on_a_port: Desk) -> Iterator[Desk]:
    """It serves before and after whatever a test does to it, and met no error of its own."""
    yield desk_on_a_port
    status, _, body = desk_on_a_port.send(desk_on_a_port.head("Content-Length: 0", path="/healthz", method="GET"))
    assert (status, json.loads(body)) == (200, {"status": "ok"})
    assert "Traceback" not in desk_on_a_port.log.read_text()


def drip(connection: socket.socket, stop: threading.Event) -> None:
    with suppress(OSError):
        while not stop.wait(0.1):
            connection.sendall(b"X")


@pytest.mark.parametrize("beginning", ["GET / HTTP/1.1\r\nX-Slow: ", None])
def test_requests_that_come_byte_by_byte_do_not_keep_others_out(server: Desk, beginning: str | None) -> None:
    """Four at once, of two threads; one sort never comes to an end of its head, the other of its body."""
    stop = threading.Event()
    slow = [server.connect() for _ in range(4)]
    for connection in slow:
        connection.sendall(beginning.encode() if beginning else server.head("Content-Length: 100000"))
        threading.Thread(target=drip, args=(connection, stop), daemon=True).start()
    begun = time.monotonic()
    try:
        assert server.send(server.head(path="/healthz", method="GET"))[0] == 200
        assert time.monotonic() - begun < 10
        for connection in slow:
            status, _, body = answer_of(connection)
            assert status == (0 if beginning else 408), body
        assert time.monotonic() - begun < 15, "all were given up"
    finally:
        stop.set()
        for connection in slow:
            connection.close()


@pytest.mark.parametrize("framing", ["Content-Length: 100", "Transfer-Encoding: chunked"])
def test_a_body_that_never_comes_is_given_up_with_a_word(server: Desk, framing: str) -> None:
    status, _, body = server.send(server.head(framing))
    assert (status, json.loads(body)["type"]) == (408, "urn:deskplane:problem:too_slow")


def test_who_sends_and_reads_at_a_bearable_speed_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one who does not is given up: both directions, by the clock."""
    monkeypatch.setattr(sockets, "PATIENCE", 0.2)
    here, there = socket.socketpair()
    patient = PatientSocket.of(here)
    patient.setblocking(True)
    with there, patient:
        patient.begin()
        for _ in range(4):  # each byte in time, all together not
            there.sendall(b"x")
            assert patient.recv(100) == b"x"
            time.sleep(0.1)
        begun = time.monotonic()
        with pytest.raises(TooSlow):
            patient.recv(100)
        assert time.monotonic() - begun < 1
        patient._received = 10 * sockets.LEAST_RATE
        there.sendall(b"y")
        assert patient.recv(100) == b"y", "who sent that much has that long"
        monkeypatch.setattr(sockets, "LEAST_RATE", 10**9)
        with pytest.raises(TooSlow):
            patient.sendall(b"z" * 10_000_000)
        assert patient.gettimeout() == 0.2


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def test_a_body_without_a_length_is_no_larger_for_it(server: Desk) -> None:
    head = server.head("Transfer-Encoding: chunked")
    good = b'{"name": "chunked"}'
    assert server.send(head, chunk(good[:5]), chunk(good[5:]), b"0\r\n\r\n")[0] == 201
    piece = chunk(b" " * 65536)
    status, found, body = server.send(head, *[piece] * 17, b"0\r\n\r\n")
    assert (status, json.loads(body)["type"]) == (413, "urn:deskplane:problem:too_large")
    assert found["Content-Type"] == "application/problem+json"
    with server.connect() as connection:
        connection.sendall(head)
        sent = 0
        with suppress(OSError):
            while sent < 200 * MEGABYTE:
                connection.sendall(piece)
                sent += 65536
        assert sent < 30 * MEGABYTE, "one that never ends is read no further than it may go"


def test_a_length_is_looked_at_before_a_byte_is_read(server: Desk) -> None:
    status, _, body = server.send(server.head(f"Content-Length: {10**15}"))
    assert (status, json.loads(body)["type"]) == (413, "urn:deskplane:problem:too_large")
    large = server.send(server.head(f"Content-Length: {17 * MEGABYTE}", path="/api/v1/configuration/plan"))
    assert large[0] == 413


HOSTILE: list[tuple[int, str, bytes]] = [
    (400, "no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n"),
    (400, "no version", b"GET /\r\n\r\n"),
    (400, "a method in small letters", b"get / HTTP/1.1\r\nHost: x\r\n\r\n"),
    (400, "a name with a space", b"GET / HTTP/1.1\r\nHost : x\r\n\r\n"),
    (400, "a folded header", b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n"),
    (400, "two hosts", b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"),
    (400, "two lengths", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    (400, "a length with a sign", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na"),
    (
        400,
        "a length and chunks",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    (400, "chunked twice", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n"),
    (501, "another coding", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzipped\r\n\r\n"),
    (400, "a NUL in a header", b"GET / HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n"),
    (414, "a long address", b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
    (431, "a long header", b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 9000 + b"\r\n\r\n"),
    (431, "many headers", b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 200 + b"\r\n"),
]


@pytest.mark.parametrize(("status", "raw"), [pytest.param(status, raw, id=why) for status, why, raw in HOSTILE])
def test_what_is_no_request_is_a_problem_document_with_all_headers(server: Desk, status: int, raw: bytes) -> None:
    answered, found, body = server.send(raw)
    assert answered == status, body
    assert found["Content-Type"] == "application/problem+json"
    document = json.loads(body)
    assert (document["status"], bool(document["detail"])) == (status, True)
    assert len(body) < 600
    for name, value in {**dict(headers.ALWAYS), headers.CSP: headers.NOTHING, "Cache-Control": "no-store"}.items():
        assert found[name] == value
    assert "gunicorn" not in str(found)


def test_a_form_with_parts_is_read_by_nobody(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no form here: a file is a body of its own. So there is no number of parts to hold to."""

    def parse(*_: Any, **__: Any) -> None:
        raise AssertionError("a form was read")

    monkeypatch.setattr("werkzeug.formparser.FormDataParser.parse", parse)
    parts = b"".join(b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n' for _ in range(10_000))
    number = api.call("POST", "/tickets", {"title": "x"}, 201)["number"]
    for kind in ("multipart/form-data; boundary=x", "application/x-www-form-urlencoded"):
        sent = {"Content-Type": kind}
        for operation in ("/labels/apply", "/tickets", "/session"):
            assert api.request("POST", operation, data=parts, headers=sent).status_code == 415
        sent["Content-Disposition"] = "attachment; filename=form"
        made = api.request("POST", f"/tickets/{number}/attachments", data=parts, headers=sent)
        assert (made.status_code, made.get_json()["size"]) == (201, len(parts))


def unbounded(schema: dict[str, Any], where: str) -> Iterator[str]:
    """The places of a schema of what is sent that may hold as much as the whole body."""
    kinds = schema.get("type", ())
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if "array" in kinds:
        if "maxItems" not in schema:
            yield where
        yield from unbounded(schema.get("items", {}), f"{where}[]")
    if "string" in kinds and not {"maxLength", "enum", "pattern", "format", "const"} & set(schema):
        yield where
    for name, part in schema.get("properties", {}).items():
        yield from unbounded(part, f"{where}.{name}")
    if isinstance(more := schema.get("additionalProperties"), dict):
        if "maxProperties" not in schema:
            yield where
        yield from unbounded(more, f"{where}.*")
    for name in ("anyOf", "oneOf", "allOf"):
        for part in schema.get(name, ()):
            yield from unbounded(part, where)


def test_every_list_and_text_that_may_be_sent_has_an_end() -> None:
    """But the lists of a whole desk's document, all of which together have one (`configuration/test_bounds.py`), and
    headers as one text, which is read as an object that has."""
    document = openapi.document(make_operations(make_registry()))
    found = []
    for path, methods in document["paths"].items():
        for method, entry in methods.items():
            body = entry.get("requestBody", {}).get("content", {}).get("application/json")
            found += list(unbounded(body["schema"], f"{method} {path}")) if body else []
            found += [
                place
                for part in entry["parameters"]
                if part["in"] == "query"
                for place in unbounded(part["schema"], f"{method} {path}?{part['name']}")
            ]
    whole_desk = re.compile(r"post /api/v1/(configuration/(plan|apply)|sla-policies/simulate)\.[a-z_.]+")
    left = [place for place in found if not whole_desk.fullmatch(place)]
    assert left == [
        f"{where}.secret_headers" for where in ("post /api/v1/webhooks/apply", "patch /api/v1/webhooks/{id}")
    ]
