"""Full text: what is found, by whom, in which order."""

from __future__ import annotations

import unicodedata
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text
from ticket_help import EVERYTHING, changed, listed, opened, person

from conftest import Api, TurnedClock
from deskplane.app import Desk
from deskplane.desks.queries import rights_of
from deskplane.kernel.folding import words
from deskplane.tickets import search, service
from deskplane.tickets.models import Ticket
from statements import recorded


def found(api: Api, q: str, more: str = "") -> list[str]:
    """The titles that a search answers, in its order."""
    return listed(api, f"?q={quote(q)}{more}")


@pytest.mark.feature("F130")
def test_words_are_found_wherever_they_stand(api: Api) -> None:
    number = opened(api, "Printer jams", description="The tray of the *second* floor")["number"]
    opened(api, "Something else")
    changed(api, number, comment="It was the fuser")
    for q in ("printer", "tray", "SECOND", "fuser", "printer fuser floor", number, number.lower(), "prin", "sec flo"):
        assert found(api, q) == ["Printer jams"], q
    for q in ("scanner", "printer scanner", "pri nter", "rinter", "pr", "jam fo"):
        assert found(api, q) == [], q


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("Café", "cafe"),
        ("cafe", "CAFÉ"),
        ("Straße", "strasse"),
        ("STRASSE", "straße"),
        ("Ærø", "aero"),
        ("Łódź", "lodz"),
        ("ﬁle", "file"),
        ("e\u0301tat", "état"),
        ("Ελλάδα", "ελλαδα"),
        ("Йога", "иога"),
        ("東京 駅", "東京"),
        ("foo_bar", "bar"),
        ("it's", "it s"),
    ],
)
def test_case_and_accents_make_no_difference(api: Api, written: str, asked: str) -> None:
    opened(api, f"About {written} today")
    opened(api, "About nothing")
    assert found(api, asked) == [f"About {unicodedata.normalize('NFC', written)} today"]


def test_short_words_are_found_whole_only(api: Api) -> None:
    opened(api, "vm 12 is down")
    assert found(api, "vm") == found(api, "is") == ["vm 12 is down"]
    assert found(api, "v") == found(api, "is do") == []


@pytest.mark.feature("F131")
def test_the_assignee_is_found_by_his_username_also_after_it_changed(api: Api) -> None:
    api.apply("users", username="mia.stone", roles=["admin"])
    number = opened(api, "a", assignee="mia.stone")["number"]
    opened(api, "b")
    assert found(api, "mia") == found(api, "sto") == ["a"]
    api.apply("users", username="lea.stone", renamed_from="mia.stone")
    assert (found(api, "mia"), found(api, "lea")) == ([], ["a"])
    changed(api, number, assignee=None)
    assert found(api, "lea") == []


@pytest.mark.feature("F130")
def test_the_contact_is_found_by_name_and_address_also_after_they_changed(api: Api) -> None:
    api.apply("contacts", email="kim@acme.example", first_name="Kim", last_name="Léé")
    number = opened(api, "a", contact="kim@acme.example")["number"]
    other = opened(api, "b", contact="new@acme.example")["number"]
    assert found(api, "kim lee") == found(api, "kim@acme.example") == ["a"]
    assert found(api, "acme") == ["b", "a"]
    api.apply("contacts", email="sam@acme.example", renamed_from="kim@acme.example", first_name="Sam")
    assert (found(api, "kim"), found(api, "sam lee")) == ([], ["a"])
    changed(api, other, contact="sam@acme.example")
    changed(api, number, contact=None)
    assert (found(api, "sam"), found(api, "new@acme.example")) == (["b"], [])
    api.apply("contacts", email="sam@acme.example", state="absent")
    assert found(api, "sam") == []


@pytest.mark.feature("F130")
def test_a_number_comes_first(api: Api) -> None:
    for index in range(12):
        opened(api, f"t{index + 1}")
    opened(api, "Twelve: 12, and TKT-000001")
    assert found(api, "12") == ["t12", "Twelve: 12, and TKT-000001"]
    assert found(api, "TKT-000001") == ["t1", "Twelve: 12, and TKT-000001"]
    assert found(api, "tkt-1") == ["t1"]
    assert found(api, "999999999") == []
    assert found(api, "1", "&status=closed") == []


def test_a_ticket_is_found_as_it_is_now(api: Api) -> None:
    number = opened(api, "first", description="alpha")["number"]
    changed(api, number, title="second")
    assert (found(api, "first"), found(api, "second"), found(api, "alpha")) == ([], ["second"], ["second"])
    changed(api, number, description="beta")
    assert (found(api, "alpha"), found(api, "beta")) == ([], ["second"])
    assert api.request("DELETE", f"/tickets/{number}").status_code == 204
    assert found(api, "second") == found(api, number) == []


def test_what_is_rolled_back_is_not_found(api: Api) -> None:
    api.call("POST", "/tickets/apply?dry_run=true", {"title": "canary", "comment": "canary"})
    assert found(api, "canary") == []


def test_the_best_come_first_and_then_the_newest(api: Api, clock: TurnedClock) -> None:
    for title, description in (
        ("nothing", "mail server"),
        ("The mail server", ""),
        ("mail", "server"),
        ("mailing servers", ""),
        ("nothing again", "mail server"),
    ):
        opened(api, title, description=description)
        clock.turn(minutes=1)
    assert found(api, "mail server") == ["The mail server", "mailing servers", "mail", "nothing again", "nothing"]
    assert found(api, "mail server", "&sort=created_at")[0] == "nothing"


@pytest.mark.parametrize("sort", ["", "&sort=-updated_at", "&sort=number", "&sort=relevance"])
def test_pages_hold_each_match_once(api: Api, clock: TurnedClock, sort: str) -> None:
    for index in range(11):
        opened(api, f"match {index}" if index % 2 else f"{index}", description="match")
        clock.turn(minutes=1)
        opened(api, "other")
    whole = found(api, "match", sort)
    assert len(whole) == 11
    pages, cursor = [], ""
    while cursor is not None:
        page = api.call("GET", f"/tickets?q=match&limit=3{sort}{cursor and '&cursor=' + cursor}")
        pages += [ticket["title"] for ticket in page["items"]]
        cursor = page["next_cursor"]
    assert pages == whole
    assert api.call("GET", "/tickets?q=match&cursor=x.y", status=400)["type"].endswith("bad_cursor")


def test_words_go_with_every_filter(api: Api) -> None:
    api.apply("customers", name="ACME")
    opened(api, "a", description="word", priority="high", customer="ACME", tags=["t"])
    opened(api, "b", description="word")
    assert found(api, "word", "&priority=high&customer=ACME&tag=t&status=open") == ["a"]
    assert found(api, "word", "&customer=none&sort=number") == ["b"]
    assert found(api, "word", "&status=closed") == []


def test_internal_messages_are_found_by_those_only_who_may_read_them(api: Api) -> None:
    number = opened(api, "plain")["number"]
    changed(api, number, comment="the canary sings")
    reader = person(api, "reader", *EVERYTHING, "tickets:read_internal")
    other = person(api, "other", *EVERYTHING)
    assert found(reader, "canary") == found(reader, "plain canary") == ["plain"]
    for q in ("canary", "plain canary", "can", "¬canary", '"canary"', "talk:canary"):
        assert found(other, q) == [], q


def test_nobody_finds_what_he_may_not_see(api: Api) -> None:
    """Each sees and finds the same tickets, whatever his rights come from."""
    for name in ("ours", "theirs"):
        api.apply("customers", name=name)
    for name in ("desk", "field"):
        api.apply("departments", name=name)
    people = {
        "all": person(api, "all", *EVERYTHING),
        "customer": person(
            api, "customer", "tickets:view_all_departments", memberships=[{"customer": "ours", "role": "member"}]
        ),
        "department": person(api, "department", "tickets:view_all"),
        "both": person(api, "both", memberships=[{"customer": "ours", "role": "member"}]),
        "in department": person(api, "in-department"),
        "reporter": person(api, "reporter", "tickets:create"),
        "nobody": person(api, "nobody"),
    }
    api.apply("departments", name="desk", members=["department", "both"])
    api.apply("departments", name="field", members=["in-department"])
    for customer in (None, "ours", "theirs"):
        for department in (None, "desk", "field"):
            opened(api, f"canary {customer} {department}", customer=customer, department=department)
    opened(people["reporter"], "canary of the reporter")
    for who, caller in people.items():
        seen = sorted(listed(caller, "?limit=200"))
        assert sorted(found(caller, "canary")) == sorted(found(caller, "canary", "&sort=number")) == seen, who
    assert len(listed(people["both"])) == 3
    assert listed(people["reporter"]) == ["canary of the reporter"]
    assert listed(people["nobody"]) == []


def test_the_rights_are_part_of_what_the_index_is_asked(api: Api, desk: Desk) -> None:
    """Without looking at a ticket's row the index answers no more than the caller may see."""
    api.apply("customers", name="ours")
    member = [{"customer": "ours", "role": "member"}]
    person(api, "mia", "tickets:view_all_departments", memberships=member)
    for customer in ("ours", None, None):
        opened(api, "canary", customer=customer)
    opened(api, "canary", assignee="root")
    with desk.database.transaction(write=False) as session:
        work = desk.command_line(session)
        user = session.execute(text("SELECT id FROM users WHERE username = 'mia'")).scalar_one()
        everyone = session.execute(select(Ticket.id).where(search.matching(work, "canary"))).scalars().all()
        work.actor = rights_of(work, user)
        hers = session.execute(select(Ticket.id).where(search.matching(work, "canary"))).scalars().all()
    assert (len(everyone), len(hers)) == (4, 1)


def test_a_ticket_that_moved_is_not_found_by_who_had_it(api: Api) -> None:
    for name in ("old", "new"):
        api.apply("customers", name=name)
    members = {
        name: person(
            api, f"of-{name}", "tickets:view_all_departments", memberships=[{"customer": name, "role": "member"}]
        )
        for name in ("old", "new")
    }
    number = opened(api, "canary", customer="old")["number"]
    assert (found(members["old"], "canary"), found(members["new"], "canary")) == (["canary"], [])
    changed(api, number, customer="new")
    assert (found(members["old"], "canary"), found(members["new"], "canary")) == ([], ["canary"])


@pytest.mark.parametrize(
    "q",
    [
        '"',
        "'",
        "a AND",
        "NOT",
        "NEAR(a b)",
        "head:x",
        "x*",
        "* *",
        "^x",
        "(a",
        "a)",
        "{a b}: c",
        "a | b & !c",
        "<->",
        "-x",
        "\\",
        "a\\'b",
        "'a':*",
        "::tsquery",
        "%",
        "; DROP TABLE tickets",
        "§",
        "¬",
        "🔥 fire",
        "\u202e",
    ],
)
def test_no_sign_is_an_operator(api: Api, q: str) -> None:
    opened(api, "plain day")
    answer = api.request("GET", f"/tickets?q={quote(q)}")
    if words(q) and q.isprintable():
        assert answer.status_code == 200, answer.get_data(as_text=True)
        assert answer.get_json()["items"] == []
    else:
        assert answer.status_code == 422
        assert answer.get_json()["errors"][0]["pointer"] == "#/q"


@pytest.mark.parametrize(
    ("q", "code"),
    [
        ("", "no_words"),
        ("  ", "no_words"),
        ("?!", "no_words"),
        ("x" * 201, "too_long"),
        ("x" * 10_000, "too_long"),
        ("\x00", "control_character"),
        ("a\nb", "control_character"),
        (" ".join(f"w{n}" for n in range(21)), "too_many_words"),
    ],
)
def test_what_cannot_be_looked_for_is_refused(api: Api, q: str, code: str) -> None:
    for path in ("/tickets", "/tickets?sort=number"):
        answer = api.request("GET", path + ("&" if "?" in path else "?") + f"q={quote(q)}")
        assert answer.status_code == 422
        assert [error["code"] for error in answer.get_json()["errors"]] == [code]


def test_relevance_is_an_order_of_matches_only(api: Api) -> None:
    answer = api.call("GET", "/tickets?sort=relevance", status=422)
    assert answer["errors"][0]["pointer"] == "#/sort"


def test_a_search_takes_as_many_statements_for_many_as_for_few(api: Api, desk: Desk) -> None:
    def many(session: Any) -> None:
        for index in range(60):
            service.open_ticket(desk.command_line(session), {"title": f"printer {index}", "tags": ["a"]})

    desk.database.run(many, write=True)
    for query, most in (("q=printer", 6), ("q=printer&sort=number", 6), ("q=TKT-000012", 7)):
        api.call("GET", f"/tickets?{query}&limit=1")
        counts = set()
        for limit in (2, 50):
            with recorded(desk) as statements:
                api.call("GET", f"/tickets?{query}&limit={limit}")
            counts.add(len(statements))
        assert len(counts) == 1
        assert max(counts) <= most, statements


def test_a_long_conversation_is_found_as_far_as_there_is_room(api: Api, desk: Desk) -> None:
    number = opened(api, "long")["number"]
    for part in range(16):
        changed(api, number, comment=" ".join(f"w{part:02d}x{n:05d}" for n in range(5400)))
    assert found(api, "w00x00000") == found(api, "w08x05399") == ["long"]
    assert found(api, "w15x00000") == []
    with desk.database.transaction(write=False) as session:
        assert session.execute(text("SELECT talk_bytes FROM ticket_words")).scalar_one() <= 600_000


# -- beside a slow reference ------------------------------------------------------------------------------------------

_WORDS = st.sampled_from(["mail", "mailing", "Mäil", "server", "serv", "vm", "v", "straße", "strasse", "x1", "ma"])
_TEXT = st.lists(_WORDS, max_size=4).map(" ".join)


@pytest.fixture
def colleagues(api: Api) -> dict[str, Api]:
    for name in ("c0", "c1"):
        api.apply("customers", name=name)
    member = [{"customer": "c0", "role": "member"}]
    return {
        "everything": api,
        "outside": person(api, "outside", *EVERYTHING),
        "member": person(api, "member", "tickets:view_all_departments", "tickets:read_internal", memberships=member),
    }


_TICKET = st.fixed_dictionaries(
    {
        "title": _TEXT.map(lambda value: value or "untitled"),
        "description": _TEXT,
        "comment": _TEXT,
        "customer": st.sampled_from([None, "c0", "c1"]),
        "priority": st.sampled_from(["low", "high"]),
    }
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tickets=st.lists(_TICKET, min_size=1, max_size=5), asked=st.lists(_WORDS, min_size=1, max_size=3))
def test_a_slow_reference_finds_the_same(
    api: Api, desk: Desk, colleagues: dict[str, Api], tickets: list[dict[str, Any]], asked: list[str]
) -> None:
    numbers = {}
    for ticket in tickets:
        fields = {name: value for name, value in ticket.items() if name != "comment"}
        number = opened(api, **fields)["number"]
        if ticket["comment"]:
            changed(api, number, comment=ticket["comment"])
        numbers[number] = ticket

    def finds(word: str, texts: list[str]) -> bool:
        there = [other for one in texts for other in words(one)]
        return any(other.startswith(word) if len(word) > 2 else other == word for other in there)

    for who, caller in colleagues.items():
        expected = set()
        for number, ticket in numbers.items():
            texts = [ticket["title"], ticket["description"], number, str(int(number[4:]))]
            texts += [ticket["comment"]] if who != "outside" else []
            if who == "member" and ticket["customer"] != "c0":
                continue
            if ticket["priority"] == "high" and all(finds(word, texts) for q in asked for word in words(q)):
                expected.add(number)
        for sort in ("relevance", "-number"):
            path = f"/tickets?q={quote(' '.join(asked))}&sort={sort}&limit=200&priority=high"
            answered = {ticket["number"] for ticket in caller.call("GET", path)["items"]}
            assert answered & set(numbers) == expected, who
