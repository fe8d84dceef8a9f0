"""What the members of a customer are: owners manage its memberships and contacts, whatever their roles are."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import Api
from dumps import dump

pytestmark = pytest.mark.feature("F187")


def of(customer: str, role: str) -> dict[str, Any]:
    return {"memberships": [{"customer": customer, "role": role}]}


@pytest.fixture
def ids(api: Api) -> dict[str, str]:
    """Two customers by name, each with a contact."""
    found = {name: api.apply("customers", name=name)["after"]["id"] for name in ("ACME", "Other")}
    api.apply("contacts", email="kim@acme.example", customer="ACME")
    api.apply("contacts", email="lou@other.example", customer="Other")
    api.apply("contacts", email="max@example.org")
    return found


@pytest.fixture
def olga(api: Api, ids: dict[str, str]) -> Api:
    """Who owns ACME, and has no role at all."""
    return api.as_user("olga", **of("ACME", "owner"))


def people(api: Api, customer: str) -> dict[str, str]:
    rows = api.call("GET", f"/customers/{customer}/memberships")["items"]
    return {row["username"]: row["role"] for row in rows}


def test_an_owner_manages_the_memberships_of_his_customer(api: Api, olga: Api, ids: dict[str, str]) -> None:
    mia = api.as_user("mia", roles=["agent"], **of("Other", "viewer"))
    path = f"/customers/{ids['ACME']}/memberships"
    made = olga.call("PUT", f"{path}/mia", {"role": "viewer"}, status=201)
    assert made == {"username": "mia", "first_name": "", "last_name": "", "role": "viewer"}
    assert people(olga, ids["ACME"]) == {"mia": "viewer", "olga": "owner"}
    ticket = {"title": "x", "customer": "ACME"}
    number = api.call("POST", "/tickets", ticket, status=201)["number"]
    assert mia.call("GET", "/tickets")["items"] == [], "a viewer sees the customer, and none of its tickets"
    assert [row["name"] for row in mia.call("GET", "/customers")["items"]] == ["ACME", "Other"]
    mia.call("POST", "/tickets", ticket, status=422)
    assert olga.call("PUT", f"{path}/mia", {"role": "member"})["role"] == "member"
    assert mia.call("PATCH", f"/tickets/{number}", {"priority": "high"})["priority"] == "high"
    mia.call("PUT", f"{path}/mia", {"role": "owner"}, status=403)
    olga.call("DELETE", f"{path}/mia", status=204)
    assert mia.call("GET", "/tickets")["items"] == []
    assert people(olga, ids["ACME"]) == {"olga": "owner"}
    olga.call("DELETE", f"{path}/mia", status=404)
    (user,) = api.call("GET", "/users?username=mia")["items"]
    assert user["memberships"] == [{"customer": "Other", "role": "viewer"}]


def test_what_an_owner_did_is_in_the_history_by_his_name(api: Api, olga: Api, ids: dict[str, str]) -> None:
    api.apply("users", username="mia")
    olga.call("PUT", f"/customers/{ids['ACME']}/memberships/mia", {"role": "member"}, status=201)
    row = api.call("GET", "/configuration/history")["items"][0]
    assert (row["kind"], row["key"], row["username"]) == ("user", {"username": "mia"}, "olga")
    assert [change["field"] for change in row["changes"]] == ["memberships"]


def test_a_membership_that_is_so_already_is_no_change(api: Api, olga: Api, ids: dict[str, str]) -> None:
    before = dump(api.desk)
    assert olga.call("PUT", f"/customers/{ids['ACME']}/memberships/olga", {"role": "owner"})["role"] == "owner"
    assert dump(api.desk) == before


def test_an_owner_manages_nothing_of_others(api: Api, olga: Api, ids: dict[str, str]) -> None:
    api.apply("users", username="mia", **of("Other", "member"))
    before = dump(api.desk)
    for method, body in (("PUT", {"role": "member"}), ("DELETE", None)):
        foreign = olga.call(method, f"/customers/{ids['Other']}/memberships/mia", body, status=404)
        missing = olga.call(method, "/customers/nothing/memberships/mia", body, status=404)
        assert {**foreign, "request_id": ""} == {**missing, "request_id": ""}
    olga.call("GET", f"/customers/{ids['Other']}/memberships", status=404)
    mine = f"/customers/{ids['ACME']}"
    olga.call("PUT", f"{mine}/memberships/nobody", {"role": "member"}, status=404)
    olga.call("PUT", f"{mine}/memberships/mia", {"role": "king"}, status=422)
    for method, path, body in (
        ("PATCH", mine, {"notes": "x"}),
        ("DELETE", mine, None),
        ("POST", "/users/apply", {"username": "mia", **of("ACME", "owner")}),
        ("GET", "/users", None),
        ("POST", "/assets/apply", {"customer": "ACME", "name": "x"}),
        ("POST", "/groups/apply", {"name": "g", "members": ["olga"], **of("ACME", "owner")}),
    ):
        olga.call(method, path, body, status=403)
    assert dump(api.desk) == before


@pytest.mark.parametrize("role", ["viewer", "member"])
def test_who_is_no_owner_manages_neither(api: Api, ids: dict[str, str], role: str) -> None:
    mia = api.as_user("mia", roles=["agent"], **of("ACME", role))
    before = dump(api.desk)
    path = f"/customers/{ids['ACME']}/memberships"
    mia.call("GET", path, status=403)
    mia.call("PUT", f"{path}/mia", {"role": "owner"}, status=403)
    mia.call("DELETE", f"{path}/mia", status=403)
    mia.apply("contacts", status=403, email="new@acme.example", customer="ACME")
    assert dump(api.desk) == before


def test_who_manages_users_gives_no_membership_beyond_his_rights(api: Api, ids: dict[str, str]) -> None:
    api.apply("roles", name="clerk", permissions=["users:manage", "customers:manage"])
    clerk = api.as_user("clerk", roles=["clerk"])
    api.apply("users", username="mia", roles=["agent"])
    before = dump(api.desk)
    problem = clerk.call("PUT", f"/customers/{ids['ACME']}/memberships/mia", {"role": "member"}, status=422)
    assert problem["errors"][0]["code"] == "beyond_yours"
    assert dump(api.desk) == before
    api.call("PUT", f"/customers/{ids['ACME']}/memberships/mia", {"role": "member"}, status=201)


def test_an_owner_by_a_group_is_one(api: Api, ids: dict[str, str]) -> None:
    mia = api.as_user("mia")
    api.apply("groups", name="owners", members=["mia"], **of("ACME", "owner"))
    mia.call("PUT", f"/customers/{ids['ACME']}/memberships/mia", {"role": "member"}, status=201)
    assert people(mia, ids["ACME"]) == {"mia": "member"}


def test_the_quota_of_agents_binds_owners_too(api: Api, olga: Api, ids: dict[str, str]) -> None:
    api.apply("customers", name="ACME", quotas={"max_agents": 1})
    for name in ("mia", "tom"):
        api.apply("users", username=name, roles=["agent"])
    path = f"/customers/{ids['ACME']}/memberships"
    olga.call("PUT", f"{path}/mia", {"role": "member"}, status=201)
    before = dump(api.desk)
    problem = olga.call("PUT", f"{path}/tom", {"role": "member"}, status=422)
    assert problem["errors"][0]["code"] == "quota_exceeded"
    assert dump(api.desk) == before
    olga.call("PUT", f"{path}/tom", {"role": "viewer"}, status=201)


def test_memberships_come_page_by_page(api: Api, olga: Api, ids: dict[str, str]) -> None:
    for name in ("ann", "bob"):
        api.apply("users", username=name, **of("ACME", "viewer"))
    api.apply("users", username="gone", **of("ACME", "viewer"))
    api.apply("users", username="gone", state="absent")
    path, cursor, found = f"/customers/{ids['ACME']}/memberships?limit=1", "", []
    while True:
        answer = olga.call("GET", path + cursor)
        found += [row["username"] for row in answer["items"]]
        if answer["next_cursor"] is None:
            break
        cursor = f"&cursor={answer['next_cursor']}"
    assert found == ["ann", "bob", "olga"]


def test_an_owner_manages_the_contacts_of_his_customer(api: Api, olga: Api) -> None:
    made = olga.apply("contacts", email="new@acme.example", customer="ACME", first_name="New")
    assert made["action"] == "create"
    assert olga.apply("contacts", email="new@acme.example", phone="123")["action"] == "update"
    assert olga.apply("contacts", dry_run=True, email="new@acme.example", phone="4")["action"] == "update"
    path = f"/contacts/{made['after']['id']}"
    assert olga.call("PATCH", path, {"position": "CEO"})["position"] == "CEO"
    listed = [row["email"] for row in olga.call("GET", "/contacts")["items"]]
    assert listed == ["kim@acme.example", "new@acme.example"]
    olga.call("DELETE", path, status=204)
    assert olga.apply("contacts", email="kim@acme.example", state="absent")["action"] == "delete"


def test_an_owner_touches_no_contact_of_others(api: Api, olga: Api, ids: dict[str, str]) -> None:
    rows = {row["email"]: row["id"] for row in api.call("GET", "/contacts")["items"]}
    api.apply(
        "users",
        username="olga",
        memberships=[{"customer": "ACME", "role": "owner"}, {"customer": "Other", "role": "viewer"}],
    )
    before = dump(api.desk)
    problems = [
        olga.apply("contacts", status=403, email=email, phone="1") for email in ("lou@other.example", "max@example.org")
    ]
    assert problems[0]["missing_permission"] == "customers:manage"
    assert {**problems[0], "request_id": ""} == {**problems[1], "request_id": ""}
    for given in ({"customer": "ACME"}, {"state": "absent"}, {"customer": "ACME", "renamed_from": "kim@acme.example"}):
        olga.apply("contacts", status=403, email="lou@other.example", **given)
    for given in ({"manager": "git:x"}, {"force": True, "manager": "git:x"}, {"renamed_from": "lou@other.example"}):
        olga.apply("contacts", status=403, email="new@acme.example", customer="ACME", **given)
    for customer in ("Other", "nobody", None):
        olga.apply("contacts", status=422, email="new@acme.example", customer=customer)
        olga.call("PATCH", f"/contacts/{rows['kim@acme.example']}", {"customer": customer}, status=422)
    olga.apply("contacts", status=422, email="new@acme.example")
    olga.call("PATCH", f"/contacts/{rows['lou@other.example']}", {"phone": "1"}, status=403)
    olga.call("DELETE", f"/contacts/{rows['lou@other.example']}", status=403)
    olga.call("DELETE", f"/contacts/{rows['max@example.org']}", status=404)
    assert dump(api.desk) == before
