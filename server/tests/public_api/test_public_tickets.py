"""The public API: customers' own programs, their tickets and nobody else's, counted and limited."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from conftest import Api, TurnedClock
from deskplane.app import Desk
from deskplane.public_api import service
from deskplane.public_api.models import Usage
from dumps import dump

PATH = "/public/v1/tickets"


@pytest.fixture
def program(api: Api) -> Api:
    """A key for reading and writing of somebody who works for ACME, which has the public API."""
    for name in ("ACME", "Globex", "Hidden"):
        api.apply("customers", name=name, features={"public_api": name != "Hidden"})
    return key(api, "robot", ["tickets:read", "tickets:write"], customers=["ACME"])


def key(
    api: Api, username: str, scopes: list[str], *, customers: list[str], roles: tuple[str, ...] = ("agent",)
) -> Api:
    made = api.apply(
        "users",
        username=username,
        roles=list(roles),
        memberships=[{"customer": name, "role": "member"} for name in customers],
        api_keys=[{"name": "program", "scopes": scopes, "regenerate": True}],
    )
    return Api(api.client, made["api_keys"][0]["key"], api.desk)


def opened(api: Api, title: str = "Printer", **fields: Any) -> str:
    number: str = api.call("POST", "/tickets", {"title": title, **fields}, status=201)["number"]
    return number


@pytest.mark.feature("F216", "F217", "F010")
def test_a_program_opens_reads_and_changes_its_customers_tickets(api: Api, program: Api) -> None:
    made = program.request("POST", PATH, {"title": "Broken", "description": "*all* of it", "priority": "high"})
    found = made.get_json()
    assert (made.status_code, made.headers["Location"]) == (201, f"{PATH}/{found['number']}")
    assert (found["customer"], found["reporter"], found["status"]) == ("ACME", "robot", "open")
    there = program.request("GET", f"{PATH}/{found['number']}")
    assert there.get_json() == found
    tag = there.headers["ETag"]
    unchanged = program.request("GET", f"{PATH}/{found['number']}", headers={"If-None-Match": tag})
    assert unchanged.status_code == 304
    changed = program.call("PATCH", f"{PATH}/{found['number']}", {"title": "Mended"}, headers={"If-Match": tag})
    assert changed["title"] == "Mended"
    stale = program.call("PATCH", f"{PATH}/{found['number']}", {"title": "x"}, headers={"If-Match": tag}, status=412)
    assert stale["type"].endswith(":stale")
    assert [ticket["title"] for ticket in program.call("GET", PATH)["items"]] == ["Mended"]
    inside = api.call("GET", f"/tickets/{found['number']}")
    assert (inside["title"], inside["source"]) == ("Mended", "api")


@pytest.mark.feature("F216")
def test_what_is_internal_is_not_shown(api: Api, program: Api) -> None:
    number = opened(api, customer="ACME", assignee="root", tags=["secret-tag"], correlation_key="secret-key")
    found = program.request("GET", f"{PATH}/{number}")
    assert set(found.get_json()) == {
        "number", "title", "description", "type", "priority", "status", "customer", "reporter", "created_at",
        "updated_at", "resolved_at", "closed_at", "url",
    }  # fmt: skip
    for path in (f"{PATH}/{number}", PATH):
        text = program.request("GET", path).get_data(as_text=True)
        assert "secret" not in text
    refused = program.call("PATCH", f"{PATH}/{number}", {"tags": ["x"]}, status=422)
    assert refused["errors"][0]["code"] == "unknown_field"


def test_a_ticket_of_another_customer_is_answered_as_one_that_is_not_there(api: Api, program: Api, desk: Desk) -> None:
    numbers = [opened(api, customer="Globex"), opened(api, customer="Hidden"), opened(api), "TKT-999999", "nothing"]
    before = dump(desk)
    for method, body in (("GET", None), ("PATCH", {"title": "mine"})):
        answers = [program.request(method, f"{PATH}/{number}", body) for number in numbers]
        assert {answer.status_code for answer in answers} == {404}
        bodies = [{**answer.get_json(), "request_id": ""} for answer in answers]
        assert all(found == bodies[0] for found in bodies)
    assert program.call("GET", PATH)["items"] == []
    assert program.call("GET", f"{PATH}?customer=Globex")["items"] == []
    refused = program.call("POST", PATH, {"title": "x", "customer": "Globex"}, status=422)
    assert refused["errors"][0]["allowed"] == ["ACME"]
    assert dump(desk) == before


@pytest.mark.feature("F010")
def test_a_customer_without_the_feature_has_no_public_api(api: Api, program: Api) -> None:
    number = opened(api, customer="ACME")
    api.apply("customers", name="ACME", features={"public_api": False})
    for method, path, body in (
        ("GET", PATH, None),
        ("GET", f"{PATH}/{number}", None),
        ("POST", PATH, {"title": "x"}),
        ("PATCH", f"{PATH}/{number}", {"title": "x"}),
    ):
        assert program.call(method, path, body, status=404)["type"].endswith(":feature_disabled")
    api.apply("customers", name="ACME", features={"public_api": True})
    assert program.call("GET", f"{PATH}/{number}")["number"] == number


def test_who_works_for_several_customers_says_for_which(api: Api, program: Api) -> None:
    both = key(api, "both", ["tickets:write"], customers=["ACME", "Globex", "Hidden"])
    refused = both.call("POST", PATH, {"title": "x"}, status=422)
    assert (refused["errors"][0]["code"], refused["errors"][0]["allowed"]) == ("required", ["ACME", "Globex"])
    assert both.call("POST", PATH, {"title": "x", "customer": "Globex"}, status=201)["customer"] == "Globex"
    opened(api, customer="ACME")
    assert len(both.call("GET", PATH)["items"]) == 2
    assert [ticket["customer"] for ticket in both.call("GET", f"{PATH}?customer=ACME")["items"]] == ["ACME"]


@pytest.mark.feature("F216", "F217")
def test_a_scope_allows_what_it_says_as_far_as_its_user_may(api: Api, program: Api) -> None:
    reader = key(api, "reader", ["tickets:read"], customers=["ACME"])
    number = opened(api, customer="ACME")
    assert reader.call("GET", f"{PATH}/{number}")["number"] == number
    assert reader.call("POST", PATH, {"title": "x"}, status=403)["missing_permission"] == "tickets:create"
    assert reader.call("PATCH", f"{PATH}/{number}", {"title": "x"}, status=403)["missing_permission"] == "tickets:edit"
    assert reader.call("GET", "/users", status=403)
    viewer = key(api, "viewer", ["tickets:write"], customers=["ACME"], roles=("viewer",))
    assert viewer.call("POST", PATH, {"title": "x"}, status=403)
    everywhere = key(api, "boss", ["tickets:read"], customers=["ACME"], roles=("admin",))
    other = opened(api, customer="Globex")
    assert everywhere.call("GET", f"{PATH}/{other}", status=404), "the scope does not hold tickets:view_all"


def test_pages_go_on_where_the_last_one_ended(api: Api, program: Api, clock: TurnedClock) -> None:
    for index in range(5):
        clock.turn(seconds=1)
        opened(api, f"{index}", customer="ACME")
    for sort, titles in (("created_at", "01234"), ("-created_at", "43210")):
        found, cursor = [], ""
        while cursor is not None:
            page = program.call("GET", f"{PATH}?limit=2&sort={sort}" + (f"&cursor={cursor}" if cursor else ""))
            found += [ticket["title"] for ticket in page["items"]]
            cursor = page["next_cursor"]
        assert found == list(titles)


@pytest.mark.feature("F218")
def test_a_key_has_so_many_requests_a_minute(api: Api, program: Api, clock: TurnedClock) -> None:
    api.apply("settings", key="public_api.requests_per_minute", value=3)
    clock.turn(seconds=20)
    left = []
    for _ in range(3):
        answer = program.request("GET", PATH)
        assert (answer.status_code, answer.headers["RateLimit-Policy"]) == (200, '"key";q=3;w=60')
        left.append(answer.headers["RateLimit"])
    assert left == ['"key";r=2;t=40', '"key";r=1;t=40', '"key";r=0;t=40']
    refused = program.request("POST", PATH, {"title": "one too many"})
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "40")
    assert api.call("GET", "/tickets")["items"] == []
    assert key(api, "other", ["tickets:read"], customers=["ACME"]).request("GET", PATH).status_code == 200
    clock.turn(seconds=40)
    assert program.request("GET", PATH).status_code == 200


@pytest.mark.feature("F218")
def test_what_a_key_used_is_metered_by_the_day(api: Api, program: Api, clock: TurnedClock, desk: Desk) -> None:
    api.apply("settings", key="public_api.requests_per_minute", value=2)
    for _ in range(3):
        program.request("GET", PATH)
    program.request("GET", f"{PATH}/TKT-404404")
    clock.turn(days=1)
    program.request("GET", f"{PATH}/TKT-404404")
    items = api.call("GET", "/api/v1/public-api/usage")["items"]
    assert [(row["day"], row["username"], row["requests"], row["refused"]) for row in items] == [
        ("2026-03-03", "robot", 1, 0),
        ("2026-03-02", "robot", 4, 2),
    ]
    assert len(api.call("GET", "/api/v1/public-api/usage?since=2026-03-03")["items"]) == 1
    assert program.call("GET", "/api/v1/public-api/usage", status=403)
    clock.time += timedelta(days=service.KEPT_DAYS)
    desk.database.run(lambda session: service.forget_old(desk.automation(session)), write=True)
    with desk.database.transaction(write=False) as session:
        assert session.execute(select(Usage.day)).scalars().all() == ["2026-03-03"]
