"""Links and references as an apply declares them: sets, of which what is given replaces what was there."""

from __future__ import annotations

from typing import Any

import pytest
from test_ticket_history import assert_history_is_true
from ticket_help import EVERYTHING, dump, events, opened, person, places

from conftest import Api

pytestmark = pytest.mark.feature("F048", "F049")

RUN = {"type": "pipeline", "title": "Run 7", "url": "https://git.example/runs/7"}
ISSUE = {"type": "issue", "title": "Issue 1", "url": "https://git.example/issues/1"}


def apply(api: Api, status: int | None = None, **fields: Any) -> Any:
    return api.apply("tickets", status=status, title="x", correlation_key="k", **fields)


def test_what_is_declared_is_there_and_a_second_time_is_no_change(api: Api) -> None:
    a, b = opened(api, "a")["number"], opened(api, "b")["number"]
    wanted = [{"type": "caused_by", "ticket": b}, {"type": "blocks", "ticket": a}]
    first = apply(api, links=wanted, references=[RUN, ISSUE])
    number = first["after"]["number"]
    assert first["action"] == "create"
    assert first["after"]["links"] == [{"type": "blocks", "ticket": a}, {"type": "caused_by", "ticket": b}]
    assert first["after"]["references"] == [ISSUE, RUN]
    before = dump(api.desk)
    shuffled = [wanted[1] | {"ticket": a.lower()}, wanted[0]]
    assert apply(api, links=shuffled, references=[ISSUE, RUN])["action"] == "none"
    assert apply(api)["action"] == "none"
    assert "links" not in apply(api)["after"]
    assert dump(api.desk) == before
    answer = apply(api, links=[wanted[1]], references=[])
    assert {change["field"] for change in answer["changes"]} == {"links", "references"}
    assert answer["after"]["links"] == [{"type": "blocks", "ticket": a}]
    assert answer["after"]["references"] == []
    assert events(api.desk)[-1] == ("ticket_updated", number)
    assert len(events(api.desk)) == 4
    assert apply(api, links=None)["after"]["links"] == []
    for one in (a, b, number):
        assert_history_is_true(api, one)


def test_a_dry_run_says_what_the_real_run_does(api: Api) -> None:
    a = opened(api, "a")["number"]
    apply(api)
    declared = {"links": [{"type": "blocks", "ticket": a}], "references": [RUN]}
    before = dump(api.desk)
    planned = apply(api, dry_run=True, **declared)
    assert dump(api.desk) == before
    real = apply(api, **declared)
    assert (planned["action"], planned["changes"]) == (real["action"], real["changes"]) == ("update", real["changes"])
    assert len(real["changes"]) == 2


def test_one_event_and_one_version_for_fields_and_relations(api: Api) -> None:
    apply(api)
    count = len(events(api.desk))
    tag = api.request("POST", "/tickets/apply", {"title": "x", "correlation_key": "k"}).headers["ETag"]
    body = {"title": "x", "correlation_key": "k", "priority": "high", "references": [RUN]}
    after = api.request("POST", "/tickets/apply", body).headers["ETag"]
    assert len(events(api.desk)) == count + 1
    assert int(after.strip('"').split("-")[0]) == int(tag.strip('"').split("-")[0]) + 1


def test_a_link_that_the_caller_does_not_see_stays_and_is_none_to_name(api: Api) -> None:
    api.apply("customers", name="ACME")
    api.apply("customers", name="Secret")
    rights = ("tickets:edit", "tickets:create", "tickets:view_all_departments")
    mia = person(api, "mia", *rights, memberships=[{"customer": "ACME", "role": "member"}])
    hidden, seen = opened(api, customer="Secret")["number"], opened(api, customer="ACME")["number"]
    number = apply(api, customer="ACME", links=[{"type": "blocks", "ticket": hidden}])["after"]["number"]
    answer = apply(mia, customer="ACME", links=[{"type": "blocks", "ticket": seen}])
    assert answer["before"]["links"] == []
    assert {link["ticket"] for link in api.call("GET", f"/tickets/{number}/links")["items"]} == {hidden, seen}
    before = dump(api.desk)
    problems = [
        apply(mia, 422, customer="ACME", links=[{"type": "causes", "ticket": name}]) for name in (hidden, "TKT-000099")
    ]
    assert [places(problem) for problem in problems] == [{"links/0/ticket": "unknown_reference"}] * 2
    assert dump(api.desk) == before


@pytest.mark.parametrize(
    ("field", "bad", "place"),
    [
        ("links", [{"type": "likes", "ticket": "TKT-000001"}], "links/0/type"),
        ("links", [{"type": "blocks"}], "links/0/ticket"),
        ("links", [{"type": "blocks", "ticket": "TKT-000001"}] * 2, "links/1/type"),
        ("links", "TKT-000001", "links"),
        ("references", [{**RUN, "url": "javascript:x"}], "references/0/url"),
        ("references", [{"type": "url", "url": "https://x.example"}], "references/0/title"),
        ("references", [RUN, RUN], "references/1/type"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(api: Api, field: str, bad: Any, place: str) -> None:
    opened(api)
    before = dump(api.desk)
    assert list(places(apply(api, 422, **{field: bad}))) == [place]
    assert dump(api.desk) == before


def test_who_may_not_edit_links_nothing(api: Api) -> None:
    a = opened(api)["number"]
    mia = person(api, "mia", *EVERYTHING, "tickets:create")
    before = dump(api.desk)
    for declared in ({"links": [{"type": "blocks", "ticket": a}]}, {"references": [RUN]}):
        assert apply(mia, 403, **declared)["missing_permission"] == "tickets:edit"
    assert dump(api.desk) == before


def test_a_parent_is_replaced_by_another_in_one_go(api: Api) -> None:
    a, b = opened(api, "a")["number"], opened(api, "b")["number"]
    apply(api, links=[{"type": "child_of", "ticket": a}])
    answer = apply(api, links=[{"type": "child_of", "ticket": b}])
    assert answer["after"]["links"] == [{"type": "child_of", "ticket": b}]
