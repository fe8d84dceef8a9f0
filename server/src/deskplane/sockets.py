"""Connections to the server: how long it waits for who sends and reads slowly, and what it answers to what is no HTTP.

A thread serves one request at a time, and would wait as long for one that comes byte by byte as the caller likes. So
each request, from its first byte to its last, is waited for ten seconds, and longer only as far as something comes: a
second for every four kilobytes. An answer is waited for in the same way. Before many such callers at once a proxy helps
that takes requests in by itself, as nginx does.
"""

from __future__ import annotations

import ctypes
import errno
import json
import socket
import struct
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from gunicorn.util import write_nonblock

from deskplane.kernel import headers
from deskplane.kernel.http import PROBLEM_JSON

if TYPE_CHECKING:
    from typing_extensions import Buffer

PATIENCE = 10.0
"""Seconds."""
LEAST_RATE = 4096
"""Bytes a second."""
_LONGEST = 200
"""Characters of what is told of something that cannot be read."""


# Each step: what it does, where it goes on if so and if not, with what (linux/filter.h, linux/bpf_common.h).
_BUT_FIRST_PACKETS = (
    (0x30, 0, 0, 13),  # take the byte of a segment's header that has the flags (RFC 9293, 3.1)
    (0x45, 0, 1, 0x02),  # has it SYN?
    (0x06, 0, 0, 0),  # then it is not there
    (0x06, 0, 0, 0xFFFFFFFF),
)
_SO_ATTACH_FILTER = 26


def take_no_first_packet(listener: socket.socket) -> None:
    """Lets nobody begin to connect any more, while those go on who have begun: what comes in the moment between the
    last look who is there and the closing of a listener would be reset, although it was told that it is connected.
    Whoever is not heard tries again after a second, and is refused then. Only Linux can do that, and only for TCP; for
    a socket with a path there is no need, since its path has gone by then."""
    if sys.platform != "linux" or listener.family == socket.AF_UNIX:
        return
    steps = b"".join(struct.pack("HBBI", *step) for step in _BUT_FIRST_PACKETS)
    program = ctypes.create_string_buffer(steps)
    given = struct.pack("HP", len(_BUT_FIRST_PACKETS), ctypes.addressof(program))
    with suppress(OSError):  # of a kernel that has no such filters
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, given)


class TooSlow(TimeoutError):
    """The caller is given up. To gunicorn that is as good as one who has gone."""

    def __init__(self) -> None:
        super().__init__("the caller is too slow")
        self.errno = errno.ECONNRESET


class PatientSocket(socket.socket):
    """A caller's connection. Where others block, this one waits for so long."""

    _waited = 0.0
    _received = 0

    @classmethod
    def of(cls, found: socket.socket) -> PatientSocket:
        """The same connection; the one it was given is used up."""
        return cls(found.family, found.type, found.proto, found.detach())

    def begin(self) -> None:
        """Another request begins."""
        self._waited, self._received = 0.0, 0

    def setblocking(self, flag: bool, /) -> None:
        self.settimeout(PATIENCE if flag else 0.0)

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Raises TooSlow. What the server itself does meanwhile is not on the caller's account."""
        if self._waited > PATIENCE + self._received / LEAST_RATE:
            raise TooSlow
        begun = time.monotonic()
        try:
            found = super().recv(bufsize, flags)
        except TimeoutError:
            raise TooSlow from None
        finally:
            self._waited += time.monotonic() - begun
        self._received += len(found)
        return found

    def sendall(self, data: Buffer, flags: int = 0, /) -> None:
        """Raises TooSlow."""
        before = self.gettimeout()
        if before != 0.0:
            self.settimeout(PATIENCE + memoryview(data).nbytes / LEAST_RATE)
        try:
            super().sendall(data, flags)
        except TimeoutError:
            raise TooSlow from None
        finally:
            self.settimeout(before)


def write_error(sock: socket.socket, status_int: int, reason: str, mesg: str) -> None:
    """What gunicorn answers by itself, in place of a page of its own: a problem document, as all others have it."""
    codes = {414: "address_too_long", 431: "headers_too_large", 500: "internal"}
    document = {
        "type": f"urn:deskplane:problem:{codes.get(status_int, 'bad_request')}",
        "title": reason,
        "status": status_int,
        "detail": mesg[:_LONGEST] or "the server met an error of its own; its log has the details",
    }
    body = json.dumps(document).encode()
    said = {
        "Connection": "close",
        "Content-Type": PROBLEM_JSON,
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
        headers.CSP: headers.NOTHING,
        **dict(headers.ALWAYS),
    }
    lines = [f"HTTP/1.1 {status_int} {reason}", *(f"{name}: {value}" for name, value in said.items()), "", ""]
    write_nonblock(sock, "\r\n".join(lines).encode("latin1") + body)
