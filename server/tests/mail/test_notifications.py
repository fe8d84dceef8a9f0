"""Who is told of what by mail: a department's recipients, and the people of a customer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from smtp_help import Mailbox, desk_smtp, drain, mails, plain, smtp_server

from conftest import Api, TurnedClock
from deskplane.app import Desk
from deskplane.desks.templates import MAILS
from deskplane.kernel.words import EVENTS
from tickets.ticket_help import EVERYTHING, changed, opened, person

LEADS = "leads@example.org"
ADA = "ada@example.net"
CANARY = "internal-canary-7f3a"


@pytest.fixture
def box(api: Api) -> Iterator[Mailbox]:
    """The server of the department Desk, whose recipients are told of everything; its members are Mia and Max."""
    with smtp_server() as found:
        for name in ("mia", "max"):
            person(api, name, "tickets:edit", "tickets:assign", *EVERYTHING, email=f"{name}@example.org")
        person(api, "eve", "tickets:edit", email="eve@example.org")
        api.apply("contacts", email=ADA, first_name="Ada")
        told = {"recipients": [LEADS], "events": sorted(EVENTS)}
        api.apply("departments", name="Desk", members=["mia", "max", "eve"], smtp=plain(found), notifications=told)
        yield found


def quiet(api: Api) -> None:
    """The department's recipients are told of nothing."""
    api.apply("departments", name="Desk", notifications={"events": []})


def customer(api: Api, **features: bool) -> None:
    api.apply("customers", name="ACME", features={"email_notifications": True, **features})


def ticket(api: Api, **more: Any) -> str:
    """A ticket of Ada's, of ACME where that is there."""
    found: str = opened(api, "Fire", contact=ADA, department="Desk", **more)["number"]
    return found


def subjects(box: Mailbox, desk: Desk) -> list[tuple[str, str]]:
    """What was taken since the last time: to whom, and with which subject, without the number."""
    drain(desk)
    found = [(to, subject.replace("[TKT-000001] ", "")) for to, subject in box.pairs()]
    box.taken.clear()
    return found


@pytest.mark.feature("F146")
def test_a_departments_recipients_are_told_of_the_events_in_its_list(api: Api, desk: Desk, box: Mailbox) -> None:
    number = ticket(api)
    assert subjects(box, desk) == [(LEADS, "New: Fire")]
    changed(api, number, priority="high")
    assert subjects(box, desk) == [(LEADS, "Changed: Fire")]
    changed(api, number, assignee="mia", comment=CANARY)
    assert subjects(box, desk) == [(LEADS, "Assigned: Fire")]
    api.call("POST", f"/tickets/{number}/messages", {"body": "What we know.", "direction": "inbound"}, status=201)
    drain(desk)
    (taken,) = box.to(LEADS)
    assert taken.mail["Subject"] == "[TKT-000001] Comment: Fire"
    assert "What we know." in taken.body()
    assert "Assignee: mia" in taken.body()
    assert taken.mail["Auto-Submitted"] == "auto-generated"
    assert taken.mail["X-Auto-Response-Suppress"] == "All"
    box.taken.clear()
    changed(api, number, status="closed")
    assert subjects(box, desk) == [(LEADS, "Closed: Fire")]
    api.apply("departments", name="Desk", notifications={"events": ["ticket_updated"]})
    changed(api, number, status="open")
    changed(api, number, status="closed")
    assert subjects(box, desk) == [(LEADS, "Changed: Fire")]


@pytest.mark.parametrize("event", ["sla_warning", "sla_breached", "auto_closed"])
def test_what_the_desk_finds_by_itself_is_told_like_everything_else(
    api: Api, desk: Desk, box: Mailbox, event: str
) -> None:
    from deskplane.tickets import service
    from deskplane.tickets.announcements import announce

    ticket(api)
    drain(desk)
    box.taken.clear()

    def happen(session: Any) -> None:
        work = desk.automation(session)
        announce(work, event, service.load_by_number(work, "TKT-000001"))

    desk.database.run(happen, write=True)
    words = {"sla_warning": "Deadline is near", "sla_breached": "Deadline has passed"}
    assert subjects(box, desk) == [(LEADS, f"{words.get(event, 'Closed by the clean-up')}: Fire")]


@pytest.mark.feature("F150", "F151", "F152", "F153")
def test_the_people_of_a_customer_are_told_of_six_events(api: Api, desk: Desk, box: Mailbox) -> None:
    customer(api)
    quiet(api)
    number = ticket(api, customer="ACME")
    # Eve is a member, too, but the customer's tickets are not hers to see
    assert subjects(box, desk) == [(ADA, "Fire"), ("max@example.org", "New: Fire"), ("mia@example.org", "New: Fire")]
    changed(api, number, assignee="mia")
    assert subjects(box, desk) == [("mia@example.org", "Assigned: Fire")]
    changed(api, number, comment=CANARY)
    assert subjects(box, desk) == []
    path = f"/tickets/{number}/messages"
    api.call("POST", path, {"body": CANARY, "direction": "internal"}, status=201)
    assert subjects(box, desk) == []
    api.call("POST", path, {"body": "A phone call.", "direction": "inbound"}, status=201)
    api.call("POST", path, {"body": "An answer."}, status=201)
    drain(desk)
    first, second = box.to(ADA)
    assert (first.body().strip(), first.mail["Auto-Submitted"]) == ("A phone call.", "auto-generated")
    assert (second.body().strip(), second.mail["Auto-Submitted"]) == ("An answer.", None)
    assert len(box.taken) == 2, "never a second copy"
    box.taken.clear()
    changed(api, number, status="in_progress")
    drain(desk)
    assert "is now: in progress" in box.to(ADA)[0].body()
    changed(api, number, status="resolved", comment=CANARY)
    drain(desk)
    assert "Please confirm that it is" in box.to(ADA)[1].body()
    changed(api, number, status="closed")
    drain(desk)
    assert "is closed" in box.to(ADA)[2].body()
    assert len(box.taken) == 3
    customer(api, email_notifications=False)
    changed(api, number, status="open")
    ticket(api, customer="ACME")
    assert len(subjects(box, desk)) == 3
    api.call("POST", path, {"body": "Still, an answer."}, status=201)
    assert subjects(box, desk) == [(ADA, "Fire")], "what an agent writes goes out always"


def test_nobody_gets_a_second_copy_of_an_event(api: Api, desk: Desk, box: Mailbox) -> None:
    customer(api)
    recipients = [LEADS, "MIA@example.org", ADA]
    api.apply("departments", name="Desk", notifications={"recipients": recipients})
    number = ticket(api, customer="ACME", assignee="mia")
    assert subjects(box, desk) == [
        (ADA, "Fire"),
        (LEADS, "New: Fire"),
        ("max@example.org", "New: Fire"),
        ("mia@example.org", "Assigned: Fire"),
    ]
    api.call("POST", f"/tickets/{number}/messages", {"body": "An answer."}, status=201)
    found = subjects(box, desk)
    assert [to for to, _subject in found].count(ADA) == 1
    assert len(found) == 3


def test_who_reports_by_himself_is_told_and_not_of_his_own_words(api: Api, desk: Desk, box: Mailbox) -> None:
    customer(api)
    quiet(api)
    reporter = person(
        api, "rob", "tickets:create", "tickets:comment", email="rob@example.net",
        memberships=[{"customer": "ACME", "role": "member"}],
    )  # fmt: skip
    number = opened(reporter, "Fire", customer="ACME", department="Desk")["number"]
    assert ("rob@example.net", "Fire") in subjects(box, desk)
    path = f"/tickets/{number}/messages"
    reporter.call("POST", path, {"body": "It is still burning."}, status=201)
    assert subjects(box, desk) == []
    api.call("POST", path, {"body": "We are on our way."}, status=201)
    assert subjects(box, desk) == [("rob@example.net", "Fire")]
    api.apply("users", username="rob", enabled=False)
    api.call("POST", path, {"body": "Hello?"}, status=201)
    assert subjects(box, desk) == []


def test_an_agent_who_reports_gets_no_mail_of_his_own_words(api: Api, desk: Desk, box: Mailbox) -> None:
    quiet(api)
    agent = person(
        api, "amy", "tickets:create", "tickets:comment", "tickets:read_internal", *EVERYTHING, email="amy@example.org"
    )
    number = opened(agent, "Fire", department="Desk")["number"]
    path = f"/tickets/{number}/messages"
    agent.call("POST", path, {"body": "I wrote this."}, status=201)
    assert subjects(box, desk) == []
    api.call("POST", path, {"body": "Another wrote this."}, status=201)
    assert subjects(box, desk) == [("amy@example.org", "Fire")]


TEMPLATE: dict[str, Any] = {
    "subject": "${ticket_title}: {{ticket_status}}\u2028",
    "body_text": "${reporter_name}|${assignee_name}|${ticket_number}|${comment_body}",
    "body_html": "<p onclick='x()'>${ticket_title}</p><script>1</script><b>{{comment_body}}</b>",
}


@pytest.mark.feature("F154", "F155", "F156")
def test_a_customers_templates_say_what_its_mails_say(api: Api, desk: Desk, box: Mailbox) -> None:
    customer(api, email_templates=True)
    quiet(api)
    for event in MAILS:
        template = {**TEMPLATE, "subject": f"{event}: ${{ticket_title}}"}
        api.apply("email-templates", customer="ACME", event=event, **template)
    title = '<i>{{7*7}}</i> ${comment_body} ","status":"x'
    number = opened(api, title, customer="ACME", contact=ADA, department="Desk", assignee="mia")["number"]
    api.call("POST", f"/tickets/{number}/messages", {"body": "1 < 2\n\n{{ticket_title}}"}, status=201)
    for status in ("in_progress", "resolved", "closed"):
        changed(api, number, status=status)
    drain(desk)
    said = {str(taken.mail["Subject"]).split(": ", 1)[0]: taken for taken in box.taken}
    assert set(said) == {f"[{number}] {event}" for event in MAILS}
    reply = said[f"[{number}] comment_added"]
    assert reply.mail["Subject"] == f"[{number}] comment_added: {title}"
    assert reply.mail["Auto-Submitted"] is None, "an agent wrote it, whatever stands around it"
    assert reply.body().strip() == f"Ada|mia|{number}|1 < 2\n\n{{{{ticket_title}}}}"
    html = reply.body("html")
    assert "<p>&lt;i&gt;{{7*7}}&lt;/i&gt; ${comment_body}" in html
    assert "<b>1 &lt; 2<br><br>{{ticket_title}}</b>" in html
    assert "script" not in html
    assert "onclick" not in html


def test_a_template_for_all_is_used_where_there_is_none_of_the_customers(api: Api, desk: Desk, box: Mailbox) -> None:
    customer(api, email_templates=True)
    quiet(api)
    api.apply("email-templates", event="ticket_closed", subject="common", body_text="x")
    api.apply("email-templates", customer="ACME", event="ticket_resolved", subject="own", body_text="x")
    api.apply("email-templates", event="ticket_resolved", subject="common", body_text="x")
    number = ticket(api, customer="ACME")
    subjects(box, desk)
    changed(api, number, status="resolved")
    changed(api, number, status="closed")
    assert subjects(box, desk) == [(ADA, "common"), (ADA, "own")]
    customer(api, email_templates=False)
    changed(api, number, status="open")
    assert subjects(box, desk) == [(ADA, "Fire")]


def test_mails_of_a_ticket_are_one_conversation(
    api: Api, desk: Desk, box: Mailbox, clock: TurnedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deskplane.mail.composing.MOST_THREAD", 4)
    quiet(api)
    number = ticket(api)
    for _ in range(8):
        api.call("POST", f"/tickets/{number}/messages", {"body": "And?"}, status=201)
        drain(desk)
        clock.turn(seconds=1)
    ids = [taken.mail["Message-ID"] for taken in box.to(ADA)]
    assert len(set(ids)) == 8
    assert box.taken[0].mail["In-Reply-To"] is None
    assert box.taken[1].mail["In-Reply-To"] == ids[0]
    assert box.taken[2].mail["References"].split() == ids[:2]
    assert box.taken[7].mail["In-Reply-To"] == ids[6]
    assert box.taken[7].mail["References"].split() == ids[3:7]
    assert all(len(line) < 200 for taken in box.taken for line in taken.raw.split(b"\r\n"))


def test_no_mail_holds_anything_internal(api: Api, desk: Desk, box: Mailbox, clock: TurnedClock) -> None:
    customer(api)
    number = ticket(api, customer="ACME", tags=[CANARY], assignee="mia")
    path = f"/tickets/{number}/messages"
    note = api.call("POST", path, {"body": CANARY, "direction": "internal"}, status=201)
    changed(api, number, status="waiting", comment=CANARY)
    api.call("POST", path, {"body": "An answer."}, status=201)
    api.call("POST", path, {"body": CANARY, "direction": "internal", "in_reply_to": note["id"]}, status=201)
    changed(api, number, status="closed", comment=CANARY, assignee="max")
    drain(desk)
    assert len(box.taken) > 8
    assert not any(CANARY.encode() in taken.raw for taken in box.taken)
    assert not any(CANARY in taken.body() + taken.body("html") for taken in box.taken)
    assert all(row["state"] == "sent" for row in mails(api))


def test_a_department_without_a_server_sends_through_the_desks(api: Api, desk: Desk, box: Mailbox) -> None:
    with smtp_server() as other:
        desk_smtp(api, other)
        mailbox = {"server": "imap.example.org", "username": "in@example.org"}
        api.apply("departments", name="Desk", smtp={"server": None, "from_address": None}, imap=mailbox)
        ticket(api)
        drain(desk)
    (taken,) = other.taken
    assert box.taken == []
    assert taken.sender == "desk@example.org"
    assert taken.mail["From"].addresses[0].display_name == "Desk"
    assert taken.mail["Reply-To"] == "in@example.org", "answers come to the department's own mailbox"
