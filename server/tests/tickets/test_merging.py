"""Merging and splitting: nothing that was said is lost, and every message tells where it came from."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from test_ticket_history import assert_history_is_true
from ticket_help import EVERYTHING, changed, dump, events, history, listed, messages, opened, person, places, read

from conftest import Api
from deskplane.app import create_app


def merge(api: Api, number: str, into: str, status: int = 200, **options: Any) -> Any:
    return api.call("POST", f"/tickets/{number}/merge", {"into": into}, status=status, **options)


def said(api: Api, number: str) -> list[tuple[str, str | None]]:
    return [(message["body"], message["origin_ticket"]) for message in messages(api, number)]


def told(api: Api, number: str, *fields: str) -> list[tuple[str, Any]]:
    return [(row["field"], row["new"]) for row in history(api, number) if row["field"] in fields]


@pytest.fixture
def two(api: Api) -> tuple[str, str]:
    """Two tickets of which each has a conversation, and things of its own."""
    api.apply("customers", name="ACME")
    api.apply("labels", name="a")
    api.apply("labels", name="b")
    for name in ("printer", "router"):
        api.apply("assets", name=name, customer="ACME")
    source = opened(api, "source", customer="ACME", tags=["x", "y"], labels=["a"], assets=["printer"])["number"]
    target = opened(api, "target", customer="ACME", tags=["y", "z"], labels=["b"], assets=["router"])["number"]
    changed(api, target, comment="on the target")
    for text in ("first kiwi", "second"):
        changed(api, source, comment=text)
    return source, target


def test_a_merge_takes_the_conversation_and_all_that_belongs_to_it(api: Api, two: tuple[str, str]) -> None:
    source, target = two
    reference = {"type": "issue", "title": "i", "url": "https://x.example/1"}
    own = {"type": "issue", "title": "own", "url": "https://x.example/2"}
    for number, one in ((source, reference), (target, reference), (source, own)):
        api.call("POST", f"/tickets/{number}/references", one, status=201)
    other = opened(api, "other")["number"]
    api.call("PUT", f"/tickets/{source}/links/blocks/{other}", status=204)
    answer = merge(api, source, target)
    assert answer == read(api, target)
    assert sorted(said(api, target)) == [("first kiwi", source), ("on the target", None), ("second", source)]
    assert (answer["tags"], answer["labels"], answer["assets"]) == (["x", "y", "z"], ["a", "b"], ["printer", "router"])
    assert said(api, source) == []
    references = {number: api.call("GET", f"/tickets/{number}/references")["items"] for number in two}
    assert [item["title"] for item in references[target]] == ["i", "own"]
    assert references[source] == []
    links = {item["ticket"]: item["type"] for item in api.call("GET", f"/tickets/{target}/links")["items"]}
    assert links == {other: "blocks", source: "duplicated_by"}
    assert read(api, source)["status"] == "closed"
    assert listed(api, "?q=kiwi") == ["target"]
    for number in (*two, other):
        assert_history_is_true(api, number)


def test_both_histories_tell_which_message_came_from_where(api: Api, two: tuple[str, str]) -> None:
    source, target = two
    ids = [message["id"] for message in messages(api, source)]
    merge(api, source, target)
    assert told(api, source, "merged_into") == [("merged_into", {"ticket": target, "messages": ids})]
    assert told(api, target, "merged") == [("merged", {"ticket": source, "messages": ids})]
    assert events(api.desk)[-2:] == [("ticket_closed", source), ("ticket_updated", target)]
    # merged on, a message still tells where it was first
    third = opened(api, "third", customer="ACME")["number"]
    merge(api, target, third)
    assert sorted(said(api, third)) == [("first kiwi", source), ("on the target", target), ("second", source)]


def test_what_is_refused_changes_nothing(api: Api, two: tuple[str, str]) -> None:
    source, target = two
    api.apply("customers", name="Other")
    api.apply("departments", name="Ops", workflow="itil")
    foreign = opened(api, customer="Other")["number"]
    final = opened(api, customer="ACME", department="Ops", status="cancelled")["number"]
    before = dump(api.desk)
    assert places(merge(api, source, source, 422)) == {"into": "not_allowed"}
    assert places(merge(api, source, foreign, 422)) == {"into": "other_customer"}
    for one, two_ in ((source, final), (final, source)):
        assert merge(api, one, two_, 422)["type"].endswith(":final")
    for missing in ("TKT-000999", "nothing"):
        assert places(merge(api, source, missing, 422)) == {"into": "unknown_reference"}
        merge(api, missing, source, 404)
    assert places(api.call("POST", f"/tickets/{source}/merge", {"to": target}, status=422)).keys() == {"into", "to"}
    merge(api, source, target, 412, headers={"If-Match": '"1"'})
    assert dump(api.desk) == before


def test_a_ticket_that_one_may_not_see_is_none_to_merge_into(api: Api, two: tuple[str, str]) -> None:
    rights = ("tickets:edit", "tickets:close", "tickets:view_all_departments")
    mia = person(api, "mia", *rights, memberships=[{"customer": "ACME", "role": "member"}])
    hidden = opened(api)["number"]
    problems = [merge(mia, two[0], into, 422) for into in (hidden, "TKT-000999")]
    assert problems[0]["errors"][0]["detail"].replace(hidden, "") == problems[1]["errors"][0]["detail"].replace(
        "TKT-000999", ""
    )
    api.apply("roles", name="of mia", permissions=["tickets:access", "tickets:edit", *EVERYTHING])
    assert merge(mia, two[0], two[1], 403)["missing_permission"] == "tickets:close"


def test_a_merge_gives_no_ticket_more_words_than_it_may_have(api: Api) -> None:
    one = opened(api, tags=[f"t{index}" for index in range(30)])["number"]
    other = opened(api, tags=[f"u{index}" for index in range(21)])["number"]
    refused = api.call("POST", f"/tickets/{one}/merge", {"into": other}, status=422)
    assert "would have 51 tags; a ticket has 50 at most" in refused["detail"]
    assert (read(api, one)["status"], len(read(api, other)["tags"])) == ("open", 21)


def test_a_merged_ticket_is_closed_by_the_way_of_its_workflow(api: Api) -> None:
    api.apply("departments", name="Ops", workflow="itil")
    source, target = opened(api, department="Ops")["number"], opened(api)["number"]
    merge(api, source, target)
    steps = [row["new"] for row in history(api, source) if row["field"] == "status"]
    assert steps == ["in_progress", "resolved", "closed"]
    # one that cannot be closed is not merged
    waiting = opened(api, department="Ops")["number"]
    stuck = [{"from": "open", "to": "in_progress"}]
    api.apply("workflows", name="stuck", transitions=stuck)
    api.apply("departments", name="Ops", workflow="stuck")
    before = dump(api.desk)
    assert places(merge(api, waiting, target, 422)) == {"status": "not_allowed"}
    assert dump(api.desk) == before


def test_a_parent_is_taken_over_where_there_is_room_for_one(api: Api) -> None:
    a, b, c, d = (opened(api, title)["number"] for title in "abcd")
    for one, other in ((a, b), (b, c)):
        api.call("PUT", f"/tickets/{one}/links/parent_of/{other}", status=204)
    merge(api, b, d)
    links = {(item["type"], item["ticket"]) for item in api.call("GET", f"/tickets/{d}/links")["items"]}
    assert links == {("child_of", a), ("parent_of", c), ("duplicated_by", b)}
    merge(api, c, a)  # whose child d now is: a would be above itself
    links = {(item["type"], item["ticket"]) for item in api.call("GET", f"/tickets/{a}/links")["items"]}
    assert links == {("parent_of", d), ("duplicated_by", c)}


def test_merges_at_once_lose_nothing(api: Api) -> None:
    numbers = [opened(api, str(index))["number"] for index in range(4)]
    for number in numbers:
        changed(api, number, comment=f"said on {number}")
    a, b, c, d = numbers
    app = create_app(api.desk)
    wanted = [(a, b), (b, a), (c, a), (d, b), (b, c)]
    barrier, answers = threading.Barrier(len(wanted)), []

    def take(one: str, into: str) -> None:
        client = Api(app.test_client(), api.key, api.desk)
        barrier.wait()
        answers.append(client.request("POST", f"/tickets/{one}/merge", {"into": into}).status_code)

    threads = [threading.Thread(target=take, args=pair) for pair in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers) == {200}
    everything = sorted(body for number in numbers for body, _origin in said(api, number))
    assert everything == sorted(f"said on {number}" for number in numbers)
    for number in numbers:
        for body, origin in said(api, number):
            assert body == f"said on {origin or number}"
        assert_history_is_true(api, number)


def test_a_split_makes_a_ticket_of_some_messages(api: Api, two: tuple[str, str]) -> None:
    source, _ = two
    api.apply("departments", name="Ops")
    changed(api, source, contact="kim@acme.example", department="Ops", type="incident", priority="high")
    first, _second = (message["id"] for message in messages(api, source))
    body = {"title": "of its own", "messages": [first]}
    keyed = {"Idempotency-Key": "k"}
    answer = api.call("POST", f"/tickets/{source}/split", body, status=201, headers=keyed)
    assert api.call("POST", f"/tickets/{source}/split", body, status=201, headers=keyed) == answer
    new = answer["number"]
    assert answer == read(api, new)
    shared = ("customer", "contact", "department", "type", "priority")
    assert [answer[name] for name in shared] == ["ACME", "kim@acme.example", "Ops", "incident", "high"]
    assert (said(api, new), said(api, source)) == ([("first kiwi", source)], [("second", None)])
    assert api.call("GET", f"/tickets/{new}/links")["items"][0]["ticket"] == source
    assert told(api, source, "split_off") == [("split_off", {"ticket": new, "messages": [first]})]
    assert told(api, new, "split_from") == [("split_from", {"ticket": source, "messages": [first]})]
    assert listed(api, "?q=kiwi") == ["of its own"]
    assert events(api.desk)[-2:] == [("ticket_created", new), ("ticket_updated", source)]
    for number in (source, new):
        assert_history_is_true(api, number)


def test_only_the_tickets_own_messages_that_one_may_read_are_split_off(api: Api, two: tuple[str, str]) -> None:
    source, target = two
    mine, theirs = messages(api, source)[0]["id"], messages(api, target)[0]["id"]
    mia = person(api, "mia", *EVERYTHING, "tickets:edit", "tickets:create")
    before = dump(api.desk)
    path = f"/tickets/{source}/split"
    bad = {"title": "x", "messages": [mine, theirs, 2**50]}
    assert places(api.call("POST", path, bad, status=422)) == {
        "messages/1": "unknown_reference",
        "messages/2": "unknown_reference",
    }
    # an internal one, for somebody who does not read those
    assert places(mia.call("POST", path, {"title": "x", "messages": [mine]}, status=422)) == {
        "messages/0": "unknown_reference"
    }
    for body in ({"title": "x"}, {"title": "x", "messages": []}, {"title": "x", "messages": None}):
        assert places(api.call("POST", path, body, status=422)) == {"messages": "required"}
    assert "title" in places(api.call("POST", path, {"messages": [mine]}, status=422))
    assert dump(api.desk) == before
