"""Workflows: which status may follow which, and how a department's or the desk's own is chosen."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from conftest import Api
from deskplane.desks.workflows import FREE, ITIL, Workflow
from deskplane.kernel.words import STATUSES

ALLOWED = {
    ("open", "in_progress"),
    ("open", "cancelled"),
    ("in_progress", "waiting"),
    ("in_progress", "resolved"),
    ("in_progress", "cancelled"),
    ("waiting", "in_progress"),
    ("waiting", "cancelled"),
    ("resolved", "closed"),
    ("resolved", "in_progress"),
    ("resolved", "cancelled"),
}
"""domain.md 3, line by line."""


@pytest.mark.parametrize("workflow", [FREE, ITIL], ids=lambda workflow: workflow.name)
def test_a_path_is_a_shortest_one_of_allowed_steps(workflow: Workflow) -> None:
    for start, goal in itertools.product(STATUSES, repeat=2):
        found = workflow.path(start, goal)
        shortest = next(
            (
                length
                for length in range(len(STATUSES))
                if any(
                    all(after in workflow.transitions.get(before, ()) for before, after in itertools.pairwise(way))
                    for between in itertools.product(STATUSES, repeat=max(length - 1, 0))
                    for way in [(start,) if length == 0 else (start, *between, goal)]
                    if way[-1] == goal
                )
            ),
            None,
        )
        assert (None if found is None else len(found)) == shortest, (start, goal)
        if found:
            assert found[-1] == goal
            assert all(after in workflow.transitions[before] for before, after in itertools.pairwise([start, *found]))


@pytest.mark.feature("F068")
def test_free_leads_from_anywhere_to_anywhere_and_ends_nowhere() -> None:
    assert all(FREE.path(start, goal) == [goal] for start, goal in itertools.permutations(STATUSES, 2))
    assert not FREE.final


@pytest.mark.feature("F069")
def test_itil_has_the_steps_of_the_page() -> None:
    steps = {(before, after) for before, following in ITIL.transitions.items() for after in following}
    assert steps == ALLOWED
    assert ITIL.final == {"closed", "cancelled"}


def opened(api: Api, status: str) -> str:
    body = {"title": "x", "department": "Ops", "status": status}
    number: str = api.call("POST", "/tickets", body, status=201)["number"]
    return number


@pytest.mark.feature("F032", "F069")
@pytest.mark.parametrize("start", STATUSES)
def test_a_person_takes_the_steps_that_the_workflow_has_and_no_others(api: Api, start: str) -> None:
    api.apply("departments", name="Ops", workflow="itil")
    for goal in STATUSES:
        if goal == start:
            continue
        number = opened(api, start)
        answer = api.request("PATCH", f"/tickets/{number}", {"status": goal})
        if (start, goal) in ALLOWED:
            assert answer.get_json()["status"] == goal
            continue
        assert answer.status_code == 422, (start, goal)
        assert api.call("GET", f"/tickets/{number}")["status"] == start
        if start not in ITIL.final:
            (error,) = answer.get_json()["errors"]
            assert (error["pointer"], error["code"]) == ("#/status", "not_allowed")
            assert {(start, allowed) for allowed in error["allowed"]} == {step for step in ALLOWED if step[0] == start}


@pytest.mark.feature("F070")
@pytest.mark.parametrize("status", ["closed", "cancelled"])
@pytest.mark.parametrize(
    "body", [{"title": "y"}, {"status": "open"}, {"comment": "c"}, {"tags": ["a"]}, {"assignee": "root"}]
)
def test_after_a_final_status_nothing_changes_any_more(api: Api, status: str, body: dict[str, Any]) -> None:
    api.apply("departments", name="Ops", workflow="itil")
    number = opened(api, status)
    before = api.call("GET", f"/tickets/{number}")
    api.call("PATCH", f"/tickets/{number}", body, status=422)
    assert api.call("PATCH", f"/tickets/{number}", {"title": "x"}) == before, "no change is no change"
    api.call("DELETE", f"/tickets/{number}", status=204)


def test_final_is_what_the_ticket_was_in_and_not_where_it_goes(api: Api) -> None:
    api.apply("departments", name="Ops", workflow="itil")
    number = opened(api, "resolved")
    after = api.call("PATCH", f"/tickets/{number}", {"status": "closed", "comment": "done", "tags": ["a"]})
    assert (after["status"], after["tags"]) == ("closed", ["a"])


def test_the_departments_workflow_goes_before_the_desks(api: Api) -> None:
    api.apply("departments", name="Ops", workflow="free")
    api.apply("departments", name="Any")
    api.apply("settings", key="workflow.default", value="itil")
    numbers = [
        api.call("POST", "/tickets", {"title": "x", "department": name}, status=201)["number"]
        for name in ("Ops", "Any", None)
    ]
    codes = [api.request("PATCH", f"/tickets/{number}", {"status": "closed"}).status_code for number in numbers]
    assert codes == [200, 422, 422]
    api.apply("settings", key="workflow.default", state="absent")
    assert api.request("PATCH", f"/tickets/{numbers[2]}", {"status": "closed"}).status_code == 200


@pytest.mark.feature("F073")
def test_a_reporter_takes_steps_of_the_workflow_too(api: Api) -> None:
    api.apply("departments", name="Ops", workflow="itil")
    rita = api.as_user("rita", roles=["requester"])
    number = rita.call("POST", "/tickets", {"title": "x", "department": "Ops"}, status=201)["number"]
    for status in ("in_progress", "resolved"):
        api.call("PATCH", f"/tickets/{number}", {"status": status})
    rita.call("PATCH", f"/tickets/{number}", {"status": "open"}, status=422)
    assert rita.call("PATCH", f"/tickets/{number}", {"status": "in_progress"})["reopened_count"] == 1
