"""Links between tickets: one row, seen from both sides, by those who may see both tickets."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from ticket_help import EVERYTHING, dump, events, history, opened, person, places, read

from conftest import Api
from deskplane.app import create_app

pytestmark = pytest.mark.feature("F048")

PAIRS = [
    ("relates_to", "relates_to"),
    ("duplicates", "duplicated_by"),
    ("causes", "caused_by"),
    ("blocks", "blocked_by"),
    ("parent_of", "child_of"),
]


def link(api: Api, one: str, type_: str, other: str, status: int = 204) -> Any:
    return api.call("PUT", f"/tickets/{one}/links/{type_}/{other}", status=status)


def links(api: Api, number: str) -> list[tuple[str, str]]:
    return [(item["type"], item["ticket"]) for item in api.call("GET", f"/tickets/{number}/links")["items"]]


@pytest.fixture
def three(api: Api) -> tuple[str, str, str]:
    a, b, c = (opened(api, title)["number"] for title in "abc")
    return a, b, c


@pytest.mark.parametrize(("forward", "inverse"), PAIRS)
def test_both_tickets_show_a_link_each_from_its_side(
    api: Api, three: tuple[str, str, str], forward: str, inverse: str
) -> None:
    a, b, _ = three
    link(api, a, forward, b)
    assert (links(api, a), links(api, b)) == ([(forward, b)], [(inverse, a)])
    before = dump(api.desk)
    link(api, a, forward, b)
    link(api, b, inverse, a)  # the same, said from the other side
    assert dump(api.desk) == before
    assert [(row["old"], row["new"]) for row in history(api, a)[1:]] == [(None, {"type": forward, "ticket": b})]
    assert [(row["old"], row["new"]) for row in history(api, b)[1:]] == [(None, {"type": inverse, "ticket": a})]
    api.call("DELETE", f"/tickets/{b}/links/{inverse}/{a}", status=204)
    assert (links(api, a), links(api, b)) == ([], [])
    before = dump(api.desk)
    api.call("DELETE", f"/tickets/{a}/links/{forward}/{b}", status=204)
    assert dump(api.desk) == before
    assert history(api, a)[-1]["old"] == {"type": forward, "ticket": b}


def test_a_link_raises_both_versions_and_is_one_event(api: Api, three: tuple[str, str, str]) -> None:
    a, b, _ = three
    tags = [api.request("GET", f"/tickets/{number}").headers["ETag"] for number in (a, b)]
    link(api, a, "blocks", b)
    for number, tag in zip((a, b), tags, strict=True):
        path = f"/tickets/{number}/links/causes/{three[2]}"
        assert api.request("PUT", path, headers={"If-Match": tag}).status_code == 412
    assert events(api.desk)[3:] == [("ticket_updated", a)]
    current = api.request("GET", f"/tickets/{a}").headers["ETag"]
    assert api.request("PUT", f"/tickets/{a}/links/causes/{three[2]}", headers={"If-Match": current}).status_code == 204


def test_a_ticket_has_no_link_to_itself_and_none_of_an_unknown_type(api: Api, three: tuple[str, str, str]) -> None:
    before = dump(api.desk)
    for type_ in ("relates_to", "parent_of"):
        assert places(link(api, three[0], type_, three[0], 422)) == {"ticket": "not_allowed"}
    problem = link(api, three[0], "likes", three[1], 422)
    assert "blocked_by" in problem["errors"][0]["allowed"]
    for missing in ("TKT-000099", "x", "TKT-1x", "none"):
        link(api, three[0], "blocks", missing, 404)
        link(api, missing, "blocks", three[0], 404)
    assert dump(api.desk) == before


def test_a_ticket_has_one_parent_and_is_never_above_itself(api: Api, three: tuple[str, str, str]) -> None:
    a, b, c = three
    link(api, a, "parent_of", b)
    link(api, b, "parent_of", c)
    before = dump(api.desk)
    for one, type_, other in ((c, "parent_of", a), (a, "child_of", c), (b, "parent_of", a)):
        assert places(link(api, one, type_, other, 422)) == {"ticket": "cycle"}
    assert link(api, a, "parent_of", c, 409)["type"].endswith(":has_parent")
    assert dump(api.desk) == before
    api.call("DELETE", f"/tickets/{c}/links/child_of/{b}", status=204)
    link(api, c, "parent_of", a)
    assert links(api, a) == [("parent_of", b), ("child_of", c)]


def test_callers_at_once_make_no_circle(api: Api) -> None:
    """Each link is fine by itself, and all four together would be a circle."""
    numbers = [opened(api, str(index))["number"] for index in range(4)]
    app = create_app(api.desk)
    barrier, answers = threading.Barrier(4), []

    def tie(index: int) -> None:
        client = Api(app.test_client(), api.key, api.desk)
        path = f"/tickets/{numbers[index]}/links/parent_of/{numbers[(index + 1) % 4]}"
        barrier.wait()
        answers.append(client.request("PUT", path).status_code)

    threads = [threading.Thread(target=tie, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [204, 204, 204, 422]


def test_opposite_links_at_once_wait_for_each_other_in_one_order(api: Api, three: tuple[str, str, str]) -> None:
    a, b, _ = three
    app = create_app(api.desk)
    barrier, answers = threading.Barrier(6), []

    def tie(one: str, type_: str, other: str) -> None:
        client = Api(app.test_client(), api.key, api.desk)
        barrier.wait()
        answers.append(client.request("PUT", f"/tickets/{one}/links/{type_}/{other}").status_code)

    wanted = [(a, "blocks", b), (b, "blocked_by", a), (b, "blocks", a)] * 2
    threads = [threading.Thread(target=tie, args=arguments) for arguments in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [204] * 6
    assert sorted(links(api, a)) == [("blocked_by", b), ("blocks", b)]
    assert len(history(api, a)) == len(history(api, b)) == 3


def test_a_link_to_a_ticket_that_one_may_not_see_is_not_shown(api: Api) -> None:
    api.apply("customers", name="ACME")
    api.apply("customers", name="Secret")
    member = {"memberships": [{"customer": "ACME", "role": "member"}]}
    mia = person(api, "mia", "tickets:edit", "tickets:view_all_departments", "tickets:read_internal", **member)
    mine, theirs = opened(api, customer="ACME")["number"], opened(api, customer="Secret")["number"]
    link(api, mine, "blocks", theirs)
    assert links(api, mine) == [("blocks", theirs)]
    assert links(mia, mine) == []
    seen = mia.request("GET", f"/tickets/{mine}/history").get_data(as_text=True)
    assert theirs not in seen
    bodies = []
    for other in (theirs, "TKT-000099"):
        for method in ("PUT", "DELETE"):
            bodies.append(mia.call(method, f"/tickets/{mine}/links/causes/{other}", status=404) | {"request_id": ""})
    assert all(body == bodies[0] for body in bodies)
    assert links(api, mine) == [("blocks", theirs)]


def test_who_may_not_edit_may_not_link(api: Api, three: tuple[str, str, str]) -> None:
    mia = person(api, "mia", *EVERYTHING, "tickets:comment")
    assert mia.request("PUT", f"/tickets/{three[0]}/links/blocks/{three[1]}").status_code == 403
    link(api, three[0], "blocks", three[1])
    assert mia.request("DELETE", f"/tickets/{three[0]}/links/blocks/{three[1]}").status_code == 403
    assert links(mia, three[0]) == [("blocks", three[1])]


def test_nothing_is_linked_to_a_final_ticket(api: Api) -> None:
    api.apply("departments", name="Ops", workflow="itil")
    ended = opened(api, department="Ops", status="cancelled")["number"]
    other = opened(api)["number"]
    for one, two in ((ended, other), (other, ended)):
        assert link(api, one, "relates_to", two, 422)["type"].endswith(":final")
    assert links(api, other) == []


def test_a_ticket_that_is_deleted_leaves_its_links_and_the_other_tells(api: Api, three: tuple[str, str, str]) -> None:
    a, b, _ = three
    link(api, a, "parent_of", b)
    tag = api.request("GET", f"/tickets/{b}").headers["ETag"]
    api.call("DELETE", f"/tickets/{a}", status=204)
    assert links(api, b) == []
    assert api.request("GET", f"/tickets/{b}").headers["ETag"] != tag
    last = history(api, b)[-1]
    assert (last["field"], last["old"], last["new"]) == ("link", {"type": "child_of", "ticket": a}, None)


def test_many_links_come_in_pages(api: Api) -> None:
    number = opened(api)["number"]
    for index in range(5):
        link(api, number, "relates_to", opened(api, str(index))["number"])
    walked: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = api.call("GET", f"/tickets/{number}/links?limit=2&cursor={cursor}")
        walked += [item["title"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert walked == ["0", "1", "2", "3", "4"]
    assert read(api, number)["number"] == number
