"""The switch `agent_portal`: without it the customer's members work on no tickets of it, but by the public API."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import Api

pytestmark = pytest.mark.feature("F010")
ACME = {"memberships": [{"customer": "ACME", "role": "owner"}, {"customer": "Other", "role": "member"}]}


@pytest.fixture
def mia(api: Api) -> Api:
    """An agent of two customers, each with a ticket; one of ACME's is assigned to her."""
    for name in ("ACME", "Other"):
        api.apply("customers", name=name)
        api.call("POST", "/tickets", {"title": f"fire at {name}", "customer": name}, 201)
    found = api.as_user("mia", roles=["agent"], **ACME)
    api.call("POST", "/tickets", {"title": "assigned", "customer": "ACME", "assignee": "mia"}, 201)
    return found


def switch(api: Api, **features: bool) -> None:
    api.apply("customers", name="ACME", features=features)


def seen(caller: Api) -> list[str]:
    return sorted(ticket["title"] for ticket in caller.call("GET", "/tickets")["items"])


def test_members_work_on_no_ticket_of_a_customer_without_it(api: Api, mia: Api) -> None:
    assert seen(mia) == ["assigned", "fire at ACME", "fire at Other"]
    switch(api, agent_portal=False)
    assert seen(mia) == ["assigned", "fire at Other"], "what was given to her stays with her"
    found = mia.call("GET", "/tickets?q=fire")["items"]
    assert [ticket["title"] for ticket in found] == ["fire at Other"]
    assert mia.call("GET", "/tickets/counts")["counts"]["open"] == 2
    missing = mia.call("GET", "/tickets/TKT-009999", status=404)
    for method, body in (("GET", None), ("PATCH", {"priority": "high"})):
        foreign = mia.call(method, "/tickets/TKT-000001", body, status=404)
        assert {**foreign, "request_id": ""} == {**missing, "request_id": ""}
    problem = mia.call("POST", "/tickets", {"title": "x", "customer": "ACME"}, status=422)
    assert [error["pointer"] for error in problem["errors"]] == ["#/customer"]
    problem = api.call("PATCH", "/tickets/TKT-000001", {"assignee": "mia"}, status=422)
    assert problem["errors"][0]["detail"] == "mia may not see this ticket"


def test_the_customers_record_and_its_owners_work_stay(api: Api, mia: Api) -> None:
    switch(api, agent_portal=False)
    (acme, _other) = mia.call("GET", "/customers")["items"]
    assert acme["name"] == "ACME"
    assert mia.call("GET", f"/customers/{acme['id']}/memberships")["items"][0]["username"] == "mia"
    assert mia.apply("contacts", email="new@acme.example", customer="ACME")["action"] == "create"


def test_it_acts_at_the_next_request_and_back_again(api: Api, mia: Api) -> None:
    for is_on, number in ((False, 2), (True, 3), (False, 2), (True, 3)):
        switch(api, agent_portal=is_on)
        assert len(seen(mia)) == number


def test_who_sees_all_tickets_and_who_reported_one_is_not_shut_out(api: Api, mia: Api) -> None:
    rita = api.as_user("rita", roles=["requester"], memberships=[{"customer": "ACME", "role": "member"}])
    rita.call("POST", "/tickets", {"title": "mine", "customer": "ACME"}, 201)
    switch(api, agent_portal=False)
    assert seen(rita) == ["mine"]
    assert len(seen(api)) == 4
    api.apply("roles", name="all", permissions=["tickets:access", "tickets:view_all", "tickets:view_all_departments"])
    assert len(seen(api.as_user("eve", roles=["all"], **ACME))) == 4


def test_the_public_api_has_a_switch_of_its_own(api: Api, mia: Api) -> None:
    def public(path: str = "", **options: Any) -> Any:
        return mia.call("GET", f"/public/v1/tickets{path}", **options)

    switch(api, agent_portal=False)
    public(status=404)
    switch(api, agent_portal=False, public_api=True)
    assert sorted(ticket["title"] for ticket in public()["items"]) == ["assigned", "fire at ACME"]
    assert public("/TKT-000001")["title"] == "fire at ACME"
    made = mia.call("POST", "/public/v1/tickets", {"title": "x", "customer": "ACME"}, status=201)
    assert mia.call("PATCH", f"/public/v1/tickets/{made['number']}", {"priority": "high"})["priority"] == "high"
    assert "fire at ACME" not in seen(mia)
