"""What does not follow from something on a ticket: nobody is assigned by the desk, and nothing else is moved."""

from __future__ import annotations

import pytest
from ticket_help import changed, history, opened, person, read

from conftest import Api, TurnedClock
from deskplane.app import Desk, make_worker


@pytest.fixture
def team(api: Api) -> None:
    """Two people who could be given tickets."""
    for name in ("mia", "tom"):
        person(api, name, "tickets:edit", "tickets:view_all")
    api.apply("departments", name="Desk", members=["mia", "tom"])


@pytest.mark.feature("F137")
@pytest.mark.usefixtures("team")
def test_new_tickets_are_dealt_out_to_nobody(api: Api, desk: Desk) -> None:
    numbers = [opened(api, department="Desk")["number"] for _ in range(4)]
    make_worker(desk).drain_once()
    assert [read(api, number)["assignee"] for number in numbers] == [None] * 4


@pytest.mark.feature("F121")
@pytest.mark.usefixtures("team")
def test_a_deadline_that_passes_gives_the_ticket_to_nobody_else(api: Api, desk: Desk, clock: TurnedClock) -> None:
    api.apply("sla-policies", name="p", response_minutes=10, resolution_minutes=60)
    mine, nobodys = (opened(api, department="Desk", assignee=name)["number"] for name in ("mia", None))
    before = [history(api, number) for number in (mine, nobodys)]
    for minutes in (55, 5, 1000):
        clock.turn(minutes=minutes)
        worker = make_worker(desk)
        while worker.drain_once():
            pass
    assert [read(api, number)["sla"]["state"] for number in (mine, nobodys)] == ["breached", "breached"]
    assert [read(api, number)["assignee"] for number in (mine, nobodys)] == ["mia", None]
    assert [history(api, number) for number in (mine, nobodys)] == before


@pytest.mark.feature("F062")
def test_labels_change_neither_service_level_nor_department(api: Api, clock: TurnedClock) -> None:
    for name in ("outage", "vip"):
        api.apply("labels", name=name)
    api.apply("departments", name="Desk")
    api.apply("settings", key="department.default", value="Desk")
    api.apply("sla-policies", name="general", resolution_minutes=600)
    api.apply("sla-policies", name="outage", priorities=["critical"], resolution_minutes=60)
    plain, labelled = opened(api), opened(api, labels=["outage", "vip"])
    kept = ("sla", "department", "assignee", "group", "priority", "effective_priority")
    assert [labelled[name] for name in kept] == [plain[name] for name in kept]
    clock.turn(minutes=5)
    after = changed(api, plain["number"], labels=["vip"])
    assert [after[name] for name in kept] == [plain[name] for name in kept]


@pytest.mark.feature("F100")
def test_what_happens_to_tickets_is_in_their_own_history_only(api: Api) -> None:
    def audited() -> list[tuple[str, str]]:
        items = api.call("GET", "/configuration/history?limit=200")["items"]
        return [(item["label"], item["action"]) for item in items]

    api.apply("labels", name="outage")
    before = audited()
    number = opened(api, labels=["outage"])["number"]
    changed(api, number, title="y", status="closed", comment="done")
    assert {row["field"] for row in history(api, number)} == {"created", "title", "status", "message"}
    api.call("DELETE", f"/tickets/{number}", status=204)
    assert audited() == before
    api.apply("labels", name="outage", state="absent")
    assert audited() == [("label outage", "delete"), *before]
