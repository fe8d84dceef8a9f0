"""Opening tickets: what is needed, what is filled in, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from ticket_help import EVERYTHING, dump, opened, person, places, read

from conftest import Api, TurnedClock
from deskplane.app import Desk


@pytest.mark.feature("F029", "F034", "F044", "F045", "F052", "F082")
def test_a_title_is_all_that_a_ticket_needs(api: Api) -> None:
    ticket = opened(api, "The printer is on fire")
    assert ticket == ticket | {
        "number": "TKT-000001",
        "title": "The printer is on fire",
        "description": "",
        "description_html": "",
        "type": None,
        "priority": "medium",
        "effective_priority": "medium",
        "status": "open",
        "remind_at": None,
        "customer": None,
        "department": None,
        "assignee": None,
        "owner": None,
        "reporter": "root",
        "created_by": "root",
        "tags": [],
        "labels": [],
        "source": "api",
        "correlation_key": None,
        "occurrences": 1,
        "reopened_count": 0,
        "created_at": "2026-03-02T09:00:00Z",
        "updated_at": "2026-03-02T09:00:00Z",
        "last_occurred_at": "2026-03-02T09:00:00Z",
        "resolved_at": None,
        "closed_at": None,
    }
    assert ticket["sla"]["policy"] is None
    assert ticket["sla"]["state"] == "none"


def test_the_answer_tells_where_the_ticket_is(api: Api) -> None:
    answer = api.request("POST", "/tickets", {"title": "x"})
    assert answer.status_code == 201
    assert answer.headers["Location"] == "/api/v1/tickets/TKT-000001"
    got = api.request("GET", answer.headers["Location"])
    assert got.get_json() == answer.get_json()
    assert got.headers["ETag"] == answer.headers["ETag"]


@pytest.mark.feature("F029", "F030", "F035", "F036", "F037", "F040", "F041", "F042", "F044", "F085")
def test_every_field_is_kept(api: Api) -> None:
    api.apply("customers", name="ACME")
    api.apply("departments", name="Service Desk")
    api.apply("labels", name="outage")
    api.as_user("mia", roles=["agent"], memberships=[{"customer": "ACME", "role": "member"}])
    api.apply("departments", name="Service Desk", members=["mia"])
    fields: dict[str, Any] = {
        "title": "Nothing works",
        "description": "It is **all** gone.",
        "type": "incident",
        "priority": "high",
        "status": "waiting",
        "remind_at": "2026-03-05T10:00:00+01:00",
        "customer": "ACME",
        "department": "Service Desk",
        "assignee": "mia",
        "owner": "mia",
        "tags": ["b", "a", "b"],
        "labels": ["outage"],
        "source": "ansible",
        "correlation_key": "deploy/shop",
    }
    ticket = opened(api, **fields)
    expected = fields | {"remind_at": "2026-03-05T09:00:00Z", "tags": ["a", "b"]}
    assert {name: ticket[name] for name in fields} == expected
    assert ticket["description_html"] == "<p>It is <strong>all</strong> gone.</p>\n"
    assert read(api, ticket["number"]) == ticket


@pytest.mark.feature("F029", "F082")
@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({}, {"title": "required"}),
        ({"title": None}, {"title": "required"}),
        ({"title": ""}, {"title": "too_short"}),
        ({"title": "   "}, {"title": "too_short"}),
        ({"title": "x" * 301}, {"title": "too_long"}),
        ({"title": "two\nlines"}, {"title": "control_character"}),
        ({"title": 7}, {"title": "wrong_type"}),
        ({"title": "x", "number": "TKT-000009"}, {"number": "unknown_field"}),
        ({"title": "x", "created_at": "2026-01-01T00:00:00Z"}, {"created_at": "unknown_field"}),
        ({"title": "x", "priority": "huge"}, {"priority": "not_allowed"}),
        ({"title": "x", "status": "done"}, {"status": "not_allowed"}),
        ({"title": "x", "tags": ["ok", ""]}, {"tags/1": "too_short"}),
        ({"title": "x", "comment": "no comment with a new ticket"}, {"comment": "unknown_field"}),
    ],
)
def test_what_is_no_ticket_is_refused_and_stores_nothing(
    api: Api, desk: Desk, body: dict[str, Any], found: dict[str, str]
) -> None:
    before = dump(desk)
    assert places(api.call("POST", "/tickets", body, status=422)) == found
    assert dump(desk) == before


def test_every_bad_field_is_named_at_once(api: Api) -> None:
    problem = api.call("POST", "/tickets", {"priority": "huge", "remind_at": "soon", "colour": "red"}, status=422)
    assert places(problem) == {
        "title": "required",
        "priority": "not_allowed",
        "remind_at": "bad_format",
        "colour": "unknown_field",
    }


@pytest.mark.feature("F058", "F059")
def test_every_reference_to_nothing_is_named_at_once_with_what_there_is(api: Api) -> None:
    api.apply("labels", name="outage")
    problem = api.call(
        "POST",
        "/tickets",
        {
            "title": "x",
            "type": "incidnet",
            "customer": "ACME",
            "department": "Desk",
            "assignee": "mia",
            "owner": "tom",
            "labels": ["outage", "outtage"],
        },
        status=422,
    )
    assert places(problem) == {
        "type": "unknown_reference",
        "customer": "unknown_reference",
        "department": "unknown_reference",
        "assignee": "unknown_reference",
        "owner": "unknown_reference",
        "labels": "unknown_reference",
    }
    details = {error["pointer"]: error["detail"] for error in problem["errors"]}
    assert details["#/type"] == "there is no ticket type named 'incidnet'; did you mean incident?"
    assert details["#/labels"] == "there is no label named 'outtage'; did you mean outage?"
    allowed = {error["pointer"]: error.get("allowed") for error in problem["errors"]}
    assert allowed["#/type"] == ["change_request", "incident", "problem", "service_request"]


def test_a_reference_that_is_nearly_right_is_hinted_at_among_what_the_caller_may_see(api: Api) -> None:
    api.apply("customers", name="Northwind")
    api.apply("customers", name="Southwind")
    mia = person(api, "mia", "tickets:create", memberships=[{"customer": "Northwind", "role": "member"}])
    problem = mia.call("POST", "/tickets", {"title": "x", "customer": "Southwin"}, status=422)
    assert "Southwind" not in problem["detail"]
    assert problem["detail"].endswith("did you mean Northwind?")


@pytest.mark.parametrize("field", ["type", "customer", "department", "assignee", "owner"])
def test_null_for_a_reference_is_none(api: Api, field: str) -> None:
    assert opened(api, **{field: None})[field] is None


@pytest.mark.feature("F042", "F083")
def test_the_department_falls_back_to_the_creators_and_then_to_the_desks(api: Api) -> None:
    for name in ("Given", "Mine", "Desk"):
        api.apply("departments", name=name)
    person(api, "mia", *EVERYTHING, "tickets:create", default_department="Mine")
    mia = person(api, "mia", *EVERYTHING, "tickets:create")
    assert opened(api)["department"] is None
    api.apply("settings", key="department.default", value="Desk")
    assert opened(api)["department"] == "Desk"
    assert opened(mia)["department"] == "Mine"
    assert opened(mia, department="Given")["department"] == "Given"
    assert opened(mia, department=None)["department"] is None


@pytest.mark.feature("F139")
def test_a_disabled_department_takes_no_new_tickets_and_is_no_default(api: Api) -> None:
    api.apply("departments", name="Old", enabled=False)
    problem = api.call("POST", "/tickets", {"title": "x", "department": "Old"}, status=422)
    assert places(problem) == {"department": "disabled"}
    api.apply("settings", key="department.default", value="Old")
    assert opened(api)["department"] is None


@pytest.mark.feature("F004", "F054", "F055", "F057")
def test_numbers_count_from_one_for_each_prefix(api: Api) -> None:
    api.apply("customers", name="ACME", number_prefix="ACME")
    api.apply("customers", name="Plain")
    numbers = [opened(api, customer=name)["number"] for name in ("ACME", "Plain", "ACME", None)]
    assert numbers == ["ACME-000001", "TKT-000001", "ACME-000002", "TKT-000002"]
    api.apply("settings", key="numbering.prefix", value="OPS")
    assert opened(api)["number"] == "OPS-000001"


@pytest.mark.feature("F054")
def test_a_number_grows_beyond_six_digits(api: Api, desk: Desk) -> None:
    from sqlalchemy import insert

    from deskplane.tickets.models import Counter

    desk.database.run(lambda session: session.execute(insert(Counter).values(prefix="TKT", last=999_999)), write=True)
    number = opened(api)["number"]
    assert number == "TKT-1000000"
    assert read(api, number)["number"] == number


def test_a_deleted_ticket_leaves_its_hole(api: Api) -> None:
    opened(api)
    api.call("DELETE", f"/tickets/{opened(api)['number']}", status=204)
    assert opened(api)["number"] == "TKT-000003"


def test_a_ticket_that_was_refused_takes_no_number(api: Api) -> None:
    api.call("POST", "/tickets", {"title": "x", "type": "nothing"}, status=422)
    api.call("POST", "/tickets", {"title": "x", "status": "open", "remind_at": "2026-03-05T10:00:00Z"}, status=422)
    assert opened(api)["number"] == "TKT-000001"


@pytest.mark.feature("F085", "F090", "F173", "F175")
def test_opening_needs_its_permission_and_assigning_and_ending_need_theirs(api: Api) -> None:
    viewer = person(api, "viewer", *EVERYTHING)
    opener = person(api, "opener", *EVERYTHING, "tickets:create")
    assert viewer.call("POST", "/tickets", {"title": "x"}, status=403)["missing_permission"] == "tickets:create"
    for field, value, permission in (
        ("assignee", "root", "tickets:assign"),
        ("status", "closed", "tickets:close"),
    ):
        problem = opener.call("POST", "/tickets", {"title": "x", field: value}, status=403)
        assert problem["missing_permission"] == permission
    assert opened(opener)["number"] == "TKT-000001"


@pytest.mark.feature("F036", "F037", "F038")
def test_an_assignee_must_be_someone_who_may_see_the_ticket(api: Api) -> None:
    api.apply("customers", name="ACME")
    api.apply("customers", name="Other")
    person(api, "inside", memberships=[{"customer": "ACME", "role": "member"}])
    person(api, "outside", memberships=[{"customer": "Other", "role": "member"}])
    person(api, "onlooker", memberships=[{"customer": "ACME", "role": "viewer"}])
    api.as_user("nobody")
    person(api, "gone", *EVERYTHING, enabled=False)
    assert opened(api, customer="ACME", assignee="inside", owner="inside")["assignee"] == "inside"
    for username in ("outside", "onlooker", "nobody", "gone"):
        for field in ("assignee", "owner"):
            problem = api.call("POST", "/tickets", {"title": "x", "customer": "ACME", field: username}, status=422)
            assert places(problem) == {field: "not_allowed"}


def test_the_same_idempotency_key_makes_one_ticket(api: Api, desk: Desk) -> None:
    headers = {"Idempotency-Key": "3f1b"}
    first = api.request("POST", "/tickets", {"title": "x"}, headers=headers)
    before = dump(desk)
    again = api.request("POST", "/tickets", {"title": "x"}, headers=headers)
    assert (again.status_code, again.data, again.headers["Location"]) == (201, first.data, first.headers["Location"])
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["ETag"] == first.headers["ETag"]
    assert dump(desk) == before
    api.call("POST", "/tickets", {"title": "y"}, status=422, headers=headers)
    api.call("POST", "/tickets", {"title": "x"}, status=400, headers={"Idempotency-Key": "has a space"})


def test_an_idempotency_key_is_ones_own_and_lasts_a_day(api: Api, clock: TurnedClock) -> None:
    headers = {"Idempotency-Key": "one"}
    mia = person(api, "mia", *EVERYTHING, "tickets:create")
    numbers = [
        api.call("POST", "/tickets", {"title": "x"}, status=201, headers=headers)["number"],
        mia.call("POST", "/tickets", {"title": "x"}, status=201, headers=headers)["number"],
    ]
    clock.turn(hours=23)
    numbers.append(api.call("POST", "/tickets", {"title": "x"}, status=201, headers=headers)["number"])
    clock.turn(hours=1, seconds=1)
    numbers.append(api.call("POST", "/tickets", {"title": "x"}, status=201, headers=headers)["number"])
    assert numbers == ["TKT-000001", "TKT-000002", "TKT-000001", "TKT-000003"]


def test_a_refused_request_leaves_its_idempotency_key_free(api: Api) -> None:
    headers = {"Idempotency-Key": "later"}
    api.call("POST", "/tickets", {"title": "x", "customer": "ACME"}, status=422, headers=headers)
    api.apply("customers", name="ACME")
    assert api.call("POST", "/tickets", {"title": "x", "customer": "ACME"}, status=201, headers=headers)["number"]


def test_a_correlation_key_that_an_open_ticket_has_is_a_conflict_that_names_it(api: Api, desk: Desk) -> None:
    first = opened(api, correlation_key="disk")
    before = dump(desk)
    problem = api.call("POST", "/tickets", {"title": "y", "correlation_key": "disk"}, status=409)
    assert first["number"] in problem["detail"]
    assert problem["type"].endswith("correlation_key_taken")
    assert dump(desk) == before
    api.apply("customers", name="ACME")
    opened(api, correlation_key="disk", customer="ACME")
    api.call("PATCH", f"/tickets/{first['number']}", {"status": "closed"})
    assert opened(api, correlation_key="disk")["number"] == "TKT-000003"
