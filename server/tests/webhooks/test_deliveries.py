"""What webhooks send: to whom, what, signed how, and how often it is tried."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import time_machine
from sqlalchemy import update
from sqlalchemy.orm import Session
from standardwebhooks import Webhook as Official
from standardwebhooks import WebhookVerificationError

from conftest import Api, TurnedClock
from deskplane.app import Desk
from deskplane.kernel.revision import raise_revision
from deskplane.kernel.safe_http import Client
from deskplane.webhooks.models import Webhook
from receivers import Script
from webhook_help import Receivers, receivers
from worker_help import wait_for

SECRET = "whsec_" + "c2VjcmV0" * 4
OTHER = "whsec_" + "b3RoZXIt" * 4
OK: tuple[int, dict[str, str], bytes] = (200, {}, b"fine")
SCHEDULE = [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]


@pytest.fixture
def hooks(desk: Desk, api: Api, clock: TurnedClock) -> Iterator[Receivers]:
    with receivers(desk, api, clock) as found:
        yield found


def answering(*statuses: int, **headers: str) -> Script:
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return Script([(status, more, b"said") for status in statuses])


def bodies(script: Script) -> list[Any]:
    return [json.loads(got.body) for got in script.got]


@pytest.mark.feature("F169")
@pytest.mark.feature("F168")
def test_without_a_body_of_its_own_a_webhook_sends_all_values(hooks: Receivers) -> None:
    hooks.api.apply("departments", name="Support")
    hooks.api.apply("customers", name="ACME")
    script = Script()
    hooks.hook(script=script)
    found = hooks.ticket(title="Printer", department="Support", customer="ACME", priority="high", assignee="root")
    hooks.drain()
    (got,) = script.got
    assert (got.method, got.headers["content-type"]) == ("POST", "application/json")
    assert json.loads(got.body) == {
        "event": "ticket_created",
        "ticket_number": found["number"],
        "subject": "Printer",
        "status": found["status"],
        "priority": "high",
        "assigned_to": "root",
        "customer": "ACME",
        "department": "Support",
        "timestamp": "2026-03-02T09:00:00Z",
        "url": f"http://localhost/tickets/{found['number']}",
    }


@pytest.mark.feature("F168")
def test_placeholders_are_filled_in_texts_of_the_template_and_nothing_else_is_evaluated(hooks: Receivers) -> None:
    script = Script()
    body = {
        "text": "${event}: {{ subject }}",
        "who": "${assigned_to}",
        "${subject}": ["{{subject}}", {"deep": "<{{subject}}>"}, 7, None, True],
    }
    hooks.hook(script=script, body=body)
    subjects = ['","status":"x', "{{7*7}}", "${status}", "{{ticket_number}}", '\\"\\u0041\\n', "ü 🎉", "{{"]
    for subject in subjects:
        hooks.ticket(title=subject)
    hooks.drain()
    assert [found["${subject}"][:2] for found in bodies(script)] == [
        [subject, {"deep": f"<{subject}>"}] for subject in subjects
    ]
    first = bodies(script)[0]
    assert first["text"] == 'ticket_created: ","status":"x'
    assert first["who"] == "", "what is null is an empty text"
    assert first["${subject}"][2:] == [7, None, True]
    assert sorted(first) == ["${subject}", "text", "who"]


@pytest.mark.feature("F166")
@pytest.mark.feature("F167")
@pytest.mark.feature("F163")
def test_who_is_told_of_what(hooks: Receivers) -> None:
    """By department or all, by events or all; a change is one event, and what is internal tells nobody."""
    api = hooks.api
    for name in ("Support", "Sales"):
        api.apply("departments", name=name)
    scripts = {name: Script() for name in ("all", "support", "closed", "off")}
    hooks.hook("all", scripts["all"])
    hooks.hook("support", scripts["support"], department="Support")
    hooks.hook("closed", scripts["closed"], events=["ticket_closed", "ticket_assigned"])
    hooks.hook("off", scripts["off"], enabled=False)
    support, sales = hooks.ticket(title="1", department="Support"), hooks.ticket(title="2", department="Sales")
    hooks.ticket(title="3")
    for ticket, changes in (
        (support, {"priority": "high", "title": "1b"}),
        (sales, {"assignee": "root"}),
        (support, {"status": "closed"}),
    ):
        api.call("PATCH", f"/tickets/{ticket['number']}", changes)
    api.call(
        "POST", f"/tickets/{sales['number']}/messages", {"body": "internal words", "direction": "internal"}, status=201
    )
    api.call(
        "POST", f"/tickets/{sales['number']}/messages", {"body": "public words", "direction": "outbound"}, status=201
    )
    hooks.drain()

    def told(name: str) -> list[tuple[str, str]]:
        return [(found["event"], found["subject"]) for found in bodies(scripts[name])]

    assert told("all") == [
        ("ticket_created", "1"),
        ("ticket_created", "2"),
        ("ticket_created", "3"),
        ("ticket_updated", "1b"),
        ("ticket_assigned", "2"),
        ("ticket_closed", "1b"),
        ("comment_added", "2"),
    ]
    assert told("support") == [("ticket_created", "1"), ("ticket_updated", "1b"), ("ticket_closed", "1b")]
    assert told("closed") == [("ticket_assigned", "2"), ("ticket_closed", "1b")]
    assert told("off") == []
    assert not any(b"words" in got.body for script in scripts.values() for got in script.got)


@pytest.mark.feature("F164")
def test_method_headers_and_secret_headers_are_sent_and_get_has_no_body(hooks: Receivers) -> None:
    gets, puts = Script(), Script()
    hooks.hook("get", gets, method="GET", secret=SECRET)
    put = hooks.hook("put", puts, method="PUT", headers={"X-A": "b"}, secret_headers={"Authorization": "Bearer canary"})
    hooks.ticket()
    hooks.drain()
    assert (gets.got[0].method, gets.got[0].body) == ("GET", b"")
    Official(SECRET)  # the signature of an empty body, too
    (got,) = puts.got
    assert (got.method, got.headers["x-a"], got.headers["authorization"]) == ("PUT", "b", "Bearer canary")
    assert "content-type" not in got.headers
    assert "webhook-signature" not in got.headers, "nothing to sign with"
    shown = hooks.one(put)
    assert shown["request"]["headers"]["X-A"] == "b"
    assert "canary" not in json.dumps(shown)


def verified(secret: str, got: Any, at: datetime) -> bool:
    with time_machine.travel(at, tick=False):
        try:
            Official(secret).verify(got.body, dict(got.headers), json_parse=False)
        except WebhookVerificationError:
            return False
    return True


def test_the_official_library_takes_every_attempt_each_with_the_same_id_and_a_time_of_its_own(
    hooks: Receivers, clock: TurnedClock
) -> None:
    script = answering(500, 503, 200)
    hook = hooks.hook(script=script, secret=SECRET)
    hooks.ticket(title="ünï")
    times = [clock.time]
    for wait in hooks.through(hook):
        times.append(times[-1] + timedelta(seconds=wait))
    assert [verified(SECRET, got, at) for got, at in zip(script.got, times, strict=True)] == [True] * 3
    assert not verified(OTHER, script.got[0], times[0])
    assert not verified(SECRET, script.got[0], times[0] + timedelta(minutes=6))
    found = hooks.one(hook)
    assert {got.headers["webhook-id"] for got in script.got} == {found["id"]}
    assert len({got.headers["webhook-timestamp"] for got in script.got}) == 3
    assert (found["state"], found["attempts"], found["status"], found["response"]) == ("succeeded", 3, 200, "said")
    assert [entry["status"] for entry in found["log"]] == [500, 503, 200]
    assert found["error"] is None
    assert json.loads(found["request"]["body"])["subject"] == "ünï"


def test_it_is_tried_ten_times_within_the_schedule_and_then_given_up(hooks: Receivers) -> None:
    script = answering(500)
    hook = hooks.hook(script=script)
    hooks.ticket()
    waits = hooks.through(hook)
    assert len(script.got) == 10
    for wait, planned in zip(waits, SCHEDULE, strict=True):
        assert planned <= wait <= planned * 1.1
    assert [wait / planned for wait, planned in zip(waits, SCHEDULE, strict=True)] != [1] * 9, "not all at once"
    found = hooks.one(hook)
    assert (found["state"], found["attempts"], found["next_at"]) == ("failed", 10, None)
    assert found["error"] == "answered: the receiver said 500"


@pytest.mark.parametrize("status", [100 + 100, 201, 204, 299])
def test_every_2xx_is_a_success(hooks: Receivers, status: int) -> None:
    script = answering(status)
    hook = hooks.hook(script=script)
    hooks.ticket()
    assert hooks.through(hook) == []
    assert hooks.one(hook)["state"] == "succeeded"


@pytest.mark.parametrize("status", [301, 302, 307, 400, 404, 429, 500])
def test_nothing_else_is(hooks: Receivers, status: int) -> None:
    hook = hooks.hook(script=answering(status, Location="http://127.77.0.1:1/"))
    hooks.ticket()
    hooks.drain()
    found = hooks.one(hook)
    assert (found["state"], found["status"], found["attempts"]) == ("pending", status, 1)


def test_retry_after_is_honoured_within_bounds(hooks: Receivers, clock: TurnedClock) -> None:
    moment = format_datetime((clock.time + timedelta(minutes=50)).astimezone(UTC), usegmt=True)
    waits = {"120": 120, "1": 5, moment: 3000, "999999999999999": 86400, "soon": 5, "-5": 5, "": 5}
    for index, (given, wait) in enumerate(waits.items()):
        hook = hooks.hook(f"hook{index}", answering(429, Retry_After=given), events=["ticket_created"])
        hooks.ticket()
        hooks.drain()
        found = hooks.deliveries(hook)[-1]
        seconds = (datetime.fromisoformat(found["next_at"]) - clock.time).total_seconds()
        assert wait <= seconds <= max(wait, 5.5), given
        hooks.api.apply("webhooks", name=f"hook{index}", state="absent")


def test_both_secrets_sign_while_one_replaces_the_other(hooks: Receivers, clock: TurnedClock) -> None:
    """However the secret is changed: by an apply, or by rotating it, which makes the next one."""
    script = Script()
    hook = hooks.hook("hook", script, secret=SECRET)

    def sign() -> list[str]:
        hooks.ticket()
        hooks.drain()
        got = script.got[-1]
        return [name for name in known if verified(name, got, clock.time)]

    known = [SECRET, OTHER]
    assert sign() == [SECRET]
    hooks.api.apply("webhooks", name="hook", secret=SECRET)
    assert sign() == [SECRET], "declared as it is, it is no other"
    hooks.api.apply("webhooks", name="hook", secret=OTHER)
    assert sign() == [SECRET, OTHER]
    clock.turn(hours=24)
    assert sign() == [OTHER]
    made = hooks.api.call("POST", f"/webhooks/{hook}/rotate-secret", {"overlap_hours": 2})
    known.append(made["secret"])
    assert made["previous_until"] == "2026-03-03T11:00:00Z"
    assert sign() == [OTHER, made["secret"]]
    clock.turn(hours=2)
    assert sign() == [made["secret"]]
    given = hooks.api.call("POST", f"/webhooks/{hook}/rotate-secret", {"secret": SECRET})
    assert given == {"secret": None, "previous_until": "2026-03-04T11:00:00Z"}
    assert sign() == [SECRET, made["secret"]]


def test_a_receiver_that_is_gone_disables_the_webhook_and_drift_shows_it(hooks: Receivers) -> None:
    api = hooks.api
    script = answering(410)
    address = hooks.hook("hook", script)
    url = api.call("GET", f"/webhooks/{address}")["url"]
    document = {"manager": "git", "configuration": {"webhooks": [{"name": "hook", "url": url, "enabled": True}]}}
    api.call("POST", "/configuration/apply", document)
    first, second = hooks.ticket(title="1"), hooks.ticket(title="2")
    hooks.drain()
    assert len(script.got) == 1
    assert [found["state"] for found in hooks.deliveries(address)] == ["failed", "cancelled"]
    assert api.call("GET", f"/webhooks/{address}")["enabled"] is False
    (drift,) = api.call("GET", "/configuration/drift?manager=git")["items"]
    text = json.dumps(drift)
    assert "enabled" in text
    assert "automation" in text
    (alert,) = api.call("GET", "/alerts?open=true")["items"]
    assert (alert["kind"], alert["key"]) == ("webhook_disabled", address)
    assert "410" in alert["text"]
    hooks.ticket(title="3")
    hooks.drain()
    assert len(script.got) == 1, "a webhook that is disabled is told nothing"
    refused = api.call("POST", f"/webhooks/{address}/redeliver", {"since": "2026-01-01T00:00:00Z"}, status=409)
    assert refused["type"].endswith("webhook_disabled")
    script.answers = [OK]
    api.apply("webhooks", name="hook", enabled=True)
    assert api.call("GET", "/alerts?open=true")["items"] == []
    assert api.call("POST", f"/webhooks/{address}/redeliver", {"since": "2026-01-01T00:00:00Z"}) == {"count": 2}
    hooks.drain()
    assert [found["ticket_number"] for found in bodies(script)[1:]] == [first["number"], second["number"]]
    assert {found["state"] for found in hooks.deliveries(address)} == {"succeeded"}


def test_a_webhook_that_cannot_be_disabled_is_an_alert_all_the_same(hooks: Receivers) -> None:
    """One of a version with other rules: what came of the delivery is written down, once."""
    script = answering(410)
    hook = hooks.hook("hook", script)

    def spoil(session: Session) -> None:
        session.execute(update(Webhook).values(headers={"X-A": "1", "x-a": "2"}))
        raise_revision(session)

    hooks.desk.database.run(spoil, write=True)
    hooks.ticket()
    assert hooks.through(hook) == []
    assert (len(script.got), hooks.one(hook)["state"]) == (1, "failed")
    (alert,) = hooks.api.call("GET", "/alerts?open=true")["items"]
    assert "was refused (headers/x-a" in alert["text"]


def test_five_days_of_failure_disable_a_webhook_and_one_success_begins_anew(
    hooks: Receivers, clock: TurnedClock
) -> None:
    script = answering(500)
    hook = hooks.hook("hook", script)

    def day() -> bool:
        hooks.ticket()
        hooks.drain()
        clock.turn(days=1)
        return bool(hooks.api.call("GET", f"/webhooks/{hook}")["enabled"])

    assert [day() for _ in range(4)] == [True] * 4
    script.answers = [OK]
    assert day()
    script.answers = [(500, {}, b"")]
    assert [day() for _ in range(6)] == [True] * 5 + [False]
    (alert,) = hooks.api.call("GET", "/alerts?open=true")["items"]
    assert "5 days" in alert["text"]
    hooks.api.apply("webhooks", name="hook", state="absent")
    assert hooks.api.call("GET", "/alerts?open=true")["items"] == []


def test_what_is_to_be_delivered_when_a_webhook_is_disabled_by_hand_is_cancelled(hooks: Receivers) -> None:
    script = answering(500)
    hook = hooks.hook("hook", script)
    hooks.ticket()
    hooks.drain()
    hooks.api.apply("webhooks", name="hook", enabled=False)
    assert hooks.through(hook) == []
    assert [found["state"] for found in hooks.deliveries(hook)] == ["cancelled"]
    assert len(script.got) == 1


def test_one_delivery_is_sent_anew_to_the_webhook_as_it_is_now(hooks: Receivers) -> None:
    script = Script()
    hook = hooks.hook("hook", script)
    hooks.ticket(title="old")
    hooks.drain()
    hooks.api.apply("webhooks", name="hook", body={"s": "${subject}"})
    found = hooks.one(hook)
    waiting = hooks.api.call("POST", f"/webhooks/{hook}/deliveries/{found['id']}/redeliver")
    assert (waiting["state"], waiting["attempts"]) == ("pending", 0)
    hooks.api.call("POST", f"/webhooks/{hook}/deliveries/{found['id']}/redeliver")
    hooks.drain()
    assert [got.body for got in script.got][1:] == [b'{"s":"old"}'], "asked for twice, it is sent once more"
    assert {got.headers["webhook-id"] for got in script.got} == {found["id"]}
    assert len(hooks.one(hook)["log"]) == 2


@pytest.mark.feature("F170")
def test_a_test_sends_sample_values_at_once(hooks: Receivers) -> None:
    script = answering(202)
    hook = hooks.hook("hook", script, enabled=False, secret=SECRET, body={"t": "${subject} ${event} ${url}"})
    found = hooks.api.call("POST", f"/webhooks/{hook}/test", {"event": "sla_breached"})
    assert (found["succeeded"], found["status"], found["response"]) == (True, 202, "said")
    (got,) = script.got
    text = json.loads(got.body)["t"]
    assert text.startswith("The printer")
    assert "sla_breached https://" in text
    assert verified(SECRET, got, hooks.clock.time)
    assert found["request"]["body"] == got.body.decode()
    assert hooks.deliveries(hook) == []
    hooks.api.call("POST", f"/webhooks/{hook}/test", {"event": "nothing"}, status=422)
    script.answers = [(500, {}, b"oh")]
    found = hooks.api.call("POST", f"/webhooks/{hook}/test", {})
    assert (found["succeeded"], found["error"]) == (False, "answered: the receiver said 500")


def test_an_address_inside_is_refused_when_it_is_saved_tested_and_sent(hooks: Receivers, clock: TurnedClock) -> None:
    for url in ("http://127.0.0.1/x", "http://2130706433/", "http://[::ffff:169.254.169.254]/", "http://localhost:1/"):
        answer = hooks.api.apply("webhooks", name="inside", url=url, status=422)
        assert [error["pointer"] for error in answer["errors"]] == ["#/url"]
    hook = hooks.hook("hook", url="http://inside.example/")
    trap = Script()
    hooks.outside(resolve=lambda name, port: ["127.0.0.1"])
    found = hooks.api.call("POST", f"/webhooks/{hook}/test", {})
    assert found["error"].startswith("refused_address: inside.example")
    hooks.ticket()
    hooks.drain()
    assert hooks.one(hook)["error"].startswith("refused_address: inside.example")
    assert trap.got == []


def test_deliveries_are_listed_by_state_event_and_time_page_by_page(hooks: Receivers, clock: TurnedClock) -> None:
    hook = hooks.hook("hook", answering(200, 200, 500))
    other = hooks.hook("other", Script())
    for _ in range(3):
        hooks.ticket()
        hooks.drain()
        clock.turn(minutes=1)
    found = hooks.deliveries(hook)
    assert [entry["state"] for entry in found] == ["succeeded", "succeeded", "pending"]
    assert hooks.deliveries(hook, "?state=pending") == found[2:]
    assert hooks.deliveries(hook, "?event=ticket_closed") == []
    assert hooks.deliveries(hook, "?since=2026-03-02T09:01:00Z") == found[1:]
    page = hooks.api.call("GET", f"/webhooks/{hook}/deliveries?limit=2")
    rest = hooks.api.call("GET", f"/webhooks/{hook}/deliveries?limit=2&cursor={page['next_cursor']}")
    assert page["items"] + rest["items"] == found[::-1]
    of_other = hooks.deliveries(other)[0]["id"]
    for path in (f"{hook}/deliveries/{of_other}", "no-such/deliveries", f"no-such/deliveries/{of_other}"):
        hooks.api.call("GET", f"/webhooks/{path}", status=404)
    hooks.api.call("POST", f"/webhooks/{hook}/deliveries/{of_other}/redeliver", status=404)
    hooks.api.call("POST", "/webhooks/no-such/test", {}, status=404)
    metrics = hooks.api.request("GET", "/metrics").get_data(as_text=True)
    assert 'deskplane_webhook_deliveries{state="succeeded"} 5.0' in metrics


def test_deliveries_are_for_those_who_manage_webhooks(hooks: Receivers, api: Api) -> None:
    hook = hooks.hook("hook", Script())
    mia = api.as_user("mia", roles=["agent"])
    for method, path in (
        ("GET", "deliveries"),
        ("GET", "deliveries/x"),
        ("POST", "test"),
        ("POST", "redeliver"),
        ("POST", "rotate-secret"),
    ):
        mia.call(method, f"/webhooks/{hook}/{path}", {} if method == "POST" else None, status=403)


def test_old_deliveries_are_forgotten_but_none_that_waits(hooks: Receivers, clock: TurnedClock) -> None:
    from deskplane.webhooks import deliveries

    hook = hooks.hook("hook", answering(200, 500))
    hooks.ticket()
    hooks.ticket()
    hooks.drain()
    hooks.api.apply("settings", key="retention.deliveries_days", value=1)

    def forget() -> list[str]:
        hooks.desk.database.run(lambda session: deliveries.forget_old(hooks.desk.automation(session)), write=True)
        return [entry["state"] for entry in hooks.deliveries(hook)]

    clock.turn(hours=24)
    assert forget() == ["succeeded", "pending"]
    clock.turn(seconds=1)
    assert forget() == ["pending"]


def test_the_receiver_of_the_documentation_takes_what_is_signed(
    hooks: Receivers, clock: TurnedClock, tmp_path: Path
) -> None:
    clock.time = datetime.now(UTC)
    hooks.desk.outside = Client([ip_network("127.0.0.1/32")])
    hooks.api.client.application.extensions["deskplane"].outside = hooks.desk.outside
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    page = Path(__file__).parents[3] / "docs" / "webhooks.md"
    program = tmp_path / "receiver.py"
    program.write_text(page.read_text().split("```python\n")[1].split("```")[0])
    process = subprocess.Popen(
        [sys.executable, program, str(port)],
        env={**os.environ, "WEBHOOK_SECRET": SECRET},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        url = f"http://127.0.0.1:{port}/"
        good, bad = hooks.hook("good", url=url, secret=SECRET), hooks.hook("bad", url=url, secret=OTHER)
        hooks.ticket(title="Printer")
        hooks.drain()
        assert (hooks.one(good)["status"], hooks.one(bad)["status"]) == (200, 401)
        hooks.api.call("POST", f"/webhooks/{good}/deliveries/{hooks.one(good)['id']}/redeliver")
        hooks.drain()
        assert [entry["status"] for entry in hooks.one(good)["log"]] == [200, 200]
    finally:
        process.terminate()
    printed, _ = process.communicate()
    assert printed == "ticket_created: TKT-000001 Printer\n", "once, though it came twice"
