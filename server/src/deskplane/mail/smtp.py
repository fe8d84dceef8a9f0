"""Handing one mail over to an SMTP server (RFC 5321). Knows no database; whatever goes wrong is a `Failure` that says
at which step, in words for people."""

from __future__ import annotations

import base64
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from deskplane.mail.addresses import one_line

STEPS = ("setup", "dns", "connection", "tls", "login", "sender", "recipient", "content")
"""Where it can fail, in their order."""
TIMEOUT = 20.0
"""Seconds that a server may take for each of its answers."""
LONGEST = 300.0
"""Seconds that all of it may take: a server that sends a byte now and then is cut off."""


class Failure(Exception):
    """A mail that was not taken. `final`: the server refused this mail for good, and to try again is of no use."""

    def __init__(self, step: str, detail: str, *, final: bool = False) -> None:
        super().__init__(f"{step}: {detail}")
        self.step = step
        self.detail = detail
        self.final = final


@dataclass(frozen=True)
class Login:
    """A server as it is spoken to: everything in clear. `unprotected` says that it may be without TLS."""

    host: str
    port: int
    tls: str
    username: str | None
    password: str | None
    hello: str
    unprotected: bool


def hand_over(
    login: Login, sender: str, recipient: str, content: Callable[[int | None], bytes], *, longest: float = LONGEST
) -> str:
    """Gives a mail to a server, and answers what that said. `content` makes it, given the largest size in bytes that
    the server takes, if it says so. Raises Failure."""
    with _session(login, longest) as smtp:
        size = smtp.esmtp_features.get("size", "")
        data = content(int(size) if size.isdigit() and int(size) > 0 else None)
        _expect("sender", smtp.mail(sender, [f"size={len(data)}"] if size else []))
        _expect("recipient", smtp.rcpt(recipient))
        try:
            return _expect("content", smtp.data(data))
        except smtplib.SMTPDataError as error:
            return _expect("content", (error.smtp_code, error.smtp_error))


def _expect(step: str, answer: tuple[int, bytes | str]) -> str:
    code, said = answer
    text = one_line(said.decode(errors="replace") if isinstance(said, bytes) else said)[:500]
    if not 200 <= code <= 299:
        # to be asked for a login, or not to be let in at all, says nothing of this mail
        about_it = step in ("recipient", "content") or (step == "sender" and code not in (530, 538))
        raise Failure(step, f"the server said {code} {text}", final=about_it and 500 <= code <= 599)
    return f"{code} {text}"


@contextmanager
def _session(login: Login, longest: float) -> Iterator[smtplib.SMTP]:
    if login.tls == "none" and not login.unprotected:
        raise Failure(
            "tls",
            f"{login.host} would be spoken to without TLS; set tls to starttls or tls, or name the server in the "
            "setting mail.unprotected_servers",
        )
    context = ssl.create_default_context()
    if login.tls == "tls":
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(timeout=TIMEOUT, local_hostname=login.hello, context=context)
    else:
        smtp = smtplib.SMTP(timeout=TIMEOUT, local_hostname=login.hello)
    step, ended = "connection", False
    watch = threading.Timer(longest, lambda: _cut(smtp))
    watch.daemon = True
    watch.start()
    try:
        host = login.host.strip("[]")
        smtp._host = host  # type: ignore[attr-defined]  # which the certificate must be of; connect() leaves it alone
        _resolve(host, login.port)
        greeting = smtp.connect(host, login.port)
        if greeting[0] != 220:
            _expect("connection", (greeting[0] if greeting[0] > 299 else 421, greeting[1]))
        step = "tls"
        _protect(smtp, login, context)
        step = "login"
        _log_in(smtp, login)
        step = "content"
        yield smtp
        ended = True
    except Failure:
        raise
    except ssl.SSLError as error:
        raise Failure("tls", _of_tls(login, error)) from error
    except smtplib.SMTPServerDisconnected as error:
        raise Failure(step, f"{login.host}:{login.port} {_cut_short(step, login)} ({one_line(str(error))})") from error
    except smtplib.SMTPResponseException as error:
        _expect(step, (error.smtp_code, error.smtp_error))
        raise Failure(step, f"the server said {error.smtp_code}") from error
    except (smtplib.SMTPException, OSError, UnicodeError, ValueError) as error:
        raise Failure(step, f"{login.host}:{login.port}: {_words(error)}") from error
    finally:
        watch.cancel()
        _leave(smtp, politely=ended)


def _resolve(host: str, port: int) -> None:
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise Failure("dns", f"the name {host} has no address: {_words(error)}") from error


def _protect(smtp: smtplib.SMTP, login: Login, context: ssl.SSLContext) -> None:
    smtp.ehlo_or_helo_if_needed()
    if login.tls != "starttls":
        return
    if not smtp.has_extn("starttls"):
        raise Failure("tls", f"{login.host}:{login.port} offers no STARTTLS; is the port right, or tls to be tls?")
    # smtplib checks the certificate's name against the host that it connected to
    smtp.starttls(context=context)
    smtp.ehlo()


def _log_in(smtp: smtplib.SMTP, login: Login) -> None:
    if login.username is None:
        return
    password = login.password or ""
    try:
        if (login.username + password).isascii():
            smtp.login(login.username, password)
        else:  # smtplib knows ASCII only; RFC 4616 has UTF-8
            plain = base64.b64encode(f"\0{login.username}\0{password}".encode()).decode()
            _expect("login", smtp.docmd("AUTH", f"PLAIN {plain}"))
    except smtplib.SMTPNotSupportedError as error:
        raise Failure("login", f"{login.host}:{login.port} takes no login; leave the username away") from error
    except smtplib.SMTPResponseException as error:
        _expect("login", (error.smtp_code, error.smtp_error))


def _of_tls(login: Login, error: ssl.SSLError) -> str:
    where = f"{login.host}:{login.port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {where} is not trusted: {error.verify_message}"
    if login.tls == "tls" and "WRONG_VERSION" in str(error):
        return f"{where} does not begin with TLS; set tls to starttls, or use port 465"
    return f"{where}: {_words(error)}"


def _cut_short(step: str, login: Login) -> str:
    if step == "connection" and login.tls != "tls" and login.port == 465:
        return "did not greet; port 465 wants tls: tls"
    return "closed the connection"


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT:.0f} seconds"
    return one_line(getattr(error, "strerror", None) or str(error) or type(error).__name__)[:500]


def _cut(smtp: smtplib.SMTP) -> None:
    """Ends a session from another thread: whoever waits for the server sees the connection closed."""
    sock = smtp.sock
    if sock is not None:
        with suppress(OSError):  # where it ended by itself
            sock.shutdown(socket.SHUT_RDWR)


def _leave(smtp: smtplib.SMTP, *, politely: bool) -> None:
    try:
        if politely:
            smtp.quit()
    except (smtplib.SMTPException, OSError):
        pass  # the mail is taken already
    finally:
        smtp.close()
