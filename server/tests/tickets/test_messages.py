"""The conversation on a ticket: who writes what to whom, what others are told, and what it does to the ticket."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update
from ticket_help import EVERYTHING, changed, events, history, messages, opened, person, places, read

from conftest import Api, TurnedClock
from deskplane.app import Desk
from deskplane.desks.templates import ANSWER_PLACEHOLDERS
from deskplane.tickets.models import TicketMessage
from dumps import dump

NUMBER = "TKT-000001"
CANARY = "canary-Zk81xP"


def wrote(api: Api, body: Any = "Hello", number: str = NUMBER, status: int = 201, **fields: Any) -> Any:
    """POST …/messages, which must answer so. `headers` may be among the fields."""
    headers = fields.pop("headers", {})
    given = {"body": body, **fields} if body is not None else fields
    return api.call("POST", f"/tickets/{number}/messages", given, status=status, headers=headers)


def agent(api: Api, username: str = "mia", **fields: Any) -> Api:
    """Someone who answers for the desk, and sees everything."""
    rights = ("tickets:comment", "tickets:read_internal", "tickets:edit", "tickets:close", *EVERYTHING)
    return person(api, username, *rights, **fields)


@pytest.fixture
def rita(api: Api) -> Api:
    """A requester who reported the ticket."""
    found = api.as_user("rita", roles=["requester"])
    assert opened(found, "The printer is on fire")["number"] == NUMBER
    return found


# --- directions and rights


@pytest.mark.feature("F091")
@pytest.mark.feature("F092")
def test_an_agent_writes_to_the_outside_unless_he_says_otherwise(api: Api, rita: Api) -> None:
    mia = agent(api)
    for given, direction in ((None, "outbound"), ("outbound",) * 2, ("internal",) * 2, ("inbound",) * 2):
        found = wrote(mia, direction=given)
        assert (found["direction"], found["author"]) == (direction, "mia")
    assert [entry["direction"] for entry in messages(rita, NUMBER)] == ["outbound", "outbound", "inbound"]
    assert [entry["direction"] for entry in messages(mia, NUMBER)] == ["outbound", "outbound", "internal", "inbound"]


@pytest.mark.feature("F091")
def test_whoever_is_not_of_the_house_writes_to_it_and_nothing_else(api: Api, rita: Api) -> None:
    lena = person(api, "lena", "tickets:comment", *EVERYTHING)
    for caller, missing in ((rita, "tickets:comment"), (lena, "tickets:read_internal")):
        assert wrote(caller)["direction"] == "inbound"
        for direction in ("internal", "outbound"):
            assert wrote(caller, direction=direction, status=403)["missing_permission"] == missing


def test_only_who_may_comment_or_reported_it_writes(api: Api, rita: Api) -> None:
    reader = person(api, "reader", "tickets:read_internal", "tickets:edit", *EVERYTHING)
    assert wrote(reader, status=403)["missing_permission"] == "tickets:comment"
    wrote(api.as_user("stranger", roles=["agent"]), status=404)
    wrote(rita)
    assert [entry["author"] for entry in messages(api, NUMBER)] == ["rita"]


def test_a_ticket_in_a_final_status_takes_no_message(api: Api) -> None:
    api.apply("departments", name="Ops", workflow="itil")
    opened(api, department="Ops")
    changed(api, NUMBER, status="cancelled")
    for direction in ("internal", "outbound", "inbound"):
        assert wrote(api, direction=direction, status=422)["type"].endswith(":final")
    assert messages(api, NUMBER) == []


@pytest.mark.parametrize("what", ["messages", "messages/{id}", "history"])
def test_no_internal_word_reaches_whoever_may_not_read_it(api: Api, rita: Api, what: str) -> None:
    note = wrote(api, CANARY, direction="internal")["id"]
    reply = wrote(api, direction="internal", in_reply_to=note)["id"]
    public = wrote(api, "for everyone")["id"]
    for message_id in (note, reply):
        answer = rita.request("GET", f"/tickets/{NUMBER}/{what}".replace("{id}", str(message_id)))
        assert answer.status_code == (404 if "{id}" in what else 200)
        assert CANARY not in answer.get_data(as_text=True)
        assert f'"id":{note}' not in answer.get_data(as_text=True)
    missing = rita.request("GET", f"/tickets/{NUMBER}/messages/999999").get_json()
    hidden = rita.request("GET", f"/tickets/{NUMBER}/messages/{note}").get_json()
    assert {**missing, "request_id": ""} == {**hidden, "request_id": ""}
    told = [entry["new"] for entry in history(rita, NUMBER) if entry["field"] == "message"]
    assert told == [{"id": public, "direction": "outbound"}]
    assert len([entry for entry in history(api, NUMBER) if entry["field"] == "message"]) == 3
    guess = wrote(rita, in_reply_to=note, status=422)
    never = wrote(rita, in_reply_to=999999, status=422)
    assert guess["detail"].replace(str(note), "") == never["detail"].replace("999999", "")
    assert CANARY in str(messages(api, NUMBER))


def test_public_messages_are_found_by_all_and_internal_ones_by_some(api: Api, rita: Api) -> None:
    wrote(api, f"quite {CANARY}", direction="internal")
    wrote(api, "an extinguisher")
    found = {"extinguisher": (1, 1), CANARY.lower(): (1, 0)}
    for word, (by_root, by_rita) in found.items():
        assert len(api.call("GET", f"/tickets?q={word}")["items"]) == by_root
        assert len(rita.call("GET", f"/tickets?q={word}")["items"]) == by_rita


def test_a_message_is_found_only_at_its_own_ticket(api: Api) -> None:
    opened(api)
    other = opened(api)["number"]
    here = wrote(api)["id"]
    assert api.call("GET", f"/tickets/{NUMBER}/messages/{here}")["id"] == here
    for path in (f"{other}/messages/{here}", f"{NUMBER}/messages/x", f"{NUMBER}/messages/-1", "TKT-9/messages/1"):
        api.call("GET", f"/tickets/{path}", status=404)
    assert places(wrote(api, number=other, in_reply_to=here, status=422)) == {"in_reply_to": "unknown_reference"}


@pytest.mark.feature("F095")
def test_a_message_answers_another(api: Api, rita: Api) -> None:
    first = wrote(rita, "It is **still** on fire")
    second = wrote(api, "Use the extinguisher", in_reply_to=first["id"])
    assert (first["in_reply_to"], second["in_reply_to"]) == (None, first["id"])
    note = wrote(api, "Who pays?", direction="internal", in_reply_to=second["id"])
    refused = wrote(api, "in public", in_reply_to=note["id"], status=422)
    assert places(refused) == {"in_reply_to": "not_allowed"}


# --- what is written


@pytest.mark.feature("F094")
def test_markdown_is_kept_and_shown_as_html_and_as_text(api: Api) -> None:
    opened(api)
    found = wrote(api, "# Try\n\n1. this\n2. [that](https://example.org/x)\n\n<b>no</b>\n")
    assert found["body"] == "# Try\n\n1. this\n2. [that](https://example.org/x)\n\n<b>no</b>\n"
    link = '<a href="https://example.org/x" rel="noopener noreferrer nofollow">that</a>'
    assert f"<li>{link}</li>" in found["body_html"]
    assert found["body_html"].endswith("<p>&lt;b&gt;no&lt;/b&gt;</p>\n")
    assert found["body_text"] == "Try\n\n1. this\n2. that <https://example.org/x>\n\n<b>no</b>"
    assert api.call("GET", f"/tickets/{NUMBER}/messages/{found['id']}") == found
    assert messages(api, NUMBER) == [found]


@pytest.mark.feature("F094")
def test_html_is_kept_sanitised_and_as_text(api: Api) -> None:
    opened(api)
    html = "<div>Dear <b>Rita</b>,<br>take it <i>easy</i></div><ul><li>one</li><li>two</li></ul><p>a &lt; b</p>"
    found = wrote(api, None, body_html=html)
    assert found["body_html"] == html
    assert found["body"] == found["body_text"] == "Dear Rita,\ntake it easy\n\n- one\n- two\n\na < b"


HOSTILE = [
    "<script>alert('canary')</script>hello",
    "<img src=x onerror=alert('canary')>hello",
    "<svg onload=alert('canary')><script>canary</script></svg>hello",
    "<a href=\"javascript:alert('canary')\">hello</a>",
    "<a href=' &#14; javascript:canary'>hello</a>",
    "<a href='data:text/html,canary'>hello</a>",
    "<p style='background:url(canary)' onclick='canary'>hello</p>",
    "<iframe srcdoc='<script>canary</script>'></iframe>hello",
    "<form action='//canary'><input autofocus onfocus=canary></form>hello",
    "hello<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=canary&gt;'>",
    "<b onmouseover='canary'>hello</b><base href='//canary'><meta http-equiv=refresh content='0;canary'>",
    "<noscript><p title='</noscript><img src=x onerror=canary>'>hello</noscript>",
]


@pytest.mark.parametrize("html", HOSTILE)
def test_nothing_in_html_runs(api: Api, html: str) -> None:
    opened(api)
    found = wrote(api, None, body_html=html)["body_html"].lower()
    shown_as_text = found.replace("&lt;img src=1 onerror=canary&gt;", "").replace(
        "&lt;img src=x onerror=canary&gt;", ""
    )
    assert "hello" in found
    for word in ("<script", "<img", "<svg", "<iframe", "<form", "<style", "<base", "<meta", "javascript:", "data:"):
        assert word not in found
    assert "canary" not in shown_as_text


@pytest.mark.parametrize("html", HOSTILE)
def test_html_in_markdown_is_text(api: Api, html: str) -> None:
    opened(api)
    for body in (
        html,
        f"> {html}\n\n[x](javascript:alert(1)) ![x](https://example.org/canary.png) <javascript:canary>",
    ):
        found = wrote(api, body)["body_html"]
        assert "<script" not in found
        assert "<img" not in found
        assert "<a" not in found
        assert "<base" not in found


def test_what_was_stored_is_sanitised_again_when_it_is_read(api: Api, desk: Desk) -> None:
    opened(api)
    wrote(api, None, body_html="<p>x</p>")
    bad = update(TicketMessage).values(body_html="<p>y<script>1</script></p>")
    desk.database.run(lambda session: session.execute(bad), write=True)
    assert messages(api, NUMBER)[0]["body_html"] == "<p>y</p>"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"body": "required"}),
        ({"body": ""}, {"body": "too_short"}),
        ({"body": None}, {"body": "required"}),
        ({"body": "x", "body_html": "y"}, {"body_html": "not_allowed"}),
        ({"body": "x", "template": "y"}, {"template": "not_allowed"}),
        ({"body": "x\x00"}, {"body": "control_character"}),
        ({"body": 1, "direction": "up"}, {"body": "wrong_type", "direction": "not_allowed"}),
        ({"body": "x" * 60_001}, {"body": "too_long"}),
        ({"body_html": "<script>x</script>"}, {"body_html": "too_short"}),
        ({"body": "x", "in_reply_to": 0}, {"in_reply_to": "out_of_range"}),
        ({"body": "x", "in_reply_to": 2**53}, {"in_reply_to": "unknown_reference"}),
        ({"body": "x", "in_reply_to": "1"}, {"in_reply_to": "wrong_type"}),
        ({"body": "x", "author": "root"}, {"author": "unknown_field"}),
        (
            {"template": "nothing", "in_reply_to": 77},
            {"template": "unknown_reference", "in_reply_to": "unknown_reference"},
        ),
    ],
)
def test_bad_messages_are_refused_with_every_place(
    api: Api, desk: Desk, fields: dict[str, Any], expected: dict[str, str]
) -> None:
    version = read(api, opened(api)["number"])["updated_at"]
    assert places(api.call("POST", f"/tickets/{NUMBER}/messages", fields, status=422)) == expected
    assert (messages(api, NUMBER), len(history(api, NUMBER)), read(api, NUMBER)["updated_at"]) == ([], 1, version)
    assert events(desk) == [("ticket_created", NUMBER)]


# --- what follows


@pytest.mark.feature("F099")
def test_each_message_is_a_row_of_history_with_its_id(api: Api, rita: Api, clock: TurnedClock) -> None:
    clock.turn(minutes=1)
    ids = [wrote(rita)["id"], wrote(api, direction="internal")["id"], wrote(api)["id"]]
    rows = history(api, NUMBER)[1:]
    assert [(row["author"], row["field"], row["old"], row["new"]) for row in rows] == [
        (author, "message", None, {"id": message_id, "direction": direction})
        for author, message_id, direction in zip(
            ("rita", "root", "root"), ids, ("inbound", "internal", "outbound"), strict=True
        )
    ]
    assert {row["at"] for row in rows} == {"2026-03-02T09:01:00Z"}


def test_public_messages_are_an_event_and_internal_ones_none(api: Api, rita: Api, desk: Desk) -> None:
    wrote(api, direction="internal")
    assert events(desk) == [("ticket_created", NUMBER)]
    wrote(api)
    wrote(rita)
    assert events(desk)[1:] == [("comment_added", NUMBER)] * 2


@pytest.mark.feature("F047")
def test_the_last_public_message_is_the_last_contact(api: Api, rita: Api, clock: TurnedClock) -> None:
    def contact() -> tuple[Any, Any]:
        found = read(api, NUMBER)
        (listed,) = api.call("GET", "/tickets")["items"]
        assert listed["last_contact_at"] == found["last_contact_at"]
        return found["last_contact_at"], found["last_contact_direction"]

    assert contact() == (None, None)
    wrote(api, direction="internal")
    changed(api, NUMBER, comment="note")
    assert contact() == (None, None)
    clock.turn(minutes=1)
    wrote(api)
    assert contact() == ("2026-03-02T09:01:00Z", "outbound")
    clock.turn(minutes=1)
    wrote(rita)
    assert contact() == ("2026-03-02T09:02:00Z", "inbound")
    clock.turn(minutes=1)
    wrote(api, direction="internal")
    assert contact() == ("2026-03-02T09:02:00Z", "inbound")


def response(api: Api) -> tuple[str, str | None]:
    found = read(api, NUMBER)["sla"]["response"]
    return found["state"], found["met_at"]


@pytest.mark.feature("F116")
def test_the_first_public_message_of_an_agent_meets_the_response(api: Api, clock: TurnedClock) -> None:
    api.apply("sla-policies", name="p", response_minutes=240, resolution_minutes=600)
    rita = api.as_user("rita", roles=["requester"])
    opened(rita, description="It burns")
    clock.turn(minutes=1)
    for caller, direction in ((rita, "inbound"), (api, "internal"), (api, "inbound")):
        wrote(caller, direction=direction)
        assert response(api) == ("ok", None)
    changed(api, NUMBER, comment="a note", assignee="root", status="in_progress")
    assert response(api) == ("ok", None)
    clock.turn(minutes=1)
    wrote(api)
    assert response(api) == ("met", "2026-03-02T09:02:00Z")
    clock.turn(minutes=60)
    wrote(api)
    assert response(api) == ("met", "2026-03-02T09:02:00Z")
    assert read(api, NUMBER)["sla"]["resolution"]["state"] == "ok"
    assert read(api, NUMBER)["sla"]["resolution"]["met_at"] is None


@pytest.mark.feature("F116")
def test_an_agent_who_opens_a_ticket_has_not_answered_it_yet(api: Api, clock: TurnedClock) -> None:
    api.apply("sla-policies", name="p", response_minutes=120)
    opened(api, description="Rita called: it burns")
    assert response(api) == ("ok", None)
    clock.turn(minutes=150)
    wrote(api)
    assert response(api) == ("breached", "2026-03-02T11:30:00Z")


def test_an_answer_while_the_clock_stands_still_meets_it_and_a_reopening_does_not_start_it_again(
    api: Api, clock: TurnedClock
) -> None:
    api.apply("sla-policies", name="p", response_minutes=30)
    opened(api)
    clock.turn(minutes=10)
    changed(api, NUMBER, status="waiting")
    clock.turn(minutes=100)
    assert response(api) == ("paused", None)
    wrote(api)
    assert response(api) == ("met", "2026-03-02T10:50:00Z")
    changed(api, NUMBER, status="resolved")
    changed(api, NUMBER, status="open")
    assert response(api) == ("met", "2026-03-02T10:50:00Z")


def test_a_message_of_the_reporter_leaves_a_resolved_ticket_resolved(api: Api, rita: Api) -> None:
    changed(api, NUMBER, status="resolved")
    wrote(rita, "Thank you")
    assert read(api, NUMBER)["status"] == "resolved"


def test_a_message_is_a_change_of_the_ticket(api: Api, clock: TurnedClock) -> None:
    opened(api)
    before = api.request("GET", f"/tickets/{NUMBER}").headers["ETag"]
    clock.turn(minutes=5)
    wrote(api, headers={"If-Match": before})
    assert read(api, NUMBER)["updated_at"] == "2026-03-02T09:05:00Z"
    assert api.request("GET", f"/tickets/{NUMBER}").headers["ETag"] != before
    wrote(api, headers={"If-Match": before}, status=412)
    changed(api, NUMBER, answers=412, headers={"If-Match": before}, title="x")
    assert len(messages(api, NUMBER)) == 1


def test_the_same_request_again_writes_nothing_again(api: Api, desk: Desk) -> None:
    opened(api)
    first = api.request("POST", f"/tickets/{NUMBER}/messages", {"body": "x"}, headers={"Idempotency-Key": "k"})
    again = api.request("POST", f"/tickets/{NUMBER}/messages", {"body": "x"}, headers={"Idempotency-Key": "k"})
    assert (first.status_code, again.status_code, again.data) == (201, 201, first.data)
    assert first.headers["Location"] == again.headers["Location"]
    assert api.call("GET", first.headers["Location"]) == first.get_json()
    assert len(messages(api, NUMBER)) == 1
    assert events(desk)[1:] == [("comment_added", NUMBER)]


def test_a_deleted_ticket_takes_its_conversation_with_it(api: Api, desk: Desk) -> None:
    opened(api)
    first = wrote(api)["id"]
    wrote(api, in_reply_to=first)
    api.call("DELETE", f"/tickets/{NUMBER}", status=204)
    assert dump(desk)["ticket_messages"] == []


@pytest.mark.parametrize(
    ("body", "event"),
    [
        ({"on_repeat": "comment"}, "comment_added"),
        ({"on_repeat": "comment", "priority": "high"}, "comment_added"),
        ({"on_repeat": "comment", "assignee": "root"}, "ticket_assigned"),
        ({"state": "resolved"}, "comment_added"),
        ({"state": "closed"}, "ticket_closed"),
    ],
)
def test_a_comment_of_a_machine_may_be_public(api: Api, desk: Desk, body: dict[str, Any], event: str) -> None:
    api.apply("sla-policies", name="p", response_minutes=240)
    rita = api.as_user("rita", roles=["requester"])
    wanted = {"title": "Disk", "correlation_key": "disk", "comment": "said"}
    opened(rita, "Disk", correlation_key="disk")
    api.call("POST", "/tickets/apply", {**wanted, "on_repeat": "comment"})
    api.call("POST", "/tickets/apply", {**wanted, "on_repeat": "comment", "internal": True})
    assert (messages(rita, NUMBER), response(api)) == ([], ("ok", None))
    api.call("POST", "/tickets/apply", {**wanted, **body, "internal": False})
    assert [entry["direction"] for entry in messages(rita, NUMBER)] == ["outbound"]
    assert response(api)[0] == "met"
    assert read(api, NUMBER)["last_contact_direction"] == "outbound"
    assert events(desk)[1:] == [(event, NUMBER)]


def test_a_ticket_that_is_opened_with_a_public_comment_is_not_answered_yet(api: Api, desk: Desk) -> None:
    api.apply("sla-policies", name="p", response_minutes=240)
    wanted = {"title": "Disk", "correlation_key": "disk", "comment": "said", "internal": False}
    dry = api.call("POST", "/tickets/apply?dry_run=true", wanted)
    made = api.call("POST", "/tickets/apply", wanted, status=201)
    assert [change["field"] for change in dry["changes"]] == [change["field"] for change in made["changes"]]
    assert api.call("POST", "/tickets/apply", wanted)["changed"] is False
    assert response(api) == ("ok", None)
    assert read(api, NUMBER)["last_contact_direction"] == "outbound"
    assert events(desk) == [("ticket_created", NUMBER), ("comment_added", NUMBER)], "it is told to those outside"
    wrote(api)
    assert response(api)[0] == "met"


def test_only_the_house_lets_a_machine_speak_in_public(api: Api) -> None:
    lena = person(api, "lena", "tickets:comment", "tickets:create", "tickets:edit", *EVERYTHING)
    wanted = {"title": "Disk", "comment": "said", "on_repeat": "comment"}
    for _ in range(2):
        refused = lena.call("POST", "/tickets/apply", {**wanted, "internal": False}, status=403)
        assert refused["missing_permission"] == "tickets:read_internal"
        lena.request("POST", "/tickets/apply", wanted)


# --- templates


@pytest.mark.feature("F065")
def test_a_template_becomes_a_message_with_its_placeholders_filled_in(api: Api) -> None:
    api.apply("users", username="root", first_name="Ruth", last_name="Root")
    api.apply("settings", key="public_url", value="https://desk.example.org")
    text = " ".join(f"{name}=${{{name}}}" for name in ANSWER_PLACEHOLDERS)
    api.apply("templates", name="all", body_text=f"Hello <you>,\n{text}\n\n{{{{ ticket_number }}}}")
    api.apply("users", username="tom", roles=["admin"])
    opened(api, "A & <b>B</b> ${ticket_number} **x**", assignee="tom", status="in_progress")
    found = wrote(api, None, template="all")
    filled = (
        f"ticket_number={NUMBER} ticket_title=A & <b>B</b> ${{ticket_number}} **x** ticket_status=in progress "
        f"ticket_url=https://desk.example.org/tickets/{NUMBER} assignee_name=tom reporter_name=Ruth Root "
        "author_name=Ruth Root"
    )
    assert found["body"] == found["body_text"] == f"Hello <you>,\n{filled}\n\n{NUMBER}"
    assert "<p>Hello &lt;you&gt;,<br>ticket_number=" in found["body_html"]
    assert "A &amp; &lt;b&gt;B&lt;/b&gt; ${ticket_number} **x**" in found["body_html"]
    assert found["direction"] == "outbound"


def test_the_reporter_of_a_template_is_the_contact_where_there_is_one(api: Api) -> None:
    api.apply("templates", name="hello", body_text="Hello ${reporter_name}")
    opened(api, contact="kim@acme.example")
    assert wrote(api, None, template="hello")["body"] == "Hello kim@acme.example"
    api.apply("contacts", email="kim@acme.example", first_name="Kim", last_name="Lee")
    assert wrote(api, None, template="hello")["body"] == "Hello Kim Lee"


@pytest.mark.feature("F065")
@pytest.mark.feature("F066")
def test_a_template_of_html_keeps_its_html_and_what_is_filled_in_stays_text(api: Api) -> None:
    for kind in ("email", "ticket"):
        html = "<p>About <i>${ticket_title}</i><script>x</script></p>"
        api.apply("templates", name=kind, type=kind, body_html=html)
        api.apply("templates", name=f"{kind} both", type=kind, body_html=html, body_text="On ${ticket_number}")
    opened(api, "<img src=x> & <a href='https://example.org'>y</a>")
    for kind in ("email", "ticket"):
        found = wrote(api, None, template=kind)
        assert "<img" not in found["body_html"]
        assert "<a" not in found["body_html"]
        assert found["body_text"] == "About <img src=x> & <a href='https://example.org'>y</a>"
        both = wrote(api, None, template=f"{kind} both")
        assert (both["body_html"], both["body_text"]) == (found["body_html"], f"On {NUMBER}")


def test_a_placeholder_that_there_is_not_is_refused_with_those_there_are(api: Api) -> None:
    for name, body in (("text", {"body_text": "${ticket_numbr}"}), ("html", {"body_html": "{{7*7}}"})):
        api.apply("templates", name=name, **body)
    api.apply("templates", name="empty")
    opened(api)
    for name, said in (("text", "'ticket_numbr'"), ("html", "'7*7'")):
        refused = wrote(api, None, template=name, status=422)
        assert places(refused) == {"template": "unknown_placeholder"}
        (error,) = refused["errors"]
        assert said in error["detail"]
        assert error["allowed"] == list(ANSWER_PLACEHOLDERS)
        assert ", ".join(ANSWER_PLACEHOLDERS) in error["detail"]
    assert places(wrote(api, None, template="empty", status=422)) == {"template": "too_short"}
    missing = wrote(api, None, template="txt", status=422)
    assert "did you mean text?" in missing["detail"]
