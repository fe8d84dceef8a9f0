"""List, get, change and delete beside apply: pages, entity tags, and what is not there."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from sqlalchemy import text

from conftest import Api
from deskplane.app import create_app
from dumps import dump


def _all(api: Api, path: str, **query: Any) -> list[Any]:
    found, cursor = [], None
    while True:
        page = api.call("GET", path, query_string={**query, **({"cursor": cursor} if cursor else {})})
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def test_pages_in_every_order_hold_each_object_once(api: Api) -> None:
    names = ["b", "a", "Z", "ä", "é/ü", "10", "9", "a b", "\U0001f600", "_"]
    for name in names:
        api.apply("labels", name=name)
        api.desk.clock.turn(seconds=1)  # type: ignore[attr-defined]
    for sort in ("name", "-name", "created_at", "-created_at"):
        whole = [item["name"] for item in api.call("GET", "/labels", query_string={"sort": sort})["items"]]
        for limit in (1, 3, 10, 11):
            paged = [item["name"] for item in _all(api, "/labels", sort=sort, limit=limit)]
            assert paged == whole, (sort, limit)
        assert sorted(whole) == sorted(names)
    by_time = [item["name"] for item in _all(api, "/labels", sort="created_at", limit=3)]
    assert by_time == names
    assert [item["name"] for item in _all(api, "/labels", sort="-created_at")] == names[::-1]


def test_objects_of_one_moment_are_still_paged_without_loss(api: Api) -> None:
    for number in range(7):
        api.apply("labels", name=f"l{number}")
    for sort in ("created_at", "-created_at"):
        paged = [item["name"] for item in _all(api, "/labels", sort=sort, limit=2)]
        assert sorted(paged) == [f"l{number}" for number in range(7)]


def test_a_filter_finds_the_one_of_that_name_and_nothing_else(api: Api) -> None:
    for name in ("one", "One", "one%", "o_e", "' or 1=1 --"):
        api.apply("labels", name=name)
        found = api.call("GET", "/labels", query_string={"name": name})["items"]
        assert [item["name"] for item in found] == [name]
    assert api.call("GET", "/labels", query_string={"name": "ONE"})["items"] == []


def test_a_stale_tag_is_412_and_changes_nothing(api: Api) -> None:
    made = api.request("POST", "/labels/apply", {"name": "l"})
    address = f"/labels/{made.get_json()['after']['id']}"
    first = api.request("GET", address).headers["ETag"]
    for current in (first, made.headers["ETag"], f'"x", {first}', "*"):
        answer = api.request("PATCH", address, {}, headers={"If-Match": current})
        assert answer.status_code == 200, current
    changed = api.request("PATCH", address, {"color": "#000000"}, headers={"If-Match": first})
    assert (changed.status_code, changed.headers["ETag"] != first) == (200, True)
    assert changed.headers["ETag"] == api.request("GET", address).headers["ETag"]
    before = dump(api.desk)
    for stale in (first, made.headers["ETag"], '"0"', "W/" + changed.headers["ETag"], "2", "nonsense", '""', ""):
        for method, path, body in (
            ("PATCH", address, {"color": "#ffffff"}),
            ("DELETE", address, None),
            ("POST", "/labels/apply", {"name": "l", "color": "#ffffff"}),
            ("POST", "/labels/apply", {"name": "l", "state": "absent"}),
        ):
            answer = api.request(method, path, body, headers={"If-Match": stale})
            assert answer.status_code == 412, (stale, method, path)
    absent = api.request("POST", "/labels/apply", {"name": "none"}, headers={"If-Match": "*"})
    assert absent.status_code == 412
    assert dump(api.desk) == before
    assert api.request("DELETE", address, headers={"If-Match": changed.headers["ETag"]}).status_code == 204


def test_a_copy_that_is_current_is_not_sent_again(api: Api) -> None:
    made = api.apply("labels", name="l")
    address = f"/labels/{made['after']['id']}"
    tag = api.request("GET", address).headers["ETag"]
    for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        answer = api.request("GET", address, headers={"If-None-Match": known})
        assert (answer.status_code, answer.data, answer.headers["ETag"]) == (304, b"", tag)
    for other in ('"x"', "", tag.strip('"')):
        assert api.request("GET", address, headers={"If-None-Match": other}).status_code == 200


def test_a_copy_that_shows_an_old_name_of_something_else_is_sent_again(api: Api) -> None:
    api.apply("customers", name="ACME")
    made = api.apply("departments", name="Desk", customer="ACME")
    address = f"/departments/{made['after']['id']}"
    tag = api.request("GET", address).headers["ETag"]
    api.apply("customers", name="ACME Ltd", renamed_from="ACME")
    answer = api.request("GET", address, headers={"If-None-Match": tag})
    assert (answer.status_code, answer.get_json()["customer"]) == (200, "ACME Ltd")


def test_a_change_of_one_object_obeys_what_apply_does(api: Api) -> None:
    one, two = (api.apply("customers", name=name)["after"]["id"] for name in ("one", "two"))
    before = dump(api.desk)
    assert api.request("PATCH", f"/customers/{one}", {"name": "two"}).status_code == 409
    assert api.request("PATCH", f"/customers/{one}", {"name": None}).status_code == 422
    assert api.request("PATCH", f"/customers/{one}", {"sla_policy": "none"}).status_code == 422
    assert api.request("PATCH", f"/customers/{one}", {"id": two}).status_code == 422
    assert api.request("PATCH", f"/customers/{one}", {"state": "absent"}).status_code == 422
    assert api.request("PATCH", f"/customers/{one}", {"notes": ""}).status_code == 200
    assert dump(api.desk) == before
    renamed = api.call("PATCH", f"/customers/{one}", {"name": "three", "features": {"public_api": True}})
    assert (renamed["id"], renamed["name"], renamed["features"]["public_api"]) == (one, "three", True)
    assert renamed["features"]["agent_portal"] is True


def test_what_is_not_there_is_404_with_one_body(api: Api) -> None:
    bodies: list[Any] = []
    for path in ("labels", "users", "settings", "webhooks"):
        for method, body in (("GET", None), ("PATCH", {}), ("DELETE", None)):
            if (method, path) == ("DELETE", "settings"):
                continue
            answer = api.request(method, f"/{path}/019a9d3c-8a52-7c1e-b1f0-5f5b0c6f0a11", body)
            assert answer.status_code == 404
            bodies.append({**answer.get_json(), "request_id": ""})
    assert all(body == bodies[0] for body in bodies)


def test_of_two_changes_with_one_tag_the_second_is_stale(api: Api) -> None:
    """On PostgreSQL both wait for the same lock, and the second must not go by what it read before."""
    made = api.apply("labels", name="l")
    address = f"/labels/{made['after']['id']}"
    tag = api.request("GET", address).headers["ETag"]
    app = create_app(api.desk)
    answers: list[int] = []

    def change(color: str) -> None:
        client = Api(app.test_client(), api.key, api.desk)
        answers.append(client.request("PATCH", address, {"color": color}, headers={"If-Match": tag}).status_code)

    threads = [threading.Thread(target=change, args=(color,)) for color in ("#000000", "#ffffff", "#123456")]
    with api.desk.database.transaction(write=True) as session:
        # whoever changes configuration waits for this row; SQLite's writers wait for each other anyway
        session.execute(text("UPDATE revisions SET number = number"))
        for thread in threads:
            thread.start()
        time.sleep(0.5)
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 412, 412]


def test_appliers_that_race_neither_fail_nor_lose_an_update(api: Api) -> None:
    api.apply("customers", name="ACME")
    app = create_app(api.desk)
    fields: list[dict[str, Any]] = [
        {"address": "street"},
        {"notes": "note"},
        {"number_prefix": "ACME"},
        {"features": {"public_api": True}},
        {"features": {"movement_link": True}},
        {"quotas": {"max_agents": 3}},
    ]
    answers: list[tuple[int, str]] = []
    barrier = threading.Barrier(len(fields) + 2)

    def apply(path: str, body: dict[str, Any]) -> None:
        client = Api(app.test_client(), api.key, api.desk)
        barrier.wait()
        answer = client.request("POST", f"/{path}/apply", body)
        answers.append((answer.status_code, answer.get_json()["action"]))

    wanted = [("customers", {"name": "ACME", **part}) for part in fields] + [("labels", {"name": "new"})] * 2
    threads = [threading.Thread(target=apply, args=arguments) for arguments in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted([(200, "update")] * len(fields) + [(201, "create"), (200, "none")])
    found = api.call("GET", "/customers?name=ACME")["items"][0]
    assert (found["address"], found["notes"], found["number_prefix"]) == ("street", "note", "ACME")
    assert (found["features"]["public_api"], found["features"]["movement_link"]) == (True, True)
    assert found["quotas"]["max_agents"] == 3


@pytest.mark.parametrize("path", ["customers", "users"])
def test_a_delete_takes_no_unknown_parameter(api: Api, path: str) -> None:
    key = "username" if path == "users" else "name"
    made = api.apply(path, **{key: "x"})
    address = f"/{path}/{made['after']['id']}"
    assert api.request("DELETE", f"{address}?cascde=true").status_code == 422
    assert api.request("GET", address).status_code == 200
