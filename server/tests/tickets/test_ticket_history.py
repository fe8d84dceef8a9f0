"""History: one row for the creation, one for each change of each field; replayed it gives the present state."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ticket_help import changed, history, messages, opened, person, read

from conftest import Api, TurnedClock
from deskplane.app import Desk

REPLAYED = (
    "title",
    "description",
    "type",
    "priority",
    "status",
    "remind_at",
    "customer",
    "department",
    "assignee",
    "owner",
    "group",
    "contact",
    "tags",
    "labels",
    "assets",
    "movement",
    "correlation_key",
    "occurrences",
)


GAINED, LOST = ("merged", "split_from"), ("merged_into", "split_off")
"""Entries that tell of messages which came from another ticket, or went to one."""
BELONGINGS = ("message", "attachment", "link", "reference", *GAINED, *LOST)
"""Entries that tell of what belongs to a ticket, and of no field."""


def belongings(entries: list[dict[str, Any]]) -> tuple[set[int], list[Any], list[Any]]:
    """Messages, links and references that history tells of: each is gained once before it is lost once."""
    messages: set[int] = set()
    things: dict[str, list[Any]] = {"link": [], "reference": []}
    for entry in entries:
        field, old, new = entry["field"], entry["old"], entry["new"]
        if field == "message" and new is not None:
            assert new["id"] not in messages
            messages.add(new["id"])
        elif field in GAINED:
            assert not messages & set(new["messages"])
            messages |= set(new["messages"])
        elif field in LOST:
            assert messages >= set(new["messages"])
            messages -= set(new["messages"])
        elif field in things:
            if old is not None:
                things[field].remove(old)
            if new is not None:
                assert new not in things[field]
                things[field].append(new)
    return messages, things["link"], things["reference"]


def replayed(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """The state that history tells of; each entry must begin where the one before ended."""
    assert entries[0]["field"] == "created"
    state = dict(entries[0]["new"])
    for entry in entries[1:]:
        if entry["field"] in BELONGINGS:
            continue
        assert entry["field"] in state
        assert state[entry["field"]] == entry["old"], entry
        assert entry["old"] != entry["new"], entry
        state[entry["field"]] = entry["new"]
    return state


def assert_history_is_true(api: Api, number: str) -> None:
    ticket, state = read(api, number), replayed(history(api, number))
    assert {name: state[name] for name in REPLAYED} == {name: ticket[name] for name in REPLAYED}
    assert state["sla_policy"] == ticket["sla"]["policy"]
    assert state["number"] == number
    messages, links, references = belongings(history(api, number))
    there = {what: api.call("GET", f"/tickets/{number}/{what}?limit=200")["items"] for what in ("messages", "links")}
    assert messages == {message["id"] for message in there["messages"]}
    assert {(one["type"], one["ticket"]) for one in links} == {(one["type"], one["ticket"]) for one in there["links"]}
    assert len(links) == len(there["links"])
    kept = [{name: one[name] for name in ("type", "title", "url")} for one in references]
    found = api.call("GET", f"/tickets/{number}/references")["items"]
    assert sorted(map(str, kept)) == sorted(str({name: one[name] for name in kept[0]}) for one in found)


def test_the_creation_is_one_row_with_everything(api: Api) -> None:
    number = opened(api, "x", tags=["a"], priority="high", source="ansible")["number"]
    (entry,) = history(api, number)
    assert (entry["at"], entry["author"], entry["field"], entry["old"]) == (
        "2026-03-02T09:00:00Z",
        "root",
        "created",
        None,
    )
    assert entry["new"] == entry["new"] | {
        "title": "x",
        "tags": ["a"],
        "priority": "high",
        "status": "open",
        "number": number,
        "source": "ansible",
    }


@pytest.mark.feature("F098", "F099")
def test_each_changed_field_is_a_row_of_its_author(api: Api, clock: TurnedClock) -> None:
    number = opened(api, "x")["number"]
    clock.turn(seconds=1)
    mia = person(api, "mia", "tickets:view_all", "tickets:edit", "tickets:comment")
    changed(mia, number, title="y", priority="low", comment="c")
    rows = history(api, number)[1:]
    (note,) = messages(api, number)
    expected = [
        ("title", "x", "y"),
        ("priority", "medium", "low"),
        ("message", None, {"id": note["id"], "direction": "internal"}),
    ]
    assert sorted([(row["field"], row["old"], row["new"]) for row in rows], key=repr) == sorted(expected, key=repr)
    assert {(row["author"], row["at"]) for row in rows} == {("mia", "2026-03-02T09:00:01Z")}
    assert all(row["cause"].startswith("key ") for row in rows)


def test_every_step_of_a_path_is_recorded(api: Api) -> None:
    api.apply("departments", name="Ops", workflow="itil")
    opened(api, "x", department="Ops", correlation_key="k")
    api.call("POST", "/tickets/apply", {"title": "x", "correlation_key": "k", "state": "closed"})
    steps = [(row["old"], row["new"]) for row in history(api, "TKT-000001") if row["field"] == "status"]
    assert steps == [("open", "in_progress"), ("in_progress", "resolved"), ("resolved", "closed")]
    assert_history_is_true(api, "TKT-000001")


def test_long_histories_and_conversations_come_in_pages(api: Api) -> None:
    number = opened(api)["number"]
    for index in range(5):
        changed(api, number, comment=f"c{index}")
    for what, of in (("messages", "body"), ("history", "field")):
        whole = [row[of] for row in api.call("GET", f"/tickets/{number}/{what}")["items"]]
        walked: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = api.call("GET", f"/tickets/{number}/{what}?limit=2&cursor={cursor}")
            walked += [row[of] for row in page["items"]]
            cursor = page["next_cursor"]
        assert walked == whole
    other = opened(api)["number"]
    cursor = api.call("GET", f"/tickets/{number}/messages?limit=2")["next_cursor"]
    api.call("GET", f"/tickets/{other}/messages?limit=2&cursor={cursor}", status=400)


NAMES = ("ACME", "Other", None)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "title": st.sampled_from(["x", "y"]),
        "description": st.sampled_from(["", "d", None]),
        "type": st.sampled_from(["incident", "problem", None]),
        "priority": st.sampled_from(["low", "medium", "high", "critical", None]),
        "status": st.sampled_from(["open", "in_progress", "waiting", "resolved", "closed", "cancelled"]),
        "remind_at": st.sampled_from(["2026-03-05T10:00:00+01:00", "2026-03-05T10:00:00.000001Z", None]),
        "customer": st.sampled_from(NAMES),
        "department": st.sampled_from(["Ops", "Desk", None]),
        "assignee": st.sampled_from(["root", None]),
        "owner": st.sampled_from(["root", None]),
        "tags": st.lists(st.sampled_from(["a", "b", "c"])),
        "labels": st.lists(st.sampled_from(["red", "blue"])),
        "comment": st.just("note"),
    },
)
APPLIES = st.fixed_dictionaries(
    {"state": st.sampled_from(["present", "resolved", "closed"]), "on_repeat": st.sampled_from(["ignore", "count"])},
    optional={"priority": st.sampled_from(["low", "high"]), "reopen_within": st.just("1h")},
)


@pytest.mark.feature("F098")
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(steps=st.lists(st.one_of(CHANGES, APPLIES), min_size=1, max_size=8))
def test_replayed_history_gives_the_present_state(
    api: Api, desk: Desk, clock: TurnedClock, steps: list[dict[str, Any]]
) -> None:
    for name in NAMES[:2]:
        api.apply("customers", name=name)
    api.apply("departments", name="Ops", workflow="itil")
    api.apply("departments", name="Desk")
    for name in ("red", "blue"):
        api.apply("labels", name=name)
    api.apply(
        "sla-policies", name="urgent", priorities=["high", "critical"], response_minutes=30, priority_floor="high"
    )
    api.apply("sla-policies", name="of ACME", customers=["ACME"], resolution_minutes=60)
    key = f"k{clock.now().isoformat()}"
    number = opened(api, "x", correlation_key=key)["number"]
    for step in steps:
        clock.turn(minutes=7)
        if "state" in step:
            customer = read(api, number)["customer"]
            answer = api.request(
                "POST", "/tickets/apply", {"title": "x", "correlation_key": key, "customer": customer, **step}
            )
        else:
            answer = api.request("PATCH", f"/tickets/{number}", step)
        assert answer.status_code in (200, 201, 409, 422), answer.get_data(as_text=True)
        assert_history_is_true(api, number)
    clock.turn(seconds=1)  # the next example's key differs
