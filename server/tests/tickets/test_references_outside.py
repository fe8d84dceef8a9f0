"""References: typed links to what is outside of the desk."""

from __future__ import annotations

from typing import Any

import pytest
from ticket_help import EVERYTHING, dump, events, history, opened, person, places

from conftest import Api

pytestmark = pytest.mark.feature("F049")

CARD = {"type": "board_card", "title": "Card 7", "url": "https://board.example/cards/7"}


def add(api: Api, number: str, status: int = 201, **fields: Any) -> Any:
    return api.call("POST", f"/tickets/{number}/references", {**CARD, **fields}, status=status)


def of(api: Api, number: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.call("GET", f"/tickets/{number}/references")["items"]
    return found


@pytest.mark.parametrize("type_", ["board_card", "pull_request", "issue", "pipeline", "url"])
def test_a_ticket_refers_to_something_outside(api: Api, type_: str) -> None:
    number = opened(api)["number"]
    made = add(api, number, type=type_)
    assert made == of(api, number)[0]
    assert (made["type"], made["title"], made["author"]) == (type_, "Card 7", "root")
    told = {**CARD, "type": type_}
    assert [(row["field"], row["new"]) for row in history(api, number)[1:]] == [("reference", told)]
    api.call("DELETE", f"/tickets/{number}/references/{made['id']}", status=204)
    assert of(api, number) == []
    last = history(api, number)[-1]
    assert (last["old"], last["new"]) == (told, None)
    assert events(api.desk)[1:] == [("ticket_updated", number)] * 2


def test_the_same_address_and_type_again_is_no_change(api: Api) -> None:
    number = opened(api)["number"]
    made = add(api, number)
    before = dump(api.desk)
    assert add(api, number, status=200, title="Another title", url="HTTPS://BOARD.example/cards/7") == made
    assert dump(api.desk) == before
    assert add(api, number, type="url")["id"] != made["id"]


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("url", "javascript:alert(1)"),
        ("url", "ftp://x.example/y"),
        ("url", "https://user:secret@x.example"),
        ("url", "//x.example"),
        ("url", "https://x.example/\u0000"),
        ("url", None),
        ("type", "card"),
        ("title", ""),
        ("title", "two\nlines"),
        ("title", 7),
    ],
)
def test_what_is_no_reference_is_refused(api: Api, field: str, bad: Any) -> None:
    number = opened(api)["number"]
    before = dump(api.desk)
    assert list(places(add(api, number, status=422, **{field: bad}))) == [field]
    assert dump(api.desk) == before


def test_every_bad_place_is_named(api: Api) -> None:
    number = opened(api)["number"]
    problem = api.call("POST", f"/tickets/{number}/references", {"type": "x", "url": "y", "more": 1}, status=422)
    assert set(places(problem)) == {"type", "url", "title", "more"}


def test_a_stale_caller_and_one_without_the_right_change_nothing(api: Api) -> None:
    number = opened(api)["number"]
    made = add(api, number)
    before = dump(api.desk)
    stale = {"If-Match": '"1"'}
    assert api.request("POST", f"/tickets/{number}/references", CARD, headers=stale).status_code == 412
    assert api.request("DELETE", f"/tickets/{number}/references/{made['id']}", headers=stale).status_code == 412
    assert dump(api.desk) == before
    mia = person(api, "mia", *EVERYTHING)
    before = dump(api.desk)
    assert mia.request("POST", f"/tickets/{number}/references", {**CARD, "type": "url"}).status_code == 403
    assert mia.request("DELETE", f"/tickets/{number}/references/{made['id']}").status_code == 403
    assert dump(api.desk) == before


def test_a_reference_of_another_ticket_is_not_found(api: Api) -> None:
    one, two = opened(api)["number"], opened(api)["number"]
    made = add(api, one)
    for wrong in (made["id"], "x", "-1", "9" * 30, "٣"):
        api.call("DELETE", f"/tickets/{two}/references/{wrong}", status=404)
    assert of(api, one) == [made]


def test_a_repeated_request_with_its_key_is_answered_as_the_first(api: Api) -> None:
    number = opened(api)["number"]
    keyed = {"Idempotency-Key": "k"}
    first = api.request("POST", f"/tickets/{number}/references", CARD, headers=keyed)
    again = api.request("POST", f"/tickets/{number}/references", CARD, headers=keyed)
    assert (first.status_code, again.status_code, again.get_json()) == (201, 201, first.get_json())


def test_nothing_is_added_to_a_final_ticket(api: Api) -> None:
    api.apply("departments", name="Ops", workflow="itil")
    number = opened(api, department="Ops")["number"]
    made = add(api, number)
    api.call("PATCH", f"/tickets/{number}", {"status": "cancelled"})
    assert add(api, number, status=422, type="url")["type"].endswith(":final")
    api.call("DELETE", f"/tickets/{number}/references/{made['id']}", status=422)
