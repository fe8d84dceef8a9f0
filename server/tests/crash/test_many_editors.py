"""Sixteen people at one ticket: each change is in history once, or its author was told that his copy is stale."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from crash_servers import together

from conftest import Api, settings
from deskplane.app import create_app, make_desk

PEOPLE = 16
CHANGES = 6


@pytest.fixture
def people(api: Api, database_url: str) -> Iterator[list[Api]]:
    """Sixteen agents, who come to two processes in turn."""
    api.apply("departments", name="support", auto_assign_on_open=True)
    desks = [make_desk(settings(database_url, busy_seconds=60)) for _ in range(2)]
    apps = [create_app(desk) for desk in desks]
    rights = ["tickets:access", "tickets:edit", "tickets:assign", "tickets:close", "tickets:comment"]
    rights += ["tickets:view_all", "tickets:view_all_departments", "tickets:read_internal"]
    api.apply("roles", name="editor", permissions=rights)
    found = []
    for index in range(PEOPLE):
        person = api.as_user(f"agent{index}", roles=["editor"])
        found.append(Api(apps[index % 2].test_client(), person.key, desks[index % 2]))
    api.apply("departments", name="support", members=[f"agent{index}" for index in range(PEOPLE)])
    yield found
    for desk in desks:
        desk.database.dispose()


def replayed(entries: list[dict[str, Any]]) -> dict[str, Any]:
    state = dict(entries[0]["new"])
    for entry in entries[1:]:
        if entry["field"] in state:
            assert state[entry["field"]] == entry["old"], entry
            state[entry["field"]] = entry["new"]
    return state


@pytest.mark.feature("F068")
def test_each_change_of_sixteen_people_is_in_history_once_or_was_refused(api: Api, people: list[Api]) -> None:
    ticket = api.call("POST", "/tickets", {"title": "busy", "department": "support"}, status=201)
    path = f"/tickets/{ticket['number']}"

    def change(random_: random.Random, mark: str) -> dict[str, Any]:
        return random_.choice(
            [
                {"title": mark},
                {"description": mark},
                {"tags": [mark]},
                {"comment": mark},
                {"title": mark, "priority": random_.choice(["low", "high"])},
                {"owner": f"agent{random_.randrange(PEOPLE)}", "description": mark},
            ]
        )

    def work(index: int) -> list[tuple[int, str, dict[str, Any]]]:
        random_ = random.Random(index)
        done = []
        people[index].call("POST", f"{path}/open")
        for turn in range(CHANGES):
            mark = f"{index}-{turn}"
            body = change(random_, mark)
            headers = {}
            if random_.random() < 0.5:
                headers = {"If-Match": people[index].request("GET", path).headers["ETag"]}
            done.append((people[index].request("PATCH", path, body, headers=headers).status_code, mark, body))
        return done

    done = [each for several in together(PEOPLE, work) for each in several]
    assert {status for status, _mark, _body in done} <= {200, 412}
    stored = [(mark, body) for status, mark, body in done if status == 200]
    refused = {mark for status, mark, _body in done if status == 412}
    assert len(stored) > PEOPLE
    entries = api.call("GET", f"{path}/history?limit=200")["items"]
    found = api.call("GET", path)
    state = replayed(entries)
    for name in ("title", "description", "tags", "priority", "owner", "assignee", "status"):
        assert state[name] == found[name], name
    told = Counter(
        value[0] if isinstance(value, list) else value
        for entry in entries
        if entry["field"] in ("title", "description", "tags")
        for value in [entry["new"]]
    )
    said = Counter(message["body"] for message in api.call("GET", f"{path}/messages?limit=200")["items"])
    for mark, body in stored:
        assert (said if "comment" in body else told)[mark] == 1, (mark, body)
    assert not refused & (set(told) | set(said))
    assert len([entry for entry in entries if entry["field"] == "assignee"]) == 1, "one of them got it on opening"
