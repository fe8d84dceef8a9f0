"""A dry run answers what the real run then answers, and writes no row of any table."""

from __future__ import annotations

from typing import Any

import pytest
from ticket_help import changed, dump, opened, person

from conftest import Api, TurnedClock
from deskplane.app import Desk

ASSIGNED = {"number", "url", "created_at", "updated_at", "last_occurred_at"}
"""What only the server assigns to a new ticket, apart from its deadlines."""

CASES: dict[str, list[dict[str, Any]]] = {
    "create": [{"correlation_key": "k", "priority": "critical", "tags": ["a"], "labels": ["red"], "comment": "c"}],
    "create waiting": [{"status": "waiting", "remind_at": "2026-04-01T10:00:00Z", "assignee": "root"}],
    "create by title": [{}],
    "repeat": [{"correlation_key": "k"}, {"correlation_key": "k"}],
    "repeat and change": [
        {"correlation_key": "k", "tags": ["a"]},
        {"correlation_key": "k", "priority": "high", "labels": ["red"], "tags": ["b"], "type": "incident"},
    ],
    "count": [{"correlation_key": "k"}, {"correlation_key": "k", "on_repeat": "count"}],
    "comment": [{"correlation_key": "k"}, {"correlation_key": "k", "on_repeat": "comment", "comment": "c"}],
    "update fields": [{"correlation_key": "k"}, {"correlation_key": "k", "title": "y", "update_fields": ["title"]}],
    "customer": [{"correlation_key": "k", "customer": "ACME"}, {"correlation_key": "k", "customer": "ACME"}],
    "resolve": [{"correlation_key": "k"}, {"correlation_key": "k", "state": "resolved", "comment": "c"}],
    "close": [{"correlation_key": "k", "department": "Ops"}, {"correlation_key": "k", "state": "closed"}],
    "delete": [{"correlation_key": "k"}, {"correlation_key": "k", "state": "absent"}],
    "nothing to resolve": [{"correlation_key": "k", "state": "resolved"}],
    "reopen": [
        {"correlation_key": "k"},
        {"correlation_key": "k", "state": "closed"},
        {"correlation_key": "k", "reopen_within": "1h", "comment": "again"},
    ],
    "too late to reopen": [
        {"correlation_key": "k"},
        {"correlation_key": "k", "state": "closed"},
        {"correlation_key": "k", "reopen_within": "1m"},
    ],
    "unknown reference": [{"correlation_key": "k", "type": "nothing", "labels": ["no"]}],
    "not allowed": [{"correlation_key": "k", "remind_at": "2026-04-01T10:00:00Z"}],
}


@pytest.mark.parametrize("case", CASES)
def test_a_dry_run_answers_what_the_real_run_answers_and_writes_nothing(
    api: Api, desk: Desk, clock: TurnedClock, case: str
) -> None:
    api.apply("customers", name="ACME", number_prefix="ACME")
    api.apply("departments", name="Ops", workflow="itil")
    api.apply("labels", name="red")
    api.apply("sla-policies", name="p", response_minutes=5, resolution_minutes=90, priority_floor="medium")
    for body in CASES[case]:
        body = {"title": "x", **body}
        before = dump(desk)
        dry = api.request("POST", "/tickets/apply?dry_run=true", body, headers={"X-Request-Id": "r"})
        assert dump(desk) == before
        real = api.request(
            "POST", "/tickets/apply", body, headers={"X-Request-Id": "r", "Idempotency-Key": clock.now().isoformat()}
        )
        planned, done = dry.get_json(), real.get_json()
        if done.get("action") == "create":
            assert (dry.status_code, real.status_code) == (200, 201)
            assert {planned["after"].pop(name) for name in ASSIGNED} == {None}
            assert None not in {done["after"].pop(name) for name in ASSIGNED}
            for part in ("response", "resolution"):
                assert set(planned["after"]["sla"][part].values()) == {planned["after"]["sla"][part]["state"], None}
                planned["after"]["sla"][part] = done["after"]["sla"][part]
        else:
            assert dry.status_code == real.status_code
        assert planned == done
        clock.turn(minutes=2)


def test_a_dry_run_takes_no_number_and_keeps_no_idempotency_key(api: Api) -> None:
    for _ in range(3):
        api.call("POST", "/tickets/apply?dry_run=true", {"title": "x"}, headers={"Idempotency-Key": "k"})
    answer = api.call("POST", "/tickets/apply", {"title": "y"}, status=201, headers={"Idempotency-Key": "k"})
    assert answer["after"]["number"] == "TKT-000001"


def test_a_stored_answer_comes_again_and_does_nothing(api: Api, desk: Desk) -> None:
    body = {"title": "x", "correlation_key": "k", "on_repeat": "count"}
    answers = []
    for _ in range(2):
        answer = api.request("POST", "/tickets/apply", body, headers={"Idempotency-Key": "a"})
        answers.append((answer.status_code, answer.data))
    assert answers[0] == answers[1]
    assert api.call("GET", "/tickets/TKT-000001")["occurrences"] == 1


def test_who_may_only_plan_may_try_everything_and_do_nothing(api: Api, desk: Desk) -> None:
    opened(api, "x", correlation_key="k")
    api.apply("roles", name="planner", permissions=["configuration:plan"])
    planner = api.as_user("planner", roles=["planner"])
    before = dump(desk)
    for state in ("present", "resolved", "absent"):
        body = {"title": "x", "correlation_key": "k", "state": state, "priority": "low"}
        assert planner.call("POST", "/tickets/apply?dry_run=true", body)["changed"] is True
        planner.call("POST", "/tickets/apply", body, status=403)
    assert dump(desk) == before


def test_a_dry_run_leaves_nothing_in_what_the_server_keeps_in_memory(api: Api) -> None:
    """A dry run of a change of configuration must not colour what later tickets get."""
    api.apply("labels", name="red")
    api.apply("departments", name="Ops")
    api.apply("sla-policies", name="p", resolution_minutes=60)
    number = opened(api, labels=["red"], department="Ops")["number"]
    for kind, fields in (
        ("sla-policies", {"name": "p", "state": "absent"}),
        ("sla-policies", {"name": "p", "resolution_minutes": 5}),
        ("labels", {"name": "red", "state": "absent"}),
        ("departments", {"name": "Ops", "enabled": False, "workflow": "itil"}),
        ("settings", {"key": "numbering.prefix", "value": "OPS"}),
    ):
        api.apply(kind, dry_run=True, **fields)
        ticket = opened(api, labels=["red"], department="Ops")
        assert ticket["number"].startswith("TKT-")
        assert ticket["sla"]["policy"] == "p"
        assert ticket["sla"]["resolution"]["due_at"] == "2026-03-02T10:00:00Z"
        assert changed(api, number, status="closed")["status"] == "closed"
        changed(api, number, status="open")


def test_a_dry_run_within_ones_own_rights_tells_only_what_one_may_see(api: Api) -> None:
    opened(api, "secret title", correlation_key="k")
    mia = person(api, "mia", "tickets:create", "tickets:close", "tickets:edit")
    body = {"title": "x", "correlation_key": "k", "state": "resolved"}
    assert mia.call("POST", "/tickets/apply?dry_run=true", body)["before"] is None
