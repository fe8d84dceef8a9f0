"""Contacts and assets: whose they are, who sees them, and that they go together."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import Api
from dumps import dump

Errors = list[tuple[str, str]]


def errors_of(problem: Any) -> Errors:
    return [(entry["pointer"], entry["code"]) for entry in problem["errors"]]


def whole(api: Api, configuration: dict[str, Any], status: int = 200, **more: Any) -> Any:
    return api.call("POST", "/configuration/apply", {"configuration": configuration, **more}, status=status)


@pytest.fixture
def desk(api: Api) -> Api:
    """Two customers, a contact of each, and an asset of the first."""
    for name in ("ACME", "Northwind"):
        api.apply("customers", name=name)
    api.apply("contacts", email="kim@acme.example", customer="ACME")
    api.apply("contacts", email="lou@northwind.example", customer="Northwind")
    api.apply("assets", customer="ACME", name="printer 4", contacts=["kim@acme.example"])
    return api


def test_a_contact_is_one_person_however_his_address_is_written(desk: Api) -> None:
    again = desk.apply("contacts", email="Kim@ACME.Example", customer="ACME")
    assert (again["action"], again["after"]["email"]) == ("none", "kim@acme.example")
    assert desk.call("GET", "/contacts", query_string={"email": "KIM@acme.example"})["items"][0]["customer"] == "ACME"
    assert desk.apply("assets", customer="ACME", name="printer 4", contacts=["KIM@ACME.example"])["action"] == "none"
    renamed = desk.apply("contacts", email="Kim.Lee@acme.example", renamed_from="KIM@acme.example")
    assert (renamed["action"], renamed["after"]["id"]) == ("update", again["after"]["id"])
    assert desk.call("GET", "/assets")["items"][0]["contacts"] == ["kim.lee@acme.example"]


@pytest.mark.feature("F020")
def test_a_contact_shows_the_assets_that_list_him_and_cannot_be_told_them(desk: Api) -> None:
    desk.apply("assets", customer="ACME", name="laptop 7", contacts=["kim@acme.example"])
    contact = desk.call("GET", "/contacts?email=kim@acme.example")["items"][0]
    assert contact["assets"] == ["laptop 7", "printer 4"]
    assert errors_of(desk.apply("contacts", status=422, email="kim@acme.example", assets=[])) == [
        ("#/assets", "read_only")
    ]
    desk.apply("assets", customer="ACME", name="printer 5", renamed_from="printer 4")
    assert desk.call("GET", f"/contacts/{contact['id']}")["assets"] == ["laptop 7", "printer 5"]


@pytest.mark.feature("F005")
def test_an_asset_has_contacts_of_its_own_customer_only(desk: Api) -> None:
    desk.apply("contacts", email="nobody@example.org")
    before = dump(desk.desk)
    for stranger in ("lou@northwind.example", "nobody@example.org"):
        refused = desk.apply("assets", status=422, customer="ACME", name="printer 4", contacts=[stranger])
        assert errors_of(refused) == [("#/contacts", "other_customer")]
        assert refused["errors"][0]["detail"] == (f"the asset printer 4 is ACME's, and its contact {stranger} is not")
    for change in ({"customer": "Northwind"}, {"customer": None}):
        refused = desk.apply("contacts", status=422, email="kim@acme.example", **change)
        assert errors_of(refused) == [("#/customer", "other_customer")]
    assert dump(desk.desk) == before
    planned = desk.apply("contacts", status=422, dry_run=True, email="kim@acme.example", customer=None)
    assert errors_of(planned) == [("#/customer", "other_customer")]


def test_a_document_of_a_whole_desk_names_every_place_where_assets_and_contacts_part(desk: Api) -> None:
    refused = whole(
        desk,
        {
            "contacts": [
                {"email": "new@northwind.example", "customer": "Northwind"},
                {"email": "kim@acme.example", "customer": "Northwind"},
            ],
            "assets": [{"customer": "ACME", "name": "laptop 7", "contacts": ["new@northwind.example"]}],
        },
        422,
    )
    assert errors_of(refused) == [
        ("#/assets/0/contacts", "other_customer"),
        ("#/contacts/1/customer", "other_customer"),
    ]


def test_one_document_moves_a_contact_and_takes_him_off_the_asset(desk: Api) -> None:
    moved = whole(
        desk,
        {
            "contacts": [{"email": "kim@acme.example", "customer": "Northwind"}],
            "assets": [
                {"customer": "Northwind", "name": "printer 9", "contacts": ["kim@acme.example"]},
                {"customer": "ACME", "name": "printer 4", "contacts": []},
            ],
        },
    )
    assert moved["summary"]["update"] == 2


def test_the_name_of_an_asset_is_its_customers_own(desk: Api) -> None:
    other = desk.apply("assets", customer="Northwind", name="printer 4", contacts=["lou@northwind.example"])
    assert other["action"] == "create"
    assert len(desk.call("GET", "/assets?name=printer 4")["items"]) == 2
    for customer in ({}, {"customer": None}):
        for state in ("present", "absent"):
            unnamed = {"name": "printer 4", "state": state, **customer}
            assert errors_of(desk.apply("assets", status=422, **unnamed)) == [("#/customer", "required")]
            assert errors_of(whole(desk, {"assets": [unnamed]}, 422)) == [("#/assets/0/customer", "required")]


def test_a_plan_may_name_a_customer_that_is_not_there_yet(desk: Api) -> None:
    before = dump(desk.desk)
    wanted = {"customer": "Newcomer", "name": "laptop 1", "contacts": ["kim@acme.example"], "kind": "laptop"}
    planned = desk.call("POST", "/assets/apply?dry_run=true&allow_unresolved=true", wanted)
    assert (planned["action"], planned["after"]["customer"]) == ("create", "Newcomer")
    assert planned["unresolved"] == [{"field": "customer", "kind": "customer", "name": "Newcomer"}]
    whole_plan = {"configuration": {"assets": [wanted]}, "allow_unresolved": True, "manager": "git:desk"}
    planned = desk.call("POST", "/configuration/plan", whole_plan)
    assert [change["action"] for change in planned["changes"]] == ["create"]
    assert [(one["pointer"], one["name"]) for one in planned["unresolved"]] == [("#/assets/0/customer", "Newcomer")]
    assert dump(desk.desk) == before


@pytest.mark.feature("F001")
def test_who_is_no_member_sees_neither_contacts_nor_assets(desk: Api) -> None:
    desk.apply("contacts", email="nobody@example.org")
    member = desk.as_user("mia", roles=["agent"], memberships=[{"customer": "ACME", "role": "viewer"}])
    stranger = desk.as_user("tom", roles=["agent"])
    assert [item["email"] for item in member.call("GET", "/contacts")["items"]] == ["kim@acme.example"]
    assert [item["name"] for item in member.call("GET", "/assets")["items"]] == ["printer 4"]
    for path in ("contacts", "assets"):
        assert stranger.call("GET", f"/{path}")["items"] == []
        hidden = desk.call("GET", f"/{path}")["items"][0]["id"]
        assert stranger.request("GET", f"/{path}/{hidden}").status_code == 404
    desk.apply("roles", name="keeper", permissions=["customers:manage"])
    manager = desk.as_user("ann", roles=["keeper"])
    assert len(manager.call("GET", "/contacts")["items"]) == 3


@pytest.mark.feature("F022")
def test_a_contact_stays_while_an_asset_lists_him(desk: Api) -> None:
    refused = desk.apply("contacts", status=409, email="kim@acme.example", state="absent")
    assert refused["dependants"] == ["asset ACME/printer 4"]
    desk.apply("assets", customer="ACME", name="printer 4", state="absent")
    assert desk.apply("contacts", email="kim@acme.example", state="absent")["action"] == "delete"


@pytest.mark.feature("F008")
def test_a_customer_takes_contacts_assets_contracts_and_mail_templates_along_when_told_to(desk: Api) -> None:
    desk.apply("contracts", customer="ACME", name="support", hourly_rate="95", currency="EUR")
    desk.apply("email-templates", customer="ACME", event="ticket_closed", subject="Closed", body_text="Closed.")
    desk.apply("email-templates", event="ticket_closed", subject="Closed", body_text="Closed.")
    refused = desk.apply("customers", status=409, name="ACME", state="absent")
    assert sorted(refused["dependants"]) == [
        "asset ACME/printer 4",
        "contact kim@acme.example",
        "contract ACME/support",
        "email_template ACME/ticket_closed",
    ]
    desk.apply("customers", name="ACME", state="absent", cascade=True)
    left = {path: len(desk.call("GET", f"/{path}")["items"]) for path in ("contacts", "assets", "contracts")}
    assert left == {"contacts": 1, "assets": 0, "contracts": 0}
    assert [item["customer"] for item in desk.call("GET", "/email-templates")["items"]] == [None]


@pytest.mark.feature("F019")
def test_a_contact_loses_a_department_that_goes(desk: Api) -> None:
    desk.apply("departments", name="Desk")
    desk.apply("contacts", email="kim@acme.example", department="Desk")
    desk.apply("departments", name="Desk", state="absent")
    assert desk.call("GET", "/contacts?email=kim@acme.example")["items"][0]["department"] is None


def test_movements_are_told_apart_by_their_time_and_kept_in_its_order(desk: Api) -> None:
    late = {"at": "2026-03-02T10:30:00+01:00", "to": "third floor"}
    early = {"at": "2026-03-01T08:00:00Z", "from": "store", "to": "second floor", "by": "Kim", "note": "new"}
    made = desk.apply("assets", customer="ACME", name="printer 4", movements=[late, early])
    assert made["after"]["movements"] == [
        early,
        {"at": "2026-03-02T09:30:00Z", "from": None, "to": "third floor", "by": None, "note": ""},
    ]
    same = desk.apply("assets", customer="ACME", name="printer 4", movements=made["after"]["movements"])
    assert same["action"] == "none"
    twice = [late, {**late, "at": "2026-03-02T09:30:00Z", "note": "other"}]
    refused = desk.apply("assets", status=422, customer="ACME", name="printer 4", movements=twice)
    assert errors_of(refused) == [("#/movements/1/at", "repeated")]
    refused = desk.apply("assets", status=422, customer="ACME", name="printer 4", movements=[{"at": early["at"]}])
    assert errors_of(refused) == [("#/movements/0/to", "required")]


def test_contacts_and_assets_come_back_from_an_export(desk: Api) -> None:
    exported = desk.call("GET", "/configuration")["configuration"]
    assert exported["assets"] == [{"customer": "ACME", "name": "printer 4", "contacts": ["kim@acme.example"]}]
    assert all("assets" not in contact for contact in exported["contacts"])
    assert whole(desk, exported)["changed"] is False


@pytest.mark.feature("F018", "F019", "F022")
def test_what_is_known_of_a_person_is_kept_until_he_is_deleted_for_good(desk: Api) -> None:
    desk.apply("departments", name="Desk")
    fields = {
        "email": "ann@acme.example",
        "first_name": "Ann",
        "last_name": "Lee",
        "phone": "+49 89 1234567",
        "position": "Office manager",
        "customer": "ACME",
        "department": "Desk",
        "notes": "Speaks French.\nAway on Fridays.",
    }
    before = dump(desk.desk)["contacts"]
    address = f"/contacts/{desk.apply('contacts', **fields)['after']['id']}"
    made = desk.call("GET", address)
    assert made == made | fields
    assert made in desk.call("GET", "/contacts")["items"]
    assert desk.apply("contacts", **fields)["action"] == "none"
    desk.call("DELETE", address, status=204)
    assert dump(desk.desk)["contacts"] == before
