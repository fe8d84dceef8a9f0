"""A user who is a contact, by his mail address: what he opens is the contact's, and what the contact reports is his."""

from __future__ import annotations

from typing import Any

import pytest
from test_ticket_history import assert_history_is_true
from ticket_help import changed, listed, messages, opened, person, places, read

from conftest import Api

pytestmark = pytest.mark.feature("F022")


@pytest.fixture
def kim(api: Api) -> Api:
    """A requester with the address of ACME's contact, who is a member of nothing."""
    for name in ("ACME", "Other"):
        api.apply("customers", name=name)
    api.apply("departments", name="Support")
    api.apply("contacts", email="kim@acme.example", customer="ACME", department="Support", first_name="Kim")
    api.apply("contacts", email="lou@acme.example", customer="ACME")
    return api.as_user("kim", roles=["requester"], email="Kim@ACME.example")


def test_what_a_requester_opens_is_his_contacts(api: Api, kim: Api) -> None:
    ticket = opened(kim, "mine")
    named = ("contact", "customer", "department", "reporter", "created_by")
    assert tuple(ticket[name] for name in named) == ("kim@acme.example", "ACME", "Support", "kim", "kim")
    assert opened(kim, "mine", contact="kim@acme.example")["customer"] == "ACME"
    alone = opened(kim, "mine", contact=None)
    assert (alone["contact"], alone["customer"], alone["reporter"]) == (None, None, "kim")
    assert len(listed(kim)) == 3
    assert_history_is_true(api, ticket["number"])


def test_what_is_reported_by_the_contact_is_the_users(api: Api, kim: Api) -> None:
    ticket = opened(api, "printer on fire", contact="kim@acme.example")
    assert (ticket["reporter"], ticket["created_by"]) == ("kim", "root")
    opened(api, "another's", contact="lou@acme.example", customer="ACME")
    assert listed(kim) == ["printer on fire"]
    assert listed(kim, "?q=printer") == ["printer on fire"]
    assert kim.call("GET", "/tickets/counts")["counts"]["open"] == 1
    number = ticket["number"]
    kim.call("POST", f"/tickets/{number}/messages", {"body": "thank you"}, status=201)
    api.call("POST", f"/tickets/{number}/messages", {"body": "canary", "direction": "internal"}, status=201)
    assert [message["body"] for message in messages(kim, number)] == ["thank you"]
    changed(api, number, status="resolved")
    assert changed(kim, number, status="closed")["status"] == "closed"


def test_the_reporter_follows_the_contact(api: Api, kim: Api) -> None:
    number = opened(api, "x")["number"]
    assert read(api, number)["reporter"] == "root"
    assert changed(api, number, contact="kim@acme.example")["reporter"] == "kim"
    assert (listed(kim), listed(kim, "?q=x")) == (["x"], ["x"])
    assert changed(api, number, contact="lou@acme.example")["reporter"] == "root"
    assert (listed(kim), listed(kim, "?q=x")) == ([], [])
    kim.call("GET", f"/tickets/{number}", status=404)
    assert_history_is_true(api, number)


def test_he_is_the_contact_of_no_other_customers_ticket(api: Api, kim: Api) -> None:
    both = [{"customer": name, "role": "member"} for name in ("ACME", "Other")]
    api.apply("users", username="kim", memberships=both)
    assert opened(kim, customer="Other")["contact"] is None
    assert opened(kim, customer="ACME")["contact"] == "kim@acme.example"
    api.apply("users", username="kim", memberships=[])
    assert places(kim.call("POST", "/tickets", {"title": "x", "customer": "Other"}, status=422)) == {
        "customer": "unknown_reference"
    }


def test_he_names_no_other_contact_of_the_customer(api: Api, kim: Api) -> None:
    for email in ("lou@acme.example", "nobody@acme.example"):
        problem = kim.call("POST", "/tickets", {"title": "x", "contact": email}, status=422)
        assert places(problem) == {"contact": "unknown_reference"}


def test_who_answers_for_the_desk_opens_tickets_for_others(api: Api, kim: Api) -> None:
    api.apply("users", username="kim", roles=["agent"], memberships=[{"customer": "ACME", "role": "member"}])
    ticket = opened(kim, customer="ACME")
    assert (ticket["contact"], ticket["reporter"]) == (None, "kim")


@pytest.mark.parametrize(
    "other",
    [
        {"username": "max", "email": "kim@acme.example"},
        {"username": "kim", "email": None},
        {"username": "kim", "enabled": False},
    ],
    ids=["two with the address", "none with it", "disabled"],
)
def test_an_address_that_is_not_one_users_links_nobody(api: Api, kim: Api, other: dict[str, Any]) -> None:
    assert opened(api, contact="kim@acme.example")["reporter"] == "kim"
    api.apply("users", **other)
    assert opened(api, contact="kim@acme.example")["reporter"] == "root"


def test_a_user_without_a_contact_has_none(api: Api, kim: Api) -> None:
    pat = api.as_user("pat", roles=["requester"], email="pat@nowhere.example")
    ticket = opened(pat, "x")
    assert (ticket["contact"], ticket["reporter"]) == (None, "pat")


@pytest.mark.feature("F022")
def test_contacts_are_listed_by_customer(api: Api, kim: Api) -> None:
    api.apply("contacts", email="max@other.example", customer="Other")
    api.apply("contacts", email="free@example.org")

    def found(caller: Api, query: str) -> list[str]:
        return [row["email"] for row in caller.call("GET", f"/contacts?{query}")["items"]]

    assert found(api, "customer=ACME") == ["kim@acme.example", "lou@acme.example"]
    assert found(api, "customer=ACME&email=lou@acme.example") == ["lou@acme.example"]
    assert found(api, "customer=Nobody") == []
    mia = person(api, "mia", memberships=[{"customer": "Other", "role": "viewer"}])
    assert (found(mia, "customer=ACME"), found(mia, "customer=Other")) == ([], ["max@other.example"])
    first = api.call("GET", "/contacts?customer=ACME&limit=1")
    assert found(api, f"customer=ACME&limit=1&cursor={first['next_cursor']}") == ["lou@acme.example"]
