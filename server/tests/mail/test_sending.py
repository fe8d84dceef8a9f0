"""Handing mails over to SMTP servers: protected, logged in, tried again, and never lost."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from smtp_help import Mailbox, certificate, desk_smtp, drain, free_port, mails, plain, smtp_server

from conftest import Api, TurnedClock
from deskplane.app import Desk
from deskplane.mail import composing
from deskplane.mail.message_ids import Made, verify
from tickets.file_help import sent as uploaded
from tickets.ticket_help import opened

PASSWORD = "ein Paßwort"


def answered(api: Api, body: str = "Please try again.", **more: Any) -> dict[str, Any]:
    """A ticket of Ada's on which an agent wrote to her."""
    ticket = opened(api, "The printer is on fire", contact="ada@example.net", department="Desk")
    api.call("POST", f"/tickets/{ticket['number']}/messages", {"body": body, **more}, status=201)
    return ticket


@pytest.mark.feature("F096")
def test_what_an_agent_writes_goes_to_the_contact_through_the_departments_server(
    api: Api, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with smtp_server(pem, users={"team": PASSWORD}) as box, smtp_server() as other:
        desk_smtp(api, other)
        smtp = {"server": "localhost", "port": box.port, "username": "team", "password": PASSWORD}
        smtp |= {"from_address": "team@example.org", "from_name": "Zoë's Team, Inc."}
        api.apply("departments", name="Desk", smtp=smtp)
        api.apply("contacts", email="ada@example.net", first_name="Ada", last_name="Lovelace")
        answered(api, "Please *try* again.")
        drain(desk)
    (taken,) = box.taken
    mail = taken.mail
    assert other.taken == []
    assert (taken.protected, taken.login) == (True, "team")
    assert (taken.sender, taken.recipient) == ("team@example.org", "ada@example.net")
    assert mail["From"].addresses[0].display_name == "Zoë's Team, Inc."
    assert mail["To"].addresses[0].display_name == "Ada Lovelace"
    assert mail["Subject"] == "[TKT-000001] The printer is on fire"
    assert taken.body().strip() == "Please try again."
    assert "<em>try</em>" in taken.body("html")
    assert mail["Auto-Submitted"] is None, "an agent wrote it"
    assert mail["X-Auto-Response-Suppress"] is None
    assert mail["X-Deskplane"] == "reply"
    assert verify(desk.vault, mail["Message-ID"]) == Made("TKT-000001", "reply")
    assert mail["Message-ID"].endswith("@example.org>")
    (row,) = mails(api)
    assert (row["state"], row["attempts"], row["department"]) == ("sent", 1, "Desk")
    assert row["message_id"] == mail["Message-ID"]


def test_files_of_a_message_go_along_and_one_that_is_too_large_is_named(api: Api, desk: Desk) -> None:
    with smtp_server(data_size_limit=400_000) as box:
        api.apply("departments", name="Desk", smtp=plain(box))
        ticket = opened(api, contact="ada@example.net", department="Desk")
        small = uploaded(api, b"\0\1\2" * 100, "Übersicht.bin", kind="image/png")
        mail = uploaded(api, b"From: x\n\nhi", "old.eml", kind="message/rfc822")
        loose = uploaded(api, b"on the ticket alone", "loose.txt")
        api.call("POST", path := f"/tickets/{ticket['number']}/messages", _with(small, mail), status=201)
        drain(desk)
        large = uploaded(api, b"\0" * 500_000, "<large>.bin")
        api.call("POST", path, _with(large), status=201)
        drain(desk)
    first, second = box.taken
    files = {part.get_filename(): part for part in first.mail.iter_attachments()}
    assert set(files) == {"Übersicht.bin", "old.eml"}
    assert files["Übersicht.bin"].get_content() == b"\0\1\2" * 100
    assert files["old.eml"].get_content_type() == "application/octet-stream", "no server takes it apart"
    assert list(second.mail.iter_attachments()) == []
    assert "<large>.bin is too large for a mail" in second.body()
    assert "&lt;large>.bin is too large" in second.body("html")
    assert loose["name"] not in first.raw.decode() + second.raw.decode()


def _with(*files: dict[str, Any]) -> dict[str, Any]:
    return {"body": "See the files.", "attachments": [file["id"] for file in files]}


def test_a_mail_that_cannot_go_now_is_tried_again_under_its_message_id(
    api: Api, desk: Desk, clock: TurnedClock
) -> None:
    port = free_port()
    api.apply("departments", name="Desk", smtp=plain(Mailbox(port)))
    answered(api)
    times: list[float] = []
    begun, attempts = clock.now(), 0
    for _ in range(80):
        drain(desk)
        (row,) = mails(api)
        if row["attempts"] > attempts:
            attempts = row["attempts"]
            times.append((clock.now() - begun) / timedelta(minutes=1))
        clock.turn(minutes=1)
    assert times == [0, 1, 6, 21, 51]
    assert row["state"] == "queued"
    assert row["last_error"] == f"connection: 127.0.0.1:{port}: Connection refused"
    (alert,) = api.call("GET", "/alerts?open=true")["items"]
    assert alert["kind"] == "mail_server"
    assert "the department Desk" in alert["text"]
    with smtp_server() as box:
        api.apply("departments", name="Desk", smtp=plain(box))
        box.to_recipient += ["451 greylisted, come again"]
        clock.turn(hours=2)
        drain(desk)
        assert mails(api)[0]["last_error"] == "recipient: the server said 451 greylisted, come again"
        clock.turn(hours=4)
        drain(desk)
    (taken,) = box.taken
    assert taken.mail["Message-ID"] == row["message_id"]
    assert api.call("GET", "/alerts?open=true")["items"] == [], "the server works again"


def test_a_mail_is_given_up_after_five_days(api: Api, desk: Desk, clock: TurnedClock) -> None:
    api.apply("departments", name="Desk", smtp=plain(Mailbox(free_port())))
    answered(api)
    begun = clock.now()
    for _ in range(7):
        drain(desk)
        assert mails(api)[0]["state"] == "queued" or clock.now() - begun >= timedelta(days=5)
        clock.turn(days=1)
    (row,) = mails(api)
    assert (row["state"], row["attempts"]) == ("failed", 6)
    kinds = {alert["kind"] for alert in api.call("GET", "/alerts?open=true")["items"]}
    assert kinds == {"mail_server", "mail_failed"}


def test_what_is_refused_for_good_fails_once_and_goes_out_when_somebody_says_so(
    api: Api, desk: Desk, clock: TurnedClock
) -> None:
    with smtp_server() as box:
        api.apply("departments", name="Desk", smtp=plain(box))
        box.to_recipient += ["550 no such\x07 user"]
        answered(api)
        drain(desk)
        clock.turn(days=1)
        drain(desk)
        (row,) = mails(api)
        assert (row["state"], row["attempts"]) == ("failed", 1)
        assert row["last_error"].startswith("recipient: the server said 550 no such")
        (alert,) = api.call("GET", "/alerts?open=true")["items"]
        assert alert["kind"] == "mail_failed"
        assert "ada@example.net" in alert["text"]
        assert api.call("POST", f"/mails/{row['id']}/retry")["state"] == "queued"
        drain(desk)
        assert box.taken[0].mail["Message-ID"] == row["message_id"]
        assert api.call("GET", "/alerts?open=true")["items"] == []
        api.call("POST", f"/mails/{row['id']}/retry", status=409)
        box.to_content += ["554 spam"]
        answered(api)
        drain(desk)
        assert api.call("POST", "/mails/retry?ticket=TKT-000001") == {"retried": 0}
        assert api.call("POST", "/mails/retry?ticket=TKT-000002") == {"retried": 1}
        drain(desk)
        assert [one["state"] for one in mails(api)] == ["sent", "sent"]


def test_a_login_that_fails_loses_no_mail_and_is_told_at_once(
    api: Api, desk: Desk, clock: TurnedClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with smtp_server(pem, users={"team": "new"}) as box:
        smtp = {"server": "localhost", "port": box.port, "username": "team", "from_address": "team@example.org"}
        api.apply("departments", name="Desk", smtp={**smtp, "password": "old"})
        answered(api)
        drain(desk)
        (row,) = mails(api)
        assert row["state"] == "queued", "that the password is another one now is not the mail's fault"
        assert row["last_error"].startswith("login: the server said 535")
        (alert,) = api.call("GET", "/alerts?open=true")["items"]
        assert alert["kind"] == "mail_server"
        assert "old" not in alert["text"]
        api.apply("departments", name="Desk", smtp={"username": None})
        clock.turn(minutes=1)
        drain(desk)
        assert mails(api)[0]["state"] == "queued", "nor is that there is none"
        api.apply("departments", name="Desk", smtp={"username": "team", "password": "new"})
        clock.turn(minutes=5)
        drain(desk)
        assert len(box.taken) == 1


def test_a_mail_that_was_sent_is_not_sent_again(api: Api, desk: Desk) -> None:
    with smtp_server() as box:
        api.apply("departments", name="Desk", smtp=plain(box))
        answered(api)
        drain(desk)
        (row,) = mails(api)
        desk.database.run(lambda session: composing.put(desk.automation(session), row["id"], None), write=True)
        drain(desk)
    assert len(box.taken) == 1
    assert mails(api)[0]["attempts"] == 1


def test_a_ticket_that_is_deleted_takes_its_mails_along(api: Api, desk: Desk, clock: TurnedClock) -> None:
    with smtp_server() as box:
        api.apply("departments", name="Desk", smtp=plain(box))
        ticket = answered(api)
        api.call("DELETE", f"/tickets/{ticket['number']}", status=204)
        drain(desk)
        ticket = answered(api)
        box.to_recipient += ["451 later"]
        drain(desk)
        api.call("DELETE", f"/tickets/{ticket['number']}", status=204)
        clock.turn(hours=1)
        drain(desk)
    assert box.taken == []
    assert mails(api) == []


def test_without_a_server_a_reply_fails_visibly_and_nothing_else_is_made(api: Api, desk: Desk) -> None:
    api.apply("customers", name="ACME")
    api.apply(
        "departments", name="Desk", notifications={"recipients": ["leads@example.org"], "events": ["comment_added"]}
    )
    answered(api)
    drain(desk)
    (row,) = mails(api)
    assert (row["state"], row["recipient"]) == ("failed", "ada@example.net")
    assert row["last_error"] == "setup: neither the department nor the settings (smtp.host) name an SMTP server"


LINES = ['","status":"x', "{{7*7}} ${subject} {% raw %}", "=?utf-8?q?=0D=0ABcc:_evil@example.org?=", "Ümläut " * 30]


@pytest.mark.parametrize("title", LINES)
def test_a_title_arrives_as_it_was_written(api: Api, desk: Desk, title: str) -> None:
    title = title.strip()
    with smtp_server() as box:
        api.apply("departments", name="Desk", smtp=plain(box))
        api.apply("contacts", email="ada@example.net", first_name=title[:100], last_name='"<b@x>, ')
        ticket = opened(api, title, contact="ada@example.net", department="Desk")
        body = f"{title}\n.\n..\nBcc: evil@example.org\n"
        api.call("POST", f"/tickets/{ticket['number']}/messages", {"body": f"```\n{body}```"}, status=201)
        drain(desk)
    (taken,) = box.taken
    assert taken.mail["Subject"] == f"[TKT-000001] {title}"
    assert taken.mail["Bcc"] is None
    assert [address.addr_spec for address in taken.mail["To"].addresses] == ["ada@example.net"]
    assert taken.body() == body
    assert all(len(line) <= 998 for line in taken.raw.split(b"\r\n"))
