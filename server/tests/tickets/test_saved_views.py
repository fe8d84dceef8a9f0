"""Saved views: whose they are, and what they do to the list."""

from __future__ import annotations

from typing import Any

import pytest
from ticket_help import EVERYTHING, listed, opened, person, places

from conftest import Api


def saved(api: Api, name: str = "urgent", status: int = 201, **fields: Any) -> Any:
    return api.call("POST", "/views", {"name": name, **fields}, status=status)


def names(api: Api) -> list[str]:
    return [view["name"] for view in api.call("GET", "/views")["items"]]


def test_a_view_is_applied_and_parameters_override_it(api: Api) -> None:
    for title, priority in (("b", "high"), ("a", "critical"), ("c", "low")):
        opened(api, title, priority=priority)
    filters = {"priority": ["critical", "high"], "created_since": "2026-01-01T00:00:00Z", "open": True}
    view = saved(api, filters=filters, sort="-priority")
    assert view["filters"] == filters
    assert listed(api, f"?view={view['id']}") == ["a", "b"]
    assert listed(api, f"?view={view['id']}&priority=low") == ["c"]
    assert listed(api, f"?view={view['id']}&sort=priority") == ["b", "a"]
    assert listed(api, f"?view={view['id']}&open=false") == []
    assert api.call("GET", f"/tickets/counts?view={view['id']}")["counts"]["open"] == 2
    assert api.call("GET", f"/tickets/counts?view={view['id']}&priority=low")["counts"]["open"] == 1
    words = saved(api, "words", filters={"q": "b"})
    assert listed(api, f"?view={words['id']}") == ["b"]
    page = api.call("GET", f"/tickets?view={view['id']}&limit=1")
    assert listed(api, f"?view={view['id']}&limit=1&cursor={page['next_cursor']}") == ["b"]


def test_a_view_is_read_changed_and_deleted(api: Api) -> None:
    view = saved(api, filters={"assignee": "none"})
    path = f"/views/{view['id']}"
    answer = api.request("GET", path)
    assert (answer.get_json(), view["owner"], view["shared"]) == (view, "root", "private")
    tag = answer.headers["ETag"]
    assert api.request("GET", path, headers={"If-None-Match": tag}).status_code == 304
    assert (
        api.call("PATCH", path, {"name": "free", "filters": {"tag": "a"}}, headers={"If-Match": tag})["name"] == "free"
    )
    assert api.call("PATCH", path, {"name": "x"}, status=412, headers={"If-Match": tag})["type"].endswith("stale")
    changed = api.request("GET", path).headers["ETag"]
    assert changed != tag
    api.call("PATCH", path, {"name": "free"})
    assert api.request("GET", path).headers["ETag"] == changed
    assert api.call("GET", path)["filters"] == {"tag": "a"}
    assert api.request("DELETE", path).status_code == 204
    assert api.call("GET", path, status=404)["type"].endswith("not_found")


def test_a_creation_is_done_once(api: Api) -> None:
    twice = [api.request("POST", "/views", {"name": "x"}, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert twice[0].get_json() == twice[1].get_json()
    assert names(api) == ["x"]
    assert saved(api, "x", status=409)["type"].endswith("exists")


@pytest.mark.parametrize(
    ("body", "bad"),
    [
        ({}, {"name": "required"}),
        ({"name": "x", "filters": {"statsu": ["open"]}}, {"filters/statsu": "unknown_field"}),
        ({"name": "x", "filters": {"status": ["opn"]}}, {"filters/status/0": "not_allowed"}),
        ({"name": "x", "filters": {"limit": 3}}, {"filters/limit": "unknown_field"}),
        ({"name": "x", "filters": []}, {"filters": "wrong_type"}),
        ({"name": "x\x00", "sort": "size"}, {"name": "control_character", "sort": "not_allowed"}),
        ({"name": "x", "sort": "relevance"}, {"sort": "not_allowed"}),
        ({"name": "x", "shared": "department"}, {"department": "required"}),
        ({"name": "x", "department": "Desk"}, {"department": "not_allowed"}),
        ({"name": "x", "shared": "department", "department": "Dsek"}, {"department": "unknown_reference"}),
        ({"name": "x", "owner": "mia"}, {"owner": "unknown_field"}),
    ],
)
def test_what_is_wrong_is_named(api: Api, body: dict[str, Any], bad: dict[str, str]) -> None:
    api.apply("departments", name="Desk")
    assert places(api.call("POST", "/views", body, status=422)) == bad
    assert names(api) == []


def test_views_are_seen_by_those_only_with_whom_they_are_shared(api: Api) -> None:
    mia, ben, eve = (person(api, name, "tickets:edit") for name in ("mia", "ben", "eve"))
    api.apply("departments", name="Desk", members=["mia", "ben"])
    made = {
        "mine": saved(mia, "mine"),
        "ours": saved(mia, "ours", shared="department", department="Desk"),
        "all": saved(mia, "all", shared="everyone"),
    }
    assert names(mia) == ["all", "mine", "ours"]
    assert names(ben) == ["all", "ours"]
    assert names(eve) == ["all"]
    missing = "019a9d3c-8a52-7c1e-b1f0-5f5b0c6f0a23"
    for method, body in (("GET", None), ("PATCH", {"name": "z"}), ("DELETE", None)):
        same = [
            eve.request(method, f"/views/{view}", body, headers={"X-Request-Id": "same"})
            for view in (made["mine"]["id"], made["ours"]["id"], missing)
        ]
        assert {(answer.status_code, answer.data) for answer in same} == {(404, same[0].data)}
    assert eve.call("GET", f"/tickets?view={made['mine']['id']}", status=404)
    assert eve.call("GET", f"/tickets/counts?view={made['ours']['id']}", status=404)
    for method, body in (("PATCH", {"name": "z"}), ("DELETE", None)):
        refused = ben.call(method, f"/views/{made['all']['id']}", body, status=403)
        assert refused["type"].endswith("not_owner")
    api.apply("departments", name="Desk", state="absent")
    assert names(ben) == ["all"]
    assert mia.call("GET", f"/views/{made['ours']['id']}")["department"] is None


def test_a_shared_view_shows_each_what_he_may_see(api: Api) -> None:
    opened(api, "canary", priority="high")
    view = saved(api, filters={"priority": ["high"]}, shared="everyone")
    mia, all_seeing = person(api, "mia"), person(api, "all-seeing", *EVERYTHING)
    assert listed(mia, f"?view={view['id']}") == []
    assert listed(all_seeing, f"?view={view['id']}") == ["canary"]
    assert (
        mia.call("POST", "/views", {"name": "x", "shared": "everyone"}, status=403)["missing_permission"]
        == "tickets:edit"
    )
    assert saved(mia, "mine")["owner"] == "mia"
