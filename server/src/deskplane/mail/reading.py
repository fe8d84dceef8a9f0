"""Speaking to an IMAP server (RFC 9051). Knows no database; whatever goes wrong is a `Failure` that says at which step,
in words for people."""

from __future__ import annotations

import imaplib
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from imapclient import IMAPClient
from imapclient.exceptions import IMAPClientError, LoginError

STEPS = ("setup", "dns", "connection", "tls", "login", "folder", "reading")
"""Where it can fail, in their order."""
TIMEOUT = 20.0
"""Seconds that a server may take for each of its answers."""
PIECE = 1024 * 1024
"""Bytes of a mail that are asked for at once."""
_IN_MEMORY = 1024 * 1024


class Failure(Exception):
    """The mailbox could not be read."""

    def __init__(self, step: str, detail: str) -> None:
        super().__init__(f"{step}: {detail}")
        self.step = step
        self.detail = detail

    @property
    def is_refusal(self) -> bool:
        """Whether the server only refused something, and the connection is as good as before."""
        cause = self.__cause__
        return isinstance(cause, imaplib.IMAP4.error) and not isinstance(cause, imaplib.IMAP4.abort)


@dataclass(frozen=True)
class Login:
    """A mailbox as it is spoken to, everything in clear. `unprotected` says that it may be without TLS; `token` that
    the password is an OAuth 2 access token (XOAUTH2)."""

    host: str
    port: int
    tls: str
    username: str
    password: str
    folder: str
    unprotected: bool
    token: bool = False

    @property
    def address(self) -> str:
        """What tells the mailbox from every other one."""
        return f"{self.username} at {self.host}:{self.port}, {self.folder}"


@dataclass(frozen=True)
class Folder:
    """A folder that is open. `next_uid` is null where the server does not say it."""

    uid_validity: int
    next_uid: int | None
    messages: int


class Reading:
    """A folder of a mailbox, while the connection lasts."""

    def __init__(self, client: IMAPClient, folder: Folder) -> None:
        self._client = client
        self.folder = folder

    def unseen(self) -> list[int]:
        """The UIDs of mails that nobody has seen, in their order."""
        return self._search(["UNSEEN"])

    def since(self, uid: int) -> list[int]:
        """The UIDs from one on, in their order."""
        # a range always names the last one, too, however small that is
        return [found for found in self._search(["UID", f"{uid}:*"]) if found >= uid]

    def received_since(self, day: date) -> list[int]:
        """The UIDs of mails that the server received on that day or later, in their order."""
        return self._search(["SINCE", day])

    def _search(self, criteria: list[Any]) -> list[int]:
        with _failing("reading"):
            return sorted(int(uid) for uid in self._client.search([*criteria, "UNDELETED"]))

    def fetch(self, uid: int, most: int, between: Callable[[], object]) -> tuple[int, IO[bytes]] | None:
        """A mail's size, and its bytes: of one that has more than `most`, the first piece only. None where it is there
        no more. Leaves it unseen. Calls `between` between the pieces."""
        with _failing("reading"):
            found = self._client.fetch([uid], ["RFC822.SIZE"]).get(uid)
            if found is None:
                return None
            size = int(found[b"RFC822.SIZE"])
            file: IO[bytes] = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - whoever asked closes it
            try:
                end = PIECE if size > most else most
                # asked for until nothing comes: some servers count a mail's bytes otherwise than they send them
                while (position := file.tell()) < end:
                    data = self._piece(uid, position, min(PIECE, end - position))
                    file.write(data)
                    if len(data) < PIECE:
                        break
                    between()
            except BaseException:
                file.close()
                raise
            return size, file

    def _piece(self, uid: int, position: int, length: int) -> bytes:
        found = self._client.fetch([uid], [f"BODY.PEEK[]<{position}.{length}>"]).get(uid)
        if found is None:
            raise IMAPClientError("the mail went away while it was read")
        return next((value or b"" for name, value in found.items() if name.startswith(b"BODY[]")), b"")

    def mark_seen(self, uids: list[int]) -> None:
        """Marks mails as seen."""
        with _failing("reading"):
            self._client.add_flags(uids, [b"\\Seen"], silent=True)


@contextmanager
def reading(login: Login, *, longest: float) -> Iterator[Reading]:
    """Opens the folder, and closes the connection in the end. However slowly a server answers, after `longest` seconds
    the connection is cut. Raises Failure."""
    if login.tls == "none" and not login.unprotected:
        raise Failure("setup", f"{login.host} would be spoken to without TLS, which the settings do not allow")
    with _Bound(longest) as bound:
        client = _connected(login, bound)
        try:
            yield _opened(client, login)
        finally:
            _leave(client)


def _opened(client: IMAPClient, login: Login) -> Reading:
    with _failing("login"):
        if login.token:
            client.oauth2_login(login.username, login.password)
        else:
            client.login(login.username, login.password)
    with _failing("folder"):
        said = client.select_folder(login.folder)
    validity = said.get(b"UIDVALIDITY")
    if validity is None:
        raise Failure("folder", f"{login.host} gives the mails of {login.folder} no lasting numbers (UIDVALIDITY)")
    following = said.get(b"UIDNEXT")
    return Reading(client, Folder(int(validity), following and int(following), int(said.get(b"EXISTS", 0))))


class _Bound:
    """Cuts a connection when it has lasted so many seconds, from its first moment on."""

    def __init__(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._twin: socket.socket | None = None

    def __enter__(self) -> _Bound:
        self._timer.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._timer.cancel()
        with self._lock:
            if self._twin is not None:
                self._twin.close()
                self._twin = None

    def watch(self, line: socket.socket) -> None:
        """From here on this is the connection. Beginning TLS makes another socket of it, but not of its twin."""
        with self._lock:
            self._twin = line.dup()

    def _cut(self) -> None:
        with self._lock, suppress(OSError):
            if self._twin is not None:
                self._twin.shutdown(socket.SHUT_RDWR)


class _Line(imaplib.IMAP4):
    """A connection that is bound."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None, bound: _Bound) -> None:
        self._context, self._bound = context, bound
        super().__init__(host, port, timeout=TIMEOUT)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        line = socket.create_connection((self.host, self.port), timeout)
        self._bound.watch(line)
        return line if self._context is None else self._context.wrap_socket(line, server_hostname=self.host)


class _Client(IMAPClient):  # type: ignore[misc]
    """A client whose connection is bound."""

    def __init__(self, login: Login, context: ssl.SSLContext, bound: _Bound) -> None:
        self._bound = bound
        host = login.host.strip("[]")
        super().__init__(host, login.port, ssl=login.tls == "tls", ssl_context=context, timeout=TIMEOUT)

    def _create_IMAP4(self) -> imaplib.IMAP4:
        return _Line(self.host, self.port, self.ssl_context if self.ssl else None, self._bound)


def _leave(client: IMAPClient) -> None:
    try:
        client.socket().settimeout(2)
        client.logout()
    except Exception:  # what matters was done, or has failed already
        with suppress(OSError):
            client.shutdown()


def _connected(login: Login, bound: _Bound) -> IMAPClient:
    context = ssl.create_default_context()
    try:
        client = _Client(login, context, bound)
    except socket.gaierror as error:
        raise Failure("dns", f"there is no host {login.host}: {error.strerror}") from error
    except ssl.SSLError as error:
        raise Failure("tls", _about_tls(login, error)) from error
    except (OSError, imaplib.IMAP4.error, IMAPClientError) as error:
        raise Failure("connection", f"{login.host} port {login.port}: {_words(error)}") from error
    if login.tls == "starttls":
        try:
            client.starttls(context)
        except ssl.SSLError as error:
            _leave(client)
            raise Failure("tls", _about_tls(login, error)) from error
        except (OSError, imaplib.IMAP4.error, IMAPClientError) as error:
            _leave(client)
            raise Failure("tls", f"{login.host} does not begin TLS: {_words(error)}") from error
    return client


@contextmanager
def _failing(step: str) -> Iterator[None]:
    """Turns what the parts raise into a Failure of this step."""
    try:
        yield
    except Failure:
        raise
    except LoginError as error:
        raise Failure("login", f"the server refuses the login: {_words(error)}") from error
    except (OSError, imaplib.IMAP4.error, IMAPClientError, ValueError, KeyError) as error:
        raise Failure(step, _words(error)) from error


def _about_tls(login: Login, error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {login.host} is not accepted: {error.verify_message}"
    return f"{login.host} port {login.port} does not speak TLS as it should: {error.reason or error}"


def _words(error: BaseException) -> str:
    """What an error says, as one line."""
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT:.0f} seconds"
    said = error.args[0] if len(error.args) == 1 else getattr(error, "strerror", None) or str(error)
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    quoted = re.fullmatch(r"b(['\"])(.*)\1", text)  # the client turns bytes into text as Python shows them
    return " ".join((quoted[2] if quoted else text).split())[:500] or type(error).__name__
