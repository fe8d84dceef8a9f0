"""Many tickets in one request: each is changed or refused by itself, and each is told."""

from __future__ import annotations

from typing import Any

import pytest
from ticket_help import EVERYTHING, dump, events, history, messages, opened, person, places, read

from conftest import Api
from deskplane.app import Desk


def bulk(api: Api, tickets: list[str], action: str = "change", *, answers: int = 200, **fields: Any) -> Any:
    return api.call("POST", "/tickets/bulk", {"tickets": tickets, "action": action, **fields}, status=answers)


def actions(found: dict[str, Any]) -> list[str]:
    return [item["action"] for item in found["items"]]


@pytest.mark.feature("F075", "F133")
def test_each_ticket_is_closed_without_a_comment(api: Api, desk: Desk) -> None:
    numbers = [opened(api)["number"] for _ in range(3)]
    bulk(api, numbers[2:], status="closed")
    found = bulk(api, numbers, status="closed")
    assert found == {
        "items": [
            {"number": number, "action": action, "problem": None}
            for number, action in zip(numbers, ["update", "update", "none"], strict=True)
        ],
        "changed": 2,
        "failed": 0,
    }
    assert all(read(api, number)["status"] == "closed" and not messages(api, number) for number in numbers)
    closed = [number for event, number in events(desk) if event == "ticket_closed"]
    assert sorted(closed) == numbers, "each is closed once"


@pytest.mark.feature("F133", "F134")
def test_a_deletion_needs_its_own_permission_and_takes_each_for_good(api: Api) -> None:
    numbers = [opened(api)["number"] for _ in range(2)]
    agent = person(api, "mia", "tickets:edit", "tickets:close", *EVERYTHING)
    refused = bulk(agent, numbers, "delete")
    assert actions(refused) == ["failed", "failed"]
    assert refused["items"][0]["problem"]["missing_permission"] == "tickets:delete"
    assert bulk(api, numbers, "delete") == {
        "items": [{"number": number, "action": "delete", "problem": None} for number in numbers],
        "changed": 2,
        "failed": 0,
    }
    assert api.call("GET", "/tickets")["items"] == []


def test_what_is_refused_for_one_is_undone_for_that_one_alone(api: Api) -> None:
    api.apply("departments", name="strict", workflow="itil")
    final = opened(api, department="strict", status="cancelled")["number"]
    first, last = opened(api)["number"], opened(api)["number"]
    before = history(api, final)
    found = bulk(api, [first, final, last], add_tags=["seen"], comment="looked at")
    assert actions(found) == ["update", "failed", "update"]
    problem = found["items"][1]["problem"]
    assert (problem["status"], problem["type"]) == (422, "urn:deskplane:problem:final")
    assert (read(api, final)["tags"], history(api, final), messages(api, final)) == ([], before, [])
    assert [read(api, number)["tags"] for number in (first, last)] == [["seen"], ["seen"]]
    assert [message["body"] for message in messages(api, last)] == ["looked at"]


def test_each_takes_the_shortest_way_of_its_own_workflow(api: Api) -> None:
    api.apply("departments", name="strict", workflow="itil")
    free, strict = opened(api)["number"], opened(api, department="strict")["number"]
    assert actions(bulk(api, [free, strict], status="closed")) == ["update", "update"]
    steps = [(entry["old"], entry["new"]) for entry in history(api, strict) if entry["field"] == "status"]
    assert steps == [("open", "in_progress"), ("in_progress", "resolved"), ("resolved", "closed")]
    assert [entry["new"] for entry in history(api, free) if entry["field"] == "status"] == ["closed"]


def test_words_are_added_and_taken_beside_those_that_each_has(api: Api) -> None:
    api.apply("labels", name="outage")
    api.apply("labels", name="known")
    one, other = opened(api, tags=["a"], labels=["outage"])["number"], opened(api, tags=["b"])["number"]
    bulk(api, [one, other], add_tags=["c"], remove_tags=["a"], add_labels=["known"], remove_labels=["outage"])
    assert [(read(api, number)["tags"], read(api, number)["labels"]) for number in (one, other)] == [
        (["c"], ["known"]),
        (["b", "c"], ["known"]),
    ]
    unknown = bulk(api, [one], add_labels=["knwon"])["items"][0]["problem"]
    assert "did you mean known?" in unknown["detail"]


def test_a_ticket_gets_no_more_words_than_it_may_have(api: Api) -> None:
    full = opened(api, tags=[f"t{index}" for index in range(50)])["number"]
    found = bulk(api, [full, opened(api)["number"]], add_tags=["more"])
    assert actions(found) == ["failed", "update"]
    assert places(found["items"][0]["problem"]) == {"add_tags": "too_long"}
    assert len(read(api, full)["tags"]) == 50


def test_a_foreign_ticket_is_answered_as_one_that_is_not_there(api: Api, desk: Desk) -> None:
    api.apply("customers", name="ACME")
    foreign = opened(api, customer="ACME")["number"]
    agent = person(api, "mia", "tickets:edit", "tickets:view_all_departments")
    before = dump(desk)
    found = bulk(agent, [foreign, "TKT-999999", "no number at all"], priority="low")
    assert actions(found) == ["failed"] * 3
    assert len({str(item["problem"]) for item in found["items"]}) == 1
    assert found["items"][0]["problem"]["status"] == 404
    assert dump(desk) == before


def test_a_ticket_is_changed_once_however_often_and_in_whatever_spelling_it_is_named(api: Api) -> None:
    number = opened(api)["number"]
    found = bulk(api, [number, number.lower(), "TKT-1"], comment="once")
    assert found["items"] == [{"number": number, "action": "update", "problem": None}]
    assert len(messages(api, number)) == 1


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, {"tickets": "required", "action": "required"}),
        ({"tickets": [], "action": "change", "status": "open"}, {"tickets": "required"}),
        ({"tickets": ["TKT-1"], "action": "change"}, {"action": "required"}),
        ({"tickets": ["TKT-1"], "action": "delete", "status": "open"}, {"action": "not_allowed"}),
        ({"tickets": ["TKT-1"], "action": "burn", "status": "odd"}, {"action": "not_allowed", "status": "not_allowed"}),
        ({"tickets": ["TKT-1"], "action": "change", "title": "x"}, {"title": "unknown_field"}),
        ({"tickets": ["TKT-1"] * 501, "action": "delete"}, {"tickets": "too_long"}),
        ({"tickets": [1, "x" * 31], "action": "delete"}, {"tickets/0": "wrong_type", "tickets/1": "too_long"}),
    ],
)
def test_a_bad_request_names_everything_and_changes_nothing(
    api: Api, desk: Desk, body: dict[str, Any], wrong: dict[str, str]
) -> None:
    opened(api)
    before = dump(desk)
    assert places(api.call("POST", "/tickets/bulk", body, status=422)) == wrong
    assert dump(desk) == before


def test_a_repetition_with_the_same_idempotency_key_answers_the_same(api: Api) -> None:
    number = opened(api)["number"]
    body = {"tickets": [number], "action": "change", "comment": "once"}
    answers = [api.call("POST", "/tickets/bulk", body, headers={"Idempotency-Key": "a-key-of-ours"}) for _ in range(2)]
    assert answers[0] == answers[1]
    assert len(messages(api, number)) == 1
