"""Reading mailboxes of a real IMAP server: each mail once, none lost, wherever a connection breaks."""

from __future__ import annotations

import itertools
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import select

from conftest import Api, TurnedClock
from deskplane.app import Desk, make_worker
from deskplane.mail import fetching, incoming
from deskplane.mail.fetching import Fetching
from deskplane.mail.incoming_models import Mailbox
from faults import BLACK_HOLE, Fault, FaultProxy, _end
from mail.dovecot import PASSWORD, Dovecot
from mail.incoming_help import department, letter

_users = itertools.count()


@pytest.fixture
def user(dovecot: Dovecot) -> str:
    """The name of a mailbox that no other test uses."""
    name = f"desk{next(_users)}@example.org"
    dovecot.make(name)
    return name


def mailbox(api: Api, dovecot: Dovecot, user: str, name: str = "Service Desk", **imap: Any) -> str:
    """A department that reads it; answers its id."""
    given = {"server": "localhost", "port": dovecot.port, "tls": "none", "username": user, "password": PASSWORD}
    return department(api, name, imap=given | imap)


def fetch(desk: Desk, department_id: str) -> None:
    """Has the mailbox read once, as the worker does."""
    desk.database.run(lambda session: fetching.queue(desk.automation(session)), write=True)
    Fetching(desk.database, desk.automation).fetch(department_id)


def rows(desk: Desk) -> list[dict[str, Any]]:
    with desk.database.transaction(write=False) as session:
        statement = select(incoming.MAILS).order_by(incoming.M.id)
        return [dict(row) for row in session.execute(statement).mappings()]


def subjects(desk: Desk) -> list[str]:
    return [row["subject"] for row in rows(desk)]


def state(desk: Desk) -> Mailbox:
    with desk.database.transaction(write=False) as session:
        found = session.execute(select(Mailbox)).scalar_one()
        session.expunge_all()
        return found


@pytest.mark.feature("F140")
@pytest.mark.parametrize("tls", ["tls", "starttls", "none"])
def test_what_is_unseen_is_stored_and_seen_afterwards(
    desk: Desk, api: Api, dovecot: Dovecot, user: str, tls: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(dovecot.certificate))
    found = mailbox(api, dovecot, user, tls=tls, port=dovecot.tls_port if tls == "tls" else dovecot.port)
    mails = [letter(f"mail {n}") for n in range(3)]
    dovecot.deliver(user, *mails)
    fetch(desk, found)
    assert subjects(desk) == ["mail 0", "mail 1", "mail 2"], state(desk).last_error
    assert dovecot.flags(user) == ["S", "S", "S"]
    with desk.database.transaction(write=False) as session:
        assert incoming.raw(session, rows(desk)[0]["id"]) == mails[0].replace(b"\n", b"\r\n")
    dovecot.mark_unseen(user)
    fetch(desk, found)
    assert len(rows(desk)) == 3
    assert {row["deliveries"] for row in rows(desk)} == {1}, "a mail that is known is not fetched again"
    assert dovecot.flags(user) == ["S", "S", "S"]


def test_a_certificate_that_nobody_vouches_for_is_refused(desk: Desk, api: Api, dovecot: Dovecot, user: str) -> None:
    for tls, port in (("tls", dovecot.tls_port), ("starttls", dovecot.port)):
        found = mailbox(api, dovecot, user, tls=tls, port=port)
        fetch(desk, found)
        assert "certificate of localhost is not accepted" in (state(desk).last_error or "")
    assert dovecot.flags(user) == []


def test_a_mailbox_elsewhere_is_not_read_without_tls(desk: Desk, api: Api, dovecot: Dovecot, user: str) -> None:
    found = mailbox(api, dovecot, user, server="imap.example.org")
    fetch(desk, found)
    assert "without TLS" in (state(desk).last_error or "")


@contextmanager
def token_server() -> Iterator[str]:
    """Says whose a token is, as Dovecot asks (RFC 7662)."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            (token,) = parse_qs(urlsplit(self.path).query)["token"]
            body = json.dumps({"active": token == "good-token", "username": "token@example.org"}).encode()
            self.send_response(200 if token == "good-token" else 401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/?token="
    server.shutdown()


def test_a_token_opens_a_mailbox_too(desk: Desk, api: Api, dovecot: Dovecot) -> None:
    user = "token@example.org"
    with token_server() as tokens:
        dovecot.ask_about_tokens(tokens)
        dovecot.deliver(user, letter("by token"))
        found = mailbox(api, dovecot, user, authentication="oauth2", password="a-bad-token")
        fetch(desk, found)
        assert "login" in (state(desk).last_error or "")
        mailbox(api, dovecot, user, authentication="oauth2", password="good-token")
        fetch(desk, found)
    assert subjects(desk) == ["by token"]


class CuttingProxy(FaultProxy):
    """Cuts the connection at every seventh mail: in its midst, or while the server says that it is marked as seen."""

    mails = 0

    def _answer(self, server: socket.socket, client: socket.socket, fault: Fault) -> None:
        later = False
        while piece := server.recv(65536):
            if later:
                return _end(client)
            for found in re.finditer(rb"BODY\[\]<0>", piece):
                self.mails += 1
                if self.mails % 14 == 0:
                    later = True
                elif self.mails % 7 == 0:
                    client.sendall(piece[: found.end() + 40])
                    return _end(client)
            client.sendall(piece)
        return None


def test_wherever_the_connection_breaks_each_mail_is_stored_once(
    desk: Desk, api: Api, dovecot: Dovecot, user: str, clock: TurnedClock
) -> None:
    dovecot.deliver(user, *[letter(f"mail {n}") for n in range(40)])
    turns = 0
    with CuttingProxy(("127.0.0.1", dovecot.port)) as proxy:
        found = mailbox(api, dovecot, user, port=proxy.port)
        while turns < 12:
            turns += 1
            fetch(desk, found)
            assert dovecot.flags(user).count("S") <= len(rows(desk)), "nothing is seen that was not stored"
            clock.turn(minutes=30)
            if state(desk).last_error is None:
                break
    assert 5 < turns < 12
    assert sorted(subjects(desk), key=lambda text: int(text.split()[1])) == [f"mail {n}" for n in range(40)]
    assert dovecot.flags(user) == ["S"] * 40
    assert {row["deliveries"] for row in rows(desk)} == {1}, "what was stored is not even fetched again"


def test_what_somebody_read_meanwhile_is_stored_too(desk: Desk, api: Api, dovecot: Dovecot, user: str) -> None:
    dovecot.deliver(user, letter("seen long ago"))
    dovecot.mark_seen(user)
    found = mailbox(api, dovecot, user)
    fetch(desk, found)
    assert subjects(desk) == [], "it was somebody else's matter before this department had the mailbox"
    dovecot.deliver(user, letter("read on a telephone"))
    dovecot.mark_seen(user)
    fetch(desk, found)
    assert subjects(desk) == ["read on a telephone"]


def test_new_numbers_bring_nothing_twice_and_lose_nothing(
    desk: Desk, api: Api, dovecot: Dovecot, user: str, clock: TurnedClock
) -> None:
    clock.time = clock.time.replace(year=2020)  # the mails below are newer
    dovecot.deliver(user, letter("one"), letter("two"))
    found = mailbox(api, dovecot, user)
    fetch(desk, found)
    before = state(desk).uid_validity
    dovecot.deliver(user, letter("three"))
    dovecot.mark_seen(user)
    dovecot.forget_numbers(user)
    fetch(desk, found)
    assert state(desk).uid_validity != before
    assert subjects(desk) == ["one", "two", "three"], state(desk).last_error


def test_two_workers_do_not_read_one_mailbox_at_once(
    desk: Desk, api: Api, clock: TurnedClock, dovecot: Dovecot, user: str
) -> None:
    found = mailbox(api, dovecot, user)
    desk.database.run(lambda session: fetching.queue(desk.automation(session)), write=True)

    def begin() -> Any:
        return desk.database.run(lambda session: fetching.begin(desk.automation(session), found), write=True)

    assert begin() is not None
    assert begin() is None
    clock.turn(seconds=fetching.LEASE.total_seconds() + 1)
    assert begin() is not None, "that worker is dead"


def test_who_lost_the_lease_stores_nothing(
    desk: Desk, api: Api, dovecot: Dovecot, user: str, clock: TurnedClock
) -> None:
    dovecot.deliver(user, letter("one"))

    class Slow(FaultProxy):
        """Takes so long that another worker has the mailbox by then."""

        def _answer(self, server: socket.socket, client: socket.socket, fault: Fault) -> None:
            while piece := server.recv(65536):
                if b"BODY[]<0>" in piece:
                    clock.turn(seconds=fetching.LEASE.total_seconds() + 1)
                    desk.database.run(lambda session: fetching.begin(desk.automation(session), found), write=True)
                client.sendall(piece)

    with Slow(("127.0.0.1", dovecot.port)) as proxy:
        found = mailbox(api, dovecot, user, port=proxy.port)
        fetch(desk, found)
    assert rows(desk) == []
    assert dovecot.flags(user) == [""]


def test_a_mailbox_that_cannot_be_read_is_tried_less_often_raises_an_alert_and_recovers(
    desk: Desk, api: Api, dovecot: Dovecot, user: str, clock: TurnedClock
) -> None:
    def alerts() -> list[str]:
        return [alert["text"] for alert in api.call("GET", "/alerts?kind=mailbox&open=true")["items"]]

    dovecot.deliver(user, letter("one"))
    with FaultProxy(("127.0.0.1", dovecot.port), Fault(cut_after=1)) as proxy:
        found = mailbox(api, dovecot, user, port=proxy.port)
        tried = []
        worker = make_worker(desk)
        for minute in range(40):
            desk.database.run(lambda session: fetching.queue(desk.automation(session)), write=True)
            before = proxy.connections
            drain(worker)
            if proxy.connections > before:
                tried.append(minute)
            assert bool(alerts()) == (len(tried) >= fetching.PATIENCE)
            clock.turn(minutes=1)
        assert tried == [0, 1, 3, 7, 15, 30]
        (text,) = alerts()
        assert "Service Desk" in text
        assert PASSWORD not in text
        proxy.fault = Fault()
        clock.turn(minutes=15)
        fetch(desk, found)
    assert subjects(desk) == ["one"]
    assert alerts() == []


def drain(worker: Any) -> None:
    """Lets a worker do all that is to be done."""
    end = time.monotonic() + 60
    while (worker.drain_once() or worker._in_hand) and time.monotonic() < end:
        time.sleep(0.005)


def test_a_server_that_drips_or_says_nothing_is_left_after_its_bound(
    desk: Desk, api: Api, dovecot: Dovecot, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "LONGEST", 1.0)
    dovecot.deliver(user, letter("one"))
    for fault in (BLACK_HOLE, Fault(drip=0.1)):
        with FaultProxy(("127.0.0.1", dovecot.port), fault) as proxy:
            found = mailbox(api, dovecot, user, port=proxy.port)
            begun = time.monotonic()
            fetch(desk, found)
            assert 0.5 < time.monotonic() - begun < 6
        assert state(desk).last_error
        assert state(desk).lease_owner is None
    assert rows(desk) == []


def test_a_mail_that_is_too_large_lies_in_the_quarantine_and_stays_in_the_mailbox(
    desk: Desk, api: Api, dovecot: Dovecot, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "LARGEST", 3_000_000)
    api.apply("settings", key="attachments.max_bytes", value=1_500_000)
    dovecot.deliver(user, letter("huge", files=[("a.bin", "application/x-a", b"x" * 3_000_000)]), letter("small"))
    found = mailbox(api, dovecot, user)
    fetch(desk, found)
    huge, small = rows(desk)
    assert (huge["whole"], small["whole"]) == (False, True)
    drain(make_worker(desk))
    huge, small = rows(desk)
    assert (huge["state"], small["state"]) == ("quarantined", "processed")
    assert "still in" in huge["reason"]
    assert dovecot.flags(user) == ["S", "S"]
    fetch(desk, found)
    assert len(rows(desk)) == 2


def test_a_department_that_is_off_reads_nothing(desk: Desk, api: Api, dovecot: Dovecot, user: str) -> None:
    dovecot.deliver(user, letter("one"))
    found = mailbox(api, dovecot, user)
    api.apply("departments", name="Service Desk", enabled=False)
    fetch(desk, found)
    assert rows(desk) == []
    assert dovecot.flags(user) == [""]


def test_a_worker_fetches_every_mailbox_and_makes_the_tickets(
    desk: Desk, api: Api, dovecot: Dovecot, user: str, clock: TurnedClock
) -> None:
    other = f"other-{user}"
    dovecot.deliver(user, letter("for the desk"))
    dovecot.deliver(other, letter("for sales"))
    mailbox(api, dovecot, user)
    mailbox(api, dovecot, other, "Sales")
    worker = make_worker(desk)
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    end = time.monotonic() + 30
    found: list[Any] = []
    while len(found) < 2 and time.monotonic() < end:
        clock.turn(seconds=30)
        time.sleep(0.3)
        found = api.call("GET", "/tickets")["items"]
    worker.stop()
    thread.join(30)
    assert sorted((ticket["title"], ticket["department"]) for ticket in found) == [
        ("for sales", "Sales"),
        ("for the desk", "Service Desk"),
    ]
