"""Mails in the API, and alerts by mail."""

from __future__ import annotations

from typing import Any

import pytest
from smtp_help import desk_smtp, drain, free_port, mails, smtp_server

from conftest import Api, TurnedClock
from deskplane.alerts import service as alerts
from deskplane.app import Desk
from deskplane.mail import sending
from tickets.ticket_help import opened, person

STATES_COUNTED = [("failed", 1), ("held", 2), ("queued", 0)]


def raised(desk: Desk, key: str, text: str) -> None:
    desk.database.run(
        lambda session: alerts.raise_alert(desk.automation(session), "agent_quota", key, text), write=True
    )


@pytest.mark.feature("F158")
def test_an_alert_is_mailed_once_through_the_desks_own_server(api: Api, desk: Desk) -> None:
    raised(desk, "before", "nobody is named, and no server")
    drain(desk)
    api.apply("settings", key="alerts.recipients", value=["ops@example.org", "boss@example.org"])
    api.apply("settings", key="public_url", value="https://desk.example.org")
    raised(desk, "before", "still nobody")
    raised(desk, "late", "no server")
    drain(desk)
    assert mails(api) == []
    with smtp_server() as box:
        desk_smtp(api, box)
        for _ in range(3):
            raised(desk, "customer", "ACME has 7 agents\nand may have 5")
        drain(desk)
    assert box.pairs() == [
        ("boss@example.org", "Alert: ACME has 7 agents and may have 5"),
        ("ops@example.org", "Alert: ACME has 7 agents and may have 5"),
    ]
    assert "https://desk.example.org" in box.taken[0].body()
    assert box.taken[0].mail["Auto-Submitted"] == "auto-generated"
    assert box.taken[0].sender == "desk@example.org"


def test_an_alert_that_cannot_be_mailed_raises_no_further_ones(api: Api, desk: Desk, clock: TurnedClock) -> None:
    api.apply("settings", key="alerts.recipients", value=["ops@example.org"])
    with smtp_server() as box:
        desk_smtp(api, box)
        box.to_recipient += ["550 no"] * 9
        raised(desk, "customer", "one")
        drain(desk)
        assert [mail["state"] for mail in mails(api)] == ["failed"]
    api.apply("settings", key="smtp.port", value=free_port())
    raised(desk, "another", "two")
    for _ in range(8):
        drain(desk)
        clock.turn(days=1)
    kinds = [alert["kind"] for alert in api.call("GET", "/alerts?open=true")["items"]]
    assert sorted(kinds) == ["agent_quota", "agent_quota", "mail_server"]
    assert len(mails(api)) == 3, "the one that the server is away could not go out either"


def test_who_sees_which_mails(api: Api, desk: Desk) -> None:
    api.apply("settings", key="alerts.recipients", value=["ops@example.org"])
    for name in ("ACME", "Other"):
        api.apply("customers", name=name)
    with smtp_server() as box:
        desk_smtp(api, box)
        for name in ("ACME", "Other"):
            opened(api, "Fire", contact=f"ada@{name}.example".lower(), customer=name)
        raised(desk, "customer", "one")
        drain(desk)
    assert len(mails(api)) == 3
    mine = [{"customer": "ACME", "role": "member"}]
    agent = person(api, "mia", "tickets:read_internal", "tickets:comment", memberships=mine)
    (seen,) = mails(agent)
    assert (seen["ticket"], seen["customer"], seen["recipient"]) == ("TKT-000001", "ACME", "ada@acme.example")
    assert "body_text" not in seen
    whole = agent.call("GET", f"/mails/{seen['id']}")
    assert "we have received your request" in whole["body_text"]
    tag = agent.request("GET", f"/mails/{seen['id']}").headers["ETag"]
    assert agent.request("GET", f"/mails/{seen['id']}", headers={"If-None-Match": tag}).status_code == 304
    other = next(mail for mail in mails(api) if mail["customer"] == "Other")
    alert = next(mail for mail in mails(api) if mail["ticket"] is None)
    for hidden in (other, alert):
        missing = agent.call("GET", "/mails/nothing", status=404)
        found = agent.call("GET", f"/mails/{hidden['id']}", status=404)
        assert {**found, "request_id": ""} == {**missing, "request_id": ""}
        agent.call("POST", f"/mails/{hidden['id']}/retry", status=404)
    reader = person(api, "max", "tickets:read_internal", memberships=mine)
    assert reader.call("POST", f"/mails/{seen['id']}/retry", status=403)["missing_permission"] == "tickets:comment"
    reader.call("POST", "/mails/retry", status=403)
    keeper = person(api, "ops", "settings:manage")
    assert [mail["purpose"] for mail in mails(keeper)] == ["alert"]
    requester = person(api, "rob", "tickets:comment", memberships=mine)
    requester.call("GET", "/mails", status=403)
    requester.call("GET", f"/mails/{seen['id']}", status=403)


def test_mails_are_filtered_and_come_in_pages(api: Api, desk: Desk, clock: TurnedClock) -> None:
    api.apply("customers", name="ACME")
    with smtp_server() as box:
        desk_smtp(api, box)
        for index in range(5):
            opened(api, f"Fire {index}", contact=f"a{index}@example.net", customer="ACME")
            clock.turn(seconds=1)
            drain(desk)
    first = api.call("GET", "/mails?limit=3")
    second = api.call("GET", f"/mails?limit=3&cursor={first['next_cursor']}")
    told = [mail["subject"][-1] for mail in first["items"] + second["items"]]
    assert told == ["4", "3", "2", "1", "0"]
    assert second["next_cursor"] is None
    assert [mail["ticket"] for mail in mails(api, "?recipient=a3@example.net")] == ["TKT-000004"]
    assert [mail["recipient"] for mail in mails(api, "?ticket=tkt-000002")] == ["a1@example.net"]
    assert mails(api, "?ticket=nonsense") == []
    assert len(mails(api, "?state=sent&purpose=notification")) == 5
    assert mails(api, "?state=failed") == []
    api.call("GET", "/mails?state=nowhere", status=422)


def test_the_metrics_count_what_was_not_sent(api: Api, desk: Desk) -> None:
    api.apply("customers", name="ACME", quotas={"max_emails_month": 2})
    with smtp_server() as box:
        desk_smtp(api, box)
        box.to_recipient += ["550 no"]
        for index in range(4):
            opened(api, contact=f"a{index}@example.net", customer="ACME")
        drain(desk)
    text = api.request("GET", "/metrics").get_data(as_text=True)
    found = [line for line in text.splitlines() if line.startswith("deskplane_mails{")]
    assert sorted(found) == [f'deskplane_mails{{state="{state}"}} {n}.0' for state, n in STATES_COUNTED]


def test_old_mails_are_forgotten_and_held_ones_are_not(api: Api, desk: Desk, clock: TurnedClock) -> None:
    api.apply("customers", name="ACME", quotas={"max_emails_month": 1})
    with smtp_server() as box:
        desk_smtp(api, box)
        for index in range(2):
            opened(api, contact=f"a{index}@example.net", customer="ACME")
        drain(desk)
    api.apply("settings", key="retention.deliveries_days", value=7)

    def forget() -> list[Any]:
        desk.database.run(lambda session: sending.forget_old(desk.automation(session)), write=True)
        return [mail["state"] for mail in mails(api)]

    clock.turn(days=6)
    assert sorted(forget()) == ["held", "sent"]
    clock.turn(days=2)
    assert forget() == ["held"]
