"""Customers: what hangs on them, and who may set what."""

from __future__ import annotations

import pytest

from conftest import Api
from dumps import dump


def _furnish(api: Api) -> None:
    api.apply("customers", name="ACME")
    api.apply("departments", name="ACME desk", customer="ACME")
    api.apply("departments", name="Common desk")
    api.apply("webhooks", name="chat", department="ACME desk", url="https://chat.example/x")
    api.apply("webhooks", name="chat", url="https://chat.example/all")
    api.apply("users", username="mia", memberships=[{"customer": "ACME", "role": "owner"}], starred_customer="ACME")
    api.call("POST", "/tickets", {"title": "One", "customer": "ACME", "department": "ACME desk"}, 201)


def test_a_customer_on_which_something_depends_is_not_deleted(api: Api) -> None:
    _furnish(api)
    before = dump(api.desk)
    refused = api.apply("customers", status=409, name="ACME", state="absent")
    planned = api.apply("customers", status=409, dry_run=True, name="ACME", state="absent")
    assert refused["type"].endswith("has_dependants")
    assert "department ACME desk" in refused["dependants"]
    assert any("ticket" in entry for entry in refused["dependants"])
    assert planned["dependants"] == refused["dependants"]
    customer = api.call("GET", "/customers?name=ACME")["items"][0]
    assert api.request("DELETE", f"/customers/{customer['id']}").status_code == 409
    assert dump(api.desk) == before


@pytest.mark.feature("F008", "F009")
def test_a_cascade_takes_departments_and_their_webhooks_and_leaves_the_tickets(api: Api) -> None:
    _furnish(api)
    before = dump(api.desk)
    planned = api.apply("customers", dry_run=True, name="ACME", state="absent", cascade=True)
    assert dump(api.desk) == before
    gone = api.apply("customers", name="ACME", state="absent", cascade=True)
    assert (gone["action"], planned["action"]) == ("delete", "delete")
    assert [item["name"] for item in api.call("GET", "/departments")["items"]] == ["Common desk"]
    hooks = api.call("GET", "/webhooks")["items"]
    assert [(item["name"], item["department"]) for item in hooks] == [("chat", None)]
    user = api.call("GET", "/users?username=mia")["items"][0]
    assert (user["memberships"], user["starred_customer"]) == ([], None)
    tickets = api.call("GET", "/tickets")["items"]
    assert [(item["title"], item["customer"], item["department"]) for item in tickets] == [("One", None, None)]
    history = api.call("GET", f"/tickets/{tickets[0]['number']}/history")["items"]
    assert {"customer", "department"} <= {entry["field"] for entry in history}


@pytest.mark.feature("F008")
def test_deleting_by_address_can_cascade_too(api: Api) -> None:
    _furnish(api)
    customer = api.call("GET", "/customers?name=ACME")["items"][0]
    api.call("DELETE", f"/customers/{customer['id']}?cascade=true", status=204)
    assert api.call("GET", "/customers")["items"] == []


@pytest.mark.feature("F003")
def test_a_deleted_policy_is_taken_off_the_customers_that_name_it(api: Api) -> None:
    api.apply("sla-policies", name="gold", response_minutes=30)
    made = api.apply("customers", name="ACME", sla_policy="gold")
    tag = api.request("GET", f"/customers/{made['after']['id']}").headers["ETag"]
    api.apply("sla-policies", name="gold", state="absent")
    answer = api.request("GET", f"/customers/{made['after']['id']}", headers={"If-None-Match": tag})
    assert answer.status_code == 200
    assert answer.get_json()["sla_policy"] is None
    stale = api.request("PATCH", f"/customers/{made['after']['id']}", {"notes": "x"}, headers={"If-Match": tag})
    assert stale.status_code == 412


@pytest.mark.feature("F013")
def test_features_and_quotas_need_a_permission_of_their_own(api: Api) -> None:
    api.apply("roles", name="keeper", permissions=["customers:manage"])
    api.apply("roles", name="platform", permissions=["customers:manage", "customers:entitle"])
    keeper = api.as_user("keeper", roles=["keeper"])
    platform = api.as_user("platform", roles=["platform"])
    assert keeper.apply("customers", name="ACME", notes="new")["action"] == "create"
    before = dump(api.desk)
    for change in ({"features": {"public_api": True}}, {"quotas": {"max_agents": 3}}):
        refused = keeper.apply("customers", status=403, name="ACME", **change)
        assert refused["missing_permission"] == "customers:entitle"
        keeper.apply("customers", status=403, name="Other", **change)
    assert dump(api.desk) == before
    platform.apply("customers", name="ACME", features={"public_api": True}, quotas={"max_agents": 3})
    # who does not change them may say them
    same = keeper.apply("customers", name="ACME", features={"public_api": True}, notes="newer")
    assert [entry["field"] for entry in same["changes"]] == ["notes"]
    keeper.apply("customers", status=403, name="ACME", features=None)


@pytest.mark.feature("F001", "F185")
def test_members_see_their_customers_only(api: Api) -> None:
    for name in ("ACME", "Secret Ltd"):
        api.apply("customers", name=name)
    mia = api.as_user("mia", roles=["agent"], memberships=[{"customer": "ACME"}])
    assert [item["name"] for item in mia.call("GET", "/customers")["items"]] == ["ACME"]
    secret = api.call("GET", "/customers?name=Secret Ltd")["items"][0]
    hidden = mia.request("GET", f"/customers/{secret['id']}")
    missing = mia.request("GET", "/customers/019a9d3c-8a52-7c1e-b1f0-5f5b0c6f0a11")
    assert (hidden.status_code, missing.status_code) == (404, 404)
    assert {**hidden.get_json(), "request_id": ""} == {**missing.get_json(), "request_id": ""}
    assert mia.call("GET", "/customers?name=Secret Ltd")["items"] == []


def test_an_unknown_reference_is_refused_with_the_nearest_name(api: Api) -> None:
    api.apply("sla-policies", name="critical-30m", response_minutes=30)
    before = dump(api.desk)
    refused = api.apply("customers", status=422, name="ACME", sla_policy="critical-30")
    assert refused["errors"] == [
        {
            "pointer": "#/sla_policy",
            "code": "unknown_reference",
            "detail": "there is no service level policy named 'critical-30'; did you mean critical-30m?",
        }
    ]
    assert dump(api.desk) == before


def test_a_dry_run_may_name_what_is_not_there_yet(api: Api) -> None:
    body = {"username": "mia", "roles": ["viewer", "later"], "memberships": [{"customer": "Later Ltd"}]}
    before = dump(api.desk)
    planned = api.call("POST", "/users/apply?dry_run=true&allow_unresolved=true", body)
    assert dump(api.desk) == before
    assert planned["unresolved"] == [
        {"field": "roles.0", "kind": "role", "name": "later"},
        {"field": "memberships.0.customer", "kind": "customer", "name": "Later Ltd"},
    ]
    assert planned["after"]["roles"] == ["later", "viewer"]
    refused = api.call("POST", "/users/apply?allow_unresolved=true", body, 422)
    assert {entry["pointer"] for entry in refused["errors"]} == {"#/roles/0", "#/memberships/0/customer"}
    refused = api.call("POST", "/users/apply?dry_run=true", body, 422)
    assert len(refused["errors"]) == 2
    api.apply("roles", name="later", permissions=[])
    api.apply("customers", name="Later Ltd")
    done = api.apply("users", **body)
    assert done["changes"] == planned["changes"]


def test_an_unresolved_reference_of_something_there_is_reported_as_a_change(api: Api) -> None:
    api.apply("customers", name="ACME", notes="old")
    body = {"name": "ACME", "sla_policy": "later", "notes": "new"}
    planned = api.call("POST", "/customers/apply?dry_run=true&allow_unresolved=true", body)
    api.apply("sla-policies", name="later", response_minutes=5)
    done = api.apply("customers", **body)
    assert (planned["action"], planned["changes"]) == (done["action"], done["changes"])
    only = {"name": "ACME", "sla_policy": "later too"}
    planned = api.call("POST", "/customers/apply?dry_run=true&allow_unresolved=true", only)
    assert (planned["changed"], planned["action"]) == (True, "update")
    assert planned["changes"] == [{"field": "sla_policy", "before": "later", "after": "later too"}]


def test_an_unresolved_reference_alone_is_a_change_too(api: Api) -> None:
    api.apply("customers", name="ACME")
    body = {"name": "ACME", "sla_policy": "later"}
    planned = api.call("POST", "/customers/apply?dry_run=true&allow_unresolved=true", body)
    assert (planned["action"], [entry["field"] for entry in planned["changes"]]) == ("update", ["sla_policy"])


@pytest.mark.feature("F002", "F028")
def test_a_customer_is_made_changed_and_deleted_with_what_is_known_of_it(api: Api) -> None:
    fields = {"name": "ACME", "address": "Main Street 1\n80331 Munich", "notes": "Call before ten."}
    address = f"/customers/{api.apply('customers', **fields)['after']['id']}"
    made = api.call("GET", address)
    assert made == made | fields
    agent = api.as_user("mia", roles=["agent"], memberships=[{"customer": "ACME", "role": "owner"}])
    assert agent.call("GET", address)["address"] == fields["address"]
    for method, body in (("PATCH", {"notes": "x"}), ("DELETE", None)):
        assert agent.call(method, address, body, status=403)["missing_permission"] == "customers:manage"
    changed = api.call("PATCH", address, {"name": "ACME Ltd", "notes": "Call after ten."})
    assert changed == made | {"name": "ACME Ltd", "notes": "Call after ten."}
    api.call("DELETE", address, status=204)
    assert api.call("GET", "/customers")["items"] == []
