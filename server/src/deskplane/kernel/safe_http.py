"""The one way in which the server calls an address that somebody configured.

Whoever may configure an address could make the server call what only the server reaches: its own ports, the machines
beside it, the cloud's metadata. So it connects to addresses of the public internet, and to networks that the operator
allowed; what counts is the address that is connected to, not the name, which may resolve to another one a moment
later. Redirects are not followed, proxies of the environment are not asked, and one deadline bounds everything,
however slowly an answer drips.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import IO, Any
from urllib.parse import urlsplit

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, NewConnectionError, SSLError

Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Sequence[str]]
"""Host and port to addresses, as text. May block; raises OSError."""

DEADLINE = 15.0
"""Seconds from the look-up of the name to the last byte that is read."""
MOST_READ = 65_536
"""Bytes that are read of an answer's body."""
USER_AGENT = "Deskplane"

_REFUSED = [
    ip_network(text)
    for text in (
        # IANA's special-purpose registries (RFC 6890); the metadata of clouds is within them, as 169.254.169.254
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
        "168.63.129.16/32",  # Azure's, though it looks public
        # all that stands for another address as well: IPv4-compatible, Teredo, 6to4; and what is not global
        "::/8", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fc00::/7",
        "fe80::/10", "fec0::/10", "ff00::/8",
    )
]  # fmt: skip
_NAT64 = ip_network("64:ff9b::/96")


class Failed(Exception):
    """A call that got no answer. `code` is for programs: refused_address, unknown_host, timeout, tls, connection or
    bad_answer; the text is for people, and holds nothing of what was sent."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True)
class Answer:
    """What came back: status, headers with names in lower case, and the first bytes of the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def is_allowed(text: str, networks: Sequence[Network] = ()) -> bool:
    """Whether an address may be connected to: it is public, or in one of these networks."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and (address.ipv4_mapped or address in _NAT64):
        address = IPv4Address(int(address) & 0xFFFFFFFF)  # the one that it leads to
    if any(address in network for network in networks):
        return True
    return not any(address in network for network in _REFUSED)


def literal(host: str) -> str | None:
    """The address that a host is, in whatever way it is written (`2130706433`, `0x7f.1`, `0177.0.0.1`, `[::1]`); null
    for a name."""
    host = host.strip("[]")
    try:
        return str(ip_address(host.partition("%")[0]))
    except ValueError:
        pass
    try:
        # what the resolver would make of it
        return socket.inet_ntoa(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


def _resolved(host: str, port: int) -> list[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class _Deadline:
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds. Raises TimeoutError where there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class _Bounded:
    """A socket of which each read and each writing has what is left of the time, not the same time anew."""

    deadline: _Deadline

    def recv_into(self, *arguments: Any, **named: Any) -> int:
        self.settimeout(self.deadline.left())  # type: ignore[attr-defined]
        return super().recv_into(*arguments, **named)  # type: ignore[misc, no-any-return]

    def sendall(self, *arguments: Any) -> None:
        self.settimeout(self.deadline.left())  # type: ignore[attr-defined]
        super().sendall(*arguments)  # type: ignore[misc]


class _Plain(_Bounded, socket.socket):
    pass


class _Sealed(_Bounded, ssl.SSLSocket):
    pass


@dataclass(frozen=True)
class Client:
    """Calls addresses.

    Args:
        networks: which the operator allowed besides the public internet.
        resolve: looks a name up.
        context: whom to believe over TLS; the system's authorities if there is none.
        seconds: the deadline of a call.
    """

    networks: Sequence[Network] = ()
    resolve: Resolve = _resolved
    context: Callable[[], ssl.SSLContext] = ssl.create_default_context
    seconds: float = DEADLINE
    _prepared: list[ssl.SSLContext] = field(default_factory=list, repr=False)

    def mistake(self, url: str) -> str | None:
        """What is wrong with an address, as far as it can be seen without a look-up; null for nothing."""
        host = urlsplit(url).hostname or ""
        is_own = host == "localhost" or host.endswith(".localhost")
        address = "127.0.0.1" if is_own else literal(host)
        return None if address is None or is_allowed(address, self.networks) else _refusal(host)

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | IO[bytes] | None,
        seconds: float | None = None,
    ) -> Answer:
        """Sends one request, within `seconds` or the client's own deadline. A file needs its Content-Length among the
        headers. Raises Failed where no answer came; every status is an answer, redirects too."""
        deadline = _Deadline(seconds or self.seconds)
        parts = urlsplit(url)
        host = parts.hostname or ""
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection = self._connection(
            parts.scheme, host, parts.port or (443 if parts.scheme == "https" else 80), deadline
        )
        named = {name.lower() for name in headers}
        sent = dict(headers) if "user-agent" in named else {"User-Agent": USER_AGENT, **headers}
        try:
            connection.request(
                method, target, body, {**sent, "Connection": "close"}, preload_content=False, decode_content=False
            )
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status, found, _beginning(answer, deadline))
        except Failed:
            raise
        except TimeoutError:
            raise _late(deadline) from None
        except (ssl.SSLError, SSLError) as error:
            raise Failed("tls", f"no TLS connection to {host}: {_reason(error)}") from None
        except (http.client.HTTPException, HTTPError, OSError, ValueError) as error:
            if isinstance(error.__cause__ or error.__context__, TimeoutError):
                raise _late(deadline) from None
            if isinstance(error, (OSError, NewConnectionError)) and not isinstance(error, http.client.HTTPException):
                raise Failed("connection", f"the connection to {host} failed: {_reason(error)}") from None
            raise Failed("bad_answer", f"{host} did not answer as HTTP does: {_reason(error)}") from None
        finally:
            connection.close()

    def _connection(self, scheme: str, host: str, port: int, deadline: _Deadline) -> HTTPConnection:
        def connect(port: int) -> socket.socket:
            return self._connect(host, port, deadline)

        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return connect(self.port)

        class Sealed(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return connect(self.port)

            def connect(self) -> None:
                super().connect()
                assert isinstance(self.sock, _Sealed)
                self.sock.deadline = deadline

        if scheme == "http":
            return Plain(host, port)
        if not self._prepared:  # reading the authorities takes longer than most calls
            context = self.context()
            context.sslsocket_class = _Sealed
            self._prepared.append(context)
        # name and certificate are the host's, whichever of its addresses is called
        return Sealed(host, port, ssl_context=self._prepared[0])

    def _connect(self, host: str, port: int, deadline: _Deadline) -> socket.socket:
        """A connection to the first address of the host that is allowed and answers."""
        found = [literal(host) or ""] if literal(host) else self._look_up(host, port, deadline)
        addresses = [address for address in dict.fromkeys(found) if is_allowed(address, self.networks)]
        if not addresses:
            raise Failed("refused_address", _refusal(host))
        last: OSError | None = None
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            connection = _Plain(family, socket.SOCK_STREAM)
            connection.deadline = deadline
            try:
                connection.settimeout(deadline.left())
                connection.connect((address, port))
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.settimeout(deadline.left())
                return connection
            except OSError as error:
                connection.close()
                if isinstance(error, TimeoutError):
                    raise
                last = error
        assert last is not None
        raise last

    def _look_up(self, host: str, port: int, deadline: _Deadline) -> Sequence[str]:
        """The addresses of a name, in time: the system's resolver knows no deadline."""
        found: list[Sequence[str] | OSError | UnicodeError] = []

        def ask() -> None:
            try:
                found.append(self.resolve(host, port))
            except (OSError, UnicodeError) as error:
                found.append(error)

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(deadline.left())
        if not found:
            raise TimeoutError
        if isinstance(found[0], (OSError, UnicodeError)):
            raise Failed("unknown_host", f"the name {host} has no address: {_reason(found[0])}")
        return found[0]


def _late(deadline: _Deadline) -> Failed:
    return Failed("timeout", f"there was no answer within {deadline.seconds:g} seconds")


def _beginning(answer: Any, deadline: _Deadline) -> bytes:
    """The first bytes of the body. The status has been said by then: a body that breaks off does not unsay it."""
    pieces, size = [], 0
    try:
        while size < MOST_READ and (piece := answer.read1(MOST_READ - size)):
            deadline.left()
            pieces.append(piece)
            size += len(piece)
    except (http.client.HTTPException, HTTPError, OSError, ValueError):
        pass
    return b"".join(pieces)[:MOST_READ]


def _refusal(host: str) -> str:
    return f"{host} is not on the public internet, nor in a network that webhook_networks allows"


def _reason(error: BaseException) -> str:
    inner = error.__cause__ if isinstance(error, HTTPError) and error.__cause__ is not None else error
    return getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
