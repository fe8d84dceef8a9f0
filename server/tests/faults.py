"""A proxy between a client and a real server that does what networks do: wait, drip, cut, reset, say nothing.

    with FaultProxy(("127.0.0.1", imap_port)) as proxy:
        proxy.fault = Fault(cut_after=2000)     # for the connections that come from now on
        ... connect to proxy.port ...
        assert proxy.connections == 1

What a fault says of bytes and times concerns what comes from the server.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType


@dataclass(frozen=True)
class Fault:
    """What happens to a connection.

    Args:
        latency: seconds before each piece is passed on.
        drip: seconds after each byte, which are passed on one by one.
        cut_after: bytes after which the connection is closed.
        reset_after: bytes after which it is reset (RST).
        silent: nothing is passed on, in either direction, and nothing closed.
    """

    latency: float = 0.0
    drip: float = 0.0
    cut_after: int | None = None
    reset_after: int | None = None
    silent: bool = False


HEALTHY = Fault()
BLACK_HOLE = Fault(silent=True)
RESET = Fault(reset_after=0)


class FaultProxy:
    """Listens on a port of its own and passes on to a server, with the fault of the moment."""

    def __init__(self, target: tuple[str, int], fault: Fault = HEALTHY, host: str = "127.0.0.1") -> None:
        self.target = target
        self.fault = fault
        self.connections = 0
        self._listener = socket.create_server((host, 0), backlog=64)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        found: int = self._listener.getsockname()[1]
        return found

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Closes everything."""
        self._stopping.set()
        _end(self._listener)
        self.cut_all()

    def cut_all(self) -> None:
        """Closes the connections that are open now."""
        with self._lock:
            found = list(self._open)
        for one in found:
            _end(one)

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(client, self.fault), daemon=True).start()

    def _serve(self, client: socket.socket, fault: Fault) -> None:
        server: socket.socket | None = None
        with self._lock:
            self._open.add(client)
        try:
            if fault.silent:
                self._stopping.wait()
                return
            if fault.reset_after == 0:
                client.recv(1)  # else the client sees a refused connection at some times, and a reset at others
                return _reset(client)
            server = socket.create_connection(self.target, timeout=10)
            server.settimeout(None)
            with self._lock:
                self._open.add(server)
            threading.Thread(target=_pass_on, args=(client, server), daemon=True).start()
            self._answer(server, client, fault)
        except OSError:
            pass
        finally:
            for one in (client, server):
                if one is not None:
                    with self._lock:
                        self._open.discard(one)
                    _end(one)

    def _answer(self, server: socket.socket, client: socket.socket, fault: Fault) -> None:
        passed = 0
        while piece := server.recv(65536):
            if fault.latency:
                time.sleep(fault.latency)
            bounds = [bound for bound in (fault.cut_after, fault.reset_after) if bound is not None]
            room = min(bounds) - passed if bounds else len(piece)
            for part in [piece[:room]] if not fault.drip else [bytes([one]) for one in piece[:room]]:
                client.sendall(part)
                if fault.drip and self._stopping.wait(fault.drip):
                    return
            passed += min(room, len(piece))
            if bounds and passed >= min(bounds):
                if fault.reset_after is not None and passed >= fault.reset_after:
                    _reset(client)
                return


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)


def _reset(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()


def _end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    with suppress(OSError):
        connection.close()
