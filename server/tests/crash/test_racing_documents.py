"""Ten appliers with overlapping documents at once: no error that is not a conflict by name, nothing half done, and
no field of anyone's lost."""

from __future__ import annotations

import random
from typing import Any

import pytest
from crash_servers import together

from conftest import Api, settings
from deskplane.app import create_app, make_desk

APPLIERS, ROUNDS = 10, 50
BUSY = 60
"""Long enough for the slowest machine: here nobody is to give up."""
FIELDS = (
    "description",
    "auto_assign_on_open",
    "imap.server",
    "imap.port",
    "smtp.server",
    "smtp.port",
    "auto_reply.subject",
    "follow_up.subject",
    "cleanup.note",
    "time_tracking.rounding_minutes",
)
"""Each applier has a field of its own in every department."""


@pytest.fixture
def apis(api: Api, database_url: str) -> Any:
    """Three server processes, as far as they share nothing but the database."""
    desks = [make_desk(settings(database_url, busy_seconds=BUSY)) for _ in range(3)]
    apps = [create_app(desk) for desk in desks]
    yield [Api(apps[index % 3].test_client(), api.key, desks[index % 3]) for index in range(APPLIERS)]
    for desk in desks:
        desk.database.dispose()


def _value(field: str, turn: int) -> Any:
    if field == "auto_assign_on_open":
        return turn % 2 == 0
    if field.endswith(("port", "minutes")):
        return 100 + turn
    return f"turn{turn}.example"


def _document(index: int, turn: int, chance: random.Random) -> dict[str, Any]:
    """Departments that everyone shares, one field of each; and a label, a user and a policy of one's own, which
    refer to what the others write."""
    name, _, inner = FIELDS[index].partition(".")
    value = _value(FIELDS[index], turn)
    shared = [{"name": f"D{number}", name: {inner: value} if inner else value} for number in range(4)]
    chance.shuffle(shared)
    document = {
        "departments": shared,
        "customers": [{"name": f"C{index}", "sla_policy": f"P{index}", "notes": f"turn {turn}"}],
        "sla_policies": [{"name": f"P{index}", "customers": [f"C{index}"], "resolution_minutes": 60 + turn}],
        "users": [{"username": f"u{index}", "roles": ["agent"], "default_department": f"D{turn % 4}"}],
        "labels": [{"name": f"l{index}-{number}"} for number in range(turn % 3)],
    }
    kinds = list(document.items())
    chance.shuffle(kinds)
    return dict(kinds)


def test_ten_appliers_with_overlapping_documents_lose_nothing(api: Api, apis: list[Api]) -> None:
    answers: list[list[int]] = [[] for _ in range(APPLIERS)]

    def applier(index: int) -> None:
        chance = random.Random(index)
        for turn in range(ROUNDS):
            body = {
                "manager": f"applier-{index}",
                "revision": str(turn),
                "prune": True,
                "configuration": _document(index, turn, chance),
            }
            answers[index].append(apis[index].request("POST", "/configuration/apply", body).status_code)
            if turn % 10 == 0:
                found = apis[index].call("GET", f"/configuration?manager=applier-{index}")["configuration"]
                assert len(found["departments"]) == 4

    together(APPLIERS, applier)
    assert answers == [[200] * ROUNDS] * APPLIERS
    last = ROUNDS - 1
    departments = api.call("GET", "/departments")["items"]
    assert [found["name"] for found in departments] == ["D0", "D1", "D2", "D3"]
    for department in departments:
        for field in FIELDS:
            name, _, inner = field.partition(".")
            value = department[name][inner] if inner else department[name]
            assert value == _value(field, last), (department["name"], field)
    assert api.call("GET", "/configuration/drift")["items"] == []
    labels = api.call("GET", "/labels?limit=200")["items"]
    assert len(labels) == APPLIERS * (last % 3)


def test_two_who_declare_one_field_end_with_one_owner_and_a_conflict_for_the_other(api: Api, apis: list[Api]) -> None:
    document = {"departments": [{"name": f"D{number}", "description": "mine"} for number in range(20)]}

    def applier(index: int) -> int:
        body = {"manager": f"applier-{index}", "configuration": document}
        return apis[index].request("POST", "/configuration/apply", body).status_code

    assert sorted(together(APPLIERS, applier)) == [200] + [409] * (APPLIERS - 1)
