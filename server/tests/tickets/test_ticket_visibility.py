"""Who sees which ticket: customers and departments are walls, on every way in."""

from __future__ import annotations

import pytest
from ticket_help import listed, opened, person

from conftest import Api

ALL, ALL_DEPARTMENTS = "tickets:view_all", "tickets:view_all_departments"
MEMBER = {"memberships": [{"customer": "ACME", "role": "member"}]}


@pytest.fixture
def tickets(api: Api) -> dict[str, str]:
    """A ticket for every customer (and none) in every department (and none), by its title."""
    api.apply("customers", name="ACME")
    api.apply("customers", name="Other")
    api.apply("departments", name="Mine")
    api.apply("departments", name="Theirs")
    found = {}
    for customer in ("ACME", "Other", None):
        for department in ("Mine", "Theirs", None):
            title = f"{customer} {department}"
            found[title] = opened(api, title, customer=customer, department=department, correlation_key="k" + title)[
                "number"
            ]
    return found


CASES = [
    pytest.param((), {}, False, set(), id="stranger"),
    pytest.param((), MEMBER, False, {"ACME None"}, id="member"),
    pytest.param(
        (), {"memberships": [{"customer": "ACME", "role": "viewer"}]}, False, set(), id="viewer of the customer"
    ),
    pytest.param((), {}, True, {"None Mine"}, id="in the department alone"),
    pytest.param((), MEMBER, True, {"ACME Mine", "ACME None", "None Mine"}, id="member in the department"),
    pytest.param((ALL_DEPARTMENTS,), MEMBER, False, {"ACME Mine", "ACME Theirs", "ACME None"}, id="all departments"),
    pytest.param(
        (ALL,),
        {},
        True,
        {"ACME Mine", "ACME None", "Other Mine", "Other None", "None Mine", "None None"},
        id="all customers",
    ),
]


@pytest.mark.feature("F147", "F177", "F185", "F188")
@pytest.mark.parametrize(("permissions", "fields", "in_department", "visible"), CASES)
def test_no_way_in_shows_more_than_one_may_see(
    api: Api,
    tickets: dict[str, str],
    permissions: tuple[str, ...],
    fields: dict[str, object],
    in_department: bool,
    visible: set[str],
) -> None:
    rights = (*permissions, "tickets:edit", "tickets:close", "tickets:delete", "tickets:comment")
    mia = person(api, "mia", *rights, **fields)
    if in_department:
        api.apply("departments", name="Mine", members=["mia"])
    assert set(listed(mia)) == visible
    for title, number in tickets.items():
        expected = 200 if title in visible else 404
        customer, _, department = title.partition(" ")
        assert mia.request("GET", f"/tickets/{number}").status_code == expected
        assert mia.request("GET", f"/tickets/{number}/history").status_code == expected
        assert mia.request("PATCH", f"/tickets/{number}", {"tags": ["seen"]}).status_code == expected
        shown = [title] if title in visible else []
        for query in (
            f"?title={title}",
            f"?correlation_key=k{title}",
            f"?customer={customer.replace('None', 'none')}&department={department.replace('None', 'none')}",
        ):
            assert listed(mia, query) == shown
        key: dict[str, object] = {"title": "t", "correlation_key": "k" + title, "state": "resolved"}
        if customer != "None":
            key["customer"] = customer
        answer = mia.request("POST", "/tickets/apply", key)
        if title in visible:
            assert answer.get_json()["action"] == "update"
        else:
            assert answer.status_code == 422 or answer.get_json()["action"] == "none", answer.get_json()
            assert number not in answer.get_data(as_text=True)


@pytest.mark.feature("F052", "F090")
def test_what_one_reported_or_is_assigned_one_sees(api: Api, tickets: dict[str, str]) -> None:
    rita = api.as_user("rita", roles=["requester"])
    number = opened(rita, "mine", department="Theirs")["number"]
    assert listed(rita) == ["mine"]
    tom = api.as_user("tom", roles=["agent"])
    api.apply("departments", name="Theirs", members=["tom"])
    api.call("PATCH", f"/tickets/{number}", {"assignee": "tom"})
    api.apply("departments", name="Theirs", members=[])
    assert listed(tom) == ["mine"]
    api.call("PATCH", f"/tickets/{number}", {"assignee": None})
    assert listed(tom) == []


@pytest.mark.feature("F177", "F182", "F185")
def test_rights_act_at_the_next_request(api: Api, tickets: dict[str, str]) -> None:
    mia = person(api, "mia")
    assert listed(mia) == []
    api.apply("users", username="mia", memberships=[{"customer": "ACME", "role": "member"}])
    assert listed(mia) == ["ACME None"]
    api.apply("roles", name="of mia", permissions=["tickets:access", ALL_DEPARTMENTS])
    assert len(listed(mia)) == 3
    api.apply("users", username="mia", enabled=False)
    mia.call("GET", "/tickets", status=401)


@pytest.mark.feature("F091")
def test_a_requester_reads_no_internal_message_and_no_history_of_internal_fields(api: Api) -> None:
    rita = api.as_user("rita", roles=["requester"])
    number = opened(rita, "mine", tags=["secret-tag"])["number"]
    body = {"comment": "secret-note", "assignee": "root", "tags": ["secret-word"], "priority": "low"}
    api.call("PATCH", f"/tickets/{number}", body)
    assert rita.call("GET", f"/tickets/{number}/messages")["items"] == []
    seen = rita.request("GET", f"/tickets/{number}/history")
    assert [entry["field"] for entry in seen.get_json()["items"]] == ["created", "priority"]
    assert "secret" not in seen.get_data(as_text=True)
    assert len(api.call("GET", f"/tickets/{number}/messages")["items"]) == 1


def test_a_key_sees_no_more_than_its_scopes(api: Api, tickets: dict[str, str]) -> None:
    api.as_user("ci", roles=["admin"])
    scopes = ["tickets:access", "tickets:create"]
    made = api.apply("users", username="ci", api_keys=[{"name": "small", "scopes": scopes}])
    key = Api(api.client, made["api_keys"][0]["key"], api.desk)
    assert listed(key) == []
    number = opened(key, "of the key")["number"]
    key.call("PATCH", f"/tickets/{number}", {"title": "x"}, status=403)
    assert listed(key) == ["of the key"]
