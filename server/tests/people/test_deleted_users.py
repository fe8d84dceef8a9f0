"""Deletion of people: soft, brought back, or ended for good."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from conftest import Api
from deskplane.people.models import ApiKey, User
from dumps import dump

pytestmark = pytest.mark.feature("F194")


def count(api: Api, model: Any) -> int:
    with api.desk.database.transaction(write=False) as session:
        return len(session.execute(select(model.id)).all())


def user_id(api: Api, username: str) -> str:
    (found,) = api.call("GET", f"/users?username={username}")["items"]
    return str(found["id"])


def test_a_user_who_is_brought_back_gets_new_keys_and_no_old_one_works(api: Api) -> None:
    mia = api.as_user("mia", roles=["viewer"])
    mia.call("GET", "/labels")
    keys = count(api, ApiKey)
    api.call("DELETE", f"/users/{user_id(api, 'mia')}", status=204)
    mia.call("GET", "/labels", status=401)
    assert count(api, ApiKey) == keys - 1
    back = api.apply("users", username="mia", api_keys=[{"name": "test"}])
    assert back["after"]["roles"] == ["viewer"]
    mia.call("GET", "/labels", status=401)
    fresh = Api(api.client, back["api_keys"][0]["key"], api.desk)
    fresh.call("GET", "/labels")


def test_a_dry_run_of_a_deletion_ends_no_key(api: Api) -> None:
    mia = api.as_user("mia", roles=["viewer"])
    before = dump(api.desk)
    assert api.apply("users", dry_run=True, username="mia", state="absent")["action"] == "delete"
    assert dump(api.desk) == before
    mia.call("GET", "/labels")


def _with_tickets(api: Api) -> Api:
    mia = api.as_user("mia", roles=["agent"], email="mia@example.org", memberships=[])
    api.apply("departments", name="Support", members=["mia"])
    api.apply("groups", name="g", members=["mia"])
    mia.call(
        "POST", "/tickets", {"title": "hers", "department": "Support", "owner": "mia", "assignee": "mia"}, status=201
    )
    mia.call("POST", "/views", {"name": "v", "filters": {"status": ["open"]}}, status=201)
    return mia


@pytest.mark.parametrize("first", [True, False], ids=["at once", "after a deletion"])
def test_who_is_purged_is_ended_and_his_tickets_stay(api: Api, first: bool) -> None:
    mia = _with_tickets(api)
    there = user_id(api, "mia")
    if not first:
        api.call("DELETE", f"/users/{there}", status=204)
        ticket = api.call("GET", "/tickets/TKT-000001")
        assert (ticket["assignee"], ticket["reporter"]) == ("mia", "mia"), "a deletion that can be undone touches none"
    users = count(api, User)
    api.call("DELETE", f"/users/{there}?purge=true", status=204)
    assert count(api, User) == users - 1
    mia.call("GET", "/labels", status=401)
    ticket = api.call("GET", "/tickets/TKT-000001")
    assert (ticket["title"], ticket["assignee"], ticket["owner"], ticket["reporter"], ticket["created_by"]) == (
        *("hers", None, None, None, None),
    )
    rows = api.call("GET", "/tickets/TKT-000001/history")["items"]
    assert (rows[0]["author"], rows[0]["new"]["assignee"]) == ("mia", "mia")
    assert {row["field"]: (row["old"], row["new"], row["cause"]) for row in rows[1:]} == {
        "assignee": ("mia", None, "automation"),
        "owner": ("mia", None, "automation"),
    }
    actions = [row["action"] for row in api.call("GET", "/configuration/history")["items"] if row["kind"] == "user"]
    assert actions[:2] == ["purge", "delete"]
    assert api.call("GET", "/departments?name=Support")["items"][0]["members"] == []
    # his name is free, and who takes it is somebody else
    made = api.apply("users", username="mia")
    assert made["after"]["id"] != there
    assert (made["after"]["roles"], made["after"]["email"]) == ([], None)
    api.call("DELETE", f"/users/{there}?purge=true", status=404)


def test_no_one_purges_who_may_do_more_nor_the_last_administrator(api: Api) -> None:
    api.apply("roles", name="clerk", permissions=["users:manage"])
    clerk = api.as_user("clerk", roles=["clerk"])
    api.apply("users", username="mia", roles=["agent"])
    there = user_id(api, "mia")
    before = dump(api.desk)
    clerk.call("DELETE", f"/users/{there}?purge=true", status=403)
    api.call("DELETE", f"/users/{user_id(api, 'root')}?purge=true", status=409)
    assert dump(api.desk) == before
    api.call("DELETE", f"/users/{there}", status=204)
    before = dump(api.desk)
    clerk.call("DELETE", f"/users/{there}?purge=true", status=403)
    clerk.call("DELETE", f"/users/{there}", status=404)
    assert dump(api.desk) == before


@pytest.mark.feature("F176", "F184")
def test_rights_on_time_and_statistics_are_given_by_roles_and_exported(api: Api) -> None:
    api.apply("roles", name="reports", permissions=["time:view", "statistics:view"])
    made = api.apply("users", username="mia", roles=["reports"], features={"time_tracking_enabled": True})
    assert made["after"]["features"] == {"helpdesk_enabled": True, "time_tracking_enabled": True}
    document = api.call("GET", "/configuration")
    document = document.get("configuration", document)
    (role,) = [one for one in document["roles"] if one["name"] == "reports"]
    assert role["permissions"] == ["statistics:view", "time:view"]
    (user,) = [one for one in document["users"] if one["username"] == "mia"]
    assert user["features"]["time_tracking_enabled"] is True
    again = api.apply("users", username="mia", features={"time_tracking_enabled": False})
    assert [change["field"] for change in again["changes"]] == ["features.time_tracking_enabled"]
    key = api.apply("users", username="mia", api_keys=[{"name": "k", "scopes": ["time:view"]}])
    assert key["action"] == "update"
