"""Groups: what their members may do and see by them, and who may change them."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import Api
from deskplane.app import create_app, make_desk
from dumps import dump


@pytest.fixture
def mia(api: Api) -> Api:
    """Someone without a role or membership of her own, and two customers."""
    for name in ("ACME", "Northwind"):
        api.apply("customers", name=name)
    return api.as_user("mia", roles=[])


@pytest.mark.feature("F181", "F182")
def test_a_role_of_a_group_acts_at_the_next_request_of_another_process(api: Api, mia: Api) -> None:
    desk = make_desk(api.desk.settings, api.desk.clock)
    other = Api(create_app(desk).test_client(), mia.key, desk)

    def status() -> tuple[int, int]:
        return other.request("GET", "/labels").status_code, other.request("POST", "/labels/apply", {}).status_code

    try:
        assert status() == (403, 403)
        api.apply("roles", name="labeller", permissions=["labels:manage"])
        api.apply("groups", name="Second level", members=["mia"], roles=["viewer"])
        assert status() == (200, 403)
        api.apply("groups", name="Painters", members=["mia"], roles=["labeller"])
        assert status() == (200, 422)
        api.apply("groups", name="Painters", members=[])
        assert status() == (200, 403)
        api.apply("groups", name="Second level", state="absent")
        assert status() == (403, 403)
    finally:
        desk.database.dispose()


def test_a_key_and_the_feature_switch_limit_roles_of_groups_too(api: Api, mia: Api) -> None:
    api.apply("groups", name="Second level", members=["mia"], roles=["viewer"])
    api.apply("users", username="mia", api_keys=[{"name": "test", "scopes": ["labels:manage"]}])
    assert mia.request("GET", "/labels").status_code == 403
    api.apply("users", username="mia", api_keys=[{"name": "test", "scopes": None}])
    assert mia.request("GET", "/labels").status_code == 200
    api.apply("users", username="mia", features={"helpdesk_enabled": False})
    assert mia.request("GET", "/labels").status_code == 403


@pytest.mark.feature("F185", "F189")
def test_memberships_of_a_group_count_beside_ones_own(api: Api, mia: Api) -> None:
    api.apply("users", username="mia", roles=["agent"], memberships=[{"customer": "ACME", "role": "viewer"}])
    ticket = api.call("POST", "/tickets", {"title": "One", "customer": "Northwind"}, 201)["number"]

    def seen() -> list[str]:
        return [item["name"] for item in mia.call("GET", "/customers")["items"]]

    assert seen() == ["ACME"]
    assert mia.request("GET", f"/tickets/{ticket}").status_code == 404
    api.apply("groups", name="North", members=["mia"], memberships=[{"customer": "Northwind", "role": "viewer"}])
    assert seen() == ["ACME", "Northwind"]
    # a viewer sees the customer's record, not its tickets
    assert mia.request("GET", f"/tickets/{ticket}").status_code == 404
    api.apply("groups", name="North", memberships=[{"customer": "Northwind"}])
    api.call("PATCH", f"/tickets/{ticket}", {"assignee": "mia"})
    assert mia.request("GET", f"/tickets/{ticket}").status_code == 200
    api.apply("users", username="mia", memberships=[])
    assert seen() == ["Northwind"]


def test_a_user_shows_the_groups_that_list_him_and_cannot_be_told_them(api: Api, mia: Api) -> None:
    for name in ("Second level", "Night shift"):
        api.apply("groups", name=name, members=["mia"])
    user = api.call("GET", "/users?username=mia")["items"][0]
    assert user["groups"] == ["Night shift", "Second level"]
    assert api.apply("users", username="mia")["after"]["groups"] == ["Night shift", "Second level"]
    refused = api.apply("users", status=422, username="mia", groups=[])
    assert [(entry["pointer"], entry["code"]) for entry in refused["errors"]] == [("#/groups", "read_only")]
    address = f"/users/{user['id']}"
    tag = api.request("GET", address).headers["ETag"]
    api.apply("groups", name="Late shift", renamed_from="Night shift")
    answer = api.request("GET", address, headers={"If-None-Match": tag})
    assert (answer.status_code, answer.get_json()["groups"]) == (200, ["Late shift", "Second level"])


def test_a_group_follows_the_new_names_of_its_members(api: Api, mia: Api) -> None:
    api.apply("groups", name="Second level", members=["mia"], memberships=[{"customer": "ACME"}])
    api.apply("users", username="maria", renamed_from="mia")
    api.apply("customers", name="ACME Corp", renamed_from="ACME")
    group = api.call("GET", "/groups")["items"][0]
    assert group["members"] == ["maria"]
    assert group["memberships"] == [{"customer": "ACME Corp", "role": "member"}]
    again = api.apply(
        "groups", name="Second level", members=["maria"], memberships=[{"customer": "ACME Corp", "role": "member"}]
    )
    assert again["action"] == "none"


def test_a_deleted_member_leaves_the_group_and_comes_back_into_it(api: Api, mia: Api) -> None:
    api.apply("groups", name="Second level", members=["mia"])
    api.apply("users", username="mia", state="absent")
    assert api.call("GET", "/groups")["items"][0]["members"] == []
    assert api.apply("users", username="mia")["after"]["groups"] == ["Second level"]


def test_a_role_and_a_customer_of_a_group(api: Api, mia: Api) -> None:
    api.apply("roles", name="temps", permissions=["tickets:access"])
    api.apply("groups", name="Temps", roles=["temps"], memberships=[{"customer": "ACME"}])
    refused = api.apply("roles", status=409, name="temps", state="absent")
    assert refused["dependants"] == ["group Temps"]
    # memberships go with their customer
    api.apply("customers", name="ACME", state="absent")
    assert api.call("GET", "/groups")["items"][0]["memberships"] == []


def test_a_membership_stands_there_once(api: Api, mia: Api) -> None:
    twice = [{"customer": "ACME", "role": "viewer"}, {"customer": "ACME"}]
    for kind, name in (("groups", {"name": "North"}), ("users", {"username": "mia"})):
        refused = api.apply(kind, status=422, **name, memberships=twice)
        assert [(entry["pointer"], entry["code"]) for entry in refused["errors"]] == [
            ("#/memberships/1/customer", "repeated")
        ]
    refused = api.apply("groups", status=422, name="North", memberships=[{"role": "owner"}])
    assert [(entry["pointer"], entry["code"]) for entry in refused["errors"]] == [
        ("#/memberships/0/customer", "required")
    ]


# --- who may change whom


@pytest.fixture
def clerk(api: Api) -> Api:
    """Someone who manages users, and may nothing else."""
    api.apply("roles", name="clerk", permissions=["users:manage"])
    return api.as_user("clerk", roles=["clerk"])


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Bosses", "members": ["clerk"]},
        {"name": "Bosses", "description": "mine"},
        {"name": "Bosses", "roles": []},
        {"name": "Bosses", "state": "absent"},
        {"name": "Mine", "renamed_from": "Bosses"},
        {"name": "New", "roles": ["admin"], "members": ["clerk"]},
        {"name": "Clerks", "roles": ["clerk", "viewer"]},
    ],
    ids=["members", "description", "roles", "deletion", "rename", "new", "more"],
)
def test_no_one_gives_by_a_group_what_he_does_not_have(api: Api, clerk: Api, change: dict[str, Any]) -> None:
    api.apply("groups", name="Bosses", roles=["admin"])
    api.apply("groups", name="Clerks", roles=["clerk"])
    before = dump(api.desk)
    answer = clerk.request("POST", "/groups/apply", change)
    assert answer.status_code in {403, 422}, answer.get_data(as_text=True)
    assert "beyond_yours" in answer.get_data(as_text=True)
    assert dump(api.desk) == before


def test_who_has_the_rights_manages_groups(api: Api, clerk: Api) -> None:
    made = clerk.apply("groups", name="Clerks", roles=["clerk"], members=["clerk"])
    assert made["action"] == "create"
    assert clerk.apply("groups", name="Clerks", state="absent")["action"] == "delete"


@pytest.mark.parametrize(
    "change",
    [{"password": "taken over!", "update_password": "always"}, {"api_keys": [{"name": "mine"}]}, {"state": "absent"}],
    ids=["password", "key", "deletion"],
)
def test_no_one_changes_someone_whose_group_goes_beyond_his_own_rights(
    api: Api, clerk: Api, change: dict[str, Any]
) -> None:
    api.apply("users", username="target")
    api.apply("groups", name="Bosses", roles=["admin"], members=["target"])
    before = dump(api.desk)
    answer = clerk.request("POST", "/users/apply", {"username": "target", **change})
    assert answer.status_code in {403, 422}, answer.get_data(as_text=True)
    assert dump(api.desk) == before


def test_an_administrator_by_a_group_is_one_but_not_the_last(api: Api, mia: Api) -> None:
    api.apply("groups", name="Bosses", roles=["admin"], members=["mia"])
    assert mia.apply("labels", name="new")["action"] == "create"
    refused = mia.apply("users", status=422, username="root", roles=[])
    assert [entry["code"] for entry in refused["errors"]] == ["last_administrator"]
