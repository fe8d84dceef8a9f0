"""The contact of a ticket: who wrote in, and what he brings along."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from test_ticket_history import assert_history_is_true
from ticket_help import changed, dump, history, listed, opened, person, places, read

from conftest import Api
from deskplane.app import create_app


@pytest.fixture
def desk_of_two(api: Api) -> Api:
    """Two customers, a contact of each, and one of nobody."""
    api.apply("sla-policies", name="base", resolution_minutes=600)
    api.apply("customers", name="ACME", number_prefix="ACME")
    api.apply("customers", name="Other")
    api.apply("sla-policies", name="gold", resolution_minutes=60, customers=["ACME"])
    api.apply("departments", name="Support")
    api.apply("departments", name="Sales")
    api.apply("contacts", email="kim@acme.example", customer="ACME", department="Support")
    api.apply("contacts", email="lou@other.example", customer="Other")
    api.apply("contacts", email="max@example.org")
    return api


@pytest.mark.feature("F023", "F057", "F086")
def test_a_contact_brings_customer_prefix_and_service_level(desk_of_two: Api) -> None:
    ticket = opened(desk_of_two, contact="Kim@ACME.example")
    assert (ticket["contact"], ticket["customer"]) == ("kim@acme.example", "ACME")
    assert ticket["number"] == "ACME-000001"
    assert ticket["sla"]["policy"] == "gold"
    assert opened(desk_of_two)["sla"]["policy"] == "base"
    assert_history_is_true(desk_of_two, "ACME-000001")


@pytest.mark.feature("F019", "F023")
def test_a_contact_brings_his_department_where_the_creator_has_none(desk_of_two: Api) -> None:
    desk_of_two.apply("settings", key="department.default", value="Sales")
    assert opened(desk_of_two, contact="kim@acme.example")["department"] == "Support"
    assert opened(desk_of_two, contact="max@example.org")["department"] == "Sales"
    assert opened(desk_of_two, contact="kim@acme.example", department=None)["department"] is None
    desk_of_two.apply("users", username="root", default_department="Sales")
    assert opened(desk_of_two, contact="kim@acme.example")["department"] == "Sales"


def test_a_contact_that_is_set_later_gives_a_ticket_without_customer_his(desk_of_two: Api) -> None:
    number = opened(desk_of_two)["number"]
    ticket = changed(desk_of_two, number, contact="kim@acme.example")
    assert (ticket["number"], ticket["customer"], ticket["sla"]["policy"]) == (number, "ACME", "gold")
    changed(desk_of_two, number, contact="max@example.org")
    assert read(desk_of_two, number)["customer"] == "ACME"
    assert changed(desk_of_two, number, contact=None)["contact"] is None
    assert_history_is_true(desk_of_two, number)


@pytest.mark.feature("F024")
def test_an_unknown_address_makes_the_contact_with_the_tickets_customer_and_department(desk_of_two: Api) -> None:
    fields = {"contact": "new@acme.example", "customer": "ACME", "department": "Sales"}
    number = opened(desk_of_two, **fields)["number"]
    (made,) = desk_of_two.call("GET", "/contacts?email=new@acme.example")["items"]
    assert (made["customer"], made["department"], made["first_name"]) == ("ACME", "Sales", "")
    assert opened(desk_of_two, contact="new@acme.example")["customer"] == "ACME"
    assert [row["new"]["contact"] for row in history(desk_of_two, number)] == ["new@acme.example"]
    changed(desk_of_two, number, contact="later@acme.example")
    assert [item["email"] for item in desk_of_two.call("GET", "/contacts?email=later@acme.example")["items"]]
    # the made one is a contact like every other
    assert desk_of_two.apply("contacts", email="new@acme.example", first_name="Kim")["action"] == "update"


def test_a_dry_run_makes_no_contact(desk_of_two: Api) -> None:
    before = dump(desk_of_two.desk)
    answer = desk_of_two.apply("tickets", dry_run=True, title="x", contact="new@acme.example")
    assert answer["after"]["contact"] == "new@acme.example"
    assert dump(desk_of_two.desk) == before


def test_a_contact_of_another_customer_than_the_ticket_is_refused(desk_of_two: Api) -> None:
    before = dump(desk_of_two.desk)
    body = {"title": "x", "customer": "ACME", "contact": "lou@other.example"}
    assert places(desk_of_two.call("POST", "/tickets", body, status=422)) == {"contact": "other_customer"}
    assert dump(desk_of_two.desk) == before
    number = opened(desk_of_two, contact="kim@acme.example")["number"]
    assert places(changed(desk_of_two, number, 422, customer="Other")) == {"customer": "other_customer"}
    assert changed(desk_of_two, number, customer="Other", contact="lou@other.example")["customer"] == "Other"


@pytest.mark.parametrize("bad", ["no address", "a@b@c", "", "x\u0000@example.org", 5, ["kim@acme.example"], "ü@x.org"])
def test_what_is_no_address_is_refused(api: Api, bad: Any) -> None:
    before = dump(api.desk)
    assert list(places(api.call("POST", "/tickets", {"title": "x", "contact": bad}, status=422))) == ["contact"]
    assert dump(api.desk) == before


def test_a_foreign_customers_contact_is_told_nothing_of(desk_of_two: Api) -> None:
    member = {"memberships": [{"customer": "ACME", "role": "member"}]}
    mia = person(desk_of_two, "mia", "tickets:create", "tickets:edit", "tickets:view_all_departments", **member)
    answer = mia.request("POST", "/tickets", {"title": "x", "contact": "lou@other.example"})
    assert (answer.status_code, places(answer.get_json())) == (422, {"contact": "unknown_reference"})
    assert "Other" not in answer.get_data(as_text=True)
    assert opened(mia, contact="kim@acme.example")["customer"] == "ACME"
    # naming the one that is there already is no change, whoever sees it
    number = opened(desk_of_two, contact="lou@other.example", assignee=None)["number"]
    desk_of_two.apply("roles", name="of mia", permissions=["tickets:access", "tickets:edit", "tickets:view_all"])
    changed(desk_of_two, number, department=None)
    assert changed(mia, number, contact="lou@other.example")["contact"] == "lou@other.example"


def test_an_agent_takes_down_who_calls_and_no_foreign_contact(desk_of_two: Api) -> None:
    member = {"memberships": [{"customer": "ACME", "role": "member"}]}
    mia = person(desk_of_two, "mia", "tickets:create", "tickets:edit", "tickets:view_all_departments", **member)
    assert opened(mia, customer="ACME", contact="new@acme.example")["contact"] == "new@acme.example"
    problem = mia.call("POST", "/tickets", {"title": "x", "contact": "lou@other.example"}, status=422)
    assert places(problem) == {"contact": "unknown_reference"}
    assert "Other" not in str(problem)


def test_a_foreign_contact_and_none_at_all_are_answered_alike_to_a_requester(desk_of_two: Api) -> None:
    member = {"memberships": [{"customer": "ACME", "role": "member"}]}
    mia = person(desk_of_two, "mia", "tickets:create", "tickets:comment", "tickets:view_all_departments", **member)
    opened(mia, customer="ACME")
    before = dump(desk_of_two.desk)
    said = []
    for email in ("lou@other.example", "new@other.example"):
        asked = [
            mia.call("POST", "/tickets", {"title": "x", "contact": email}, status=422),
            mia.call("POST", "/tickets", {"title": "x", "contact": email, "customer": "ACME"}, status=422),
            mia.call("GET", f"/contacts?email={email}"),
            mia.call("GET", f"/tickets?contact={email}"),
        ]
        said.append([str({**answer, "request_id": ""}).replace(email, "<address>") for answer in asked])
    assert said[0] == said[1]
    assert "owns the customer" in said[0][0]
    assert dump(desk_of_two.desk) == before


def test_owners_of_the_customer_make_contacts_by_naming_them(desk_of_two: Api) -> None:
    owner = {"memberships": [{"customer": "ACME", "role": "owner"}]}
    olga = person(desk_of_two, "olga", "tickets:create", "tickets:view_all_departments", **owner)
    assert opened(olga, customer="ACME", contact="new@acme.example")["contact"] == "new@acme.example"
    problem = olga.call("POST", "/tickets", {"title": "x", "contact": "new@example.org"}, status=422)
    assert places(problem) == {"contact": "unknown_reference"}


def test_a_contact_that_a_ticket_made_is_in_the_configurations_history(desk_of_two: Api) -> None:
    opened(desk_of_two, contact="new@acme.example", customer="ACME")
    row = desk_of_two.call("GET", "/configuration/history")["items"][0]
    assert (row["kind"], row["key"], row["action"], row["username"]) == (
        *("contact", {"email": "new@acme.example"}, "create", "root"),
    )
    assert {change["field"]: change["after"] for change in row["changes"]} == {
        "email": "new@acme.example",
        "customer": "ACME",
    }


@pytest.mark.feature("F023")
def test_a_machine_that_names_the_contact_only_finds_its_ticket_again(desk_of_two: Api) -> None:
    body = {"title": "x", "correlation_key": "k", "contact": "kim@acme.example"}
    first = desk_of_two.apply("tickets", **body)
    assert (first["action"], first["after"]["customer"]) == ("create", "ACME")
    assert desk_of_two.apply("tickets", **body)["action"] == "none"
    assert desk_of_two.apply("tickets", **body, state="resolved")["action"] == "update"
    assert len(listed(desk_of_two)) == 1


def test_an_unknown_address_in_an_apply_makes_one_contact_and_one_ticket(desk_of_two: Api) -> None:
    body = {"title": "x", "contact": "new@example.org"}
    assert desk_of_two.apply("tickets", **body)["action"] == "create"
    assert desk_of_two.apply("tickets", **body)["action"] == "none"
    assert len(listed(desk_of_two)) == 1


def test_several_tickets_at_once_make_one_contact(desk_of_two: Api) -> None:
    app = create_app(desk_of_two.desk)
    barrier, answers = threading.Barrier(4), []

    def write(index: int) -> None:
        client = Api(app.test_client(), desk_of_two.key, desk_of_two.desk)
        barrier.wait()
        answers.append(client.request("POST", "/tickets", {"title": f"t{index}", "contact": "new@x.org"}).status_code)

    threads = [threading.Thread(target=write, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [201] * 4
    assert len(desk_of_two.call("GET", "/contacts?email=new@x.org")["items"]) == 1
    assert len(listed(desk_of_two, "?contact=new@x.org")) == 4


def test_a_contact_that_is_renamed_is_called_so_everywhere(desk_of_two: Api) -> None:
    number = opened(desk_of_two, contact="kim@acme.example")["number"]
    desk_of_two.apply("contacts", email="kim.lee@acme.example", renamed_from="kim@acme.example")
    assert read(desk_of_two, number)["contact"] == "kim.lee@acme.example"
    assert listed(desk_of_two, "?contact=kim.lee@acme.example")
    assert not listed(desk_of_two, "?contact=kim@acme.example")


@pytest.mark.feature("F022")
def test_tickets_of_a_contact_who_is_deleted_lose_him(desk_of_two: Api) -> None:
    number = opened(desk_of_two, contact="kim@acme.example")["number"]
    desk_of_two.apply("contacts", email="kim@acme.example", state="absent")
    ticket = read(desk_of_two, number)
    assert (ticket["contact"], ticket["customer"]) == (None, "ACME")
    last = history(desk_of_two, number)[-1]
    assert (last["field"], last["old"], last["cause"]) == ("contact", "kim@acme.example", "automation")
    assert_history_is_true(desk_of_two, number)


def test_the_list_is_filtered_by_contact(desk_of_two: Api) -> None:
    opened(desk_of_two, "of kim", contact="kim@acme.example")
    opened(desk_of_two, "of nobody")
    assert listed(desk_of_two, "?contact=kim@acme.example") == ["of kim"]
    assert listed(desk_of_two, "?contact=none") == ["of nobody"]
    assert listed(desk_of_two, "?contact=lou@other.example") == []
