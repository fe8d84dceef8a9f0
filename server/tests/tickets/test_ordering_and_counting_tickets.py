"""Orders of the list, what comes back today, and counts by status."""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from ticket_help import EVERYTHING, changed, listed, opened, person

from conftest import Api, TurnedClock
from deskplane.app import Desk
from deskplane.kernel.words import PRIORITIES, STATUSES
from deskplane.tickets import counts, service
from statements import recorded


def paged(api: Api, query: str, limit: int = 2) -> list[str]:
    """The titles of a list, page by page."""
    found: list[str] = []
    cursor = ""
    while cursor is not None:
        page = api.call("GET", f"/tickets?{query}&limit={limit}{cursor and '&cursor=' + cursor}")
        assert len(page["items"]) <= limit
        found += [ticket["title"] for ticket in page["items"]]
        cursor = page["next_cursor"]
    return found


def counted(api: Api, query: str = "") -> dict[str, int]:
    """The counts that are not 0."""
    found = api.call("GET", f"/tickets/counts{query}")
    assert found["capped"] == []
    assert list(found["counts"]) == list(STATUSES)
    return {status: number for status, number in found["counts"].items() if number}


def test_tickets_are_sorted_by_their_deadline_and_those_without_come_last(api: Api, clock: TurnedClock) -> None:
    api.apply("sla-policies", name="p", resolution_minutes=600, priorities=["high"])
    api.apply("sla-policies", name="q", resolution_minutes=60, priorities=["critical"])
    for title, priority, status in (
        ("late", "high", "open"),
        ("none", "low", "open"),
        ("soon", "critical", "open"),
        ("paused", "critical", "waiting"),
        ("later", "high", "open"),
        ("done", "critical", "resolved"),
    ):
        opened(api, title, priority=priority, status=status)
        clock.turn(minutes=1)
    assert paged(api, "sort=due_at") == ["soon", "late", "later", "none", "paused", "done"]
    assert paged(api, "sort=-due_at", 1) == ["done", "paused", "none", "later", "late", "soon"]
    assert paged(api, "sort=due_at&due_before=2030-01-01T00:00:00Z") == ["soon", "late", "later"]


def test_tickets_are_sorted_by_priority(api: Api) -> None:
    for index, priority in enumerate(("low", "critical", "medium", "high", "low", "critical")):
        opened(api, f"{priority} {index}", priority=priority)
    most_first = ["critical 5", "critical 1", "high 3", "medium 2", "low 4", "low 0"]
    assert paged(api, "sort=-priority") == most_first
    assert paged(api, "sort=priority", 1) == most_first[::-1]


def test_filters_by_time(api: Api, clock: TurnedClock) -> None:
    start = clock.now()
    numbers = []
    for title in ("a", "b", "c"):
        numbers.append(opened(api, title)["number"])
        clock.turn(hours=1)
    changed(api, numbers[0], title="a changed")

    def at(hours: int) -> str:
        return start.replace(hour=start.hour + hours).isoformat().replace("+00:00", "Z")

    for query, titles in (
        ({"created_since": at(1)}, ["b", "c"]),
        ({"created_before": at(1)}, ["a changed"]),
        ({"created_since": at(1), "created_before": at(2)}, ["b"]),
        ({"updated_since": at(2)}, ["a changed", "c"]),
        ({"updated_before": at(2)}, ["b"]),
    ):
        assert sorted(listed(api, f"?{urlencode(query)}")) == titles, query
    assert counted(api, f"?{urlencode({'created_since': at(1)})}") == {"open": 2}


@pytest.mark.feature("F080")
def test_what_is_due_today_in_the_callers_time_zone_floats_to_the_top(api: Api, clock: TurnedClock) -> None:
    """It is 09:00 on 2 March in UTC: 22:00 in Auckland, and 23:00 of the day before in Honolulu."""
    people = {
        zone: person(api, zone.split("/")[1].lower(), *EVERYTHING, time_zone=zone)
        for zone in ("Pacific/Auckland", "Pacific/Honolulu")
    }
    for title, remind_at in (
        ("overdue", "2026-02-01T00:00:00Z"),
        ("tonight", "2026-03-02T10:30:00Z"),
        ("this afternoon", "2026-03-02T15:00:00Z"),
        ("next week", "2026-03-09T15:00:00Z"),
    ):
        opened(api, title, status="waiting", remind_at=remind_at)
        clock.turn(seconds=1)
    opened(api, "newest")
    rest = ["newest", "next week", "this afternoon", "tonight", "overdue"]
    for caller, first in (
        (api, ["overdue", "tonight", "this afternoon"]),  # the desk's own zone is UTC
        (people["Pacific/Auckland"], ["overdue", "tonight"]),
        (people["Pacific/Honolulu"], ["overdue"]),
    ):
        expected = first + [title for title in rest if title not in first]
        for limit in (1, 2, 3, 5, 50):
            assert paged(caller, "sort=reminders", limit) == expected
    assert paged(api, "sort=reminders&status=waiting&priority=medium") == [
        "overdue",
        "tonight",
        "this afternoon",
        "next week",
    ]
    assert paged(api, "sort=reminders&status=open") == ["newest"]
    api.apply("settings", key="time_zone.default", value="Pacific/Honolulu")
    assert paged(api, "sort=reminders")[:2] == ["overdue", "newest"]


def test_the_days_end_does_not_move_between_pages(api: Api, clock: TurnedClock) -> None:
    for title, remind_at in (("today", "2026-03-02T20:00:00Z"), ("tomorrow", "2026-03-03T20:00:00Z")):
        opened(api, title, status="waiting", remind_at=remind_at)
    clock.turn(seconds=1)
    opened(api, "plain")
    page = api.call("GET", "/tickets?sort=reminders&limit=2")
    assert [ticket["title"] for ticket in page["items"]] == ["today", "plain"]
    clock.turn(days=1)
    page = api.call("GET", f"/tickets?sort=reminders&limit=2&cursor={page['next_cursor']}")
    assert [ticket["title"] for ticket in page["items"]] == ["tomorrow"]


@pytest.mark.feature("F126")
def test_counts_follow_every_change(api: Api) -> None:
    api.apply("customers", name="ACME")
    api.apply("departments", name="Desk")
    numbers = [opened(api, f"t{index}", customer="ACME", department="Desk")["number"] for index in range(3)]
    opened(api, "plain")
    assert counted(api) == {"open": 4}
    assert counted(api, "?customer=ACME") == counted(api, "?department=Desk") == {"open": 3}
    assert counted(api, "?customer=none&department=none") == {"open": 1}
    assert counted(api, "?customer=Nobody") == {}
    changed(api, numbers[0], status="resolved")
    changed(api, numbers[1], customer=None)
    assert counted(api, "?customer=ACME") == {"open": 1, "resolved": 1}
    assert counted(api, "?open=true") == {"open": 3}
    assert counted(api, "?open=true&status=resolved") == {}
    assert counted(api, "?status=resolved,closed") == {"resolved": 1}
    assert api.request("DELETE", f"/tickets/{numbers[2]}").status_code == 204
    assert counted(api) == {"open": 2, "resolved": 1}
    api.call("POST", "/tickets/apply?dry_run=true", {"title": "never"})
    assert counted(api) == {"open": 2, "resolved": 1}


@pytest.mark.feature("F126")
def test_counts_go_with_every_filter_of_the_list(api: Api) -> None:
    opened(api, "printer", priority="high", tags=["a"], assignee="root")
    opened(api, "printer two", status="waiting")
    for query, expected in (
        ("q=printer", {"open": 1, "waiting": 1}),
        ("q=two", {"waiting": 1}),
        ("tag=a", {"open": 1}),
        ("assignee=root&priority=high", {"open": 1}),
        ("assignee=none", {"waiting": 1}),
        ("priority=low", {}),
    ):
        assert counted(api, f"?{query}") == expected, query
    assert api.call("GET", "/tickets/counts?sort=number", status=422)["errors"][0]["code"] == "unknown_field"
    assert api.call("GET", "/tickets/counts?q=?!", status=422)["errors"][0]["pointer"] == "#/q"


def test_more_than_are_counted_are_marked(api: Api, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "CAP", 3)
    for index in range(5):
        opened(api, f"t{index}", status="waiting", priority="low", tags=["a"])
    opened(api, "one", priority="low")
    answer = api.call("GET", "/tickets/counts?priority=low")
    assert (answer["counts"]["waiting"], answer["counts"]["open"], answer["capped"]) == (3, 1, ["waiting"])
    assert counted(api) == {"open": 1, "waiting": 5}


def test_counts_take_a_fixed_number_of_statements(api: Api, desk: Desk) -> None:
    def many(session: Any) -> None:
        for index in range(40):
            service.open_ticket(desk.command_line(session), {"title": f"printer {index}"})

    mia = person(api, "mia")
    for caller in (api, mia):
        for query, most in (("", 4), ("?priority=low", 3), ("?q=printer", 4)):
            caller.call("GET", f"/tickets/counts{query}")
            seen = set()
            for _ in range(2):
                with recorded(desk) as statements:
                    caller.call("GET", f"/tickets/counts{query}")
                seen.add(len(statements))
                if caller is api and query == "":
                    desk.database.run(many, write=True)
            assert len(seen) == 1
            assert max(seen) <= most, statements


def test_callers_count_what_they_see(api: Api, desk: Desk) -> None:
    """Those of a customer, of a department, of both, and their own beyond."""
    for name in ("ours", "theirs"):
        api.apply("customers", name=name)
    member = [{"customer": "ours", "role": "member"}]
    people = {
        "all": person(api, "all", *EVERYTHING),
        "customer": person(api, "customer", "tickets:view_all_departments", memberships=member),
        "department": person(api, "department", "tickets:view_all"),
        "both": person(api, "both", "tickets:create", memberships=member),
        "in-department": person(api, "in-department"),
        "reporter": person(api, "reporter", "tickets:create"),
        "nobody": person(api, "nobody"),
    }
    api.apply("departments", name="desk", members=["department", "both"])
    api.apply("departments", name="field", members=["in-department"])
    for customer in (None, "ours", "theirs"):
        for department in (None, "desk", "field"):
            opened(api, "canary", customer=customer, department=department, status="waiting")
    for who in ("both", "reporter"):
        opened(people[who], f"of {who}")
    opened(people["both"], "of both, and ours", customer="ours", department="desk")
    for who, caller in people.items():
        for query in ("", "&customer=ours", "&customer=none", "&department=desk", "&priority=medium", "&q=canary"):
            seen = caller.call("GET", f"/tickets?limit=200{query}")["items"]
            expected = Counter(ticket["status"] for ticket in seen)
            assert counted(caller, f"?{query[1:]}") == expected, (who, query)
    assert counted(people["nobody"]) == {}
    assert counted(people["reporter"]) == {"open": 1}


def invariant_of_counts(desk: Desk) -> None:
    """The counters are what there is."""
    key = "coalesce(customer_id, ''), coalesce(department_id, ''), status"
    with desk.database.transaction(write=False) as session:
        there = session.execute(text(f"SELECT {key}, count(*) FROM tickets GROUP BY {key}")).all()
        kept = session.execute(
            text(
                "SELECT customer, department, status, sum(number) FROM ticket_counts "
                "GROUP BY customer, department, status HAVING sum(number) <> 0"
            )
        ).all()
    assert sorted(map(tuple, kept)) == sorted(map(tuple, there))


def test_counters_hold_whatever_happens_to_customers_and_departments(api: Api, desk: Desk) -> None:
    api.apply("customers", name="gone")
    api.apply("departments", name="gone", customer="gone")
    opened(api, "a", customer="gone", department="gone")
    opened(api, "b", customer="gone")
    invariant_of_counts(desk)
    numbers = [opened(api, f"t{index}")["number"] for index in range(3)]
    items = [{"number": number} for number in numbers]
    api.request("POST", "/tickets/bulk", {"action": "close", "tickets": items})
    with desk.database.writing.begin() as connection:
        connection.execute(text("UPDATE tickets SET customer_id = NULL, status = 'closed' WHERE title <> 't1'"))
        connection.execute(text("DELETE FROM tickets WHERE title = 't0'"))
    invariant_of_counts(desk)
    assert sum(counted(api).values()) == 4


# -- beside a slow reference ------------------------------------------------------------------------------------------

_TICKET = st.fixed_dictionaries(
    {
        "priority": st.sampled_from(PRIORITIES),
        "status": st.sampled_from(["open", "in_progress", "waiting", "resolved"]),
        "customer": st.sampled_from([None, "c0", "c1"]),
        "assignee": st.sampled_from([None, "root"]),
        "tags": st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True),
    }
)
_ASKED = st.fixed_dictionaries(
    {},
    optional={
        "priority": st.sampled_from(PRIORITIES),
        "status": st.sampled_from(STATUSES),
        "customer": st.sampled_from(["none", "c0", "c1"]),
        "assignee": st.sampled_from(["none", "root"]),
        "tag": st.sampled_from(["a", "b", "c"]),
        "open": st.sampled_from(["true", "false"]),
    },
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tickets=st.lists(_TICKET, max_size=4), asked=_ASKED, sort=st.sampled_from(["due_at", "-priority", "reminders"]))
def test_a_slow_reference_lists_and_counts_the_same(
    api: Api, desk: Desk, tickets: list[dict[str, Any]], asked: dict[str, str], sort: str
) -> None:
    for name in ("c0", "c1"):
        api.apply("customers", name=name)
    for ticket in tickets:
        opened(api, **ticket)
    there = api.call("GET", "/tickets?limit=200")["items"]

    def fits(ticket: dict[str, Any]) -> bool:
        for name, value in asked.items():
            if name == "tag":
                fit = value in ticket["tags"]
            elif name == "open":
                fit = (value == "true") == (ticket["status"] not in ("resolved", "closed", "cancelled"))
            else:
                fit = (ticket[name] or "none") == value
            if not fit:
                return False
        return True

    expected = [ticket for ticket in there if fits(ticket)]
    query = urlencode(asked)
    found = api.call("GET", f"/tickets?{query}&limit=200&sort={sort}")["items"]
    assert sorted(ticket["number"] for ticket in found) == sorted(ticket["number"] for ticket in expected)
    assert counted(api, f"?{query}") == Counter(ticket["status"] for ticket in expected)
    invariant_of_counts(desk)
