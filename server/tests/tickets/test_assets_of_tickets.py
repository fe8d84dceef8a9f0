"""What a ticket is about: assets of its customer, and a movement of one of them."""

from __future__ import annotations

from typing import Any

import pytest
from test_ticket_history import assert_history_is_true
from ticket_help import changed, dump, history, listed, opened, person, places, read

from conftest import Api

AT, LATER = "2026-02-01T09:30:00Z", "2026-02-03T10:00:00Z"


@pytest.fixture
def two(api: Api) -> Api:
    """Two customers with assets of the same name, one of them moved twice."""
    for name in ("ACME", "Other"):
        api.apply("customers", name=name, features={"movement_link": True})
        moved = [{"at": AT, "to": "Munich"}, {"at": LATER, "to": "Ulm"}]
        api.apply("assets", name="printer", customer=name, movements=moved)
    api.apply("assets", name="router", customer="ACME")
    return api


def asset_id(api: Api, name: str, customer: str = "ACME") -> str:
    items = api.call("GET", f"/assets?name={name}")["items"]
    return next(str(item["id"]) for item in items if item["customer"] == customer)


@pytest.mark.feature("F053")
def test_a_ticket_is_about_assets_of_its_customer(two: Api) -> None:
    ticket = opened(two, customer="ACME", assets=["router", "printer", "router"])
    number = ticket["number"]
    assert ticket["assets"] == read(two, number)["assets"] == ["printer", "router"]
    assert two.call("GET", "/tickets")["items"][0]["assets"] == ["printer", "router"]
    assert changed(two, number, assets=["router"])["assets"] == ["router"]
    assert changed(two, number, assets=None)["assets"] == []
    rows = [(row["old"], row["new"]) for row in history(two, number) if row["field"] == "assets"]
    assert rows == [(["printer", "router"], ["router"]), (["router"], [])]
    assert_history_is_true(two, number)


def test_assets_that_are_not_the_customers_are_refused_with_the_nearest(two: Api) -> None:
    before = dump(two.desk)
    problem = two.call("POST", "/tickets", {"title": "x", "customer": "ACME", "assets": ["roter", "zz"]}, status=422)
    assert [error["pointer"] for error in problem["errors"]] == ["#/assets", "#/assets"]
    assert "'router'" in problem["errors"][0]["detail"] or "router" in problem["errors"][0]["detail"]
    two.call("POST", "/tickets", {"title": "x", "customer": "Other", "assets": ["router"]}, status=422)
    two.call("POST", "/tickets", {"title": "x", "assets": ["router"]}, status=422)
    assert dump(two.desk) == before


def test_a_ticket_does_not_take_its_assets_to_another_customer(two: Api) -> None:
    number = opened(two, customer="ACME", assets=["router"])["number"]
    assert places(changed(two, number, 422, customer="Other")) == {"customer": "unknown_reference"}
    assert changed(two, number, customer="Other", assets=["printer"])["assets"] == ["printer"]
    assert listed(two, "?customer=Other&asset=printer")
    assert_history_is_true(two, number)


@pytest.mark.feature("F053")
def test_a_second_apply_changes_no_assets(two: Api) -> None:
    body: dict[str, Any] = {"title": "x", "customer": "ACME", "assets": ["printer", "router"]}
    body["movement"] = {"asset": "printer", "at": "2026-02-01T10:30:00+01:00"}
    assert two.apply("tickets", **body)["after"]["movement"] == {"asset": "printer", "at": AT}
    before = dump(two.desk)
    assert two.apply("tickets", **{**body, "assets": ["router", "printer"]})["action"] == "none"
    assert dump(two.desk) == before
    answer = two.apply("tickets", **{**body, "assets": ["printer"]})
    assert answer["changes"] == [{"field": "assets", "before": ["printer", "router"], "after": ["printer"]}]


@pytest.mark.feature("F011")
def test_without_the_switch_assets_are_ignored_with_a_warning(two: Api) -> None:
    two.apply("customers", name="ACME", features={"asset_integration": False})
    body = {"title": "x", "customer": "ACME", "assets": ["router"]}
    answer = two.apply("tickets", **body)
    assert answer["after"]["assets"] == []
    assert answer["warnings"] == ["assets are ignored: ACME has asset_integration switched off"]
    assert two.apply("tickets", **body)["action"] == "none"
    two.call("GET", f"/assets/{asset_id(two, 'router')}/tickets", status=404)
    problem = two.call("GET", f"/assets/{asset_id(two, 'router')}/tickets", status=404)
    assert problem["type"].endswith(":feature_disabled")


@pytest.mark.feature("F012")
def test_a_ticket_points_at_a_movement_of_one_of_its_assets(two: Api) -> None:
    movement = {"asset": "printer", "at": AT}
    ticket = opened(two, customer="ACME", assets=["printer"], movement=movement)
    number = ticket["number"]
    assert ticket["movement"] == read(two, number)["movement"] == movement
    assert changed(two, number, movement={"asset": "printer", "at": LATER})["movement"]["at"] == LATER
    wrong = {"asset": "printer", "at": "2026-02-02T00:00:00Z"}
    assert places(changed(two, number, 422, movement=wrong)) == {"movement/at": "unknown_reference"}
    assert places(changed(two, number, 422, movement={"asset": "router", "at": AT})) == {
        "movement/asset": "not_allowed"
    }
    assert places(changed(two, number, 422, movement={})) == {"movement/asset": "required", "movement/at": "required"}
    assert changed(two, number, assets=[])["movement"] is None
    assert_history_is_true(two, number)


@pytest.mark.feature("F012")
def test_without_the_switch_a_movement_is_ignored_with_a_warning(two: Api) -> None:
    two.apply("customers", name="ACME", features={"movement_link": False})
    body = {"title": "x", "customer": "ACME", "assets": ["printer"], "movement": {"asset": "printer", "at": AT}}
    answer = two.apply("tickets", **body)
    assert (answer["after"]["assets"], answer["after"]["movement"]) == (["printer"], None)
    assert answer["warnings"] == ["movement is ignored: ACME has movement_link switched off"]


def test_a_movement_that_the_asset_no_longer_tells_of_is_lost(two: Api) -> None:
    number = opened(two, customer="ACME", assets=["printer"], movement={"asset": "printer", "at": AT})["number"]
    two.apply("assets", name="printer", customer="ACME", location="Ulm")
    assert read(two, number)["movement"] == {"asset": "printer", "at": AT}
    two.apply("assets", name="printer", customer="ACME", movements=[{"at": LATER, "to": "Ulm"}])
    assert (read(two, number)["movement"], read(two, number)["assets"]) == (None, ["printer"])
    assert_history_is_true(two, number)


def test_what_is_not_there_yet_is_unresolved_in_a_dry_run(two: Api) -> None:
    path = "/tickets/apply?dry_run=true&allow_unresolved=true"
    body = {"title": "x", "customer": "ACME", "assets": ["new", "router"], "movement": {"asset": "new", "at": AT}}
    answer = two.call("POST", path, body)
    assert answer["unresolved"] == [
        {"field": "assets", "kind": "asset", "name": "new"},
        {"field": "movement", "kind": "asset", "name": "new"},
    ]
    assert answer["after"]["assets"] == ["new", "router"]
    two.call("POST", "/tickets/apply?dry_run=true", body, status=422)
    caller = {"title": "x", "contact": "kim@new.example", "assets": ["new"]}
    assert two.call("POST", path, caller)["unresolved"] == [{"field": "assets", "kind": "asset", "name": "new"}]
    two.call("POST", path, {"title": "x", "assets": ["new"]}, status=422)
    nobody = {"title": "x", "customer": "New", "assets": ["new"]}
    assert [entry["field"] for entry in two.call("POST", path, nobody)["unresolved"]] == ["customer", "assets"]


@pytest.mark.feature("F026")
def test_an_asset_tells_of_its_tickets(two: Api) -> None:
    opened(two, "about the printer", customer="ACME", assets=["printer"])
    opened(two, "about the other printer", customer="Other", assets=["printer"])
    opened(two, "about nothing", customer="ACME")
    path = f"/assets/{asset_id(two, 'printer')}/tickets"
    assert [ticket["title"] for ticket in two.call("GET", path)["items"]] == ["about the printer"]
    assert listed(two, "?asset=printer&sort=number") == ["about the printer", "about the other printer"]
    assert two.call("GET", path + "?open=false")["items"] == []
    bodies = []
    mia = person(two, "mia", "tickets:view_all_departments", memberships=[{"customer": "ACME", "role": "member"}])
    assert len(mia.call("GET", path)["items"]) == 1
    for missing in (asset_id(two, "printer", "Other"), "019a9d3c-8a52-7c1e-b1f0-5f5b0c6f0a24"):
        bodies.append(mia.call("GET", f"/assets/{missing}/tickets", status=404) | {"request_id": ""})
    assert bodies[0] == bodies[1]
    viewer = person(two, "vic", "tickets:view_all_departments", memberships=[{"customer": "ACME", "role": "viewer"}])
    assert viewer.call("GET", path)["items"] == []


@pytest.mark.feature("F027")
def test_an_asset_with_an_open_ticket_is_not_deleted(two: Api) -> None:
    number = opened(two, customer="ACME", assets=["printer"])["number"]
    before = dump(two.desk)
    problem = two.apply("assets", status=409, name="printer", customer="ACME", state="absent")
    assert problem["dependants"] == [f"ticket {number}"]
    two.call("DELETE", f"/assets/{asset_id(two, 'printer')}", status=409)
    assert dump(two.desk) == before
    manager = two.as_user("cleo", roles=[])
    two.apply("roles", name="keeper", permissions=["customers:manage"])
    two.apply("users", username="cleo", roles=["keeper"])
    problem = manager.apply("assets", status=409, name="printer", customer="ACME", state="absent")
    assert problem["dependants"] == ["a ticket that is not yours to see"]


@pytest.mark.feature("F027")
def test_ended_tickets_lose_an_asset_that_is_deleted(two: Api) -> None:
    number = opened(two, customer="ACME", assets=["printer", "router"], status="closed")["number"]
    two.apply("assets", name="printer", customer="ACME", state="absent")
    assert read(two, number)["assets"] == ["router"]
    last = history(two, number)[-1]
    assert (last["field"], last["new"], last["cause"]) == ("assets", ["router"], "automation")
    assert_history_is_true(two, number)


@pytest.mark.feature("F008")
def test_open_tickets_stay_when_their_customer_goes_with_assets_and_contacts(two: Api) -> None:
    two.apply("contacts", email="kim@acme.example", customer="ACME")
    number = opened(two, contact="kim@acme.example", assets=["printer"])["number"]
    two.apply("customers", name="ACME", state="absent", cascade=True)
    ticket = read(two, number)
    assert (ticket["customer"], ticket["contact"], ticket["assets"]) == (None, None, [])
    assert_history_is_true(two, number)


def test_an_asset_that_goes_to_another_customer_leaves_the_tickets_of_the_old_one(two: Api) -> None:
    number = opened(two, customer="ACME", assets=["printer", "router"])["number"]
    address = f"/assets/{asset_id(two, 'router')}"
    two.call("PATCH", address, {"customer": "Other"})
    assert read(two, number)["assets"] == ["printer"]
    assert_history_is_true(two, number)


def test_an_asset_that_is_renamed_is_called_so(two: Api) -> None:
    number = opened(two, customer="ACME", assets=["router"])["number"]
    two.apply("assets", name="switch", customer="ACME", renamed_from="router")
    assert read(two, number)["assets"] == ["switch"]
    assert changed(two, number, assets=["switch", "printer"])["assets"] == ["printer", "switch"]


@pytest.mark.feature("F021")
def test_a_ticket_shows_its_contacts_assets(two: Api) -> None:
    two.apply("contacts", email="kim@acme.example", customer="ACME")
    for name in ("router", "printer"):
        two.apply("assets", name=name, customer="ACME", contacts=["kim@acme.example"])
    ticket = opened(two, contact="kim@acme.example")
    assert ticket["contact_assets"] == ["printer", "router"]
    assert read(two, ticket["number"]) == ticket
    assert "contact_assets" not in two.call("GET", "/tickets")["items"][0]
    two.apply("customers", name="ACME", features={"asset_integration": False})
    assert read(two, ticket["number"])["contact_assets"] == []
