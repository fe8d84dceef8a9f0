"""What policies would have done to tickets that there were: counted before and after, and nothing changed."""

from __future__ import annotations

from typing import Any

from test_promises import change, opened

from conftest import Api, TurnedClock
from deskplane.app import Desk
from dumps import dump
from statements import recorded


def simulate(api: Api, status: int = 200, **body: Any) -> dict[str, Any]:
    before = dump(api.desk)
    found: dict[str, Any] = api.call("POST", "/sla-policies/simulate", body, status=status)
    assert dump(api.desk) == before
    return found


def lives(api: Api, clock: TurnedClock) -> list[str]:
    """Tickets that were resolved after half an hour, after two hours, one that waited, and one that is open."""
    found = []
    for minutes, waits in ((30, 0), (120, 0), (30, 600)):
        number = opened(api)["number"]
        clock.turn(minutes=minutes / 2)
        if waits:
            change(api, number, status="waiting")
            clock.turn(minutes=waits)
            change(api, number, status="in_progress")
        clock.turn(minutes=minutes / 2)
        change(api, number, status="resolved")
        found.append(number)
    return [*found, opened(api)["number"]]


def test_a_stricter_target_breaks_more_promises(api: Api, clock: TurnedClock) -> None:
    api.apply("sla-policies", name="p", resolution_minutes="4h")
    numbers = lives(api, clock)
    found = simulate(api, sla_policies=[{"name": "p", "resolution_minutes": "1h"}])
    assert (found["tickets"], found["covered"]) == (4, 4)
    assert found["before"]["resolution"] == {"none": 0, "met": 3, "breached": 0, "unmet": 1}
    assert found["after"]["resolution"] == {"none": 0, "met": 2, "breached": 1, "unmet": 1}
    (other,) = found["different"]
    assert (other["number"], other["clock"], other["before"], other["after"]) == (
        numbers[1],
        "resolution",
        "met",
        "breached",
    )
    assert other["due_at"] == "2026-03-02T10:30:00Z"


def test_other_pauses_are_applied_to_the_statuses_of_history(api: Api, clock: TurnedClock) -> None:
    api.apply("sla-policies", name="p", resolution_minutes="4h")
    numbers = lives(api, clock)
    found = simulate(api, sla_policies=[{"name": "p", "pause_statuses": []}])
    assert [entry["number"] for entry in found["different"]] == [numbers[2]]


def test_a_new_policy_competes_with_those_that_there_are(api: Api, clock: TurnedClock) -> None:
    api.apply("sla-policies", name="general", resolution_minutes="4h")
    opened(api, priority="high", status="resolved")
    opened(api, priority="low", status="resolved")
    found = simulate(api, sla_policies=[{"name": "high", "priorities": ["high"], "response_minutes": 10}])
    assert found["covered"] == 1
    assert found["after"]["resolution"] == {"none": 1, "met": 1, "breached": 0, "unmet": 0}
    assert found["after"]["response"] == {"none": 1, "met": 1, "breached": 0, "unmet": 0}


def test_a_calendar_that_is_not_there_yet_can_be_tried(api: Api, clock: TurnedClock) -> None:
    api.apply("sla-policies", name="p", resolution_minutes="1h")
    lives(api, clock)
    office = {"name": "nights", "hours": {"monday": [{"from": "20:00", "to": "24:00"}]}}
    found = simulate(api, calendars=[office], sla_policies=[{"name": "p", "calendar": "nights"}])
    assert (found["before"]["resolution"]["breached"], found["after"]["resolution"]["breached"]) == (1, 0)


def test_only_so_many_and_only_of_one_customer(api: Api, clock: TurnedClock) -> None:
    api.apply("customers", name="ACME")
    for customer in ("ACME", None, "ACME"):
        opened(api, customer=customer)
        clock.turn(minutes=1)
    assert simulate(api, sla_policies=[], customer="ACME")["tickets"] == 2
    assert simulate(api, sla_policies=[], tickets=1)["tickets"] == 1
    assert simulate(api)["before"]["resolution"]["none"] == 3


def test_what_is_wrong_is_named_with_its_place(api: Api) -> None:
    wrong = simulate(api, 422, sla_policies=[{"name": "p", "calendar": "nights", "resolution_minutes": "soon"}])
    assert [error["pointer"] for error in wrong["errors"]] == [
        "#/sla_policies/0/resolution_minutes",
        "#/sla_policies/0/calendar",
    ]
    assert simulate(api, 422, customer="nobody")["errors"][0]["pointer"] == "#/customer"
    assert simulate(api, 422, tickets=0)["errors"][0]["pointer"] == "#/tickets"


def test_more_tickets_take_no_statement_more(api: Api, desk: Desk, clock: TurnedClock) -> None:
    api.apply("customers", name="ACME")
    api.apply("sla-policies", name="p", resolution_minutes="4h")
    counts = []
    for _ in range(2):
        for number in range(5):
            opened(api, customer="ACME" if number % 2 else None, status="resolved")
        with recorded(desk) as statements:
            simulate(api, sla_policies=[{"name": "p", "resolution_minutes": "1h"}])
        counts.append(len(statements))
    assert counts[0] == counts[1]
