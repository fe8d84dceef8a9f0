"""Mails of a month: what is beyond the limit is held, and goes out when there is room."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from smtp_help import Mailbox, drain, mails, plain, smtp_server

from conftest import Api, TurnedClock
from deskplane.app import Desk
from deskplane.mail import composing
from tickets.ticket_help import opened

ADA = "ada@example.net"


@pytest.fixture
def box(api: Api) -> Iterator[Mailbox]:
    """The server of the department Desk; ACME has three mails a month."""
    with smtp_server() as found:
        api.apply("customers", name="ACME", quotas={"max_emails_month": 3})
        api.apply("departments", name="Desk", smtp=plain(found))
        yield found


def release(desk: Desk) -> None:
    desk.database.run(lambda session: composing.release(desk.automation(session)), write=True)
    drain(desk)


def states(api: Api) -> list[str]:
    return [mail["state"] for mail in mails(api)]


def alerts(api: Api) -> list[str]:
    return [alert["text"] for alert in api.call("GET", "/alerts?open=true&kind=mail_quota")["items"]]


def some(api: Api, count: int) -> list[dict[str, Any]]:
    """So many tickets, of each of which Ada is told."""
    return [opened(api, contact=ADA, customer="ACME", department="Desk") for _ in range(count)]


@pytest.mark.feature("F015", "F157")
def test_notifications_beyond_the_months_number_wait_for_the_next(
    api: Api, desk: Desk, box: Mailbox, clock: TurnedClock
) -> None:
    clock.time = datetime(2026, 3, 31, 23, 50, tzinfo=UTC)
    some(api, 5)
    drain(desk)
    assert len(box.taken) == 3
    assert sorted(states(api)) == ["held", "held", "sent", "sent", "sent"]
    (text,) = alerts(api)
    assert text.startswith("ACME has had its 3 mails of 2026-03")
    release(desk)
    assert len(box.taken) == 3
    held = {mail["message_id"] for mail in mails(api, "?state=held")}
    clock.turn(minutes=9)
    release(desk)
    assert len(box.taken) == 3
    clock.turn(minutes=1)
    release(desk)
    assert {taken.mail["Message-ID"] for taken in box.taken[3:]} == held
    assert alerts(api) == []
    some(api, 2)
    drain(desk)
    assert len(box.taken) == 6, "those that were released count in the month in which they went"


def test_agents_answers_count_and_are_never_held(api: Api, desk: Desk, box: Mailbox) -> None:
    (first,) = some(api, 1)
    path = f"/tickets/{first['number']}/messages"
    for _ in range(4):
        api.call("POST", path, {"body": "An answer."}, status=201)
    some(api, 1)
    drain(desk)
    assert [taken.mail["X-Deskplane"] for taken in box.taken] == ["notification", *["reply"] * 4]
    assert len(mails(api, "?state=held")) == 1


def test_a_limit_that_is_raised_or_taken_away_lets_them_go(api: Api, desk: Desk, box: Mailbox) -> None:
    api.apply("customers", name="ACME", quotas={"max_emails_month": 0})
    some(api, 3)
    drain(desk)
    assert box.taken == []
    api.apply("customers", name="ACME", quotas={"max_emails_month": 1})
    release(desk)
    assert len(box.taken) == 1
    assert len(alerts(api)) == 1
    api.apply("customers", name="ACME", quotas={"max_emails_month": None})
    release(desk)
    assert len(box.taken) == 3
    assert alerts(api) == []


def test_customers_do_not_share_and_what_is_of_none_has_no_limit(api: Api, desk: Desk, box: Mailbox) -> None:
    api.apply("customers", name="Other", quotas={"max_emails_month": 1})
    api.apply(
        "departments", name="Desk", notifications={"recipients": ["leads@example.org"], "events": ["ticket_created"]}
    )
    some(api, 1)
    opened(api, department="Desk")
    drain(desk)
    assert len(box.taken) == 3
    opened(api, customer="Other", contact="bob@example.net", department="Desk")
    drain(desk)
    assert len(mails(api, "?state=held")) == 1


def test_a_mail_that_is_tried_again_counts_once(api: Api, desk: Desk, box: Mailbox, clock: TurnedClock) -> None:
    box.to_recipient += ["451 later"] * 3
    some(api, 3)
    drain(desk)
    clock.turn(hours=1)
    drain(desk)
    assert len(box.taken) == 3
    assert states(api) == ["sent"] * 3
